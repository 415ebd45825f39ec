//! Running debootstrap in namespaces of its own.

use std::ffi::CString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::pipe::{PipeFlags, pipe_with};
use sys::mount::{Filesystem, MountAttrFlags, Propagation};
use sys::namespace::NamespaceKind;
use sys::process::{self, Child, ExitStatus, Fork};
use sys::{Calling, mount};
use trace::Recorder;

use super::plan::{Plan, RunStep, Workplace};
use super::progress::{Listener, Progress};
use super::{BootstrapError, system};

/// What the child leaves with when it does not get as far as debootstrap.
const NOT_STARTED: i32 = 125;

/// Runs debootstrap to its end and returns the root of the tree it made.
pub(super) fn run(
    plan: &Plan,
    progress: &mut dyn FnMut(Progress<'_>),
    recorder: &Recorder,
) -> Result<OwnedFd, BootstrapError> {
    let tree = make_place(plan)?;
    let (gate, opener) = system(pipe(), "make a pipe")?;
    let (output, sayer) = system(pipe(), "make a pipe")?;
    explain(plan, recorder);
    let fork = process::clone_into(&[NamespaceKind::Mount, NamespaceKind::Pid], None);
    let child = match system(fork, "start debootstrap in namespaces of its own")? {
        Fork::Parent(child) => child,
        Fork::Child => {
            drop(opener);
            leave(plan, &tree, gate, &sayer)
        }
    };
    drop((gate, sayer));
    // From here on the child knows that we were alive after it asked to die with us.
    system(File::from(opener).write_all(b"g").call(|| "write(gate)"), "start debootstrap")?;
    let listener = listen(output, progress);
    match finish(&child, &listener) {
        Err(BootstrapError::Failed { .. }) if plan.is_in_memory() && is_full(&tree) => Err(BootstrapError::MemoryFull),
        result => result.map(|()| tree),
    }
}

/// A write that fails leaves less than its own size free, and nothing that packages hold is larger than this.
fn is_full(tree: &OwnedFd) -> bool {
    rustix::fs::fstatvfs(tree).is_ok_and(|stat| stat.f_bavail * stat.f_frsize < 64 << 20)
}

fn pipe() -> sys::Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC).call(|| "pipe2(O_CLOEXEC)")
}

/// A tmpfs is made detached: only the child attaches it, and our descriptor is what remains of it in the end.
fn make_place(plan: &Plan) -> Result<OwnedFd, BootstrapError> {
    let target = &plan.target;
    let made = match std::fs::create_dir(target) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        result => result.call(|| format!("mkdir({})", target.display())),
    };
    system(made, "make a directory for the base system")?;
    let place = match plan.workplace {
        Workplace::Memory(size) => tmpfs(size),
        Workplace::Disk => sys::path::open_host(target),
    };
    system(place, "make a place for the base system")
}

fn tmpfs(size: u64) -> sys::Result<OwnedFd> {
    Filesystem::open("tmpfs")?.option("size", &size.to_string())?.option("mode", "0755")?.mount(MountAttrFlags::empty())
}

fn explain(plan: &Plan, recorder: &Recorder) {
    recorder.record(&RunStep::Namespaces);
    if let Workplace::Memory(size) = plan.workplace {
        recorder.record(&RunStep::Tmpfs(&plan.target, size));
    }
    recorder.record(&RunStep::Debootstrap(plan));
}

/// The child's side. What fails is said on the pipe, as debootstrap would say it.
fn leave(plan: &Plan, tree: &OwnedFd, gate: OwnedFd, sayer: &OwnedFd) -> ! {
    let error = become_debootstrap(plan, tree, gate, sayer);
    let _ = rustix::io::write(sayer, format!("E: {error}\n").as_bytes());
    process::exit(NOT_STARTED)
}

fn become_debootstrap(plan: &Plan, tree: &OwnedFd, gate: OwnedFd, sayer: &OwnedFd) -> sys::Error {
    if let Err(error) = enter(plan, tree, gate, sayer) {
        return error;
    }
    let word = |text: &[u8]| CString::new(text).unwrap_or_default();
    let arguments = plan.arguments.iter().map(|argument| word(argument.as_bytes()));
    let arguments: Vec<_> = std::iter::once(word(b"debootstrap")).chain(arguments).collect();
    process::execve(&word(plan.program.as_os_str().as_bytes()), &arguments, &environment())
}

fn enter(plan: &Plan, tree: &OwnedFd, gate: OwnedFd, sayer: &OwnedFd) -> sys::Result<()> {
    process::die_with_parent(9)?;
    // If our parent died before that, nobody opens the gate, and its end reads as the end of the file.
    let mut opened = [0];
    File::from(gate).read_exact(&mut opened).call(|| "read(gate)")?;
    mount::set_propagation(Path::new("/"), Propagation::Private, true)?;
    let proc = Filesystem::open("proc")?.mount(MountAttrFlags::empty())?;
    mount::attach(&proc, sys::path::open_host(Path::new("/proc"))?)?;
    if plan.is_in_memory() {
        mount::attach(tree, sys::path::open_host(&plan.target)?)?;
    }
    let null = File::open("/dev/null").call(|| "open(/dev/null)")?;
    process::duplicate_to(&null, 0)?;
    process::duplicate_to(sayer, 1)?;
    process::duplicate_to(sayer, 2)?;
    process::set_umask(0o022);
    rustix::process::chdir("/").call(|| "chdir(/)")
}

/// The caller's own environment would decide locale, prompts and temporary directories; only its proxies are of use.
fn environment() -> Vec<CString> {
    let fixed = [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL=C",
        "HOME=/root",
        "DEBIAN_FRONTEND=noninteractive",
        "DEBCONF_NONINTERACTIVE_SEEN=true",
    ];
    let proxies = ["http_proxy", "https_proxy", "no_proxy"].iter().filter_map(|name| {
        let value = std::env::var(name).ok()?;
        Some(format!("{name}={value}"))
    });
    fixed.iter().map(ToString::to_string).chain(proxies).filter_map(|line| CString::new(line).ok()).collect()
}

fn listen(output: OwnedFd, progress: &mut dyn FnMut(Progress<'_>)) -> Listener {
    let mut listener = Listener::default();
    let mut output = BufReader::new(File::from(output));
    let mut line = Vec::new();
    // A pipe ends when the last process that could write to it has ended; it has no other failure.
    while matches!(output.read_until(b'\n', &mut line), Ok(1..)) {
        listener.hear(&String::from_utf8_lossy(&line), progress);
        line.clear();
    }
    listener
}

fn finish(child: &Child, listener: &Listener) -> Result<(), BootstrapError> {
    match system(process::wait(child.pidfd.as_fd()), "wait for debootstrap")? {
        ExitStatus::Exited(0) => Ok(()),
        ExitStatus::Exited(code) => {
            Err(BootstrapError::Failed { status: format!("exit status {code}"), said: listener.complaint() })
        }
        ExitStatus::Signaled(signal) => {
            Err(BootstrapError::Failed { status: process::signal_name(signal), said: listener.complaint() })
        }
    }
}
