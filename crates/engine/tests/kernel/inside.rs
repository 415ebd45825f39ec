//! What a container is from inside.

use serde_json::{Value, json};

use crate::sandbox::{Ran, Sandbox};

fn sh(sandbox: &Sandbox, script: &str, more: Value) -> Ran {
    let mut more = more;
    more["remove_on_exit"] = true.into();
    sandbox.run(&["sh", "-c", script], more)
}

pub(crate) fn a_container_sees_its_own_names_and_nothing_of_the_host() {
    let sandbox = Sandbox::new();
    let script = "hostname; cat /etc/hostname; echo $$; ls /proc/self/fd | wc -l; ls /dev/pts; id -u; pwd; env | sort";
    let out = sh(&sandbox, script, json!({"hostname": "box", "env": ["A=1"], "workdir": "/var"})).ok();
    insta::assert_snapshot!(out, @r"
    box
    box
    1
    4
    ptmx
    0
    /var
    A=1
    HOME=/root
    HOSTNAME=box
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    PWD=/var
    SHLVL=1
    ");
}

pub(crate) fn capabilities_and_privileges_are_docker_s_defaults() {
    let sandbox = Sandbox::new();
    let status = "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; head -c 0 /proc/kcore; \
                  cat /proc/self/oom_score_adj; mknod /x b 7 0 2>&1; echo $?";
    let out = sh(&sandbox, status, json!({})).ok();
    insta::assert_snapshot!(out.replace('\t', " "), @r"
    CapEff: 00000000000004fb
    CapBnd: 00000000000004fb
    NoNewPrivs: 1
    Seccomp: 2
    0
    mknod: /x: Operation not permitted
    1
    ");
    let more = json!({"cap_drop": ["ALL"], "cap_add": ["CHOWN"], "security": {"no_new_privileges": false, "seccomp": "unconfined"}});
    let out = sh(&sandbox, "grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status", more).ok();
    insta::assert_snapshot!(out.replace('\t', " "), @r"
    CapEff: 0000000000000001
    NoNewPrivs: 0
    Seccomp: 0
    ");
    let out = sh(
        &sandbox,
        "test -e /dev/loop-control && echo devices; head -c 1 /proc/sysrq-trigger; echo",
        json!({"privileged": true}),
    );
    assert!(out.ok().contains("devices") || !std::path::Path::new("/dev/loop-control").exists());
}

pub(crate) fn users_are_those_of_the_image() {
    let sandbox = Sandbox::new();
    let id = |user: &str| sh(&sandbox, "echo $(id -u) $(id -g) $(id -G) $HOME", json!({"user": user}));
    assert_eq!(id("alice").ok(), "1000 1000 1000 50 /home\n");
    assert_eq!(id("1000:50").ok(), "1000 50 50 /home\n");
    assert_eq!(id("4242").ok(), "4242 0 0 /\n");
    id("bob").fails(125, "the image has no user \"bob\"");
    sandbox.assert_empty();
}

pub(crate) fn volumes_keep_what_was_written_and_are_filled_from_the_image() {
    let sandbox = Sandbox::new();
    let mount = |target: &str, name: Value| json!({"mounts": [{"type": "volume", "name": name, "no_copy": false, "target": target}]});
    sh(&sandbox, "test -f /etc/passwd && echo kept > /etc/mine", mount("/etc", "data".into())).ok();
    assert_eq!(
        sh(&sandbox, "cat /mnt/mine; head -n 1 /mnt/passwd", mount("/mnt", "data".into())).ok(),
        "kept\nroot:x:0:0:root:/root:/bin/sh\n"
    );
    assert!(sandbox.root().join("volumes/data/_data/mine").exists());
    sh(&sandbox, "echo x > /anonymous/file", mount("/anonymous", Value::Null)).ok();
    assert_eq!(std::fs::read_dir(sandbox.root().join("volumes")).unwrap().count(), 1);
    let bind = json!({"mounts": [{"type": "bind", "path": "/etc", "propagation": "rprivate", "recursive": true,
        "target": "/host/etc", "read_only": true}]});
    sh(&sandbox, "test -f /host/etc/passwd && ! touch /host/etc/x 2>/dev/null", bind).ok();
    let tmpfs = json!({"mounts": [{"type": "tmpfs", "options": ["size=64k"], "target": "/small"}]});
    sh(&sandbox, "! head -c 100000 /dev/zero > /small/file 2>/dev/null", tmpfs).ok();
}

pub(crate) fn a_missing_source_is_an_error_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let bind = json!({"mounts": [{"type": "bind", "path": "/nonexistent/data", "propagation": "rprivate", "recursive": true,
        "target": "/data", "read_only": false}]});
    sh(&sandbox, "true", bind).fails(125, "the volume source /nonexistent/data does not exist");
    sh(&sandbox, "true", json!({"image": "nosuch"})).fails(125, "no such image");
    sh(&sandbox, "true", json!({"resources": {"memory": 4096}})).fails(125, "6 MiB");
    sh(&sandbox, "true", json!({"cap_add": ["FLY"]})).fails(125, "unknown capability");
    sandbox.assert_empty();
}

pub(crate) fn a_read_only_root_takes_no_writes() {
    let sandbox = Sandbox::new();
    let script = "touch /x 2>/dev/null || echo root; touch /dev/shm/x && echo shm; touch /run/x && echo run";
    let more = json!({"read_only": true, "mounts": [{"type": "tmpfs", "options": [], "target": "/run"}]});
    assert_eq!(sh(&sandbox, script, more).ok(), "root\nshm\nrun\n");
}

pub(crate) fn networks_are_shared_or_not() {
    let sandbox = Sandbox::new();
    let interfaces = "ls /sys/class/net | tr '\\n' ' '; readlink /proc/self/ns/net";
    let own = sh(&sandbox, interfaces, json!({})).ok();
    assert!(own.starts_with("lo "), "{own}");
    let host = sh(&sandbox, "readlink /proc/self/ns/net", json!({"network": "host"})).ok();
    assert_eq!(host.trim(), std::fs::read_link("/proc/self/ns/net").unwrap().to_str().unwrap());
    sandbox.start("first", &["sleep", "60"], json!({"hostname": "shared"}));
    let second = sh(&sandbox, "readlink /proc/self/ns/net; hostname", json!({"network": "container:first"})).ok();
    let first = sandbox.call(&["exec", "first", "readlink", "/proc/self/ns/net"]).ok();
    assert_eq!(second, format!("{first}shared\n"));
    sh(&sandbox, "true", json!({"network": "container:none"})).fails(125, "no such container: none");
}

pub(crate) fn an_init_reaps_and_hands_signals_on() {
    let sandbox = Sandbox::new();
    let script = "echo $$; (sleep 0.1 &) ; sleep 0.3; ps -o stat,comm | grep -c '^Z'";
    let out = sh(&sandbox, script, json!({"init": true}));
    let lines = out.out();
    assert!(!lines.starts_with("1\n") && lines.ends_with("\n0\n"), "{lines:?} {:?}", out.err());
    sandbox.start("eg", &["sh", "-c", "trap 'exit 5' USR1; while :; do sleep 0.05; done"], json!({"init": true}));
    sandbox.call(&["exec", "eg", "sleep", "0.2"]).ok();
    sandbox.call(&["kill", "eg", "USR1"]).ok();
    assert_eq!(sandbox.call(&["wait", "eg"]).ok(), "5\n");
}

pub(crate) fn exec_joins_the_container() {
    let sandbox = Sandbox::new();
    sandbox.start("eg", &["sleep", "60"], json!({"hostname": "box", "env": ["A=1"], "user": "alice"}));
    let script =
        "hostname; echo $A; id -u; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; ls /proc/self/fd | wc -l";
    let out = sandbox.call(&["exec", "eg", "sh", "-c", script]).ok();
    insta::assert_snapshot!(out.replace('\t', " "), @r"
    box
    1
    1000
    CapEff: 0000000000000000
    NoNewPrivs: 1
    Seccomp: 2
    4
    ");
    let cgroups = |words: &[&str]| sandbox.call(words).ok();
    let of_first = cgroups(&["exec", "eg", "cat", "/proc/1/cgroup"]);
    assert_eq!(cgroups(&["exec", "eg", "cat", "/proc/self/cgroup"]), of_first);
    let root = sandbox.verb(&["exec", "eg", "sh", "-c", "id -u; echo $HOME"]).env("RUN_AS", "root").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&root.stdout), "0\n/root\n");
    let privileged =
        sandbox.verb(&["exec", "eg", "grep", "Seccomp:", "/proc/self/status"]).env("PRIVILEGED", "1").output();
    assert_eq!(String::from_utf8_lossy(&privileged.unwrap().stdout), "Seccomp:\t0\n");
    let input = vec![b'x'; 1_000_000];
    let mut command = sandbox.verb(&["exec", "eg", "wc", "-c"]);
    let mut child = command.env("STDIN", "1").stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &input).unwrap();
    assert_eq!(String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout), "1000000\n");
}

