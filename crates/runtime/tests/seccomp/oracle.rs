//! The compiler against libseccomp: both filters on the same calls.

use oci::runtime::LinuxSeccomp;
use runtime::plan::seccomp::{compile_for, names, number};
use serde_json::json;
use testkit::seccomp::libseccomp;

use crate::{X86_64, list};

/// Returns the names that libseccomp knows too.
pub(crate) fn common_names() -> Vec<&'static str> {
    let all: Vec<&str> = names().collect();
    let known = libseccomp::knows(&all);
    let common = all.into_iter().zip(known).filter(|(_, known)| *known).map(|(name, _)| name);
    // Two names of one call on 32-bit ARM, of which the library has one.
    common.filter(|name| !name.ends_with("sync_file_range") && *name != "sync_file_range2").collect()
}

/// Compiles the list and compares the program with libseccomp's.
pub(crate) fn assert_same_as_libseccomp(list: &LinuxSeccomp) {
    let ours = compile_for(list, X86_64).unwrap();
    testkit::seccomp::assert_same_as_libseccomp(list, &ours, &libseccomp::compile(list, true), &number);
}

#[test]
fn plain_lists_agree_on_all_architectures_of_the_machine() {
    let names = common_names();
    let every =
        |n: usize| names.iter().enumerate().filter(|(at, _)| at % n == 0).map(|(_, name)| *name).collect::<Vec<_>>();
    for (default, action) in [("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"), ("SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS")] {
        for n in [1, 2, 3, 7, 50] {
            assert_same_as_libseccomp(&list(json!({ "defaultAction": default,
                    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
                    "syscalls": [
                        { "names": every(n), "action": action },
                        { "names": every(n + 4), "action": "SCMP_ACT_TRAP" },
                    ] })));
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
            assert_same_as_libseccomp(&list(json!({ "defaultAction": "SCMP_ACT_ERRNO",
                    "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                    "syscalls": [
                        { "names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [argument(1)] },
                        { "names": ["prctl"], "action": "SCMP_ACT_TRAP", "args": [argument(0), argument(3)] },
                        { "names": ["fcntl"], "action": "SCMP_ACT_TRACE", "args": [argument(2), argument(2)] },
                    ] })));
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
        assert_same_as_libseccomp(&list(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })));
    }
}
