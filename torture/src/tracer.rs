//! Follows a command and every process it starts, system call by system call (ptrace(2)), and lets calls fail.
//!
//! Processes are told apart by their role: `command`, `command.1` for its first child, `command.1.2` for the second child of
//! that one. A role survives execve(2), and is followed until it executes something that is not the program under test.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{PTRACE_EVENT_EXEC, PTRACE_EVENT_STOP, PTRACE_SYSCALL_INFO_ENTRY};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::context::{DEADLINE, Failure};

/// One system call that is about to be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    /// Who makes it.
    pub(crate) role: String,
    /// Its number.
    pub(crate) number: u64,
    /// The how manieth with this number in this role it is, from 0.
    pub(crate) index: usize,
    /// It reads or writes a pipe, a socket or the like, which have no disk behind them that could fail or be full.
    pub(crate) on_pipe: bool,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is made.
    Pass,
    /// It is not made, and returns this error.
    Fail(i32),
    /// It is not made: its process is killed.
    Kill,
}

/// How the first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Exited(i32),
    Killed(Signal),
    /// It did not, and was killed by us.
    Stuck,
}

/// How long nothing must happen before those that stay are let go.
const QUIET: Duration = Duration::from_millis(20);

/// How long after the command's end others are followed at most.
const LONGEST: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Tracee {
    role: String,
    calls: BTreeMap<u64, usize>,
    children: usize,
    failing: Option<i32>,
}

impl Tracee {
    fn new(role: String) -> Self {
        Self { role, calls: BTreeMap::new(), children: 0, failing: None }
    }
}

/// Follows processes until the first of them has ended and the rest is quiet.
pub(crate) struct Tracer<'a> {
    program: (u64, u64),
    root: Pid,
    tracees: BTreeMap<Pid, Tracee>,
    /// Children that stopped before their parent told of them.
    early: BTreeSet<Pid>,
    judge: &'a mut dyn FnMut(Call) -> Verdict,
}

fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
}

fn cannot(what: &str) -> impl FnOnce(Errno) -> Failure {
    move |error| Failure(format!("cannot {what}: {error}"))
}

impl<'a> Tracer<'a> {
    /// Takes hold of a process that waits before it executes the program, and of others that run already.
    pub(crate) fn seize(
        program: &Path,
        root: u32,
        others: &[(u32, String)],
        judge: &'a mut dyn FnMut(Call) -> Verdict,
    ) -> Result<Self, Failure> {
        let metadata = std::fs::metadata(program).map_err(|error| Failure(error.to_string()))?;
        let root = pid(root);
        let program = (metadata.dev(), metadata.ino());
        let mut tracer = Self { program, root, tracees: BTreeMap::new(), early: BTreeSet::new(), judge };
        ptrace::seize(root, options()).map_err(cannot("trace the command"))?;
        tracer.tracees.insert(root, Tracee::new("command".into()));
        for (other, role) in others {
            let other = pid(*other);
            // It may have ended meanwhile.
            if ptrace::seize(other, options()).and_then(|()| ptrace::interrupt(other)).is_ok() {
                tracer.tracees.insert(other, Tracee::new(role.clone()));
            }
        }
        Ok(tracer)
    }

