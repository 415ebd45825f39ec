//! What a list says of one call: read from the top, one rule after the other, with no thought of cost.

#![allow(clippy::unwrap_used, reason = "called by tests alone, where a panic is the report")]

use oci::runtime::{Arch, LinuxSeccomp, LinuxSeccompArg, LinuxSeccompOperator as Operator, LinuxSyscall};

use super::Call;

const X86_64: u32 = Arch::ScmpArchX86_64 as u32;
const X32_BIT: u32 = 0x4000_0000;
const KILL_THREAD: u32 = 0;
const ENOSYS: u32 = 0x0005_0000 | 38;

/// How a name becomes a number on an architecture.
pub type Numbers<'a> = &'a dyn Fn(&str, Arch) -> Option<u32>;

/// A list as it reads on a machine: each name looked up once.
#[derive(Debug)]
pub struct Reading<'a> {
    native: Arch,
    default: u32,
    architectures: Vec<(Arch, Vec<Line<'a>>)>,
}

/// One name of one rule, on one architecture.
#[derive(Debug)]
struct Line<'a> {
    rule: &'a LinuxSyscall,
    number: Option<u32>,
    /// The call that leads to it among others, and the first argument that does.
    shared: Option<(u32, u64, u64)>,
}

impl<'a> Reading<'a> {
    /// Reads a list, on a kernel of the architecture `native`.
    pub fn new(list: &'a LinuxSeccomp, native: Arch, numbers: Numbers<'_>) -> Self {
        let listed = list.architectures().iter().flatten().copied().chain([native]);
        let listed = listed.map(|arch| if arch == Arch::ScmpArchNative { native } else { arch });
        let architectures = listed.map(|arch| (arch, lines(list, arch, numbers))).collect();
        Self { native, default: list.default_action().as_u32(list.default_errno_ret()), architectures }
    }

    /// Returns the filter's answer that the list asks for.
    pub fn expected(&self, call: &Call) -> u32 {
        let x32 = call.architecture == X86_64 && call.number >= X32_BIT;
        let listed = |wanted: u32| self.architectures.iter().find(|(arch, _)| *arch as u32 == wanted);
        let Some((arch, lines)) = listed(if x32 { Arch::ScmpArchX32 as u32 } else { call.architecture }) else {
            let skipped = x32 && call.number == u32::MAX && listed(X86_64).is_some();
            return if skipped { self.default } else { KILL_THREAD };
        };
        self.named(*arch, lines, call).unwrap_or_else(|| self.unnamed(*arch, lines, call))
    }

