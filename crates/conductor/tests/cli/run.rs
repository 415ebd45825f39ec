//! `run` and `create`: what the container is, and what comes back from it.

use crate::{IMAGE, busybox, in_container, sandbox};

#[test]
fn hello_runs_from_the_binary_alone_and_leaves_nothing_behind() {
    let sandbox = sandbox();
    sandbox.conductor(["run", "--rm", "conductor/hello"]).run().success().says("Hello");
    sandbox.assert_clean();
}

#[test]
fn the_exit_code_is_the_programs() {
    let sandbox = busybox();
    sandbox.conductor(["run", "--rm", IMAGE, "sh", "-c", "exit 42"]).fails(42);
    sandbox.assert_clean();
}

#[test]
fn stdout_and_stderr_stay_apart() {
    let sandbox = busybox();
    let ran = sandbox.conductor(["run", "--rm", IMAGE, "sh", "-c", "echo out; echo err >&2"]).run().success();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn input_goes_in_with_i_and_not_without() {
    let sandbox = busybox();
    assert_eq!(sandbox.conductor(["run", "--rm", "-i", IMAGE, "cat"]).input("text\n").ok(), "text");
    assert_eq!(sandbox.conductor(["run", "--rm", IMAGE, "cat"]).input("text\n").ok(), "");
}

#[test]
fn a_megabyte_goes_through_a_container_unchanged() {
    let sandbox = busybox();
    let text = "0123456789abcde\n".repeat(64 * 1024);
    let ran = sandbox.conductor(["run", "--rm", "-i", IMAGE, "cat"]).input(text.clone()).run().success();
    assert!(ran.stdout == text, "{} bytes came back", ran.stdout.len());
    sandbox.assert_clean();
}

#[test]
fn a_container_is_alone_in_its_namespaces() {
    let sandbox = busybox();
    let inside = in_container(&sandbox, &[], "for n in mnt pid net uts ipc cgroup; do readlink /proc/self/ns/$n; done");
    for line in inside.lines() {
        let kind = line.split(':').next().unwrap();
        let ours = std::fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap();
        assert_ne!(line, ours.to_str().unwrap());
    }
    assert_eq!(inside.lines().count(), 6);
}

#[test]
fn ps_top_free_df_and_mount_work_inside() {
    let sandbox = busybox();
    let text =
        in_container(&sandbox, &[], "ps -o pid,comm; top -b -n1 | head -4; free | head -2; df / | tail -1; mount");
    assert!(text.lines().any(|line| line.trim() == "1 sh"), "{text}");
    for word in ["Mem:", "CPU:", "overlay", "proc on /proc", "devpts on /dev/pts", "mqueue on /dev/mqueue"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
}

#[test]
fn there_is_a_loopback_link_and_no_other() {
    let sandbox = busybox();
    assert_eq!(in_container(&sandbox, &[], "ls /sys/class/net; ip -o addr | grep -c 127.0.0.1/8"), "lo\n1");
}

#[test]
fn the_defaults_protect() {
    let sandbox = busybox();
    let status = in_container(&sandbox, &[], "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status");
    let fields: Vec<_> = status.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(fields, ["00000000000004fb", "00000000000004fb", "1", "2"]);
    let script = "wc -c < /proc/timer_list; echo box > /proc/sys/kernel/hostname; mount -t tmpfs x /mnt";
    let ran = sandbox.conductor(["run", "--rm", IMAGE, "sh", "-c", script]).run();
    assert_eq!((ran.exit_code(), ran.stdout.as_str()), (1, "0\n"), "{ran:?}");
    assert!(ran.stderr.contains("Read-only file system") && ran.stderr.contains("denied"), "{ran:?}");
}

#[test]
fn no_descriptor_of_the_host_is_open_inside() {
    let sandbox = busybox();
    // ls(1) itself has the directory open as 3.
    assert_eq!(in_container(&sandbox, &[], "echo $(ls /proc/self/fd)"), "0 1 2 3");
    assert_eq!(in_container(&sandbox, &[], "ls /proc/1/fd; true"), "0\n1\n2");
}

#[test]
fn the_environment_is_the_images_and_what_was_asked_for() {
    let sandbox = busybox();
    let text = in_container(&sandbox, &["-e", "A=1", "-e", "B=two words", "--hostname", "box"], "env | sort; hostname");
    for line in ["A=1", "B=two words", "HOSTNAME=box", "HOME=/root", "box"] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
    assert!(!text.contains("NO_COLOR"), "the caller's environment stays outside: {text}");
}

#[test]
fn user_and_directory_are_chosen() {
    let sandbox = busybox();
    let script = "id -u; id -g; id -G | tr ' ' '\\n' | sort -n; pwd";
    assert_eq!(in_container(&sandbox, &["-u", "alice", "-w", "/tmp"], script), "1000\n1000\n50\n1000\n/tmp");
    assert_eq!(in_container(&sandbox, &["-u", "7:9"], "id -u; id -g"), "7\n9");
    assert_eq!(in_container(&sandbox, &["-w", "/new/place"], "pwd"), "/new/place");
}

#[test]
fn a_directory_of_the_host_is_mounted_and_can_be_read_only() {
    let sandbox = busybox();
    let shared = sandbox.work().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let volume = format!("{}:/data", shared.display());
    in_container(&sandbox, &["-v", &volume], "echo from inside > /data/file");
    assert_eq!(std::fs::read_to_string(shared.join("file")).unwrap(), "from inside\n");
    let read_only = format!("{volume}:ro");
    let script = ["run", "--rm", "-v", &read_only, IMAGE, "sh", "-c", "echo x > /data/file"];
    assert!(sandbox.conductor(script).fails(1).contains("Read-only file system"));
    sandbox.assert_clean();
}

#[test]
fn a_read_only_root_can_have_writable_places() {
    let sandbox = busybox();
    let script = "touch /x 2>/dev/null && echo writable; touch /scratch/x && df /scratch | tail -1 | cut -d' ' -f1";
    assert_eq!(in_container(&sandbox, &["--read-only", "--tmpfs", "/scratch"], script), "tmpfs");
}

#[test]
fn capabilities_are_added_and_dropped() {
    let sandbox = busybox();
    let effective = |options: &[&str]| in_container(&sandbox, options, "grep CapEff /proc/self/status | cut -f2");
    assert_eq!(effective(&["--cap-drop", "ALL"]), "0000000000000000");
    assert_eq!(effective(&["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"]), "0000000000001000");
    assert_eq!(effective(&["--cap-drop", "chown"]), "00000000000004fa");
}

#[test]
fn changes_stay_in_their_container() {
    let sandbox = busybox();
    in_container(&sandbox, &[], "echo changed > /etc/passwd");
    assert!(in_container(&sandbox, &[], "cat /etc/passwd").starts_with("root:x:0:0"));
}

#[test]
fn a_container_without_rm_is_kept_with_its_exit_code() {
    let sandbox = busybox();
    sandbox.conductor(["run", "--name", "kept", IMAGE, "sh", "-c", "exit 3"]).fails(3);
    assert_eq!(sandbox.conductor(["ps", "-q"]).ok(), "");
    sandbox.conductor(["ps", "-a"]).run().success().says("Exited (3)").says("kept");
    assert_eq!(sandbox.conductor(["inspect", "--format", "{{.State.ExitCode}}", "kept"]).ok(), "3");
    assert_eq!(sandbox.conductor(["rm", "kept"]).ok(), "kept");
    sandbox.assert_clean();
}

#[test]
fn a_detached_container_prints_its_id_and_runs_on() {
    let sandbox = busybox();
    let id = sandbox.conductor(["run", "-d", "--name", "web", IMAGE, "sleep", "1000"]).ok();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let listed = sandbox.conductor(["ps"]).ok();
    assert!(listed.contains(&id[..12]) && listed.contains("web") && listed.contains("Up "), "{listed}");
    sandbox.conductor(["rm", "-f", "web"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn create_start_and_wait_are_run_in_three_steps() {
    let sandbox = busybox();
    sandbox.conductor(["create", "--name", "steps", IMAGE, "sh", "-c", "echo done; exit 5"]).run().success();
    sandbox.conductor(["ps", "-a"]).run().success().says("Created");
    assert_eq!(sandbox.conductor(["start", "steps"]).ok(), "steps");
    assert_eq!(sandbox.conductor(["wait", "steps"]).ok(), "5");
    assert_eq!(sandbox.conductor(["logs", "steps"]).ok(), "done");
    sandbox.conductor(["rm", "steps"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn an_init_reaps_what_nobody_waits_for() {
    let sandbox = busybox();
    let script = "sh -c 'sleep 0 & exit' ; sleep 0.2; ps -o stat,comm | grep -c ^Z || true";
    assert_eq!(in_container(&sandbox, &["--init"], script), "0");
}

#[test]
fn a_container_can_share_anothers_network() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "first", IMAGE, "sleep", "1000"]).run().success();
    let namespace = |name: &str| sandbox.conductor(["exec", name, "readlink", "/proc/self/ns/net"]).ok();
    sandbox
        .conductor(["run", "-d", "--name", "second", "--network", "container:first", IMAGE, "sleep", "1000"])
        .run()
        .success();
    assert_eq!(namespace("first"), namespace("second"));
    sandbox.conductor(["rm", "-f", "first", "second"]).run().success();
    sandbox.assert_clean();
}
