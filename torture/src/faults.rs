//! Lets every system call of an operation fail once, and kills its process at every one once: of the command, of what it
//! forks, of the monitor and of the container's first process up to its program.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use syscalls::Sysno;

use crate::checks::Checks;
use crate::context::{Context, Failure, IMAGE};
use crate::leaks::{Leaks, processes};
use crate::report::{Findings, Kind};
use crate::seed::Random;
use crate::tracer::{Call, End, Tracer, Verdict};

/// The operations. `old` is a container that runs.
const OPERATIONS: &[&[&str]] = &[
    &["run", "-d", "--network", "none", "--name", "new", IMAGE, "sleep", "1000"],
    &["run", "--rm", "--network", "none", "--name", "new", IMAGE, "echo", "hello"],
    &["exec", "old", "echo", "hello"],
    &["stop", "--time", "0", "old"],
    &["rm", "-f", "old"],
];

/// The word that makes this program wait for a byte and then execute the rest of its words.
pub(crate) const LAUNCH: &str = "launch";

/// One call that goes wrong.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) operation: &'static [&'static str],
    call: Call,
    /// The error; `None` kills.
    pub(crate) errno: Option<Errno>,
}

/// Runs the experiment.
pub(crate) fn run(context: &Context) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    let mut faults = Vec::new();
    for operation in OPERATIONS.iter().filter(|operation| context.wants(operation)) {
        faults.extend(planned(context, operation, &mut findings)?);
    }
    let faults = chosen(context, faults, "faults", 120);
    for (round, fault) in faults.iter().enumerate() {
        one(context, round, fault, &mut findings)?;
        findings.rounds += 1;
        tell_progress("faults", &findings, faults.len());
    }
    Ok(findings)
}

/// Tells now and then how far an experiment is that takes an hour.
pub(crate) fn tell_progress(name: &str, findings: &Findings, all: usize) {
    if findings.rounds.is_multiple_of(500) {
        println!("{name}: {} of {all} done, {} struck", findings.rounds, findings.struck);
    }
}

/// Takes as many of the faults as are asked for, in an order that the seed chooses; all, where nothing is said, and `short` in the
/// short form.
pub(crate) fn chosen(context: &Context, mut faults: Vec<Fault>, name: &str, short: usize) -> Vec<Fault> {
    let all = faults.len();
    if let Some(wanted) = context.rounds.or(context.short.then_some(short)) {
        shuffle(&mut faults, context.seed);
        faults.truncate(wanted);
    }
    println!("{name}: {} of {all} planned", faults.len());
    faults
}

/// Lets an operation run once unharmed among containers, and plans both faults for each of its calls.
fn planned(
    context: &Context,
    operation: &'static [&'static str],
    findings: &mut Findings,
) -> Result<Vec<Fault>, Failure> {
    let mut checks = Checks { context, round: 0, findings };
    begin(&mut checks)?;
    let faults = faults_of(context, operation)?;
    checks.settle()?;
    Ok(faults)
}

/// Lets an operation run once unharmed, and plans both faults for each of its calls.
pub(crate) fn faults_of(context: &Context, operation: &'static [&'static str]) -> Result<Vec<Fault>, Failure> {
    let mut calls = Vec::new();
    let mut judge = |call| {
        calls.push(call);
        Verdict::Pass
    };
    let (end, output) = traced(context, operation, &mut judge)?;
    if end != End::Exited(0) {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Failure(format!("{} fails unharmed: {end:?}: {said}", operation.join(" "))));
    }
    let kills = calls.iter().map(|call| Fault { operation, call: call.clone(), errno: None });
    let errors =
        calls.iter().filter_map(|call| Some(Fault { operation, call: call.clone(), errno: Some(error_of(call)?) }));
    Ok(kills.chain(errors).collect())
}

fn shuffle(faults: &mut [Fault], seed: u64) {
    let mut random = Random::of_round(seed, 0);
    for last in (1..faults.len()).rev() {
        let other = usize::try_from(random.below(last as u64 + 1)).unwrap_or(0);
        faults.swap(last, other);
    }
}

fn one(context: &Context, round: usize, fault: &Fault, findings: &mut Findings) -> Result<(), Failure> {
    let before = Leaks::count(context);
    let mut checks = Checks { context, round, findings };
    begin(&mut checks)?;
    let what = told(fault);
    let (end, output) = struck(&mut checks, fault, &what)?;
    judge_answer(&mut checks, fault, end, &output, &what)?;
    checks.running()?;
    if fault.operation[0] != "rm" && !checks.names()?.iter().any(|name| name == "old") {
        checks.add(Kind::Lost, &format!("{what}: the record of another container is gone"));
    }
    checks.settle()?;
    checks.nothing_left(&before, &what);
    Ok(())
}

