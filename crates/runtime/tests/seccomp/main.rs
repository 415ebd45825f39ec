//! The seccomp compiler against its list: every call number, every architecture, every action, and arguments on both
//! sides of every comparison; against a naive reading of the list and against libseccomp's own filter.

mod lists;
mod oracle;
mod random;
mod table;

use oci::runtime::{Arch, LinuxSeccomp};
use runtime::plan::seccomp::{compile_for, number};
use sys::seccomp::Instruction;
use testkit::seccomp::{Call, Listing, assert_valid, expected, interpret};

const X86_64: Arch = Arch::ScmpArchX86_64;

/// Every architecture that has numbers of its own.
pub(crate) const ARCHITECTURES: [Arch; 21] = [
    Arch::ScmpArchX86_64,
    Arch::ScmpArchX86,
    Arch::ScmpArchX32,
    Arch::ScmpArchAarch64,
    Arch::ScmpArchArm,
    Arch::ScmpArchRiscv64,
    Arch::ScmpArchLoongarch64,
    Arch::ScmpArchPpc,
    Arch::ScmpArchPpc64,
    Arch::ScmpArchPpc64le,
    Arch::ScmpArchS390,
    Arch::ScmpArchS390x,
    Arch::ScmpArchMips,
    Arch::ScmpArchMips64,
    Arch::ScmpArchMips64n32,
    Arch::ScmpArchMipsel,
    Arch::ScmpArchMipsel64,
    Arch::ScmpArchMipsel64n32,
    Arch::ScmpArchParisc,
    Arch::ScmpArchParisc64,
    Arch::ScmpArchM68k,
];

/// Reads a list written as JSON.
pub(crate) fn list(json: serde_json::Value) -> LinuxSeccomp {
    serde_json::from_value(json).expect("a list")
}

/// Returns the numbers worth asking about: all that have a call on the architecture or could have one, and the ends.
pub(crate) fn call_numbers(arch: Arch) -> impl Iterator<Item = u32> {
    let ends = [0x000f_0000..0x000f_0008, 0x3fff_fff0..0x4000_0010, 0x7fff_fff0..0x8000_0010, 0xffff_fff0..0xffff_ffff];
    let first = number("read", arch).unwrap_or_default() / 1000 * 1000;
    [0..1024, first..first + 1024].into_iter().chain(ends).flatten().chain([u32::MAX])
}

/// Returns the values that stand on both sides of each comparison of the list, in either half of the word.
pub(crate) fn edges(list: &LinuxSeccomp) -> Vec<u64> {
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

/// Compiles the list and compares what the program does with what the list says, for every number, on every architecture
/// of the list and on some that are not in it; calls that the list compares arguments of get all the edge values.
pub(crate) fn assert_agrees(list: &LinuxSeccomp, native: Arch) -> Vec<Instruction> {
    let program = compile_for(list, native).expect("the list compiles");
    assert_valid(&program);
    let edges = edges(list);
    let compared: Vec<&str> = compared_names(list);
    let foreign = [X86_64, Arch::ScmpArchX32, Arch::ScmpArchArm, Arch::ScmpArchS390x];
    let mut architectures: Vec<Arch> = list.architectures().iter().flatten().copied().chain([native]).collect();
    architectures.extend(foreign.iter().filter(|arch| !list.architectures().iter().flatten().any(|one| one == *arch)));
    for arch in architectures {
        let architecture = if arch == Arch::ScmpArchX32 { X86_64 as u32 } else { arch as u32 };
        let mut special: Vec<u32> = compared.iter().filter_map(|name| number(name, arch)).collect();
        special.extend(["socketcall", "ipc"].iter().filter_map(|name| number(name, arch)));
        for call_number in call_numbers(arch) {
            let call = Call { number: call_number, architecture, arguments: [0; 6] };
            assert_same(list, native, &program, &call);
            if special.contains(&call_number) {
                for arguments in vectors(&edges) {
                    assert_same(list, native, &program, &Call { arguments, ..call });
                }
            }
        }
    }
    program
}

fn compared_names(list: &LinuxSeccomp) -> Vec<&str> {
    let rules = list.syscalls().iter().flatten().filter(|rule| rule.args().is_some());
    rules.flat_map(|rule| rule.names()).map(String::as_str).collect()
}

/// Returns argument vectors: each edge in each place, alone and among copies of itself and of the next edge.
pub(crate) fn vectors(edges: &[u64]) -> impl Iterator<Item = [u64; 6]> + '_ {
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

fn assert_same(list: &LinuxSeccomp, native: Arch, program: &[Instruction], call: &Call) {
    let (asked, given) = (expected(list, native, &number, call), interpret(program, call).action);
    assert!(
        asked == given,
        "{call:x?}: the list says {asked:#x}, the filter {given:#x}\n{}\n{}",
        serde_json::to_string_pretty(list).expect("a list prints"),
        Listing(program)
    );
}
