//! The last part of the way: confinement, the gate and the exec. A process that joins a container takes it too.

use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sys::credentials::{self, CapabilitySets};
use sys::process::{self as processes, OwnProc};
use sys::signal;
use trace::{Explain as _, Recorder};

use super::{Gate, Init, Stdio, wait_for};
use crate::create::SIGKILL;
use crate::error::{Failure, FailureKind};
use crate::listener::Agent;
use crate::plan::{CapabilityPlan, ProcessPlan, ProcessStep, SeccompPlan, UserPlan};
use crate::sync::{Channel, FromInit, ToInit};

/// What a process needs to become the program, be it the container's first or one that joins it.
#[derive(Debug)]
pub(crate) struct Entrance<'e> {
    /// What it runs, as whom, and under which restrictions.
    pub(crate) plan: &'e ProcessPlan,
    /// The way to the creator.
    pub(crate) channel: &'e Channel,
    /// Where steps are told.
    pub(crate) recorder: &'e Recorder,
    /// Standard input, output and error where there is no terminal.
    pub(crate) stdio: Stdio<'e>,
    /// The terminal.
    pub(crate) terminal: Option<OwnedFd>,
    /// How many descriptors from 3 on the program inherits.
    pub(crate) preserve_fds: u32,
    /// What was opened before the container's namespaces were entered.
    pub(crate) own: Own,
    /// Whether the kernel ends the program when the creator has ended.
    pub(crate) dies_with_creator: bool,
}

/// What a process must open before it enters the container's namespaces: afterwards `/proc` is the container's.
#[derive(Debug)]
pub(crate) struct Own {
    proc: Option<OwnProc>,
    agent: Option<Agent>,
}

impl Own {
    /// Opens what the plan needs.
    pub(crate) fn open(plan: &ProcessPlan, mut agent: Option<Agent>) -> sys::Result<Self> {
        if let Some(agent) = &mut agent {
            agent.is_about(processes::id_in_proc()?);
        }
        let has_labels = plan.apparmor.is_some() || plan.selinux.is_some();
        Ok(Self { proc: has_labels.then(OwnProc::open).transpose()?, agent })
    }
}

/// Waits at the gate and becomes the program. It returns only what went wrong.
pub(crate) fn enter(init: &Init<'_>, terminal: Option<OwnedFd>, own: Own) -> Failure {
    let entrance = Entrance {
        plan: &init.plan.process,
        channel: init.channel,
        recorder: init.recorder,
        stdio: init.stdio,
        terminal,
        preserve_fds: init.preserve_fds,
        own,
        dies_with_creator: init.dies_with_creator,
    };
    become_program(&entrance, || pass_gate(init)).unwrap_or_else(|failure| failure)
}

fn pass_gate(init: &Init<'_>) -> Result<(), Failure> {
    let waiting = |error: sys::Error| Failure::new("wait for the start of the container", &error);
    match init.gate {
        Gate::Message => wait_for(init.channel, Some(&FromInit::Ready), &ToInit::Start).map_err(waiting)?,
        Gate::Fifo(fifo) => {
            wait_for(init.channel, Some(&FromInit::Ready), &ToInit::Kept).map_err(waiting)?;
            // Whoever starts the container writes a byte into the fifo; no /proc is needed for the wait.
            sys::signal::wait_readable(fifo, None).map_err(waiting)?;
        }
    }
    crate::hooks::run("startContainer", init.hooks.start_container, init.hooks.state)
        .map_err(|error| Failure::told("run the startContainer hooks", FailureKind::Other, error.to_string()))
}

