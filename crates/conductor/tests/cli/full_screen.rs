//! A person at work in a container: an editor, a list of processes, a terminal multiplexer; the window changes, they leave
//! by the detach keys, and two come back at once. The programs are Debian's own, and what is looked at is the screen.

use testkit::{Sandbox, Terminal, fixture};

use crate::sandbox;

const IMAGE: &str = "tools";
const PROGRAMS: [&str; 3] = ["/usr/bin/vim.tiny", "/usr/bin/top", "/usr/bin/tmux"];

fn tools() -> Sandbox {
    let sandbox = sandbox();
    let archive = sandbox.work().join("tools.tar");
    fixture::programs_tar(std::fs::File::create(&archive).unwrap(), &PROGRAMS);
    sandbox.conductor(["import"]).arg(archive).arg(IMAGE).run().success();
    sandbox
}

fn at_a_terminal(sandbox: &Sandbox, words: &[&str]) -> Terminal {
    let mut terminal = Terminal::start(&sandbox.conductor(words).into_command());
    terminal.sees("# ");
    terminal
}

/// Edits a file, and is content when it has been written.
fn edit(terminal: &mut Terminal, file: &str) {
    terminal.enters(&format!("vim.tiny -u NONE -c 'set nocompatible ruler' {file}"));
    terminal.shows("an empty file in vim", |screen| screen.contains("~\n~\n") && screen.contains("0,0-1"));
    terminal.types("ihello from inside\x1b").shows("the text", |screen| screen.starts_with("hello from inside\n~"));
    terminal.enters(":wq").shows("the shell", |screen| !screen.contains("~\n~"));
    terminal.enters(&format!("wc -c {file}")).sees(&format!("18 {file}"));
}

#[test]
fn an_editor_a_list_of_processes_and_a_multiplexer_fill_the_screen() {
    let sandbox = tools();
    let mut terminal = at_a_terminal(&sandbox, &["run", "-it", "--name", "eg", IMAGE, "sh"]);
    edit(&mut terminal, "/tmp/note");
    terminal
        .enters("/usr/bin/top")
        .shows("top, of a screen of 24 rows", |screen| screen.contains("PID") && screen.contains("top"));
    terminal.resize(40, 120).shows("top, wider", |screen| {
        screen.lines().any(|line| line.trim_start().starts_with("1 root") && line.trim_end().ends_with("sh"))
    });
    // What is typed while a program puts the terminal back is thrown away by it, here as anywhere.
    terminal.types("q").shows("the prompt", |screen| screen.trim_end().ends_with("/ #"));
    terminal.enters("stty size").sees("40 120");
    terminal
        .enters("LC_ALL=C.UTF-8 tmux -f /dev/null new-session -s work")
        .shows("the status line of tmux", |screen| screen.contains("[work]"));
    terminal.enters("stty size").shows("a row less, for the status line", |screen| screen.contains("39 120"));
    // By words and not by keys, which tmux takes for a paste when they come too fast.
    terminal.enters("tmux split-window").shows("two panes", |screen| screen.contains("──────────"));
    terminal.enters("tmux kill-server").shows("the prompt", |screen| screen.trim_end().ends_with("/ #"));
    // Job control: what is stopped comes back.
    let job = "sh -c 'trap \"echo ba\"\"ck\" CONT; echo go\"\"ing; while :; do sleep 0.1; done'";
    terminal.enters(job).sees("going");
    terminal.types("\x1a").sees("Stopped");
    terminal.enters("fg").sees("back");
    terminal.types("\x03").shows("the prompt", |screen| screen.trim_end().ends_with("/ #"));
    terminal.enters("exit 4");
    assert_eq!(terminal.ends(), 4);
    sandbox.conductor(["rm", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn two_see_and_type_the_same_and_either_leaves() {
    let sandbox = tools();
    let mut first = at_a_terminal(&sandbox, &["run", "-it", "--name", "eg", IMAGE, "sh"]);
    first.enters("echo one").sees("one");
    first.types("\x10\x11");
    assert_eq!(first.ends(), 0);
    let attach = sandbox.conductor(["attach", "eg"]).into_command();
    let (mut left, mut right) = (Terminal::start(&attach), Terminal::start(&attach));
    // Who attaches later does not see what was written before.
    right.enters("echo rea''dy").sees("ready");
    left.enters("echo fr''om left").sees("from left");
    right.sees("from left");
    right.enters("echo fr''om right").sees("from right");
    left.sees("from right");
    left.types("\x10\x11");
    assert_eq!(left.ends(), 0);
    edit(&mut right, "/tmp/other");
    // A second terminal in the same container has a window of its own.
    let mut exec = at_a_terminal(&sandbox, &["exec", "-it", "eg", "sh"]);
    exec.resize(30, 90)
        .enters("until [ \"$(stty size)\" = '30 90' ]; do :; done; cat /tmp/other")
        .sees("hello from inside");
    exec.enters("exit 3");
    assert_eq!(exec.ends(), 3);
    right.enters("exit 7");
    assert_eq!(right.ends(), 7);
    sandbox.conductor(["rm", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn a_paste_of_a_megabyte_arrives_whole() {
    let sandbox = tools();
    let mut run = at_a_terminal(&sandbox, &["run", "-it", "--name", "eg", IMAGE, "sh"]);
    paste(&mut run);
    let mut exec = at_a_terminal(&sandbox, &["exec", "-it", "eg", "sh"]);
    paste(&mut exec);
    exec.enters("exit");
    assert_eq!(exec.ends(), 0);
    run.enters("exit");
    assert_eq!(run.ends(), 0);
    sandbox.conductor(["rm", "eg"]).run().success();
}

/// Pastes lines of 64 bytes, a megabyte of them, and compares sums; the terminal does not echo them.
fn paste(terminal: &mut Terminal) {
    let text: String = (0..16 * 1024).map(|number| format!("{number:063}\n")).collect();
    assert_eq!(text.len(), 1 << 20);
    terminal.enters("stty -echo -icrnl; echo re''ady; head -c 1048576 | sha256sum; stty echo icrnl").sees("ready");
    let sum = terminal.types(&text).sees("  -");
    assert!(sum.ends_with(&format!("{}  -", oci::Digest::of(text.as_bytes()).hex())), "{sum}");
}
