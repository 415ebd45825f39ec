//! The compiler against libseccomp: both filters on the same calls.

use oci::runtime::{Arch, LinuxSeccomp};
use runtime::plan::seccomp::{compile_for, names, number};
use serde_json::json;
use sys::seccomp::Instruction;
use testkit::seccomp::{Call, Listing, interpret, libseccomp};

use crate::{X86_64, call_numbers, edges, list, vectors};

/// Returns the names that libseccomp knows too.
pub(crate) fn common_names() -> Vec<&'static str> {
    let all: Vec<&str> = names().collect();
    let known = libseccomp::knows(&all);
    let common = all.into_iter().zip(known).filter(|(_, known)| *known).map(|(name, _)| name);
    // Two names of one call on 32-bit ARM, of which the library has one.
    common.filter(|name| !name.ends_with("sync_file_range") && *name != "sync_file_range2").collect()
}

/// Compares both filters on every number, and on the argument vectors for the given calls. What libseccomp does not do
/// is left out: answering ENOSYS beyond the highest number (`newer`).
pub(crate) fn assert_same_as_libseccomp(
    list: &LinuxSeccomp,
    compared: &[&str],
) -> (Vec<Instruction>, Vec<Instruction>) {
    let (ours, theirs) = (compile_for(list, X86_64).unwrap(), libseccomp::compile(list, true));
    let edges = edges(list);
    for arch in list.architectures().iter().flatten().copied().chain([X86_64, Arch::ScmpArchAarch64]) {
        let architecture = if arch == Arch::ScmpArchX32 { X86_64 as u32 } else { arch as u32 };
        let compared: Vec<u32> = compared.iter().filter_map(|name| number(name, arch)).collect();
        let same = |call: &Call| {
            let (our, their) = (interpret(&ours, call).action, interpret(&theirs, call).action);
            assert!(
                our == their || newer(list, arch, call, our),
                "{call:x?}: {our:#x}, but libseccomp {their:#x}\n{}\n{}\n{}",
                serde_json::to_string_pretty(list).unwrap(),
                Listing(&ours),
                Listing(&theirs)
            );
        };
        for number in call_numbers(arch) {
            same(&Call { number, architecture, arguments: [0; 6] });
        }
        for number in compared {
            vectors(&edges).for_each(|arguments| same(&Call { number, architecture, arguments }));
        }
    }
    (ours, theirs)
}

fn newer(list: &LinuxSeccomp, arch: Arch, call: &Call, answer: u32) -> bool {
    let arch = match arch {
        X86_64 | Arch::ScmpArchX32 if call.number >= 1 << 30 => Arch::ScmpArchX32,
        Arch::ScmpArchX32 => X86_64,
        other => other,
    };
    let named = list.syscalls().iter().flatten().flat_map(|rule| rule.names());
    let highest =
        named.filter_map(|name| number(name, arch)).filter(|number| !(0xf_0000..1 << 30).contains(number)).max();
    answer == 0x5_0026 && highest.is_some_and(|highest| call.number > highest)
}

#[test]
fn plain_lists_agree_on_all_architectures_of_the_machine() {
    let names = common_names();
    let every =
        |n: usize| names.iter().enumerate().filter(|(at, _)| at % n == 0).map(|(_, name)| *name).collect::<Vec<_>>();
    for (default, action) in [("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"), ("SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS")] {
        for n in [1, 2, 3, 7, 50] {
            assert_same_as_libseccomp(
                &list(json!({ "defaultAction": default,
                    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
                    "syscalls": [
                        { "names": every(n), "action": action },
                        { "names": every(n + 4), "action": "SCMP_ACT_TRAP" },
                    ] })),
                &[],
            );
        }
    }
}

#[test]
fn every_operator_agrees_in_both_halves_of_an_argument() {
    for op in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] {
        for value in [0_u64, 7, 0xffff_ffff, 0x1_0000_0000, 0x5_0000_0007, u64::MAX] {
            let argument = |index: usize| {
                json!({ "index": index, "value": value, "valueTwo": value & 0x5_0000_0005,
                "op": format!("SCMP_CMP_{op}") })
            };
            assert_same_as_libseccomp(
                &list(json!({ "defaultAction": "SCMP_ACT_ERRNO",
                    "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                    "syscalls": [
                        { "names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [argument(1)] },
                        { "names": ["prctl"], "action": "SCMP_ACT_TRAP", "args": [argument(0), argument(3)] },
                        { "names": ["fcntl"], "action": "SCMP_ACT_TRACE", "args": [argument(2), argument(2)] },
                    ] })),
                &["ioctl", "prctl", "fcntl"],
            );
        }
    }
}

#[test]
fn rules_without_arguments_win_in_libseccomp_too() {
    let argument = json!([{ "index": 0, "value": 8, "op": "SCMP_CMP_EQ" }]);
    let rules = [
        json!({ "names": ["personality"], "action": "SCMP_ACT_TRAP", "args": argument }),
        json!({ "names": ["personality"], "action": "SCMP_ACT_ALLOW" }),
        json!({ "names": ["personality"], "action": "SCMP_ACT_LOG" }),
    ];
    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0], [1, 2, 0]] {
        let rules = order.map(|at| rules[at].clone());
        assert_same_as_libseccomp(
            &list(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })),
            &["personality"],
        );
    }
}
