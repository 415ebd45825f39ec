//! Containers on a real kernel: root is needed, and nothing is left behind.
//!
//! The binary has three roles. Called as a monitor or as the small init it is that, since these are executed from the
//! binary of the program that starts a container; called with `verb` it is a command line that takes requests as JSON;
//! otherwise it runs tests, each in a process of its own, and speaks as much of libtest's language as nextest needs.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a test program")]

mod attached;
mod bench;
mod crash;
mod health;
mod inside;
mod journal;
mod life;
mod logs;
mod pipes;
mod protocol;
mod restarts;
mod sandbox;
mod script;
mod unpacked;
mod verbs;

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

/// A test, by name.
type Test = (&'static str, fn());

macro_rules! tests {
    ($($module:ident: $($name:ident)*;)*) => {
        &[$($((concat!(stringify!($module), "::", stringify!($name)), $module::$name as fn())),*),*]
    };
}

const TESTS: &[Test] = tests! {
    life: a_command_runs_and_its_status_comes_back
          a_command_that_is_not_there_is_127_and_one_that_cannot_run_is_126
          a_container_that_removes_itself_leaves_nothing
          a_container_lives_through_create_start_stop_start_and_removal
          a_name_is_held_by_one_container
          a_stop_is_the_signal_then_the_grace_then_the_kill
          several_containers_stop_at_the_same_time
          ps_lists_what_runs_and_ps_all_the_rest
          a_container_is_found_by_name_and_by_the_beginning_of_its_id
          output_is_logged_and_shown_again
          a_log_is_followed_until_the_container_ends
          waiting_brings_the_status;
    inside: a_container_sees_its_own_names_and_nothing_of_the_host
            capabilities_and_privileges_are_docker_s_defaults
            users_are_those_of_the_image
            volumes_keep_what_was_written_and_are_filled_from_the_image
            a_missing_source_is_an_error_and_leaves_nothing
            a_read_only_root_takes_no_writes
            networks_are_shared_or_not
            an_init_reaps_and_hands_signals_on
            exec_joins_the_container
            exec_has_the_exit_codes_of_docker
            memory_beyond_the_limit_is_an_oom_kill;
    logs: a_flood_is_kept_whole_and_followed_whole
          a_compact_log_is_packed_and_read_as_if_it_were_not
          a_killed_packing_loses_nothing_and_a_removal_amid_it_leaves_nothing
          following_goes_on_over_restarts_until_the_last_end
          following_ends_when_a_container_is_stopped_in_its_pause
          following_notices_a_killed_monitor_and_the_run_after_it
          a_log_whose_monitor_was_killed_holds_whole_lines_and_goes_on
          a_full_disk_tears_no_line;
    journal: entries_carry_docker_s_fields
             a_journal_that_hangs_stops_no_container
             without_a_journal_nothing_is_started_or_read
             the_real_journal_gives_back_what_was_said;
    attached: input_goes_in_and_output_comes_out_whole
              a_slow_reader_loses_nothing
              a_signal_is_handed_on
              a_terminal_is_a_terminal
              the_detach_keys_leave_the_container_running;
    crash: a_killed_monitor_is_settled_by_the_next_command
           a_killed_command_leaves_the_container_running
           a_lost_machine_is_told
           a_damaged_record_costs_that_container_alone
           a_damaged_state_is_asked_from_the_monitor
           a_removal_that_was_killed_is_brought_to_its_end
           a_name_that_cannot_be_read_removes_nothing
           a_removal_that_was_killed_takes_its_own_volumes_along
           a_removal_that_a_power_cut_interrupted_is_undone_or_finished
           a_dead_process_is_never_listed
           a_full_disk_stops_no_command_and_loses_no_end
           a_step_whose_builder_died_before_it_ran_leaves_nothing
           whatever_is_killed_at_any_moment_leaves_nothing;
    health: health_follows_the_probes
            a_probe_that_takes_too_long_has_failed_and_is_ended
            failures_of_the_start_period_do_not_count
            an_unhealthy_container_is_killed_stopped_or_restarted_as_asked_for
            what_is_required_is_started_first_and_waited_for;
    pipes: both_outputs_come_whole_in_bulk
           a_file_that_is_appended_to_gets_all_of_it_too
           what_comes_in_bulk_is_moved_and_not_copied
           a_foreground_command_that_is_not_read_holds_nobody_up
           an_exec_an_attach_and_a_follow_that_are_not_read_hold_nobody_up
           a_signal_gets_through_where_nobody_reads
           input_by_a_pipe_follows_that_by_frames_and_outlives_its_sender
           who_sends_input_is_told_that_nobody_takes_it;
    protocol: a_command_of_version_1_is_understood
              a_command_of_version_1_gets_frames_that_it_has_room_for
              a_monitor_of_version_1_is_understood
              a_monitor_of_version_1_gets_input_in_frames_alone;
    restarts: a_failure_is_tried_again_as_often_as_the_policy_says
              a_success_is_no_failure
              what_always_runs_is_started_again_until_it_is_stopped
              a_running_container_that_is_stopped_or_killed_stays_down
              a_killed_command_and_an_oom_kill_are_failures
              a_killed_monitor_takes_its_container_with_it_and_the_policy_decides
              a_monitor_killed_in_the_pause_loses_nothing
              a_stop_at_any_moment_of_a_restart_is_kept
              a_removal_wins_over_a_restart_at_any_moment
              what_was_removed_meanwhile_is_not_started
              a_wait_is_answered_by_the_first_end
              after_a_reboot_runs_what_the_policies_ask_for;
    unpacked: an_unpacked_image_is_run_like_any_other
              what_a_container_runs_from_stays_whatever_is_swept
              a_restart_keeps_to_the_snapshotter_that_was_chosen
              a_container_moves_from_one_snapshotter_to_the_other
              an_unpacked_image_can_be_explained;
    script: a_script_makes_the_same_container
            an_explanation_is_what_is_applied;
};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if words[0] == runtime::reaper::NAME {
        let rest: Vec<CString> = words.into_iter().skip(1).map(|word| CString::new(word.into_vec()).unwrap()).collect();
        return runtime::reaper::main(&rest);
    }
    match words.get(1).and_then(|word| word.to_str()) {
        Some("monitor") => engine::monitor::main(words.into_iter().skip(2)),
        Some(engine::monitor::again::FACE) => engine::monitor::again::main(words.into_iter().skip(2)),
        Some(engine::monitor::probe::FACE) => engine::monitor::probe::main(words.into_iter().skip(2)),
        Some(engine::logs::pack::FACE) => engine::logs::pack::main(words.into_iter().skip(2)),
        Some("verb") => {
            sys::process::ensure_sealed().unwrap();
            verbs::main(&words[2..].iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>())
        }
        Some("bench") => bench::main(),
        _ => run_tests(&words[1..].iter().filter_map(|word| word.to_str()).collect::<Vec<_>>()),
    }
}

/// Lists or runs tests, as libtest would be told to.
fn run_tests(words: &[&str]) -> ExitCode {
    let exact = words.contains(&"--exact");
    let filters: Vec<_> = words.iter().filter(|word| !word.starts_with('-') && **word != "terse").collect();
    let wanted = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| if exact { **filter == name } else { name.contains(**filter) })
    };
    let tests = TESTS.iter().filter(|(name, _)| wanted(name) && !words.contains(&"--ignored"));
    if words.contains(&"--list") {
        tests.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}
