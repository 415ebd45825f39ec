//! What the program may do, and what it is given.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt as _;

use serde_json::json;
use sys::process::{self as processes, ExitStatus};

use crate::harness::{Case, read_all};

fn status_of(case: Case, names: &str) -> Vec<String> {
    let text = case.run().prints();
    text.lines()
        .filter(|line| names.contains(line.split(':').next().unwrap()))
        .map(|line| line.replace('\t', " "))
        .collect()
}

#[test]
fn all_five_capability_sets_are_the_specs() {
    let sets = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SETUID"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "effective": ["CAP_CHOWN"],
        "inheritable": ["CAP_KILL", "CAP_NET_RAW"],
        "ambient": ["CAP_KILL"],
    });
    let case = Case::new(&["/bin/cat", "/proc/self/status"])
        .set("/process/capabilities", sets)
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    let lines = status_of(case, "CapInh CapPrm CapEff CapBnd CapAmb");
    // A program of user 1000 gets by the exec what is ambient.
    let expected = [
        "CapInh: 0000000000002020",
        "CapPrm: 0000000000000020",
        "CapEff: 0000000000000020",
        "CapBnd: 00000000000020a1",
        "CapAmb: 0000000000000020",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn root_in_a_container_has_the_bounding_set_and_no_more() {
    let lines = status_of(Case::new(&["/bin/cat", "/proc/self/status"]), "CapPrm CapEff CapBnd NoNewPrivs");
    assert_eq!(lines[0].replace("CapPrm", "CapBnd"), lines[2]);
    assert_eq!(lines[1].replace("CapEff", "CapBnd"), lines[2]);
    assert_eq!(lines[3], "NoNewPrivs: 1");
}

#[test]
fn no_new_privs_is_left_alone_where_the_spec_does() {
    let case = Case::new(&["/bin/cat", "/proc/self/status"]).set("/process/noNewPrivileges", json!(false));
    assert_eq!(status_of(case, "NoNewPrivs"), ["NoNewPrivs: 0"]);
}

#[test]
fn user_groups_and_mask_are_set() {
    let case = Case::sh("id -u; id -g; id -G; umask; touch /tmp/f; stat -c %a /tmp/f")
        .set("/process/user", json!({ "uid": 1000, "gid": 1001, "additionalGids": [5, 50], "umask": 63 }));
    case.run().says(&["1000", "1001", "1001 5 50", "0077", "600"]);
}

#[test]
fn the_callers_mask_does_not_leak_in() {
    processes::set_umask(0o077);
    let case = Case::sh("umask; stat -c %a /new/work /dev/pts /dev").set("/process/cwd", json!("/new/work"));
    fs::set_permissions(case.rootfs(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    case.run().says(&["0022", "755", "755", "755"]);
}

#[test]
fn limits_are_set_and_those_beyond_the_hosts_rights_do_not_stop_it() {
    let limits = json!([
        { "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 },
        { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
        { "type": "RLIMIT_NPROC", "soft": 10_000_000, "hard": 18_446_744_073_709_551_615_u64 },
    ]);
    let case = Case::sh("ulimit -Sn; ulimit -Hn; ulimit -c").set("/process/rlimits", limits);
    case.run().says(&["100", "200", "0"]);
}

#[test]
fn the_oom_score_is_set() {
    let score = "cat /proc/self/oom_score_adj";
    Case::sh(score).set("/process/oomScoreAdj", json!(500)).run().says(&["500"]);
    let lower = Case::sh(score).set("/process/oomScoreAdj", json!(-900)).run().prints();
    let mine = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert!(lower.trim() == "-900" || lower == mine, "a host without the right keeps the score: {lower}");
    // Without a /proc of its own it is set as well.
    let bare = Case::sh("true").set("/process/oomScoreAdj", json!(1)).set("/mounts", json!([]));
    let bare = bare.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
    bare.run().prints();
}

#[test]
fn scheduler_disk_priority_and_personality_are_set() {
    let case = Case::sh("awk '{ print $41, $19 }' /proc/self/stat; ionice; uname -m")
        .set("/process/scheduler", json!({ "policy": "SCHED_BATCH", "nice": 7 }))
        .set("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_IDLE", "priority": 0 }))
        .set("/linux/personality", json!({ "domain": "LINUX32" }));
    let text = case.run().prints();
    assert!(text.starts_with("3 7\nidle"), "{text}");
    assert!(text.ends_with("i686\n"), "{text}");
    assert_eq!(case.plan().unwrap().warnings, Vec::<String>::new());
}

#[test]
fn the_environment_is_exactly_the_specs() {
    let case = Case::new(&["/usr/bin/env"]).set("/process/env", json!(["PATH=/bin", "A=b=c", "EMPTY="]));
    case.run().says(&["PATH=/bin", "A=b=c", "EMPTY="]);
}

#[test]
fn no_descriptor_leaks_in() {
    let _open = fs::File::open("/etc/passwd").unwrap();
    let inherited = processes::duplicate_above_standard(&_open).unwrap();
    processes::keep_over_exec(&inherited, true).unwrap();
    let case = Case::sh("ls /proc/self/fd | tr '\\n' ' '");
    assert_eq!(case.run().prints(), "0 1 2 3 ", "3 is the directory that ls reads");
}

#[test]
fn preserved_descriptors_are_the_ones_from_three_on() {
    let (reader, writer) = std::io::pipe().unwrap();
    let secret = processes::duplicate_above_standard(fs::File::open("/etc/passwd").unwrap()).unwrap();
    let mut case = Case::sh("echo through >&3; ls /proc/self/fd | tr '\\n' ' '");
    // The test's own descriptor 3 may be in use: it is put where the protocol says.
    let outcome = {
        let kept = processes::duplicate_above_standard(std::io::stdin()).unwrap();
        case.preserve_fds = 1;
        processes::keep_over_exec(&kept, false).unwrap();
        let three = (kept.as_raw_fd() == 3 || reader.as_raw_fd() == 3 || writer.as_raw_fd() == 3).then_some(());
        println!("descriptor 3 was ours: {}", three.is_some());
        run_with_three(&case, writer.as_fd())
    };
    drop(writer);
    assert_eq!(read_all(reader.into()), "through\n");
    assert_eq!(outcome, "0 1 2 3 4 ");
    drop(secret);
}

/// Runs a container whose creator is a process of its own, since descriptor 3 is replaced in it.
fn run_with_three(case: &Case, three: std::os::fd::BorrowedFd<'_>) -> String {
    let (stdout, theirs) = std::io::pipe().unwrap();
    match processes::clone_into(&[], None).unwrap() {
        processes::Fork::Parent(creator) => {
            drop(theirs);
            let text = read_all(stdout.into());
            assert_eq!(processes::wait(&creator.pidfd).unwrap(), ExitStatus::Exited(0));
            text
        }
        processes::Fork::Child => {
            let out = processes::duplicate_above_standard(&theirs).unwrap();
            let null = fs::File::open("/dev/null").unwrap();
            let [three, out, null] = [three, out.as_fd(), null.as_fd()]
                .map(|fd| sys::path::duplicate(fd).and_then(|fd| above_ten(&fd)).unwrap());
            processes::duplicate_to(&three, 3).unwrap();
            let stdio = Some([null.as_fd(), out.as_fd(), out.as_fd()]);
            let Ok((process, cgroup)) = case.create(stdio).and_then(|created| created.start()) else {
                processes::exit(1)
            };
            let status = processes::wait(&process.pidfd).unwrap();
            cgroup.remove().unwrap();
            processes::exit(status.code())
        }
    }
}

fn above_ten(fd: &std::os::fd::OwnedFd) -> sys::Result<std::os::fd::OwnedFd> {
    let mut held = Vec::new();
    loop {
        let copy = processes::duplicate_above_standard(fd)?;
        if copy.as_raw_fd() > 10 {
            return Ok(copy);
        }
        held.push(copy);
    }
}

#[test]
fn standard_descriptors_may_be_exchanged() {
    let case = Case::sh("echo out; echo err >&2");
    let [stdout, stderr] =
        [std::io::stdout().as_fd().try_clone_to_owned(), std::io::stderr().as_fd().try_clone_to_owned()];
    let (stdout, stderr) = (stdout.unwrap(), stderr.unwrap());
    // Both stand where the other is to go; the test's own stdout and stderr are what is written to.
    let (out, err) = (std::io::stdout(), std::io::stderr());
    let created = case.create(Some([std::io::stdin().as_fd(), err.as_fd(), out.as_fd()])).unwrap();
    let (process, cgroup) = created.start().unwrap();
    assert_eq!(processes::wait(&process.pidfd).unwrap(), ExitStatus::Exited(0));
    cgroup.remove().unwrap();
    drop((stdout, stderr));
}

#[test]
fn what_has_a_name_on_the_host_is_not_given_to_the_user() {
    let before = fs::metadata("/dev/null").unwrap().uid();
    let case = Case::sh("echo x > /dev/stdout; stat -L -c %u /proc/self/fd/1")
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    case.run().says(&["x", "1000"]);
    assert_eq!(fs::metadata("/dev/null").unwrap().uid(), before);
}

#[test]
fn parameters_of_the_containers_namespaces_are_set() {
    let parameters = json!({
        "net.ipv4.ip_forward": "1", "net/ipv4/conf/all/rp_filter": "0", "kernel.msgmax": "12345", "fs.mqueue.msg_max": "42"
    });
    let script = "cd /proc/sys; cat net/ipv4/ip_forward net/ipv4/conf/all/rp_filter kernel/msgmax fs/mqueue/msg_max";
    let case = || Case::sh(script).set("/linux/sysctl", parameters.clone());
    case().run().says(&["1", "0", "12345", "42"]);
    // The container's procfs cannot be written, so the host's is.
    case().set("/mounts/0/options", json!(["ro"])).run().says(&["1", "0", "12345", "42"]);
    assert_ne!(fs::read_to_string("/proc/sys/kernel/msgmax").unwrap().trim(), "12345");
}

#[test]
fn parameters_of_the_host_are_refused() {
    for (key, without) in [("net.ipv4.ip_forward", "network"), ("kernel.msgmax", "ipc"), ("kernel.panic", "none")] {
        let case = Case::sh("true").without(without).set("/linux/sysctl", json!({ key: "1" }));
        let (_, text) = case.fails();
        assert!(text.contains(key) && text.contains("host"), "{text}");
    }
}

#[test]
fn ignored_signals_are_not_inherited() {
    sys::signal::ignore(10).unwrap();
    let text = Case::new(&["/bin/cat", "/proc/self/status"]).run().prints();
    for line in text.lines().filter(|line| line.starts_with("SigIgn") || line.starts_with("SigBlk")) {
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
}

#[test]
fn the_small_init_runs_the_program() {
    // Its binary is this test binary, which is no init: what is seen is that it is what runs, by the name it is given.
    let mut case = Case::sh("true");
    case.init = true;
    let running = case.start().unwrap();
    let words = fs::read(format!("/proc/{}/cmdline", running.process.pid)).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).into_owned();
    drop(running.ends());
    assert!(words.is_empty() || words.starts_with(runtime::reaper::NAME), "{words}");
}

#[test]
fn a_cgroup_file_system_shows_the_containers_own_part() {
    let text = Case::sh("find /sys/fs/cgroup -name cgroup.procs | head -1 | xargs cat").run().prints();
    assert!(text.lines().any(|line| line == "1"), "{text}");
}
