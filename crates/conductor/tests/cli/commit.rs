//! `commit`, `diff` and `export`: what a container changed, told, kept and taken elsewhere.

use std::process::Stdio;
use std::time::Duration;

use testkit::{Conductor, Sandbox};

use crate::archives::with_podman;
use crate::{IMAGE, busybox};

fn shell(script: &str) -> String {
    Conductor::new("sh").args(["-ec", script]).ok()
}

/// Everything that a container can do to a tree.
const CHANGES: &str = "echo new > /etc/passwd; rm /etc/group; mkdir -p /n/e/w; chmod 1711 /n; mkfifo /n/fifo; \
    ln /etc/passwd /etc/second; ln -s ../nowhere /n/link; rm -r /home; mkdir /home; echo mine > /home/file; \
    chown 12:34 /home/file; chmod 4755 /home/file; touch -d '2001-02-03 04:05:06' /home/file; rm -r /root; \
    echo was-a-directory > /root; mkdir /n/gone; rmdir /n/gone; chmod 751 /";

/// The listing of an exported container, without the files that the engine mounts over.
fn exported(sandbox: &Sandbox, container: &str) -> String {
    let file = sandbox.work().join(format!("{container}.tar"));
    sandbox.conductor(["export", "-o"]).arg(&file).arg(container).run().success();
    let listing = shell(&format!("tar --numeric-owner --full-time -tvf {file:?}"));
    let own = |line: &&str| !["etc/hosts", "etc/hostname", "etc/resolv.conf"].iter().any(|name| line.ends_with(name));
    // The engine makes places for its mounts, which changes the times of the directories that hold them.
    let untimed = |line: &str| match line.starts_with('d') {
        true => {
            [line.split_whitespace().next(), line.split_whitespace().last()].map(Option::unwrap_or_default).join(" ")
        }
        false => line.to_owned(),
    };
    listing.lines().filter(own).map(untimed).collect::<Vec<_>>().join("\n")
}

