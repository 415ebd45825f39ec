//! What goes wrong on the way: a step that fails, a build that is killed, a disk that is full.

use std::process::Stdio;
use std::time::{Duration, Instant};

use testkit::Sandbox;

use super::{build, context, in_image, told};
use crate::busybox;

#[test]
fn a_failed_step_says_what_it_said_last_and_where_it_stands() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "failing",
        &[("Dockerfile", "FROM busybox\nRUN echo fine\nRUN for i in $(seq 50); do echo line $i; done; \\\n  exit 9\n")],
    );
    let said = build(&sandbox, &directory, &["-q"]).fails(1);
    for part in ["line 50", "Dockerfile:3", "> 3 | RUN for i", "> 4 |   exit 9", "ended with status 9"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("line 2\n"), "{said}");
    // What was finished before is used.
    std::fs::write(directory.join("Dockerfile"), "FROM busybox\nRUN echo fine\nRUN true\n").unwrap();
    let mended = told(&sandbox, &directory, &[]);
    assert_eq!(mended.matches("CACHED").count(), 1, "{mended}");
    sandbox.assert_clean();
}

#[test]
fn when_one_stage_fails_the_others_end() {
    let sandbox = busybox();
    let file = "FROM busybox AS a\nRUN sleep 1000\nFROM busybox AS b\nRUN sleep 0.3; exit 4\nFROM scratch\nCOPY --from=a /x /\nCOPY --from=b /x /\n";
    let directory = context(&sandbox, "one-fails", &[("Dockerfile", file)]);
    let begun = Instant::now();
    let said = build(&sandbox, &directory, &[]).fails(1);
    assert!(said.contains("ended with status 4") && begun.elapsed() < Duration::from_secs(20), "{said}");
    wait_until_quiet(&sandbox);
    sandbox.assert_clean();
}

/// A container whose caller was killed is ended by its monitor, which takes a moment.
fn wait_until_quiet(sandbox: &Sandbox) {
    let until = Instant::now() + Duration::from_secs(10);
    while !sandbox.processes().is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
}

const LONG: &str = "FROM busybox AS a\nWORKDIR /a\nCOPY . .\nRUN echo a > made; sleep 0.05\nRUN --mount=type=cache,target=/c echo >> /c/n; sleep 0.05\n\
    FROM busybox AS b\nRUN --mount=type=bind,from=a,source=/a,target=/m cat /m/made > /b; sleep 0.05\nCOPY --from=a /a /copied\n\
    FROM busybox\nCOPY --from=a /a/made /a\nCOPY --from=b /b /b\nRUN cat /a /b > /both; sleep 0.05\n";

#[test]
fn a_build_that_is_killed_leaves_nothing_and_the_next_one_goes_on() {
    let sandbox = busybox();
    let directory = context(&sandbox, "killed", &[("Dockerfile", LONG), ("f", "f\n")]);
    // Long enough for the whole build once, and then moments of it: every seventh of a while.
    let mut random = 20_261_127_u64;
    let mut finished = 0;
    for round in 0..25 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = Duration::from_micros(random >> 33 & 0x3_ffff);
        // Each round has something to do that no round before has done.
        std::fs::write(directory.join("f"), format!("{}\n", round / 5)).unwrap();
        let mut call = build(&sandbox, &directory, &["-t", "killed"]).into_command();
        let mut child = call.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(wait);
        child.kill().unwrap();
        finished += usize::from(child.wait().unwrap().success());
        wait_until_quiet(&sandbox);
        assert_eq!(sandbox.processes(), [0; 0], "round {round}");
    }
    assert!(finished < 25);
    let last = told(&sandbox, &directory, &["-t", "killed"]);
    assert!(last.contains("CACHED"), "what was finished is used: {last}");
    assert_eq!(in_image(&sandbox, "killed", "cat /both"), "a\na\n");
    // Commands look at all that runs once a second.
    std::thread::sleep(Duration::from_millis(1100));
    sandbox.conductor(["ps", "-a"]).run().success();
    for left in ["tmp", "containers"] {
        let left = sandbox.root().join(left);
        let names: Vec<_> = std::fs::read_dir(&left)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        assert!(names.is_empty(), "{names:?}");
    }
    assert!(!sandbox.state().join("build").exists());
    sandbox.assert_clean();
}

#[test]
fn a_full_disk_fails_a_build_and_keeps_what_was_there() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "full",
        &[("Dockerfile", "FROM busybox\nRUN echo a > /a\nRUN head -c 80000000 /dev/zero | tr '\\0' x > /big\n")],
    );
    let small = sandbox.work().join("small");
    std::fs::create_dir(&small).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=24m none {small:?}; c=\"{program} --root {small:?}/root --state {small:?}/state\"; \
         $c import {tar:?} busybox; if $c build --network none {directory:?}; then exit 7; fi; \
         printf 'FROM busybox\\nRUN echo a > /a\\nRUN cat /a\\n' > {directory:?}/Dockerfile; $c build --network none -t fits {directory:?} 2>&1; \
         $c run --rm --network none fits cat /a; ls {small:?}/root/tmp",
        program = env!("CARGO_BIN_EXE_conductor"),
        tar = testkit::fixture::busybox_tar_file(&sandbox.work()),
    );
    let ran = testkit::Conductor::new("unshare").args(["-m", "sh", "-ec", &script]).run().success();
    assert!(ran.stderr.contains("ENOSPC") || ran.stderr.contains("No space"), "{}", ran.stderr);
    assert!(ran.stdout.contains("CACHED") && ran.stdout.ends_with("a\n"), "{}", ran.stdout);
    sandbox.assert_clean();
}

#[test]
fn a_shell_opens_in_a_step_as_it_failed() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "shell",
        &[("Dockerfile", "FROM busybox\nWORKDIR /w\nENV V=seen\nRUN echo half > done; false\n")],
    );
    let ran = build(&sandbox, &directory, &["--debug-shell"]).input("cat done; echo $V; pwd; exit\n").run().code(1);
    assert!(ran.stdout.contains("half\nseen\n/w\n"), "{ran:?}");
    wait_until_quiet(&sandbox);
    sandbox.assert_clean();
}
