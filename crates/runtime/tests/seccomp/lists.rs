//! Lists with a catch, each in full.

use oci::runtime::{Arch, LinuxSeccomp};
use runtime::plan::seccomp::{CompileError, compile, compile_for, flags, native, number};
use serde_json::json;
use sys::seccomp::Flags;
use testkit::seccomp::{Call, interpret};

use crate::{ARCHITECTURES, X86_64, assert_agrees, list};

const ALLOW: u32 = 0x7fff_0000;

fn x86_64(list: &LinuxSeccomp, name: &str, arguments: [u64; 6]) -> u32 {
    let program = compile_for(list, X86_64).unwrap();
    let call = Call { number: number(name, X86_64).unwrap(), architecture: X86_64 as u32, arguments };
    interpret(&program, &call).action
}

#[test]
fn every_action_is_returned_with_its_data_on_every_architecture() {
    let list = list(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13,
        "architectures": ARCHITECTURES,
        "syscalls": [
            { "names": ["read", "close"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["write"], "action": "SCMP_ACT_LOG" },
            { "names": ["mount"], "action": "SCMP_ACT_KILL" },
            { "names": ["umount2"], "action": "SCMP_ACT_KILL_THREAD" },
            { "names": ["reboot"], "action": "SCMP_ACT_KILL_PROCESS" },
            { "names": ["ptrace"], "action": "SCMP_ACT_TRAP" },
            { "names": ["openat"], "action": "SCMP_ACT_TRACE", "errnoRet": 77 },
            { "names": ["unlinkat"], "action": "SCMP_ACT_TRACE" },
            { "names": ["mkdirat"], "action": "SCMP_ACT_NOTIFY" },
            { "names": ["bpf"], "action": "SCMP_ACT_ERRNO" },
            { "names": ["keyctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99 },
        ]
    }));
    for native in [X86_64, Arch::ScmpArchAarch64, Arch::ScmpArchS390x] {
        assert_agrees(&list, native);
    }
    let actions = ["write", "mount", "reboot", "ptrace", "openat", "unlinkat", "mkdirat", "bpf", "keyctl", "chroot"];
    let given = actions.map(|name| x86_64(&list, name, [0; 6]));
    let asked =
        [0x7ffc_0000, 0, 0x8000_0000, 0x0003_0000, 0x7ff0_004d, 0x7ff0_0001, 0x7fc0_0000, 0x5_0001, 0x5_0063, 0x5_000d];
    assert_eq!(given, asked);
}

#[test]
fn every_comparison_holds_on_64_bits_and_several_together() {
    for op in ["NE", "LT", "LE", "EQ", "GE", "GT"] {
        for value in [0_u64, 1, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 0x7fff_ffff_ffff_ffff, u64::MAX] {
            let op = format!("SCMP_CMP_{op}");
            assert_agrees(
                &list(json!({
                    "defaultAction": "SCMP_ACT_KILL_PROCESS",
                    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_S390X", "SCMP_ARCH_PPC"],
                    "syscalls": [
                        { "names": ["ioctl", "prctl"], "action": "SCMP_ACT_ALLOW", "args": [
                            { "index": 1, "value": value, "op": op },
                            { "index": 5, "value": 5, "op": "SCMP_CMP_LE" },
                        ] },
                        { "names": ["prctl", "fcntl"], "action": "SCMP_ACT_ERRNO", "args": [
                            { "index": 2, "value": value, "op": op },
                        ] },
                    ]
                })),
                X86_64,
            );
        }
    }
}

#[test]
fn masks_are_compared_in_both_halves() {
    for (mask, value) in [
        (0x7e02_0000_u64, 0_u64),
        (0x4000, 0x4000),
        (u64::MAX, 7),
        (0xff00_0000_00ff, 0x1200_0000_0034),
        (3 << 31, 1 << 31),
    ] {
        assert_agrees(
            &list(json!({
                "defaultAction": "SCMP_ACT_ERRNO",
                "architectures": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_S390X", "SCMP_ARCH_MIPS"],
                "syscalls": [{ "names": ["clone", "openat"], "action": "SCMP_ACT_ALLOW", "args": [
                    { "index": 0, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" },
                ] }]
            })),
            Arch::ScmpArchAarch64,
        );
    }
}

#[test]
fn a_rule_without_arguments_wins_wherever_it_stands_and_the_first_of_several() {
    let always = json!({ "names": ["personality"], "action": "SCMP_ACT_ALLOW" });
    let sometimes = json!({ "names": ["personality"], "action": "SCMP_ACT_TRAP",
        "args": [{ "index": 0, "value": 8, "op": "SCMP_CMP_EQ" }] });
    let later = json!({ "names": ["personality"], "action": "SCMP_ACT_LOG" });
    for rules in [json!([always, sometimes, later]), json!([sometimes, always, later])] {
        let list = list(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules }));
        assert_agrees(&list, X86_64);
        assert_eq!(x86_64(&list, "personality", [8; 6]), ALLOW);
    }
}

