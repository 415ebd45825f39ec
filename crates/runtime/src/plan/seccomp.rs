//! The seccomp compiler: from the list in a container's specification to the program that the kernel runs on every call.
//!
//! [`compile`] is pure. It reads the list (`rules`), gives each call of each architecture its outcome and joins neighbours
//! with the same outcome to ranges (`calls`), and writes a balanced search over the ranges (`graph`, `assemble`), so that
//! a call costs few instructions. It agrees with runc, and with libseccomp below it, on all that a list can mean:
//!
//! - The native architecture is always part of the list. A call of an architecture that is not in the list kills the
//!   thread, whatever the default; so do x32 calls where only x86_64 is listed.
//! - Names that no architecture has, or not this one, are skipped. A rule that does what the default does is skipped.
//! - A rule without arguments wins over rules with arguments for the same call, wherever they stand; of several without,
//!   the first wins. Of several rules with arguments the first that matches wins (where such rules overlap and disagree,
//!   libseccomp's own answer depends on its inner order).
//! - Arguments are compared in 64 bits; on 32-bit architectures, x32 included, by their low words.
//! - Where the default is to refuse, calls with a number above the highest that the list names get ENOSYS in place of
//!   the default: they are newer than the list, and programs know how to do without a call that does not exist. On s390
//!   so does number 0, where the kernel leaves calls that it does not know.
//! - Where `socketcall` and `ipc` lead to calls that have a name of their own, a rule for the name holds for both ways.
//!   The arguments lie in memory there and cannot be compared, so a rule that allows a call by its arguments does not
//!   allow it that way, and one that refuses refuses it whatever the arguments (libseccomp would allow the first).

mod architecture;
mod assemble;
mod calls;
mod graph;
mod rules;
mod table;

use oci::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};
use sys::seccomp::{Flags, Instruction, MAX_INSTRUCTIONS};

pub use architecture::native;
pub use rules::{names, number};

use architecture::Architecture;
use graph::{ARCHITECTURE, Graph, Test};
use rules::{KILL_THREAD, Rules};

/// Why a list cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// A value stands beside an action that takes none.
    #[error("seccomp action {action} takes no errno, but the list gives {errno}")]
    UnexpectedErrno {
        /// The action.
        action: String,
        /// The value.
        errno: u32,
    },
    /// The value does not fit the kernel's 16 bits.
    #[error("seccomp errno {errno} is above 65535")]
    ErrnoTooLarge {
        /// The value.
        errno: u32,
    },
    /// Calls have six arguments.
    #[error("seccomp rule compares argument {index}, but the last argument is 5")]
    NoSuchArgument {
        /// The argument's index.
        index: usize,
    },
    /// The runtime itself could not go on: it hands the listener over under the filter.
    #[error("seccomp action SCMP_ACT_NOTIFY cannot be {place}: the listener could not be handed over")]
    NotifyOnTheWay {
        /// Where the action stands.
        place: &'static str,
    },
    /// The kernel takes no longer program.
    #[error("seccomp list is too long: it needs more than {MAX_INSTRUCTIONS} instructions")]
    TooLong,
}

/// Returns the program for a list, on the architecture that this program was built for.
pub fn compile(list: &LinuxSeccomp) -> Result<Vec<Instruction>, CompileError> {
    compile_for(list, native())
}

/// Returns the program for a list, on a kernel whose own architecture is `native`.
pub fn compile_for(list: &LinuxSeccomp, native: Arch) -> Result<Vec<Instruction>, CompileError> {
    check_notify(list)?;
    let rules = Rules::read(list)?;
    let architectures = architectures(list, native);
    // Copying tests in order to save some of them makes the program longer; a list that is then too long does without.
    program(&rules, &architectures, 64).or_else(|error| match error {
        CompileError::TooLong => program(&rules, &architectures, 0),
        other => Err(other),
    })
}

/// Returns the flags that the list asks for; a list that does not speak of flags leaves speculation alone, as in runc.
pub fn flags(list: &LinuxSeccomp) -> Flags {
    let flag = |flag: &LinuxSeccompFilterFlag| match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => Flags::LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => Flags::TSYNC,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => Flags::SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => Flags::WAIT_KILLABLE_RECV,
    };
    let asked = match list.flags() {
        Some(flags) => flags.iter().map(flag).fold(Flags::default(), |all, flag| all | flag),
        None => Flags::SPEC_ALLOW,
    };
    let notifies = list.syscalls().iter().flatten().any(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify);
    if notifies { asked | Flags::NEW_LISTENER } else { asked }
}

/// Refuses lists under which the runtime would wait for an agent that it has not yet told of the container.
fn check_notify(list: &LinuxSeccomp) -> Result<(), CompileError> {
    if list.default_action() == LinuxSeccompAction::ScmpActNotify {
        return Err(CompileError::NotifyOnTheWay { place: "the default action" });
    }
    let mut notifying =
        list.syscalls().iter().flatten().filter(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify);
    match notifying.any(|rule| rule.names().iter().any(|name| name == "write")) {
        true => Err(CompileError::NotifyOnTheWay { place: "used for write" }),
        false => Ok(()),
    }
}

/// Returns the architectures of the list, each once, the native one first: its calls are the many.
fn architectures(list: &LinuxSeccomp, native: Arch) -> Vec<Architecture> {
    let mut all = vec![Architecture::of(native, native)];
    for &arch in list.architectures().iter().flatten() {
        let architecture = Architecture::of(arch, native);
        if !all.contains(&architecture) {
            all.push(architecture);
        }
    }
    all
}

/// Returns the program: which architecture, which call, which arguments.
fn program(rules: &Rules, architectures: &[Architecture], reach: u32) -> Result<Vec<Instruction>, CompileError> {
    let mut graph = Graph::new(reach);
    let mut root = graph.end(KILL_THREAD);
    // From the last to the first, so that the first, whose calls are the many, is asked for first.
    for (index, architecture) in architectures.iter().enumerate().rev() {
        let audit = architecture.audit;
        if architectures[..index].iter().any(|earlier| earlier.audit == audit) {
            continue;
        }
        let calls = calls::plan(&mut graph, rules, architectures, audit)?;
        root = graph.ask(ARCHITECTURE, Test::Equal(audit), calls, root);
    }
    assemble::assemble(&graph, root)
}