/// Carries out an operation of which one call goes wrong.
pub(crate) fn struck(checks: &mut Checks<'_>, fault: &Fault, what: &str) -> Result<(End, Output), Failure> {
    let mut struck = false;
    let mut judge = |call: Call| {
        if call != fault.call {
            return Verdict::Pass;
        }
        struck = true;
        fault.errno.map_or(Verdict::Kill, |errno| Verdict::Fail(errno as i32))
    };
    let (end, output) = traced(checks.context, fault.operation, &mut judge)?;
    checks.findings.struck += usize::from(struck);
    if checks.context.verbose {
        let (said, round) = (String::from_utf8_lossy(&output.stderr).into_owned(), checks.round);
        println!("round {round}: {what}: {}{end:?} {}", if struck { "" } else { "(not met) " }, said.trim());
    }
    Ok((end, output))
}

fn begin(checks: &mut Checks<'_>) -> Result<(), Failure> {
    let words = ["run", "-d", "--network", "none", "-v", "/data", "--name", "old", IMAGE, "sleep", "1000"];
    checks.succeed(&words).map(drop)
}

pub(crate) fn told(fault: &Fault) -> String {
    let Call { role, number, index, .. } = &fault.call;
    let name = name_of(*number);
    let how = fault.errno.map_or("killed".to_owned(), |errno| format!("{errno:?}"));
    format!("{}: {name} {index} of {role}: {how}", fault.operation.join(" "))
}

