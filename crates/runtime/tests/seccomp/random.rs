//! Random lists: against the naive reading whatever they say, against libseccomp where a list has one meaning.

use oci::runtime::{Arch, LinuxSeccomp};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::oracle::assert_same_as_libseccomp;
use crate::{X86_64, assert_agrees, list};

const NAMES: [&str; 16] = [
    "read",
    "write",
    "openat",
    "socket",
    "socketcall",
    "ipc",
    "shmat",
    "semop",
    "clone",
    "clone3",
    "personality",
    "mmap2",
    "cacheflush",
    "futex",
    "futex_time64",
    "no_such_call",
];

fn action() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({ "action": "SCMP_ACT_ALLOW" })),
        Just(json!({ "action": "SCMP_ACT_LOG" })),
        Just(json!({ "action": "SCMP_ACT_KILL_PROCESS" })),
        Just(json!({ "action": "SCMP_ACT_TRAP" })),
        (0..3_u32).prop_map(|errno| json!({ "action": "SCMP_ACT_ERRNO", "errnoRet": errno })),
        (0..3_u32).prop_map(|data| json!({ "action": "SCMP_ACT_TRACE", "errnoRet": data })),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, Just(0xffff_ffff), (1..3_u64).prop_map(|high| high << 32), Just(u64::MAX), any::<u64>()]
}

const OPERATORS: [&str; 7] = ["EQ", "NE", "MASKED_EQ", "LT", "LE", "GE", "GT"];

fn argument(operators: &'static [&str]) -> impl Strategy<Value = Value> {
    (0..3_usize, prop::sample::select(operators), value(), value()).prop_map(|(index, op, value, second)| {
        // A value with bits outside the mask never matches; libseccomp cuts them off.
        let second = if op == "MASKED_EQ" { second & value } else { second };
        json!({ "index": index, "value": value, "valueTwo": second, "op": format!("SCMP_CMP_{op}") })
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let names = prop::collection::vec(prop::sample::select(NAMES.to_vec()), 1..4);
    (names, action(), prop::collection::vec(argument(&OPERATORS), 0..4)).prop_map(|(names, mut rule, arguments)| {
        rule["names"] = json!(names);
        if !arguments.is_empty() {
            rule["args"] = json!(arguments);
        }
        rule
    })
}

fn lists() -> impl Strategy<Value = LinuxSeccomp> {
    let architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_S390X"];
    let architectures = prop::sample::subsequence(architectures.to_vec(), 0..4);
    (action(), architectures, prop::collection::vec(rule(), 0..8)).prop_map(|(default, architectures, rules)| {
        let mut json = json!({ "defaultAction": default["action"], "architectures": architectures, "syscalls": rules });
        if let Some(errno) = default.get("errnoRet") {
            json["defaultErrnoRet"] = errno.clone();
        }
        list(json)
    })
}

/// Lists in which all rules with arguments do the same, so that it does not matter which of them matches first. They ask
/// for equality alone: where several rules for a call compare otherwise, libseccomp 2.5.4 is at times wrong, as in
/// "a1 == 5 and a2 != 7 and a0 == 0" beside "a0 != 2 and a2 == 9", where it allows a call that neither rule matches. And
/// they are for 64 bits alone, since it goes wrong likewise on values that are too large for a narrow architecture.
fn plain_lists() -> impl Strategy<Value = LinuxSeccomp> {
    let compared = ["ioctl", "prctl", "openat", "personality"];
    let rules = prop::collection::vec(
        (prop::sample::select(compared.to_vec()), prop::collection::vec(argument(&OPERATORS[..1]), 1..4)),
        1..6,
    );
    rules.prop_map(|rules| {
        let rule = |(name, arguments)| json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": arguments });
        let mut rules: Vec<_> = rules.into_iter().map(rule).collect();
        rules.push(json!({ "names": ["read", "faccessat2", "bpf"], "action": "SCMP_ACT_TRAP" }));
        list(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules }))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_list_is_compiled_to_what_it_says(list in lists()) {
        assert_agrees(&list, X86_64);
        assert_agrees(&list, Arch::ScmpArchPpc64le);
    }

    #[test]
    fn any_list_with_one_meaning_is_compiled_to_what_libseccomp_makes_of_it(list in plain_lists()) {
        assert_same_as_libseccomp(&list);
    }
}