/// Confines the calling process and executes the program. It returns only what went wrong; there is no `Ok`.
pub(crate) fn become_program(
    entrance: &Entrance<'_>,
    gate: impl FnOnce() -> Result<(), Failure>,
) -> Result<Failure, Failure> {
    let plan = entrance.plan;
    let steps = plan.steps();
    let cut = steps.iter().position(|step| matches!(step, ProcessStep::Cwd(_))).map_or(0, |cwd| cwd + 1);
    let (before, after) = steps.split_at(cut);
    // With no_new_privs the filter comes last of all, so that it need allow no call of ours but the exec.
    let last = if plan.no_new_privileges && plan.seccomp.is_some() { after.len() - 1 } else { after.len() };
    let (after, filter) = after.split_at(last);
    apply_all(entrance, before)?;
    check_cwd()?;
    // Looked up before the gate, so that a missing program is an error of `create` and not of the container.
    let program = find_program(plan)?;
    let files = connect(entrance)?;
    tie_to_creator(entrance)?;
    gate()?;
    apply_all(entrance, after)?;
    // A change of user or capabilities has loosened the tie (prctl(2)).
    tie_to_creator(entrance)?;
    prepare_exec(entrance, files)?;
    record_all(entrance, filter);
    entrance.recorder.record(&plan.exec_step());
    filter.iter().try_for_each(|step| apply_told(entrance, step))?;
    let error = if plan.init {
        processes::execve_self(&init_arguments(&program, plan), &plan.environment)
    } else {
        processes::execve(&program, &plan.arguments, &plan.environment)
    };
    Ok(exec_failure(&program, &error))
}

/// Asks the kernel to end this process with its creator. One that has ended before that is noticed at the gate.
fn tie_to_creator(entrance: &Entrance<'_>) -> Result<(), Failure> {
    if !entrance.dies_with_creator {
        return Ok(());
    }
    processes::die_with_parent(SIGKILL).map_err(|error| Failure::new("tie the container to its monitor", &error))
}

fn apply_all(entrance: &Entrance<'_>, steps: &[ProcessStep]) -> Result<(), Failure> {
    for step in steps {
        entrance.recorder.record(step);
        apply_told(entrance, step)?;
    }
    Ok(())
}

/// Tells steps that are then applied without a word, since their telling might be what the filter forbids.
fn record_all(entrance: &Entrance<'_>, steps: &[ProcessStep]) {
    steps.iter().for_each(|step| entrance.recorder.record(step));
}

fn apply_told(entrance: &Entrance<'_>, step: &ProcessStep) -> Result<(), Failure> {
    apply(entrance, step).map_err(|error| Failure::new(step.explain().what, &error))
}

fn apply(entrance: &Entrance<'_>, step: &ProcessStep) -> sys::Result<()> {
    match step {
        ProcessStep::Limit(limit) => set_limit(limit.resource, limit.limit),
        ProcessStep::Cwd(path) => sys::path::change_dir(path),
        ProcessStep::Bounding(set) => credentials::limit_bounding_set(*set),
        ProcessStep::User(user) => become_user(user),
        ProcessStep::Capabilities(plan) => set_capabilities(plan),
        ProcessStep::NoNewPrivileges => credentials::set_no_new_privileges(),
        ProcessStep::Personality(domain) => sys::scheduling::set_personality(*domain),
        ProcessStep::Seccomp(plan) => load_filter(entrance.own.agent.as_ref(), plan),
        ProcessStep::Label { file, text } => set_label(entrance.own.proc.as_ref(), file, text),
    }
}

/// A host that may not raise a limit (no CAP_SYS_RESOURCE) gets as much as it may: the hard limit that stands.
fn set_limit(resource: u32, wish: processes::ResourceLimit) -> sys::Result<()> {
    let Err(error) = processes::set_resource_limit(resource, wish) else { return Ok(()) };
    if error.errno() != sys::Errno::PERM {
        return Err(error);
    }
    let ceiling = processes::resource_limit(resource)?.hard;
    let at_most = |value: Option<u64>| match (value, ceiling) {
        (Some(value), Some(ceiling)) => Some(value.min(ceiling)),
        (value, ceiling) => value.or(ceiling),
    };
    let limit = processes::ResourceLimit { soft: at_most(wish.soft), hard: at_most(wish.hard) };
    tracing::warn!("this host may not raise limits (no CAP_SYS_RESOURCE): limit {resource} stays at {:?}", limit.hard);
    processes::set_resource_limit(resource, limit)
}

