//! `explain` and `explain --script` against the run that they speak of.

use std::process::Command;

use serde_json::json;

use crate::sandbox::{Sandbox, request};

/// What a container is, in lines: namespaces, mounts, identity, capabilities, limits.
const LOOK: &str = r#"
for kind in mnt pid net uts ipc cgroup; do echo "namespace $kind $(readlink /proc/self/ns/$kind)"; done
sed 's/^[0-9]* [0-9]* [^ ]* //; s/ - / /' /proc/self/mountinfo | while read -r source target options rest; do
  echo "mount $target $options ${rest%% *}"
done
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Umask)' /proc/self/status | tr -s '\t ' ' '
echo "host $(hostname) $(cat /etc/hostname) $(id -un) $HOME $PATH $(pwd) $$"
cat /etc/hosts
for file in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us \
  pids/pids.max cpuset/cpuset.cpus memory.max memory.swap.max cpu.max pids.max cpuset.cpus; do
  [ ! -e /sys/fs/cgroup/$file ] || echo "limit $file $(cat /sys/fs/cgroup/$file)"
done
ls -l /dev | sed 's/ [A-Z][a-z][a-z] .*[0-9] / /' | sort
ulimit -n
"#;

pub(crate) fn a_script_makes_the_same_container() {
    let sandbox = Sandbox::new();
    let more = json!({"remove_on_exit": true, "hostname": "box", "user": "alice", "workdir": "/home", "init": false,
        "cap_add": ["CHOWN"], "cap_drop": ["KILL"],
        "resources": {"memory": 64 << 20, "nano_cpus": 500_000_000, "pids_limit": 99, "cpuset_cpus": "0",
            "ulimits": [{"name": "nofile", "soft": 512, "hard": 1024}]},
        "mounts": [{"type": "bind", "path": "/etc", "propagation": "rprivate", "recursive": true, "target": "/host/etc",
            "read_only": true}, {"type": "tmpfs", "options": ["size=64k"], "target": "/run"}]});
    let request = request(&["sh", "-c", LOOK], more);
    let real = sandbox.call(&["run", &request.to_string()]).ok();
    let script = sandbox.root().join("script");
    std::fs::write(&script, sandbox.call(&["script", &request.to_string()]).ok()).unwrap();
    let ran = Command::new("bash").arg(&script).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let told = String::from_utf8(ran.stdout).unwrap();
    let (real, told) = (plain(&real), plain(&told));
    for (real, told) in real.iter().zip(&told) {
        assert_eq!(real, told);
    }
    assert_eq!(real.len(), told.len());
    sandbox.assert_empty();
}

/// Leaves out what differs from container to container.
fn plain(text: &str) -> Vec<String> {
    let host = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().to_string_lossy().into_owned();
    let line = |line: &str| match line.strip_prefix("namespace ").and_then(|rest| rest.split_once(' ')) {
        Some((kind, name)) => format!("namespace {kind} is the host's: {}", name == host(kind)),
        None => line.to_owned(),
    };
    text.lines().map(line).collect()
}

pub(crate) fn an_explanation_is_what_is_applied() {
    let sandbox = Sandbox::new();
    let request = request(&["true"], json!({"remove_on_exit": true, "name": "eg"})).to_string();
    let applied = sandbox.verb(&["run", &request]).env("EXPLAIN", "1").output().unwrap();
    let told = sandbox.verb(&["explain", &request]).env("EXPLAIN", "1").output().unwrap();
    let words = |bytes: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let steps = text.lines().filter(|line| line.starts_with(['+', '|'])).map(str::to_owned);
        // What comes before is how a run is opened and the image is held, which no plan decides.
        let hex = |word: &str| {
            word.trim_end_matches(',').len() >= 12 && word.trim_end_matches(',').chars().all(|c| c.is_ascii_hexdigit())
        };
        let plain =
            |step: String| step.split([' ', '/', '_', '.']).filter(|word| !hex(word)).collect::<Vec<_>>().join(" ");
        steps.map(plain).skip_while(|step| !step.contains("make the directories that take")).collect()
    };
    assert_eq!(words(&applied.stderr), words(&told.stderr));
    sandbox.assert_empty();
}
