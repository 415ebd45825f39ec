//! Comparing a program with its list, and with libseccomp's program for the list, on all calls that could tell them apart.

#![allow(clippy::unwrap_used, reason = "called by tests alone, where a panic is the report")]

use oci::runtime::{Arch, LinuxSeccomp};
use sys::seccomp::Instruction;

use super::{Call, Listing, Numbers, Reading, assert_valid, interpret};

const ENOSYS: u32 = 0x0005_0026;
const X86_64: Arch = Arch::ScmpArchX86_64;

/// Compares what the program does with what the list says, for every number, on every architecture
/// of the list and on some that are not in it; calls that the list compares arguments of get all the edge values.
pub fn assert_agrees(list: &LinuxSeccomp, native: Arch, program: &[Instruction], number: Numbers<'_>) {
    assert_valid(program);
    let reading = Reading::new(list, native, number);
    let edges = edges(list);
    let compared: Vec<&str> = compared_names(list);
    let foreign = [X86_64, Arch::ScmpArchX32, Arch::ScmpArchArm, Arch::ScmpArchS390x];
    let mut architectures: Vec<Arch> = reading.architectures().collect();
    architectures.extend(foreign);
    architectures.sort_unstable_by_key(|arch| *arch as u32);
    architectures.dedup();
    for arch in architectures {
        let architecture = if arch == Arch::ScmpArchX32 { X86_64 as u32 } else { arch as u32 };
        let mut special: Vec<u32> = compared.iter().filter_map(|name| number(name, arch)).collect();
        special.extend(["socketcall", "ipc"].iter().filter_map(|name| number(name, arch)));
        for call_number in call_numbers(arch, number) {
            let call = Call { number: call_number, architecture, arguments: [0; 6] };
            assert_same(list, &reading, program, &call);
            if special.contains(&call_number) {
                for arguments in vectors(&edges) {
                    assert_same(list, &reading, program, &Call { arguments, ..call });
                }
            }
        }
    }
}

/// Compares what the program does with what the list says, for one call.
pub fn assert_same(list: &LinuxSeccomp, reading: &Reading<'_>, program: &[Instruction], call: &Call) {
    let (asked, given) = (reading.expected(call), interpret(program, call).action);
    assert!(
        asked == given,
        "{call:x?}: the list says {asked:#x}, the filter {given:#x}\n{}\n{}",
        serde_json::to_string_pretty(list).unwrap(),
        Listing(program)
    );
}

/// Compares both programs on every number of an x86_64 machine, and on the edge values of the arguments that are compared.
/// What libseccomp does not do is left out: answering ENOSYS beyond the highest number.
pub fn assert_same_as_libseccomp(
    list: &LinuxSeccomp,
    ours: &[Instruction],
    theirs: &[Instruction],
    number: Numbers<'_>,
) {
    let edges = edges(list);
    for arch in list.architectures().iter().flatten().copied().chain([X86_64, Arch::ScmpArchAarch64]) {
        let architecture = if arch == Arch::ScmpArchX32 { X86_64 as u32 } else { arch as u32 };
        let compared: Vec<u32> = compared_names(list).iter().filter_map(|name| number(name, arch)).collect();
        let plain = if arch == Arch::ScmpArchX32 { X86_64 } else { arch };
        let (own, x32) = (highest(list, plain, number), highest(list, Arch::ScmpArchX32, number));
        let newer = |call: &Call| {
            let highest = if architecture == X86_64 as u32 && call.number >= 1 << 30 { x32 } else { own };
            highest.is_some_and(|highest| call.number > highest)
        };
        let same = |call: &Call| {
            let (our, their) = (interpret(ours, call).action, interpret(theirs, call).action);
            assert!(
                our == their || our == ENOSYS && newer(call),
                "{call:x?}: {our:#x}, but libseccomp {their:#x}\n{}\n{}\n{}",
                serde_json::to_string_pretty(list).unwrap(),
                Listing(ours),
                Listing(theirs)
            );
        };
        for call_number in call_numbers(arch, number) {
            same(&Call { number: call_number, architecture, arguments: [0; 6] });
        }
        for call_number in compared {
            vectors(&edges).for_each(|arguments| same(&Call { number: call_number, architecture, arguments }));
        }
    }
}

/// Returns the highest number that the list names on an architecture.
fn highest(list: &LinuxSeccomp, arch: Arch, number: Numbers<'_>) -> Option<u32> {
    let named = list.syscalls().iter().flatten().flat_map(|rule| rule.names());
    named.filter_map(|name| number(name, arch)).filter(|number| !(0xf_0000..1 << 30).contains(number)).max()
}

/// Returns the numbers worth asking about: all that have a call on the architecture or could have one, and the ends.
fn call_numbers(arch: Arch, number: Numbers<'_>) -> impl Iterator<Item = u32> {
    let ends = [0x000f_0000..0x000f_0008, 0x3fff_fff0..0x4000_0010, 0x7fff_fff0..0x8000_0010, 0xffff_fff0..0xffff_ffff];
    let first = number("read", arch).unwrap_or_default() / 1000 * 1000;
    [0..1024, first..first + 1024].into_iter().chain(ends).flatten().chain([u32::MAX])
}

/// Returns the values that stand on both sides of each comparison of the list, in either half of the word.
fn edges(list: &LinuxSeccomp) -> Vec<u64> {
    let arguments = list.syscalls().iter().flatten().flat_map(|rule| rule.args().iter().flatten());
    let values = arguments.flat_map(|one| [one.value(), one.value_two().unwrap_or(0), one.value() ^ u64::MAX]);
    let around = |value: u64| {
        let steps = [0, 1, u64::MAX, 1 << 32, (1 << 32) - 1, u64::MAX << 32];
        steps.map(|step| value.wrapping_add(step)).into_iter().chain([value & 0xffff_ffff, value ^ (1 << 63)])
    };
    let mut all: Vec<u64> = values.flat_map(around).chain([0, 1, 2, 5, u64::MAX, 1 << 32]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn compared_names(list: &LinuxSeccomp) -> Vec<&str> {
    let rules = list.syscalls().iter().flatten().filter(|rule| rule.args().is_some());
    rules.flat_map(|rule| rule.names()).map(String::as_str).collect()
}

/// Returns argument vectors: each edge in each place, alone and among copies of itself and of the next edge.
fn vectors(edges: &[u64]) -> impl Iterator<Item = [u64; 6]> + '_ {
    edges.iter().zip(edges.iter().cycle().skip(1)).flat_map(|(&edge, &next)| {
        (0..6).flat_map(move |place| {
            [0, next].map(|others| {
                let mut arguments = [others; 6];
                arguments[place] = edge;
                arguments
            })
        })
    })
}
