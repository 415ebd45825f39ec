//! The founding documents' basic session, typed into a real terminal, word for word.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use testkit::{Sandbox, Terminal};

/// Opens a shell in which `sudo ./conductor.sh` means this program with this sandbox's directories.
pub(crate) fn shell(sandbox: &mut Sandbox) -> Terminal {
    sandbox.cover_defaults();
    let link = sandbox.link("conductor.sh");
    std::os::unix::fs::symlink(std::fs::read_link(&link).unwrap(), sandbox.work().join("conductor.sh")).unwrap();
    let bin = link.parent().unwrap();
    let sudo = bin.join("sudo");
    std::fs::write(&sudo, "#!/bin/sh\nexec \"$@\"\n").unwrap();
    std::fs::set_permissions(&sudo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "--noediting", "-i"]).current_dir(sandbox.work());
    bash.env("PS1", "host> ").env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    let mut terminal = Terminal::start(&bash);
    terminal.sees("host> ");
    terminal
}

/// Types a line at the host's prompt and returns what it prints.
pub(crate) fn host(terminal: &mut Terminal, line: &str) -> String {
    terminal.enters(line).sees("\n");
    let text = terminal.sees("host> ");
    text.trim_end_matches("host> ").replace('\r', "").trim_end().to_owned()
}

#[test]
fn the_whole_basic_session_of_the_founding_documents() {
    let mut sandbox = Sandbox::with_network(env!("CARGO_BIN_EXE_conductor"));
    let mut terminal = shell(&mut sandbox);
    terminal.waits_up_to(std::time::Duration::from_secs(240));
    let built = host(&mut terminal, "sudo ./conductor.sh build mydebian; echo code=$?");
    assert!(built.ends_with("code=0"), "{}", built.lines().last().unwrap_or_default());

    let images = host(&mut terminal, "sudo ./conductor.sh images");
    let lines: Vec<_> = images.lines().collect();
    assert_eq!(lines.len(), 3, "two header lines and one image: {images}");
    assert!(lines[2].starts_with("mydebian"), "{images}");

    terminal.enters("sudo ./conductor.sh run mydebian eg").sees(":/# ");
    terminal.enters("ps").sees("TIME CMD");
    let listed = terminal.sees(":/# ");
    let processes: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(processes.iter().any(|words| words.first() == Some(&"1") && words.last() == Some(&"bash")), "{listed}");
    terminal.enters("exit").sees("host> ");

    host(&mut terminal, "sudo ./conductor.sh stop eg");
    assert_eq!(host(&mut terminal, "sudo ./conductor.sh ps"), "No containers");

    host(&mut terminal, "sudo ./conductor.sh run mydebian c1 -- sleep infinity &");
    terminal.enters("");
    testkit::until("c1 runs", || host(&mut terminal, "sudo ./conductor.sh ps").contains("c1").then_some(()));
    terminal.enters("sudo ./conductor.sh exec c1 -- /bin/bash").sees(":/# ");
    terminal.enters("ps ax").sees("sleep infinity");
    terminal.enters("exit").sees("host> ");

    let reset = "sudo ./conductor.sh ps | grep -v \"No containers\" | while read name date; do sudo ./conductor.sh stop \"$name\"; done";
    host(&mut terminal, reset);
    let reset = "sudo ./conductor.sh images | tail -n +3 | while read name size date; do sudo ./conductor.sh rmi \"$name\"; done";
    host(&mut terminal, reset);
    assert_eq!(host(&mut terminal, "sudo ./conductor.sh ps"), "No containers");
    assert_eq!(host(&mut terminal, "sudo ./conductor.sh images | tail -n +3"), "");
    terminal.enters("exit");
    terminal.ends();
    sandbox.assert_clean();
}