fn become_user(user: &UserPlan) -> sys::Result<()> {
    // Kept over the change of user, so that the sets of the plan can still be set.
    credentials::keep_capabilities(true)?;
    match credentials::set_groups(&user.groups) {
        // In a user namespace whose groups are locked (setgroups "deny"), there are none to be dropped.
        Err(error) if user.groups.is_empty() && error.errno() == sys::Errno::PERM => {}
        done => done?,
    }
    credentials::set_group(user.gid)?;
    credentials::set_user(user.uid)?;
    if let Some(umask) = user.umask {
        processes::set_umask(umask);
    }
    Ok(())
}

fn set_capabilities(plan: &CapabilityPlan) -> sys::Result<()> {
    // A host without one of the capabilities cannot give it away: what is not held is left out.
    let held = credentials::capabilities()?.permitted;
    let permitted = plan.permitted.intersection(held);
    credentials::set_capabilities(CapabilitySets {
        effective: plan.effective.intersection(permitted),
        permitted,
        // The kernel refuses what the bounding set does not hold.
        inheritable: plan.inheritable.intersection(held).intersection(plan.bounding),
    })?;
    credentials::keep_capabilities(false)?;
    credentials::set_ambient(plan.ambient.intersection(permitted).intersection(plan.bounding))
}

fn load_filter(agent: Option<&Agent>, plan: &SeccompPlan) -> sys::Result<()> {
    match (sys::seccomp::load(&plan.program, plan.flags)?, agent) {
        (Some(listener), Some(agent)) => agent.hand_over(&listener),
        _ => Ok(()),
    }
}

fn set_label(own: Option<&OwnProc>, file: &str, text: &str) -> sys::Result<()> {
    let missing = || sys::Error::new("open(\"/proc/self\")", sys::Errno::BADF);
    own.ok_or_else(missing)?.write(&format!("attr/{file}"), text)
}

/// A working directory outside the root would be a way out of it (CVE-2024-21626); the kernel shows one as unreachable.
fn check_cwd() -> Result<(), Failure> {
    let cwd = std::env::current_dir().unwrap_or_default();
    if cwd.is_absolute() {
        return Ok(());
    }
    let step = "go to the working directory";
    Err(Failure::told(step, FailureKind::Other, "it lies outside the container's root"))
}