#[test]
fn of_rules_with_arguments_the_first_that_matches_wins() {
    let list = list(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "names": ["personality"], "action": "SCMP_ACT_TRAP", "args": [{ "index": 0, "value": 8, "op": "SCMP_CMP_EQ" }] },
        { "names": ["personality"], "action": "SCMP_ACT_LOG", "args": [{ "index": 0, "value": 4, "op": "SCMP_CMP_GE" }] },
        { "names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 0, "value": 0, "op": "SCMP_CMP_GE" }] },
    ] }));
    assert_agrees(&list, X86_64);
    let given = [8, 9, 3].map(|value| x86_64(&list, "personality", [value; 6]));
    assert_eq!(given, [0x0003_0000, 0x7ffc_0000, ALLOW]);
}

#[test]
fn comparisons_of_one_argument_in_one_rule_are_alternatives() {
    let list = list(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
            { "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }, { "index": 0, "value": 2, "op": "SCMP_CMP_EQ" },
        ] },
    ] }));
    assert_agrees(&list, X86_64);
    assert_eq!([1, 2, 3].map(|family| x86_64(&list, "socket", [family, 0, 0, 0, 0, 0])), [ALLOW, ALLOW, 0x5_0001]);
}

#[test]
fn a_rule_that_does_what_the_default_does_hides_no_other() {
    let list = list(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 },
        { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] },
    ] }));
    assert_agrees(&list, X86_64);
    assert_eq!(x86_64(&list, "socket", [1; 6]), ALLOW);
}

#[test]
fn calls_newer_than_the_list_fail_with_enosys_where_the_default_refuses() {
    let refusing = |action: &str| {
        list(json!({ "defaultAction": action, "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_S390"],
            "syscalls": [{ "names": ["read", "openat2", "no_such_call", "arch_prctl"], "action": "SCMP_ACT_ALLOW" }] }))
    };
    for (action, older, newer) in [
        ("SCMP_ACT_ERRNO", 0x5_0001, 0x5_0026),
        ("SCMP_ACT_KILL_PROCESS", 0x8000_0000, 0x5_0026),
        ("SCMP_ACT_LOG", 0x7ffc_0000, 0x7ffc_0000),
    ] {
        let list = refusing(action);
        assert_agrees(&list, X86_64);
        assert_eq!(x86_64(&list, "close_range", [0; 6]), older, "{action}");
        assert_eq!(x86_64(&list, "faccessat2", [0; 6]), newer, "{action}");
    }
}

#[test]
fn x32_calls_kill_where_only_x86_64_is_listed_but_a_call_skipped_by_a_tracer_does_not() {
    let list = list(json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{ "names": ["mount"], "action": "SCMP_ACT_ERRNO" }] }));
    let program = assert_agrees(&list, X86_64);
    let action = |number| interpret(&program, &Call { number, architecture: X86_64 as u32, arguments: [0; 6] }).action;
    assert_eq!([0x4000_0000, 0xffff_fffe, u32::MAX].map(action), [0, 0, ALLOW]);
}

#[test]
fn an_empty_list_and_one_without_known_names_give_the_default_alone() {
    for rules in [json!([]), json!([{ "names": ["no_such_call"], "action": "SCMP_ACT_ALLOW" }])] {
        let list = list(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules }));
        assert_agrees(&list, Arch::ScmpArchAarch64);
    }
    assert_agrees(&list(json!({ "defaultAction": "SCMP_ACT_ALLOW" })), X86_64);
}

