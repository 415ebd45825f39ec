//! The default seccomp list: that its filter does what it says, as libseccomp's does, and costs less.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::HashSet;

use engine::spec::seccomp::{default_profile_for, parse_profile};
use oci::runtime::{Arch, Capability, LinuxSeccomp};
use runtime::plan::seccomp::{compile_for, names, number};
use sys::seccomp::Instruction;
use testkit::seccomp::{Call, assert_agrees, assert_same_as_libseccomp, interpret, libseccomp};

const X86_64: Arch = Arch::ScmpArchX86_64;
const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

fn default_with(capabilities: &[Capability]) -> LinuxSeccomp {
    default_profile_for(&capabilities.iter().copied().collect(), X86_64)
}

fn answer(program: &[Instruction], name: &str, arguments: [u64; 6]) -> u32 {
    interpret(program, &Call { number: number(name, X86_64).unwrap(), architecture: X86_64 as u32, arguments }).action
}

#[test]
fn the_filter_does_what_the_default_list_says_on_every_architecture() {
    for native in [X86_64, Arch::ScmpArchAarch64, Arch::ScmpArchS390x, Arch::ScmpArchRiscv64, Arch::ScmpArchPpc64le] {
        for capabilities in [HashSet::new(), HashSet::from([Capability::SysAdmin, Capability::SysChroot])] {
            let list = default_profile_for(&capabilities, native);
            assert_agrees(&list, native, &compile_for(&list, native).unwrap(), &number);
        }
    }
}

#[test]
fn the_filter_does_what_libseccomps_does_for_the_default_list() {
    for capabilities in [&[][..], &[Capability::SysAdmin, Capability::SysTime]] {
        let list = libseccomp::known(default_with(capabilities));
        let ours = compile_for(&list, X86_64).unwrap();
        assert_same_as_libseccomp(&list, &ours, &libseccomp::compile(&list, true), &number);
    }
}

#[test]
fn a_call_costs_fewer_instructions_than_in_libseccomps_filter() {
    let list = libseccomp::known(default_with(&[]));
    let ours = compile_for(&list, X86_64).unwrap();
    let (tree, chain) = (libseccomp::compile(&list, true), libseccomp::compile(&list, false));
    for arch in [X86_64, Arch::ScmpArchX86, Arch::ScmpArchX32] {
        let [our, tree, chain] = [&ours, &tree, &chain].map(|program| cost(program, arch));
        println!("{arch}: ours {our:.2?}, libseccomp's tree {tree:.2?}, chain {chain:.2?} (mean, most)");
        assert!(our.0 < tree.0 && our.1 < tree.1 && our.0 < chain.0, "{arch}");
    }
    println!("instructions: ours {}, tree {}, chain {}", ours.len(), tree.len(), chain.len());
    let (mean, most) = cost(&ours, X86_64);
    assert!(mean < 12.0 && most <= 16, "{mean} {most}");
    // The calls whose arguments are looked at come first; the kernel caches its answer for the others.
    for (name, first) in
        [("socket", 1), ("socket", 2), ("personality", 0), ("personality", 0xffff_ffff), ("clone", 0x11)]
    {
        let call = Call { number: number(name, X86_64).unwrap(), architecture: X86_64 as u32, arguments: [first; 6] };
        let [our, tree, chain] = [&ours, &tree, &chain].map(|program| interpret(program, &call).instructions);
        println!("{name}({first:#x}): ours {our}, libseccomp's tree {tree}, chain {chain}");
        assert!(our < tree && our < chain, "{name}({first:#x})");
    }
}

/// Returns the instructions that a call takes: the mean over all calls of the architecture, and the most.
fn cost(program: &[Instruction], arch: Arch) -> (f64, usize) {
    let architecture = if arch == Arch::ScmpArchX32 { X86_64 as u32 } else { arch as u32 };
    let calls = names().filter_map(|name| number(name, arch));
    let calls = calls.map(|number| Call { number, architecture, arguments: [0; 6] });
    let costs: Vec<usize> = calls.map(|call| interpret(program, &call).instructions).collect();
    #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
    let mean = costs.iter().sum::<usize>() as f64 / costs.len() as f64;
    (mean, costs.into_iter().max().unwrap_or(0))
}

#[test]
fn the_default_list_refuses_what_reaches_past_the_container() {
    let program = compile_for(&default_with(&[]), X86_64).unwrap();
    let refused = "mount umount2 unshare setns bpf perf_event_open io_uring_setup io_uring_enter io_uring_register add_key \
        keyctl request_key kexec_load init_module userfaultfd swapon reboot chroot open_by_handle_at settimeofday acct \
        iopl pidfd_getfd pivot_root move_pages";
    for name in refused.split_ascii_whitespace() {
        assert_eq!(answer(&program, name, [0; 6]), EPERM, "{name}");
    }
    for name in ["read", "futex", "ptrace", "openat2", "statx", "landlock_restrict_self", "mseal"] {
        assert_eq!(answer(&program, name, [0; 6]), ALLOW, "{name}");
    }
    let socket = [1, 2, 10, 16, 37, 38, 39, 40, 41].map(|family| answer(&program, "socket", [family, 1, 0, 0, 0, 0]));
    assert_eq!(socket, [ALLOW, ALLOW, ALLOW, ALLOW, ALLOW, EPERM, ALLOW, EPERM, ALLOW]);
    let personality =
        [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff, 0x4_0000].map(|domain| answer(&program, "personality", [domain; 6]));
    assert_eq!(personality, [ALLOW, ALLOW, ALLOW, ALLOW, ALLOW, EPERM]);
    let flags = [0x11, 0x3d_0f00, 0x1000_0000, 0x2_0000].map(|flags| answer(&program, "clone", [flags, 0, 0, 0, 0, 0]));
    assert_eq!(flags, [ALLOW, ALLOW, EPERM, EPERM]);
    assert_eq!(["clone3", "file_setattr"].map(|name| answer(&program, name, [0; 6])), [ENOSYS, ENOSYS]);
}

#[test]
fn capabilities_bring_the_calls_that_they_are_for() {
    for (capability, brought) in [
        (Capability::SysAdmin, "mount unshare clone clone3 bpf setns"),
        (Capability::SysChroot, "chroot"),
        (Capability::SysTime, "settimeofday"),
        (Capability::SysPtrace, "pidfd_getfd kcmp"),
        (Capability::Syslog, "syslog"),
        (Capability::SysNice, "mbind"),
    ] {
        let program = compile_for(&default_with(&[capability]), X86_64).unwrap();
        for name in brought.split_ascii_whitespace() {
            assert_eq!(answer(&program, name, [0x1000_0000; 6]), ALLOW, "{name} with {capability}");
        }
    }
}

#[test]
fn the_default_list_names_no_call_that_no_architecture_has() {
    let known: HashSet<&str> = names().collect();
    let list = default_with(&[Capability::SysAdmin, Capability::SysTime, Capability::SysNice]);
    let unknown: Vec<&String> = list
        .syscalls()
        .iter()
        .flatten()
        .flat_map(|rule| rule.names())
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    // Aliases that some C library or old kernel had; Docker's list has them, and a name too many costs nothing.
    assert_eq!(unknown, ["fstatat64"].iter().filter(|name| !known.contains(*name)).collect::<Vec<_>>());
}

#[test]
fn the_default_list_is_read_back_from_its_own_json_as_a_profile() {
    let list = default_with(&[]);
    let json = serde_json::to_vec(&list).unwrap();
    println!("{} bytes of JSON", json.len());
    assert_eq!(parse_profile(&json, &HashSet::new(), (6, 1)).unwrap(), list);
}
