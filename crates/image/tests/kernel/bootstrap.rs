//! `bootstrap` with a stand-in for debootstrap: what it does with its target is what the real one does, in a second.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use image::{BootstrapError, BootstrapOptions, Progress, bootstrap_by};
use store::StoreError;
use trace::{Format, Recorder};

use crate::fixture::{Sandbox, bash, exists, read, view};

/// The stand-in: a tree with a bit of everything, mounts left behind, and a child that does not end.
const STAND_IN: &str = r#"#!/bin/bash
set -eu
for last; do :; done
target=$last
echo 'I: Retrieving base 1.0'
mkdir -p $target/{etc,dev,proc,tmp,usr/bin,var/lib/apt/lists/partial,var/log}
mount -t proc proc $target/proc
echo "Date: Sat, 17 May 2025 08:57:33 UTC" > $target/var/lib/apt/lists/x_Release
echo "pid $$, $(readlink /proc/self | wc -w)" > $target/etc/who
echo host > $target/etc/hostname
echo 'root:*:30000:0:99999:7:::' > $target/etc/shadow; echo 0123 > $target/etc/machine-id
mknod $target/dev/null c 1 3
echo early > $target/etc/early; touch -d 2001-01-01 $target/etc/early
echo tool > $target/usr/bin/tool; ln $target/usr/bin/tool $target/usr/bin/alias; chmod 4755 $target/usr/bin/tool
setfattr -n user.note -v "a value" $target/usr/bin/tool
ln -s tool $target/usr/bin/link
echo 'W: something is odd'
sleep 1000 &
echo 'I: Configuring base...'
"#;

fn sandbox(script: &str) -> (Sandbox, BootstrapOptions) {
    let sandbox = Sandbox::new();
    let program = program(&sandbox);
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let options = BootstrapOptions { names: vec!["mydebian".parse().unwrap()], ..BootstrapOptions::default() };
    (sandbox, options)
}

fn program(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("debootstrap")
}

fn run(sandbox: &Sandbox, options: &BootstrapOptions, news: &mut Vec<String>) -> Result<store::Image, BootstrapError> {
    let mut progress = |progress: Progress<'_>| news.push(format!("{progress:?}"));
    bootstrap_by(program(sandbox), &sandbox.store, options, &mut progress, &Recorder::silent())
}