/// The descriptors that become 0, 1 and 2.
enum Files<'f> {
    Keep,
    Given([BorrowedFd<'f>; 3]),
    Terminal(&'f OwnedFd),
}

fn connect<'e>(entrance: &'e Entrance<'_>) -> Result<Files<'e>, Failure> {
    let failed = |error: sys::Error| Failure::new("take the terminal", &error);
    match (&entrance.terminal, entrance.stdio) {
        (Some(terminal), _) => {
            sys::pty::take_control(terminal).map_err(failed)?;
            Ok(Files::Terminal(terminal))
        }
        (None, Some(files)) => {
            // So that a program without root can open /dev/stdout again.
            let user = &entrance.plan.user;
            if user.uid != 0 {
                files.iter().filter(|file| is_pipe(file)).for_each(|file| {
                    drop(sys::path::set_owner(file, Some(user.uid), None));
                });
            }
            Ok(Files::Given(files))
        }
        (None, None) => Ok(Files::Keep),
    }
}

/// What has a name on the host, such as /dev/null, is not ours to give away.
fn is_pipe(file: &BorrowedFd<'_>) -> bool {
    sys::path::file_type(file).is_ok_and(|kind| kind == sys::path::FileType::Fifo)
}

/// Everything that an exec passes on is put in order: descriptors, signals. Then the creator is told.
fn prepare_exec(entrance: &Entrance<'_>, files: Files<'_>) -> Result<(), Failure> {
    let failed = |error: sys::Error| Failure::new("prepare the exec", &error);
    let wanted = match files {
        Files::Keep => None,
        Files::Given(files) => Some(files),
        Files::Terminal(terminal) => Some([terminal.as_fd(); 3]),
    };
    connect_standard(wanted).map_err(failed)?;
    let first = 3 + RawFd::try_from(entrance.preserve_fds).unwrap_or(RawFd::MAX - 3);
    processes::close_on_exec_from(first).map_err(failed)?;
    signal::reset().map_err(failed)?;
    match entrance.channel.send(&FromInit::Executing, None) {
        // A creator that left the container at its gate listens no more.
        Err(error) if error.errno() == sys::Errno::PIPE => Ok(()),
        sent => sent.map_err(failed),
    }
}

fn connect_standard(wanted: Option<[BorrowedFd<'_>; 3]>) -> sys::Result<()> {
    let Some(files) = wanted else { return Ok(()) };
    if files.iter().any(|file| file.as_raw_fd() <= 2) {
        // One of them stands where another is to go.
        let [stdin, stdout, stderr] = files.map(processes::duplicate_above_standard);
        let moved = [stdin?, stdout?, stderr?];
        return connect_standard(Some(moved.each_ref().map(AsFd::as_fd)));
    }
    (0..).zip(files).try_for_each(|(target, file)| processes::duplicate_to(file, target))
}

/// The init's argv: its name, the program's path, the program's argv.
fn init_arguments(program: &CString, plan: &ProcessPlan) -> Vec<CString> {
    let name = CString::new(crate::reaper::NAME).unwrap_or_default();
    [name, program.clone()].into_iter().chain(plan.arguments.iter().cloned()).collect()
}

/// Finds the program as execvp(3) would, in the container's own PATH and root.
fn find_program(plan: &ProcessPlan) -> Result<CString, Failure> {
    let name = plan.arguments[0].as_c_str();
    if name.to_bytes().contains(&b'/') {
        return match check_program(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(kind) => Err(program_failure(name, kind)),
        };
    }
    let mut worst = FailureKind::NotFound;
    for directory in search_path(plan).split(|byte| *byte == b':') {
        // An empty entry is the working directory (POSIX, "Other Environment Variables", PATH).
        let directory = if directory.is_empty() { b"." } else { directory };
        let path = PathBuf::from(OsStr::from_bytes(directory)).join(OsStr::from_bytes(name.to_bytes()));
        let Ok(path) = CString::new(path.into_os_string().as_bytes()) else { continue };
        match check_program(&path) {
            Ok(()) => return Ok(path),
            Err(FailureKind::NotExecutable) => worst = FailureKind::NotExecutable,
            Err(_) => {}
        }
    }
    Err(program_failure(name, worst))
}

fn search_path(plan: &ProcessPlan) -> &[u8] {
    let path = plan.environment.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
    path.unwrap_or(b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

fn check_program(path: &CStr) -> Result<(), FailureKind> {
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let about = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => FailureKind::NotExecutable,
        _ => FailureKind::NotFound,
    })?;
    if about.is_file() && about.permissions().mode() & 0o111 != 0 { Ok(()) } else { Err(FailureKind::NotExecutable) }
}

fn program_failure(name: &CStr, kind: FailureKind) -> Failure {
    let name = name.to_string_lossy();
    let text = match (kind, name.contains('/')) {
        (FailureKind::NotFound, true) => "no such file or directory (ENOENT)",
        (FailureKind::NotFound, false) => "executable file not found in $PATH",
        _ => "permission denied: it is not an executable file (EACCES)",
    };
    Failure::told(format!("run {name:?}"), kind, text)
}

fn exec_failure(program: &CStr, error: &sys::Error) -> Failure {
    let kind = match error.errno() {
        // A script whose interpreter is missing ends here, after the file itself was found.
        sys::Errno::NOENT | sys::Errno::NOTDIR => FailureKind::NotFound,
        _ => FailureKind::NotExecutable,
    };
    Failure { kind, ..Failure::new(format!("run {:?}", program.to_string_lossy()), error) }
}

/// Tells the creator why nothing came of it, and ends the process.
pub(crate) fn fail(channel: &Channel, failure: Failure) -> ! {
    // Without a creator there is nobody to tell: after `create` has left, what goes wrong goes to stderr.
    if channel.send(&FromInit::Failed(failure.clone()), None).is_err() {
        let words = format!("conductor: {failure}: {}\n", failure.cause);
        let _ = sys::path::write_stderr(words.as_bytes());
    }
    processes::exit(match failure.kind {
        FailureKind::NotFound => 127,
        FailureKind::NotExecutable => 126,
        FailureKind::Other => 125,
    })
}
