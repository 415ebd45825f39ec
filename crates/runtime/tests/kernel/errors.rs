//! What cannot be: each with one clear error, and nothing left.

use std::fs;

use runtime::{CreateError, FailureKind};
use serde_json::json;

use crate::harness::Case;

#[test]
fn a_missing_program_is_not_found() {
    for (program, words) in [("/no/such", "no such file"), ("no-such", "not found in $PATH")] {
        let (error, text) = Case::new(&[program]).fails();
        assert_eq!(error.kind(), FailureKind::NotFound, "{text}");
        assert!(text.contains(program) && text.contains(words), "{text}");
    }
}

#[test]
fn what_is_no_program_is_not_executable() {
    for program in ["/etc/passwd", "/etc"] {
        let (error, text) = Case::new(&[program]).fails();
        assert_eq!(error.kind(), FailureKind::NotExecutable, "{text}");
    }
    let case = Case::new(&["/garbage"]);
    fs::write(case.rootfs().join("garbage"), "\x7fnonsense").unwrap();
    fs::set_permissions(case.rootfs().join("garbage"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (error, text) = case.fails();
    assert_eq!(error.kind(), FailureKind::NotExecutable, "{text}");
    assert!(text.contains("ENOEXEC"), "{text}");
}

#[test]
fn a_script_whose_interpreter_is_missing_is_not_found() {
    let case = Case::new(&["/script"]);
    fs::write(case.rootfs().join("script"), "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(case.rootfs().join("script"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (error, text) = case.fails();
    assert_eq!(error.kind(), FailureKind::NotFound, "{text}");
}

#[test]
fn a_working_directory_that_is_a_file_is_an_error() {
    let (_, text) = Case::sh("true").set("/process/cwd", json!("/etc/passwd")).fails();
    assert!(text.contains("/etc/passwd") && text.contains("ENOTDIR"), "{text}");
}

#[test]
fn something_else_in_the_place_of_a_device_is_an_error() {
    let device = |path: &str| json!([{ "path": path, "type": "c", "major": 1, "minor": 5 }]);
    for path in ["/etc/passwd", "/etc"] {
        let (_, text) = Case::sh("true").set("/linux/devices", device(path)).fails();
        assert!(text.contains(path) && text.contains("EEXIST"), "{text}");
    }
    // The same device is as good as made.
    Case::sh("echo runs").set("/linux/devices", device("/dev/zero")).run().says(&["runs"]);
}

#[test]
fn a_memory_limit_too_low_to_start_says_so() {
    let case = Case::sh("true").set("/linux/resources", json!({ "memory": { "limit": 65_536 } }));
    match case.start() {
        // Some kernels charge so little until the exec that it starts, and is killed by its own work.
        Ok(running) => println!("{:?}", running.ends()),
        Err(error) => {
            case.assert_clean();
            assert!(matches!(error, CreateError::OutOfMemory), "{error}");
        }
    }
}

#[test]
fn a_cgroup_that_vanishes_before_the_start_leaves_a_clear_state() {
    let case = Case::sh("true");
    let created = case.create(None).unwrap();
    let pid = created.pid();
    assert!(case.cgroup().pids().unwrap().contains(&pid));
    drop(created);
    case.assert_clean();
}

#[test]
fn a_limit_that_the_kernel_refuses_leaves_nothing() {
    let (_, text) = Case::sh("true").set("/linux/resources", json!({ "cpu": { "cpus": "4000" } })).fails();
    assert!(text.contains("cpu.cpus"), "{text}");
}

#[test]
fn an_argument_with_a_nul_byte_is_refused() {
    let (_, text) = Case::new(&["/bin/echo", "a\0b"]).fails();
    assert!(text.contains("NUL"), "{text}");
}

#[test]
fn a_container_that_is_dropped_before_its_start_never_ran() {
    let case = Case::sh("touch /ran");
    drop(case.create(None).unwrap());
    case.assert_clean();
    assert!(!case.rootfs().join("ran").exists());
}
