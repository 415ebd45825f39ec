//! The table of call numbers against libseccomp's, and against the kernel headers of this machine.

use oci::runtime::Arch;
use runtime::plan::seccomp::{names, number};
use testkit::seccomp::libseccomp;

use crate::ARCHITECTURES;

#[test]
fn the_table_has_the_numbers_that_libseccomp_has() {
    let names: Vec<&str> = names().collect();
    for arch in ARCHITECTURES {
        // The library of Debian 12 has not heard of these.
        if matches!(arch, Arch::ScmpArchLoongarch64 | Arch::ScmpArchM68k) {
            continue;
        }
        let theirs = libseccomp::numbers(arch, &names);
        let differing = names.iter().zip(theirs).filter(|(name, theirs)| {
            let ours = number(name, arch);
            theirs.is_some() && ours != *theirs && !known_difference(arch, name)
        });
        let differing: Vec<_> = differing.map(|(name, theirs)| (*name, number(name, arch), theirs)).collect();
        assert!(differing.is_empty(), "{arch}: name, ours, libseccomp's: {differing:?}");
    }
}

/// Where the kernel's headers say otherwise than the library.
fn known_difference(_: Arch, _: &str) -> bool {
    false
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_table_has_the_numbers_of_this_machines_headers() {
    for (arch, header) in
        [(Arch::ScmpArchX86_64, "unistd_64.h"), (Arch::ScmpArchX86, "unistd_32.h"), (Arch::ScmpArchX32, "unistd_x32.h")]
    {
        let path = format!("/usr/include/x86_64-linux-gnu/asm/{header}");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: install linux-libc-dev: {error}"));
        let mut seen = 0;
        for line in text.lines() {
            let Some((name, value)) = line.strip_prefix("#define __NR_").and_then(|rest| rest.split_once(' ')) else {
                continue;
            };
            let value = value.trim_start_matches("(__X32_SYSCALL_BIT + ").trim_end_matches(')');
            let bit = if arch == Arch::ScmpArchX32 { 0x4000_0000 } else { 0 };
            assert_eq!(number(name, arch), value.parse::<u32>().ok().map(|value| value | bit), "{name} in {header}");
            seen += 1;
        }
        assert!(seen > 300, "{header} lists {seen} calls");
    }
}