#[test]
fn the_tree_becomes_a_cleaned_image_and_nothing_stays_mounted_or_running() {
    let (sandbox, options) = sandbox(&STAND_IN.replace("sleep 1000", "sleep 31337"));
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let (before, mut news) = (mounts(), Vec::new());
    let image = run(&sandbox, &options, &mut news).unwrap();
    assert_eq!(mounts(), before);
    assert_eq!(bash(sandbox.directory.path(), "pgrep -fx 'sleep 31337' || true"), "");
    assert_eq!(sandbox.in_flight(), 0);
    assert_eq!(
        news,
        [
            "Phase(Retrieving)",
            "Line(\"Retrieving base 1.0\")",
            "Warning(\"something is odd\")",
            "Phase(Configuring)",
            "Line(\"Configuring base...\")",
            "Phase(Packing)"
        ]
    );

    let mounted = view(&image);
    assert_eq!(read(&mounted, "etc/who"), b"pid 1, 1\n", "it was the first process of its PID namespace");
    assert_eq!(read(&mounted, "usr/bin/alias"), b"tool\n");
    assert_eq!(read(&mounted, "etc/shadow"), b"root:*:20225:0:99999:7:::\n");
    assert_eq!(read(&mounted, "etc/machine-id"), b"");
    for gone in ["dev/null", "etc/hostname", "var/lib/apt/lists/x_Release", "proc/self"] {
        assert!(!exists(&mounted, gone), "{gone}");
    }
    for kept in ["dev", "proc", "tmp", "var/lib/apt/lists/partial"] {
        assert!(exists(&mounted, kept), "{kept}");
    }
    let stat = |path| rustix::fs::statat(&mounted, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
    assert_eq!((stat("usr/bin/tool").st_ino, stat("usr/bin/tool").st_mode), (stat("usr/bin/alias").st_ino, 0o104_755));
    // No later than the archive's own date, and earlier where it was.
    assert_eq!((stat("etc/who").st_mtime, stat("etc/early").st_mtime), (1_747_472_253, 978_307_200));
    let mut value = [0; 32];
    let file = rustix::fs::openat(&mounted, "usr/bin/tool", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
    let length = rustix::fs::fgetxattr(file.unwrap(), "user.note", &mut value).unwrap();
    assert_eq!(&value[..length], b"a value");
    let config = image.config.config().clone().unwrap();
    assert_eq!(config.cmd().as_deref().unwrap(), ["/bin/bash"]);
    let history = image.config.history().clone().unwrap();
    let expected = "debootstrap --variant=minbase --include=procps,iproute2,iputils-ping bookworm TARGET";
    assert_eq!(history[0].created_by().as_deref(), Some(expected));
}

#[test]
fn the_same_packages_give_the_same_layer() {
    let (sandbox, options) = sandbox(STAND_IN);
    let first = run(&sandbox, &options, &mut Vec::new()).unwrap();
    let second = run(&sandbox, &options, &mut Vec::new()).unwrap();
    assert_eq!(first.layers[0].diff_id, second.layers[0].diff_id);
}

#[test]
fn every_step_explains_itself() {
    let (sandbox, options) = sandbox(STAND_IN);
    let path = sandbox.path("steps");
    let recorder = Recorder::writing(std::fs::File::create(&path).unwrap().into(), Format::Text);
    bootstrap_by(program(&sandbox), &sandbox.store, &options, &mut |_| {}, &recorder).unwrap();
    let steps = std::fs::read_to_string(path).unwrap();
    let told: Vec<_> = steps.lines().filter(|line| !line.starts_with(' ')).map(|line| &line[2..]).collect();
    assert!(told[0].starts_with("enter a mount and PID namespace for debootstrap"), "{steps}");
    assert!(told.contains(&"make the base system") && told.last().unwrap().ends_with("mydebian:latest"), "{steps}");
}

#[test]
fn a_failure_is_told_in_its_own_words_and_leaves_nothing() {
    let script = "#!/bin/bash\necho 'I: Retrieving InRelease'\necho 'E: Failed getting release file' >&2\nexit 1\n";
    let (sandbox, options) = sandbox(script);
    let error = run(&sandbox, &options, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "debootstrap failed (exit status 1): Failed getting release file");
    std::fs::remove_file(program(&sandbox)).unwrap();
    let error = run(&sandbox, &options, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("execve"), "{error}");
    assert_eq!(sandbox.in_flight(), 0);
    assert!(matches!(sandbox.store.images().resolve("mydebian"), Err(StoreError::NotFound(_))));
}

/// The variable that makes a test the process which is killed.
const HELPER: &str = "IMAGE_TEST_HELPER";

#[test]
fn killing_the_builder_kills_debootstrap_and_the_next_one_cleans_up() {
    const TEST: &str = "bootstrap::killing_the_builder_kills_debootstrap_and_the_next_one_cleans_up";
    if let Ok(directory) = std::env::var(HELPER) {
        let store = store::Store::open(&PathBuf::from(&directory).join("store"));
        let program = PathBuf::from(directory).join("debootstrap");
        let options = BootstrapOptions::default();
        let mut say = |progress: Progress<'_>| println!("{progress:?}");
        bootstrap_by(program, &store, &options, &mut say, &Recorder::silent()).unwrap();
        return;
    }
    let (sandbox, options) = sandbox("#!/bin/bash\necho 'I: Retrieving all'\nexec -a stand-in-4711 sleep 1000\n");
    let mut builder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(HELPER, sandbox.directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = std::io::BufReader::new(builder.stdout.take().unwrap());
    assert!(std::io::BufRead::lines(output).any(|line| line.unwrap().contains("Retrieving all")));
    assert_eq!(sandbox.in_flight(), 1);
    builder.kill().unwrap();
    builder.wait().unwrap();
    // The kernel kills the child with its parent, a moment later at most.
    bash(sandbox.directory.path(), "timeout 10 bash -c 'while pgrep -f ^stand-in-4711; do sleep 0.01; done'");
    std::fs::write(sandbox.path("debootstrap"), STAND_IN).unwrap();
    run(&sandbox, &options, &mut Vec::new()).unwrap();
    assert_eq!(sandbox.in_flight(), 0);
}