/// Makes sure that what the command said of its success is true, and that it said something of its failure.
fn judge_answer(checks: &mut Checks<'_>, fault: &Fault, end: End, output: &Output, what: &str) -> Result<(), Failure> {
    if !tells_success(checks, fault, end, output, what) {
        return Ok(());
    }
    let wrong = match fault.operation {
        ["run", "-d", ..] if fault.errno.is_some() => {
            (!running(checks)?.iter().any(|name| name == "new") && !has_told_end(checks)?).then_some("it does not run")
        }
        ["run", ..] | ["exec", ..] if fault.errno.is_some() => {
            (output.stdout != b"hello\n").then_some("its output is not there")
        }
        ["stop", ..] | ["rm", ..] => running(checks)?.iter().any(|name| name == "old").then_some("it still runs"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        checks.add(Kind::Lie, &format!("{what}: success is told, and {wrong}"));
    }
    Ok(())
}

/// Tells whether a command said that it succeeded, and makes sure that it did not fail without a word, hang or panic.
pub(crate) fn tells_success(checks: &mut Checks<'_>, fault: &Fault, end: End, output: &Output, what: &str) -> bool {
    let err = String::from_utf8_lossy(&output.stderr);
    match end {
        End::Stuck => checks.add(Kind::Stuck, what),
        End::Killed(_) if fault.errno.is_none() => {}
        // The Rust runtime ends a process whose guard page it cannot make, before anything of ours runs.
        End::Killed(Signal::SIGABRT) if err.contains("stack_overflow.rs") => {}
        End::Killed(signal) => checks.add(Kind::Lie, &format!("{what}: died of {signal}: {}", err.trim())),
        _ if err.contains("panicked at") => checks.add(Kind::Lie, &format!("{what}: {}", err.trim())),
        End::Exited(0) => return true,
        End::Exited(code) if err.trim().is_empty() && fault.errno.is_some() => {
            checks.add(Kind::Lie, &format!("{what}: exit {code} without a word"));
        }
        End::Exited(_) => {}
    }
    false
}

/// Tells whether the new container is on record as ended, with a reason: its monitor failed after its program had begun to run.
fn has_told_end(checks: &mut Checks<'_>) -> Result<bool, Failure> {
    let output = checks.succeed(&["inspect", "-f", "{{.State.Status}}: {{.State.Error}}", "new"])?;
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    Ok(text.trim().strip_prefix("exited: ").is_some_and(|reason| !reason.is_empty()))
}

fn running(checks: &mut Checks<'_>) -> Result<Vec<String>, Failure> {
    let output = checks.succeed(&["ps", "--format", "{{.Names}}"])?;
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// Runs an operation under the tracer, with the monitors that run already.
fn traced(context: &Context, words: &[&str], judge: &mut dyn FnMut(Call) -> Verdict) -> Result<(End, Output), Failure> {
    let cannot = |error: std::io::Error| Failure(format!("cannot run {}: {error}", words.join(" ")));
    let inner = context.command(words);
    let own = std::env::current_exe().map_err(cannot)?;
    let mut command = Command::new(own);
    command.arg(LAUNCH).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let files = context.answer_files();
    command.stdin(Stdio::piped());
    command.stdout(files.create("out").map_err(cannot)?).stderr(files.create("err").map_err(cannot)?);
    // A monitor that only happens to run has no part in an operation on images.
    let followed = |told: &str| OPERATIONS.contains(&words) && told.contains(" monitor ");
    let monitors: Vec<(u32, String)> = processes(context)
        .into_iter()
        .filter(|(_, told)| followed(told))
        .enumerate()
        .map(|(number, (pid, _))| (pid, format!("monitor{number}")))
        .collect();
    let mut child = command.spawn().map_err(cannot)?;
    let tracer = Tracer::seize(&context.program, child.id(), &monitors, judge)?;
    // It goes on from here, with its standard input at its end.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(b"!").map_err(cannot)?;
    }
    let end = tracer.follow()?;
    let output =
        Output { status: std::process::ExitStatus::default(), stdout: files.read("out"), stderr: files.read("err") };
    Ok((end, output))
}

/// Waits until the tracer has hold of this process, and becomes the program under test.
pub(crate) fn launch(words: &[String]) -> Result<bool, Failure> {
    use std::io::Read as _;
    use std::os::unix::process::CommandExt as _;
    let mut byte = [0];
    std::io::stdin().read_exact(&mut byte).map_err(|error| Failure(error.to_string()))?;
    let (program, words) = words.split_first().ok_or_else(|| Failure("nothing to launch".into()))?;
    Err(Failure(Command::new(program).args(words).exec().to_string()))
}

fn name_of(number: u64) -> String {
    usize::try_from(number)
        .ok()
        .and_then(Sysno::new)
        .map_or_else(|| format!("call {number}"), |call| call.name().to_owned())
}

/// Chooses an error that the call really has; `None` for calls that fail by a wrong argument alone (their man pages list no
/// other error), or never.
fn error_of(call: &Call) -> Option<Errno> {
    let number = usize::try_from(call.number).ok().and_then(Sysno::new)?;
    if call.on_pipe {
        return None;
    }
    Some(match number {
        Sysno::exit | Sysno::exit_group | Sysno::rt_sigreturn | Sysno::restart_syscall => return None,
        Sysno::getpid | Sysno::gettid | Sysno::getppid | Sysno::getuid | Sysno::geteuid | Sysno::getgid => return None,
        Sysno::getegid | Sysno::umask | Sysno::sched_yield | Sysno::set_tid_address | Sysno::setsid => return None,
        Sysno::rt_sigprocmask | Sysno::rt_sigaction | Sysno::sigaltstack | Sysno::arch_prctl => return None,
        Sysno::set_robust_list | Sysno::rseq | Sysno::futex | Sysno::clock_gettime | Sysno::sched_getaffinity => {
            return None;
        }
        Sysno::close | Sysno::close_range | Sysno::munmap | Sysno::madvise | Sysno::lseek => return None,
        Sysno::epoll_wait | Sysno::epoll_pwait | Sysno::wait4 | Sysno::waitid | Sysno::clock_nanosleep => return None,
        Sysno::getrandom
        | Sysno::brk
        | Sysno::prlimit64
        | Sysno::uname
        | Sysno::getcwd
        | Sysno::fcntl
        | Sysno::poll => return None,
        Sysno::mmap | Sysno::mprotect | Sysno::mremap | Sysno::clone | Sysno::clone3 => Errno::ENOMEM,
        Sysno::fork | Sysno::vfork | Sysno::epoll_ctl | Sysno::fstat | Sysno::statx | Sysno::newfstatat => {
            Errno::ENOMEM
        }
        Sysno::openat | Sysno::openat2 | Sysno::open | Sysno::pipe2 | Sysno::socket | Sysno::socketpair => {
            Errno::EMFILE
        }
        Sysno::connect => Errno::ECONNREFUSED,
        Sysno::sendto | Sysno::sendmsg | Sysno::recvfrom | Sysno::recvmsg => Errno::ECONNRESET,
        Sysno::accept4 | Sysno::epoll_create1 | Sysno::eventfd2 | Sysno::signalfd4 | Sysno::memfd_create => {
            Errno::EMFILE
        }
        Sysno::timerfd_create | Sysno::pidfd_open | Sysno::dup | Sysno::dup3 | Sysno::open_tree | Sysno::fsopen => {
            Errno::EMFILE
        }
        Sysno::write | Sysno::pwrite64 | Sysno::writev | Sysno::ftruncate | Sysno::fallocate => Errno::ENOSPC,
        Sysno::mkdir | Sysno::mkdirat | Sysno::rename | Sysno::renameat | Sysno::renameat2 | Sysno::link => {
            Errno::ENOSPC
        }
        Sysno::symlink | Sysno::symlinkat | Sysno::linkat | Sysno::mknodat | Sysno::mknod => Errno::ENOSPC,
        Sysno::read | Sysno::pread64 | Sysno::readlink | Sysno::readlinkat | Sysno::getdents64 => Errno::EIO,
        Sysno::fsync | Sysno::fdatasync | Sysno::syncfs | Sysno::unlink | Sysno::unlinkat | Sysno::rmdir => Errno::EIO,
        _ => Errno::EPERM,
    })
}