    /// Follows until the end.
    pub(crate) fn follow(mut self) -> Result<End, Failure> {
        let mut end = None;
        let start = Instant::now();
        let mut last = start;
        let mut ended = start;
        while end.is_none() || (!self.tracees.is_empty() && last.elapsed() < QUIET && ended.elapsed() < LONGEST) {
            match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                Ok(WaitStatus::StillAlive) if end.is_none() && start.elapsed() > DEADLINE => {
                    kill(self.root, Signal::SIGKILL).map_err(cannot("kill the command"))?;
                    end = Some(End::Stuck);
                }
                Ok(WaitStatus::StillAlive) => rest(last),
                Err(Errno::ECHILD) => break,
                Err(error) => return Err(cannot("wait")(error)),
                Ok(status) => {
                    last = Instant::now();
                    if let Some(now) = self.take(status) {
                        end = end.or(Some(now));
                        ended = last;
                    }
                }
            }
        }
        self.let_go()?;
        end.ok_or_else(|| Failure("the command's end was not seen".into()))
    }

    /// Acts on what a process did; tells how the first one ended.
    fn take(&mut self, status: WaitStatus) -> Option<End> {
        let end = match status {
            WaitStatus::Exited(pid, code) => Some((pid, End::Exited(code))),
            WaitStatus::Signaled(pid, signal, _) => Some((pid, End::Killed(signal))),
            _ => None,
        };
        if let Some((pid, end)) = end {
            self.tracees.remove(&pid);
            self.early.remove(&pid);
            return (pid == self.root).then_some(end);
        }
        match status {
            WaitStatus::PtraceSyscall(pid) => self.call(pid),
            WaitStatus::PtraceEvent(pid, signal, event) => self.event(pid, signal, event),
            WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal)),
            _ => {}
        }
        None
    }

    fn call(&mut self, pid: Pid) {
        let Some(tracee) = self.tracees.get_mut(&pid) else { return go_on(pid, None) };
        // What cannot be asked has just been killed.
        let Ok(info) = ptrace::syscall_info(pid) else { return go_on(pid, None) };
        let Ok(mut registers) = ptrace::getregs(pid) else { return go_on(pid, None) };
        if info.op == PTRACE_SYSCALL_INFO_ENTRY {
            let number = registers.orig_rax;
            let index = tracee.calls.entry(number).or_default();
            let on_pipe = number <= 1 && is_pipe(pid, registers.rdi);
            let call = Call { role: tracee.role.clone(), number, index: *index, on_pipe };
            *index += 1;
            match (self.judge)(call) {
                Verdict::Pass => {}
                Verdict::Fail(errno) => {
                    tracee.failing = Some(errno);
                    // No call has this number: the kernel makes none.
                    registers.orig_rax = u64::MAX;
                    let _ = ptrace::setregs(pid, registers);
                }
                Verdict::Kill => drop(kill(pid, Signal::SIGKILL)),
            }
        } else if let Some(errno) = tracee.failing.take() {
            registers.rax = i64::from(-errno).cast_unsigned();
            let _ = ptrace::setregs(pid, registers);
        }
        go_on(pid, None);
    }

    fn event(&mut self, pid: Pid, signal: Signal, event: i32) {
        match event {
            PTRACE_EVENT_STOP if !self.tracees.contains_key(&pid) => {
                self.early.insert(pid);
                return;
            }
            // One that a signal has stopped stays so until it is continued.
            PTRACE_EVENT_STOP if signal != Signal::SIGTRAP => drop(kill(pid, Signal::SIGCONT)),
            PTRACE_EVENT_STOP => {}
            PTRACE_EVENT_EXEC => {
                let metadata = std::fs::metadata(format!("/proc/{pid}/exe"));
                if !metadata.is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.program) && pid != self.root
                {
                    self.tracees.remove(&pid);
                    let _ = ptrace::detach(pid, None);
                    return;
                }
            }
            _ => self.born(pid),
        }
        go_on(pid, None);
    }

    fn born(&mut self, parent: Pid) {
        let Ok(child) = ptrace::getevent(parent).and_then(|child| i32::try_from(child).map_err(|_| Errno::ERANGE))
        else {
            return;
        };
        let child = Pid::from_raw(child);
        let Some(tracee) = self.tracees.get_mut(&parent) else { return };
        tracee.children += 1;
        let role = format!("{}.{}", tracee.role, tracee.children);
        self.tracees.insert(child, Tracee::new(role));
        if self.early.remove(&child) {
            go_on(child, None);
        }
    }

    /// Lets all go that still live.
    fn let_go(&mut self) -> Result<(), Failure> {
        let mut left: BTreeSet<Pid> = self.tracees.keys().copied().collect();
        left.retain(|pid| ptrace::interrupt(*pid).is_ok());
        left.extend(std::mem::take(&mut self.early));
        let start = Instant::now();
        while !left.is_empty() {
            match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                // What stays stopped by us would be stuck by our own fault.
                Ok(WaitStatus::StillAlive) if start.elapsed() > DEADLINE => {
                    return Err(Failure(format!("{left:?} cannot be let go")));
                }
                Ok(WaitStatus::StillAlive) => rest(start),
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => drop(left.remove(&pid)),
                Ok(WaitStatus::Stopped(pid, signal)) => {
                    let _ = ptrace::detach(pid, signal);
                    left.remove(&pid);
                }
                Ok(status) => {
                    if let Some(pid) = status.pid() {
                        self.finish_failing(pid);
                        let _ = ptrace::detach(pid, None);
                        left.remove(&pid);
                    }
                }
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// A call that was to fail, and whose process is let go in the middle of it, fails all the same.
    fn finish_failing(&mut self, pid: Pid) {
        if let Some(errno) = self.tracees.get_mut(&pid).and_then(|tracee| tracee.failing.take())
            && let Ok(mut registers) = ptrace::getregs(pid)
        {
            registers.rax = i64::from(-errno).cast_unsigned();
            let _ = ptrace::setregs(pid, registers);
        }
    }
}

/// Tells whether a descriptor is none of a file's; read(2) and write(2) are the calls 0 and 1.
fn is_pipe(pid: Pid, descriptor: u64) -> bool {
    let target = std::fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap_or_default();
    !target.is_absolute()
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed())
}

/// Continues to the next system call; what cannot be continued has been killed, and tells so itself.
fn go_on(pid: Pid, signal: Option<Signal>) {
    let _ = ptrace::syscall(pid, signal);
}

/// Waits for news: busily at first, since the next call mostly comes at once.
fn rest(last: Instant) {
    match last.elapsed() < Duration::from_millis(2) {
        true => std::thread::yield_now(),
        false => std::thread::park_timeout(Duration::from_micros(100)),
    }
}
