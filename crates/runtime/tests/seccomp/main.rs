//! The seccomp compiler against its list: every call number, every architecture, every action, and arguments on both
//! sides of every comparison; against a naive reading of the list and against libseccomp's own filter.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod lists;
mod oracle;
mod random;
mod table;

use oci::runtime::{Arch, LinuxSeccomp};
use runtime::plan::seccomp::{compile_for, number};
use sys::seccomp::Instruction;

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

/// Compiles the list and compares what the program does with what the list says.
pub(crate) fn assert_agrees(list: &LinuxSeccomp, native: Arch) -> Vec<Instruction> {
    let program = compile_for(list, native).expect("the list compiles");
    testkit::seccomp::assert_agrees(list, native, &program, &number);
    program
}