pub(crate) fn exec_has_the_exit_codes_of_docker() {
    let sandbox = Sandbox::new();
    sandbox.start("eg", &["sleep", "60"], json!({}));
    sandbox.call(&["exec", "eg", "nonesuch"]).fails(127, "cannot run the command in container eg");
    sandbox.call(&["exec", "eg", "/etc/passwd"]).fails(126, "");
    sandbox.call(&["exec", "eg", "sh", "-c", "exit 42"]).fails(42, "");
    sandbox.call(&["exec", "eg", "sh", "-c", "kill -TERM $$"]).fails(143, "");
    sandbox.call(&["kill", "eg", "KILL"]).ok();
    sandbox.call(&["exec", "eg", "true"]).fails(125, "container eg is not running");
}

pub(crate) fn memory_beyond_the_limit_is_an_oom_kill() {
    let sandbox = Sandbox::new();
    let hungry = ["sh", "-c", "head -c 200000000 /dev/zero | tail"];
    let limits = json!({"memory": 16 << 20, "memory_swap": 16 << 20});
    sandbox.run(&hungry, json!({"name": "eg", "resources": limits}));
    assert!(sandbox.engine().inspect(&sandbox.find("eg")).unwrap().state.oom_killed);
    let limits = json!({"pids_limit": 5});
    let ran = sh(&sandbox, "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait", json!({"resources": limits}));
    assert!(ran.err().contains("fork"), "{:?}", ran.err());
}