    /// Returns the architectures of the list, the native one among them.
    pub fn architectures(&self) -> impl Iterator<Item = Arch> + '_ {
        self.architectures.iter().map(|(arch, _)| *arch).chain([self.native])
    }

    /// Returns what the rules that name the call say, if one of them applies.
    fn named(&self, arch: Arch, lines: &[Line<'_>], call: &Call) -> Option<u32> {
        let mut first_match = None;
        let mut is_named = false;
        for line in lines {
            let action = line.rule.action().as_u32(line.rule.errno_ret());
            let arguments = line.rule.args().as_deref().unwrap_or_default();
            if action == self.default {
                continue;
            } else if line.number == Some(call.number) {
                is_named = true;
                if arguments.is_empty() {
                    return Some(action);
                }
                if applies(line.rule, arch, call) {
                    first_match.get_or_insert(action);
                }
            } else if let Some((entry, mask, subcall)) = line.shared {
                let allows = matches!(action, 0x7fff_0000 | 0x7ffc_0000);
                if entry == call.number && (arguments.is_empty() || !allows) {
                    is_named = true;
                    if call.arguments[0] & mask == subcall {
                        first_match.get_or_insert(action);
                    }
                }
            }
        }
        first_match.or(is_named.then_some(self.default))
    }

    /// Returns what becomes of a call that no rule names.
    fn unnamed(&self, arch: Arch, lines: &[Line<'_>], call: &Call) -> u32 {
        let permissive = matches!(self.default >> 16, 0x7fff | 0x7ffc | 0x7ff0);
        let private = |number: &u32| (0x000f_0000..X32_BIT).contains(number);
        let highest = lines.iter().filter_map(|line| line.number).filter(|number| !private(number)).max();
        let s390 = matches!(arch, Arch::ScmpArchS390 | Arch::ScmpArchS390x);
        match highest {
            Some(highest) if !permissive && (call.number > highest || s390 && call.number == 0) => ENOSYS,
            _ => self.default,
        }
    }
}

fn lines<'a>(list: &'a LinuxSeccomp, arch: Arch, numbers: Numbers<'_>) -> Vec<Line<'a>> {
    let named = list.syscalls().iter().flatten().flat_map(|rule| rule.names().iter().map(move |name| (rule, name)));
    let line = |(rule, name): (&'a LinuxSyscall, &String)| {
        let shared = shared(name, arch).and_then(|(entry, subcall)| {
            let mask = if entry == "ipc" { 0xffff } else { argument_mask(arch) };
            Some((numbers(entry, arch)?, mask, subcall))
        });
        Line { rule, number: numbers(name, arch), shared }
    };
    named.map(line).collect()
}

fn applies(rule: &LinuxSyscall, arch: Arch, call: &Call) -> bool {
    let arguments = rule.args().as_deref().unwrap_or_default();
    let repeated = (0..6).any(|index| arguments.iter().filter(|argument| argument.index() == index).count() > 1);
    let holds = |argument: &LinuxSeccompArg| holds(argument, arch, call);
    if repeated { arguments.iter().any(holds) } else { arguments.iter().all(holds) }
}

fn holds(argument: &LinuxSeccompArg, arch: Arch, call: &Call) -> bool {
    let width = argument_mask(arch);
    let actual = call.arguments[argument.index()] & width;
    let value = argument.value() & width;
    match argument.op() {
        Operator::ScmpCmpNe => actual != value,
        Operator::ScmpCmpLt => actual < value,
        Operator::ScmpCmpLe => actual <= value,
        Operator::ScmpCmpEq => actual == value,
        Operator::ScmpCmpGe => actual >= value,
        Operator::ScmpCmpGt => actual > value,
        Operator::ScmpCmpMaskedEq => actual & value == argument.value_two().unwrap_or(0) & width,
    }
}

/// Returns the bits of an argument that count.
fn argument_mask(arch: Arch) -> u64 {
    let narrow = matches!(arch, Arch::ScmpArchMips64n32 | Arch::ScmpArchMipsel64n32);
    if arch as u32 & 0x8000_0000 != 0 && !narrow { u64::MAX } else { 0xffff_ffff }
}

/// Returns how else a call is reached where one number stands for many: by which call, with which first argument.
fn shared(name: &str, arch: Arch) -> Option<(&'static str, u64)> {
    const SOCKETCALL: &str = "socket bind connect listen accept getsockname getpeername socketpair send recv sendto \
        recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";
    const IPC: &str = "semop=1 semget=2 semctl=3 semtimedop=4 msgsnd=11 msgrcv=12 msgget=13 msgctl=14 shmat=21 shmdt=22 \
        shmget=23 shmctl=24";
    match arch {
        Arch::ScmpArchX86
        | Arch::ScmpArchS390
        | Arch::ScmpArchS390x
        | Arch::ScmpArchPpc
        | Arch::ScmpArchPpc64
        | Arch::ScmpArchPpc64le
        | Arch::ScmpArchMips
        | Arch::ScmpArchMipsel => {}
        _ => return None,
    }
    let socket = (1..).zip(SOCKETCALL.split_whitespace()).find(|(_, known)| *known == name);
    let ipc = || IPC.split_whitespace().filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name);
    match socket {
        Some((subcall, _)) => Some(("socketcall", subcall)),
        None => ipc().map(|(_, subcall)| ("ipc", subcall.parse().unwrap())),
    }
}
