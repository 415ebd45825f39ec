//! `-it`: a terminal inside, as if it were here.

use std::io::Read;
use std::process::Stdio;

use testkit::{Terminal, until};

use crate::{IMAGE, busybox};

#[test]
fn a_shell_in_a_container_has_a_terminal_with_our_size_and_job_control() {
    let sandbox = busybox();
    let shell = sandbox.conductor(["run", "--rm", "-it", IMAGE, "sh"]).into_command();
    let mut terminal = Terminal::start(&shell);
    terminal.sees("# ");
    terminal.enters("tty; stty size").sees("/dev/pts/0");
    terminal.sees("24 80");
    terminal.enters("sh -c \"echo wai''ting; exec sleep 1000\"").sees("waiting");
    terminal.types("\x03").sees("# ");
    terminal.enters("echo $((40 + 2))").sees("42");
    terminal.enters("exit 5");
    assert_eq!(terminal.ends(), 5);
    sandbox.assert_clean();
}

#[test]
fn a_changed_window_is_told_to_the_program() {
    let sandbox = busybox();
    let shell = sandbox.conductor(["run", "--rm", "-it", IMAGE, "sh"]).into_command();
    let mut terminal = Terminal::start(&shell);
    terminal.sees("# ");
    terminal.resize(50, 120);
    // The new size goes through two processes; the program is asked until it has come.
    terminal.enters("until [ \"$(stty size)\" = '50 120' ]; do :; done; echo arri''ved").sees("arrived");
    terminal.enters("exit");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn one_detaches_by_keys_and_attaches_again() {
    let sandbox = busybox();
    let shell = sandbox.conductor(["run", "-it", "--name", "eg", IMAGE, "sh"]).into_command();
    let mut terminal = Terminal::start(&shell);
    terminal.sees("# ");
    terminal.types("\x10\x11");
    assert_eq!(terminal.ends(), 0);
    assert!(sandbox.conductor(["ps"]).ok().contains("eg"));
    let attach = sandbox.conductor(["attach", "eg"]).into_command();
    let mut again = Terminal::start(&attach);
    again.enters("echo st''ill here").sees("still here");
    again.enters("exit 3");
    assert_eq!(again.ends(), 3);
    sandbox.conductor(["rm", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn the_terminal_is_put_back_as_it_was() {
    let sandbox = busybox();
    let line = sandbox.conductor(["run", "--rm", "-it", IMAGE, "true"]).into_command();
    let words: Vec<_> =
        std::iter::once(line.get_program()).chain(line.get_args()).map(|word| word.to_str().unwrap()).collect();
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &format!("stty -a > before; {}; stty -a | diff before - && echo sa''me", words.join(" "))]);
    shell.current_dir(sandbox.work());
    let mut terminal = Terminal::start(&shell);
    terminal.sees("same");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn exec_gives_a_second_terminal() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "eg", IMAGE, "sleep", "1000"]).run().success();
    let shell = sandbox.conductor(["exec", "-it", "eg", "sh"]).into_command();
    let mut terminal = Terminal::start(&shell);
    terminal.sees("# ");
    terminal.enters("tty; ps -o pid,args").sees("/dev/pts/");
    terminal.sees("1 sleep 1000");
    terminal.enters("exit 6");
    assert_eq!(terminal.ends(), 6);
    sandbox.conductor(["rm", "-f", "eg"]).run().success();
    until("everything has ended", || sandbox.processes().is_empty().then_some(()));
    sandbox.assert_clean();
}

#[test]
fn keys_lines_and_sizes_get_through_a_flood_of_output() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "eg", IMAGE, "sleep", "1000"]).run().success();
    let interrupted = "trap 'exit 6' INT; yes flood";
    let told = "yes flood & read line; [ \"$line\" = hello ] && exit 7";
    let resized = "trap 'exit 8' WINCH; yes flood & while :; do wait; done";
    for start in [vec!["run", "--rm", "-it", IMAGE], vec!["exec", "-it", "eg"]] {
        let flood = |script| {
            let command = sandbox.conductor(&start).args(["sh", "-c", script]).into_command();
            let mut terminal = Terminal::start(&command);
            terminal.sees("flood\r\nflood\r\n");
            terminal
        };
        assert_eq!(flood(interrupted).types("\x03").ends(), 6, "{start:?}");
        assert_eq!(flood(told).enters("hello").ends(), 7, "{start:?}");
        assert_eq!(flood(resized).resize(50, 120).ends(), 8, "{start:?}");
    }
    sandbox.conductor(["rm", "-f", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn a_client_that_is_asked_to_end_hands_that_on_while_output_floods() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "eg", IMAGE, "sleep", "1000"]).run().success();
    let script = "trap 'exit 6' TERM; yes flood & wait";
    for start in [vec!["run", "--rm", IMAGE], vec!["run", "--rm", "--log-driver", "none", IMAGE], vec!["exec", "eg"]] {
        let mut command = sandbox.conductor(&start).args(["sh", "-c", script]).into_command();
        let mut client = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = client.stdout.take().unwrap();
        let mut bytes = vec![0; 100_000];
        out.read_exact(&mut bytes).unwrap();
        sys::process::kill(client.id(), 15).unwrap();
        while out.read(&mut bytes).unwrap() > 0 {}
        assert_eq!(client.wait().unwrap().code(), Some(6), "{start:?}");
    }
    sandbox.conductor(["rm", "-f", "eg"]).run().success();
    sandbox.assert_clean();
}
