//! What cannot be done gets one clear error with what to do, a non-zero exit code, and leaves nothing behind.

use testkit::Sandbox;
use testkit::fixture::Archive;

use crate::{IMAGE, busybox, sandbox};

/// Expects an error that begins as all do and names `what`, and nothing left behind.
fn refused(sandbox: &Sandbox, code: i32, what: &str, words: &[&str]) -> String {
    let said = sandbox.conductor(words).fails(code);
    assert!(said.starts_with("error: "), "{words:?}: {said}");
    assert!(said.contains(what), "{words:?} does not name {what:?}: {said}");
    sandbox.assert_clean();
    said
}

#[test]
fn an_unknown_image_is_named_with_what_to_do() {
    let sandbox = sandbox();
    let said = refused(&sandbox, 125, "nothere", &["run", "--pull", "never", "nothere"]);
    assert!(said.contains("hint: "), "{said}");
    // Without a network nothing can be pulled either.
    let said = sandbox.conductor(["run", "nothere"]).fails(125);
    assert!(said.starts_with("pulling nothere:latest\nerror: no such image: nothere:latest"), "{said}");
    assert!(said.contains("hint: 'conductor images' lists"), "{said}");
    sandbox.assert_clean();
}

#[test]
fn a_name_in_use_is_refused_and_its_owner_untouched() {
    let sandbox = busybox();
    sandbox.conductor(["create", "--name", "eg", IMAGE, "true"]).run().success();
    assert!(sandbox.conductor(["run", "--name", "eg", IMAGE, "true"]).fails(125).contains("eg"));
    sandbox.conductor(["ps", "-a"]).run().success().says("Created");
    sandbox.conductor(["rm", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn names_that_are_none_are_refused() {
    let sandbox = busybox();
    let long = "x".repeat(300);
    for name in ["a/b", "..", "a\nb", "", "-a", ".a", "ä", long.as_str()] {
        let said = sandbox.conductor(["run", &format!("--name={name}"), IMAGE, "true"]).fails(125);
        assert!(said.starts_with("error: "), "{name:?}: {said}");
    }
    for name in ["../../etc", "a/b", "a\nb"] {
        for verb in ["rm", "stop", "inspect", "logs"] {
            assert_eq!(sandbox.conductor([verb, name]).run().exit_code(), 1, "{verb} {name:?}");
        }
    }
    sandbox.assert_clean();
}

#[test]
fn bad_values_of_flags_are_125_and_named() {
    let sandbox = busybox();
    for (flag, value) in [
        ("--cpus", "lots"),
        ("--cpus", "-1"),
        ("-m", "12x"),
        ("-m", "1k"),
        ("--pids-limit", "x"),
        ("--network", "nonsense"),
        ("-v", "relative/../path:/a:zz"),
        ("--cap-add", "NO_SUCH"),
        ("--security-opt", "nonsense=1"),
        ("--cpuset-cpus", "99"),
        ("--shm-size", "-5"),
    ] {
        let said = sandbox.conductor(["run", "--rm", &format!("{flag}={value}"), IMAGE, "true"]).run();
        assert_eq!(said.exit_code(), 125, "{flag}={value}: {said:?}");
        assert!(said.stderr.starts_with("error: "), "{flag}={value}: {said:?}");
    }
    sandbox.conductor(["run", "--no-such-flag", IMAGE]).fails(125);
    sandbox.assert_clean();
}

#[test]
fn a_missing_command_is_127_and_one_that_cannot_be_executed_126() {
    let sandbox = busybox();
    refused(&sandbox, 127, "no-such-command", &["run", "--rm", IMAGE, "no-such-command"]);
    refused(&sandbox, 127, "/no/such/path", &["run", "--rm", IMAGE, "/no/such/path"]);
    refused(&sandbox, 126, "/etc/passwd", &["run", "--rm", IMAGE, "/etc/passwd"]);
    refused(&sandbox, 126, "/etc", &["run", "--rm", IMAGE, "/etc"]);
}

#[test]
fn a_source_of_a_mount_that_is_not_there_is_named() {
    refused(
        &busybox(),
        125,
        "/no/such/dir",
        &["run", "--rm", "--mount", "type=bind,src=/no/such/dir,dst=/a", IMAGE, "true"],
    );
}

#[test]
fn links_in_an_image_lead_nowhere_outside() {
    let sandbox = sandbox();
    let outside = sandbox.work().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let mut archive = Archive::default().directory("bin", 0o755).busybox("bin/busybox");
    for path in ["proc", "dev", "sys", "evil"] {
        archive = archive.link(path, outside.to_str().unwrap());
    }
    let path = sandbox.work().join("evil.tar");
    std::fs::write(&path, archive.finish()).unwrap();
    sandbox.conductor(["import", path.to_str().unwrap(), "evil"]).run().success();
    let ran = sandbox.conductor(["run", "--rm", "-w", "/evil/deep", "evil", "/bin/busybox", "true"]).run();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "the host was written to: {ran:?}");
    sandbox.assert_clean();
}

#[test]
fn a_command_without_root_says_so_in_one_sentence() {
    let sandbox = busybox();
    let mut as_nobody = vec!["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_conductor")];
    as_nobody.extend(["run", "--rm", "conductor/hello"]);
    let ran = testkit::Conductor::new("setpriv").args(as_nobody).run();
    assert_ne!(ran.exit_code(), 0);
    assert!(ran.stderr.contains("root"), "{ran:?}");
    sandbox.assert_clean();
}

#[test]
fn a_full_disk_is_told_and_nothing_half_written_stays() {
    let sandbox = sandbox();
    let small = testkit::Conductor::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(sandbox.root());
    small.run().success();
    let archive = testkit::fixture::busybox_tar_file(&sandbox.work());
    let said = sandbox.conductor(["import"]).arg(archive).arg(IMAGE).fails(1);
    assert!(said.contains("ENOSPC") || said.contains("no space left"), "{said}");
    assert_eq!(sandbox.conductor(["images", "-q"]).ok(), "");
    testkit::Conductor::new("umount").arg(sandbox.root()).run().success();
    sandbox.assert_clean();
}
