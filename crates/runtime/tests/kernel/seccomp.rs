//! Compiled filters in the kernel. A filter binds the thread that loads it, so each test gives one to a thread of its own.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use runtime::plan::seccomp::{compile, flags};
use serde_json::{Value, json};

/// Runs `work` in a thread under the list; what it is given is the listener, if the list notifies.
fn under<T: Send + 'static>(list: Value, work: impl FnOnce(Option<OwnedFd>) -> T + Send + 'static) -> T {
    let list = serde_json::from_value(list).expect("a list");
    let program = compile(&list).expect("the list compiles");
    let confined = move || work(sys::seccomp::load(&program, flags(&list)).expect("the kernel takes the filter"));
    std::thread::spawn(confined).join().expect("the thread lives")
}

#[test]
fn a_refused_call_fails_with_the_errno_of_its_rule() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new");
    let (inside, second) = (path.clone(), path.clone());
    let list = json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99 }] });
    let refused = under(list, move |_| std::fs::create_dir(inside).map_err(|error| error.raw_os_error()));
    assert_eq!(refused, Err(Some(99)));
    std::fs::create_dir(second).expect("threads without the filter are not bound by it");
}

#[test]
fn a_call_is_allowed_or_refused_by_its_arguments() {
    let unix_only = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_GT" }] },
    ] });
    let (unix, inet) = under(unix_only, |_| {
        (UnixDatagram::unbound().is_ok(), UdpSocket::bind("127.0.0.1:0").map_err(|error| error.kind()))
    });
    assert!(unix);
    assert_eq!(inet.err(), Some(ErrorKind::PermissionDenied));
}

#[test]
fn a_list_that_refuses_by_default_lets_a_thread_do_what_it_names() {
    let everything: Vec<&str> = runtime::plan::seccomp::names().filter(|name| !name.starts_with("mkdir")).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new");
    let list = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13,
        "syscalls": [{ "names": everything, "action": "SCMP_ACT_ALLOW" }] });
    let refused = under(list, move |_| std::fs::create_dir(path).map_err(|error| error.raw_os_error()));
    assert_eq!(refused, Err(Some(13)));
}

#[test]
fn a_notifying_list_gives_a_listener_and_without_it_the_call_does_not_exist() {
    const ENOSYS: i32 = 38;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new");
    let list = json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }] });
    let (listened, refused) = under(list, move |listener| {
        let listened = listener.is_some();
        drop(listener);
        (listened, std::fs::create_dir(path).map_err(|error| error.raw_os_error()))
    });
    assert!(listened);
    assert_eq!(refused, Err(Some(ENOSYS)));
}