#[test]
fn calls_behind_socketcall_and_ipc_follow_the_rules_for_their_names() {
    let list = list(json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_S390X"],
        "syscalls": [
            { "names": ["bind", "shmat", "semop"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["listen"], "action": "SCMP_ACT_TRAP", "args": [{ "index": 1, "value": 9, "op": "SCMP_CMP_GT" }] },
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] },
        ] }));
    let program = assert_agrees(&list, X86_64);
    let action = |number, first| {
        let call = Call { number, architecture: Arch::ScmpArchX86 as u32, arguments: [first, 0, 0, 0, 0, 0] };
        interpret(&program, &call).action
    };
    // socketcall: bind, listen, socket; ipc: semop, shmat with a version, msgget.
    assert_eq!([2, 4, 1].map(|call| action(102, call)), [ALLOW, 0x0003_0000, 0x5_0001]);
    assert_eq!([1, 0x1_0015, 13].map(|call| action(117, call)), [ALLOW, ALLOW, 0x5_0001]);
}

#[test]
fn long_jumps_are_bridged() {
    let names: Vec<&str> = runtime::plan::seccomp::names().collect();
    let rule = |(value, name): (usize, &&str)| {
        json!({ "names": [name], "action": "SCMP_ACT_TRACE", "errnoRet": value,
            "args": [{ "index": 0, "value": value << 30, "op": "SCMP_CMP_GT" }] })
    };
    let rules: Vec<_> = names.iter().enumerate().map(rule).collect();
    let list = list(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules }));
    for arch in [X86_64, Arch::ScmpArchX86] {
        let program = compile_for(&list, arch).unwrap();
        assert!(program.len() > 1000);
        let reading = testkit::seccomp::Reading::new(&list, arch, &number);
        testkit::seccomp::assert_valid(&program);
        for known in names.iter().filter_map(|name| number(name, arch)) {
            for first in [0, 1 << 30, 200 << 30, 0x7fff_ffff, u64::MAX] {
                let call = Call { number: known, architecture: arch as u32, arguments: [first; 6] };
                testkit::seccomp::assert_same(&list, &reading, &program, &call);
            }
        }
    }
}

#[test]
fn a_list_of_thousands_of_comparisons_fits_or_is_refused() {
    let rules = |count: u64| {
        let rule = |value: u64| {
            json!({ "names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 1, "value": value * 0x1_0000_0001, "op": "SCMP_CMP_EQ" }] })
        };
        list(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": (0..count).map(rule).collect::<Vec<_>>() }))
    };
    let fits = rules(1000);
    for value in [0, 1, 500, 999, 1000] {
        let asked = if value < 1000 { ALLOW } else { 0x5_0001 };
        assert_eq!(x86_64(&fits, "ioctl", [value * 0x1_0000_0001; 6]), asked, "{value}");
    }
    assert_eq!(compile(&rules(5000)), Err(CompileError::TooLong));
    assert_eq!(compile(&rules(20_000)), Err(CompileError::TooLong));
}

#[test]
fn lists_that_would_hang_the_runtime_are_refused() {
    let default = list(json!({ "defaultAction": "SCMP_ACT_NOTIFY" }));
    let write = list(json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["write"], "action": "SCMP_ACT_NOTIFY" }] }));
    assert_eq!(
        compile(&default).unwrap_err().to_string(),
        "seccomp action SCMP_ACT_NOTIFY cannot be the default action: the listener could not be handed over"
    );
    assert!(compile(&write).is_err());
}

#[test]
fn flags_are_those_of_the_list_and_the_listener_comes_with_notify() {
    let of = |value| flags(&list(value));
    assert_eq!(of(json!({ "defaultAction": "SCMP_ACT_ALLOW" })), Flags::SPEC_ALLOW);
    assert_eq!(of(json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": [] })), Flags::default());
    let notifying = json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }] });
    assert_eq!(of(notifying), Flags::LOG | Flags::NEW_LISTENER);
}

#[test]
fn the_native_architecture_is_the_machines() {
    assert_eq!(native() as u32 & 0x4000_0000 != 0, cfg!(target_endian = "little"));
}