fn changed(sandbox: &Sandbox) {
    let script = format!("{CHANGES}; echo done; sleep 1000");
    let words = ["run", "-d", "--name", "one", "--network", "none", IMAGE, "sh", "-ec", &script];
    sandbox.conductor(words).run().success();
    while !sandbox.conductor(["logs", "one"]).ok().contains("done") {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn diff_tells_what_a_container_changed_and_nothing_of_the_engine_s_own() {
    let sandbox = busybox();
    sandbox.conductor(["create", "--name", "never", IMAGE, "true"]).run().success();
    sandbox.conductor(["run", "-d", "--name", "idle", "--network", "none", IMAGE, "sleep", "1000"]).run().success();
    for name in ["never", "idle"] {
        assert_eq!(sandbox.conductor(["diff", name]).ok(), "");
    }
    changed(&sandbox);
    let found = sandbox.conductor(["diff", "one"]).ok();
    for line in ["C /", "C /etc/passwd", "D /etc/group", "A /n/e/w", "A /n/fifo", "A /etc/second", "C /home", "C /root"]
    {
        assert!(found.lines().any(|found| found == line), "{line} is not in:\n{found}");
    }
    for path in ["/dev", "/proc", "/etc/hosts", "/n/gone"] {
        assert!(!found.lines().any(|found| found.ends_with(path)), "{path} is in:\n{found}");
    }
    sandbox.conductor(["rm", "-f", "one", "never", "idle"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn the_image_of_a_container_is_the_tree_that_it_had() {
    let sandbox = busybox();
    changed(&sandbox);
    let had = exported(&sandbox, "one");
    let words = ["commit", "-a", "me", "-m", "a remark", "-c", "CMD [\"cat\", \"/home/file\"]", "-c", "ENV A=1"];
    sandbox.conductor(words).args(["one", "two"]).run().success();
    sandbox.conductor(["create", "--name", "of-two", "two"]).run().success();
    assert_eq!(exported(&sandbox, "of-two"), had);
    assert_eq!(sandbox.conductor(["run", "--rm", "--network", "none", "two"]).ok(), "mine");
    assert!(sandbox.conductor(["history", "two"]).ok().contains("a remark"));
    let said =
        sandbox.conductor(["image", "inspect", "-f", "{{.Author}} {{.Config.Env}} {{len .RootFS.Layers}}", "two"]);
    assert!(said.ok().starts_with("me [PATH="));
    // What it is in our store it is to others too.
    let archive = sandbox.work().join("two.tar");
    sandbox.conductor(["save", "-o"]).arg(&archive).arg("two").run().success();
    let script = "podman load -q -i two.tar > loaded; podman create -q --name eg two > created; podman export -o eg.tar eg; \
                  podman rm eg > removed; tar -tf eg.tar | sed 's,/$,,' | sort";
    let theirs = with_podman(&sandbox, script);
    for name in ["n/fifo", "home/file", "root", "n/link", "etc/second"] {
        assert!(theirs.lines().any(|found| found == name), "{name} is not in {theirs}");
    }
    for name in ["etc/group", "home/.wh..wh..opq", "etc/.wh.group"] {
        assert!(!theirs.lines().any(|found| found == name), "{name} is in {theirs}");
    }
    let tree = sandbox.conductor(["image", "tree", "two"]).ok();
    let lines: Vec<_> = tree.lines().collect();
    assert_eq!(lines[1], "Tags:     [two:latest]", "{tree}");
    assert!(lines[4].starts_with("├── ID: ") && lines[4].ends_with("Top Layer of: [busybox:latest]"), "{tree}");
    assert!(lines[5].starts_with("└── ID: ") && lines[5].ends_with("Top Layer of: [two:latest]"), "{tree}");
    // And a second time, over an image that has a whiteout already.
    sandbox.conductor(["commit", "of-two", "three"]).run().success();
    assert_eq!(sandbox.conductor(["run", "--rm", "--network", "none", "three"]).ok(), "mine");
    sandbox.conductor(["rm", "-f", "one", "of-two"]).run().success();
    sandbox.conductor(["rmi", "two", "three"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn an_exported_container_comes_back_as_an_image_of_one_layer() {
    let sandbox = busybox();
    changed(&sandbox);
    let had = exported(&sandbox, "one");
    let line = format!("{} --root {:?} --state {:?}", env!("CARGO_BIN_EXE_conductor"), sandbox.root(), sandbox.state());
    shell(&format!("{line} export one | {line} import - flat"));
    sandbox.conductor(["create", "--name", "of-flat", "flat", "sh"]).run().success();
    assert_eq!(exported(&sandbox, "of-flat"), had);
    sandbox.conductor(["rm", "-f", "one", "of-flat"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn a_commit_that_is_killed_leaves_its_container_running() {
    let sandbox = busybox();
    // Enough to change that a commit takes a while.
    let script = "i=0; while [ $i -lt 3000 ]; do echo $i > /f$i; i=$((i + 1)); done; echo ready; \
                  while :; do echo tick; sleep 0.02; done";
    sandbox.conductor(["run", "-d", "--name", "one", "--network", "none", IMAGE, "sh", "-c", script]).run().success();
    let ticks = || sandbox.conductor(["logs", "one"]).ok().matches("tick").count();
    while ticks() == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    for delay in 0..20 {
        let mut command = sandbox.conductor(["commit", "one", "half"]).into_command();
        let mut commit = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay * 4));
        let _ = commit.kill();
        commit.wait().unwrap();
        let before = ticks();
        let patience = std::time::Instant::now();
        while ticks() == before {
            assert!(patience.elapsed() < Duration::from_secs(10), "it stands still after {delay}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    sandbox.conductor(["rm", "-f", "one"]).run().success();
    sandbox.conductor(["image", "prune", "-f"]).run().success();
    sandbox.assert_clean();
}
