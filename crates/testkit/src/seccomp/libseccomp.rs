//! libseccomp as an oracle: a small C program turns a list into libseccomp's own filter, in the way that runc does.
//!
//! It needs `gcc` and `libseccomp-dev`, which `cargo xtask` installs.

#![allow(clippy::unwrap_used, reason = "called by tests alone, where a panic is the report")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use oci::runtime::{Arch, LinuxSeccomp};
use sys::seccomp::Instruction;

/// Returns the program that libseccomp makes of a list, as a tree (`SCMP_FLTATR_CTL_OPTIMIZE` 2) or as a plain chain.
pub fn compile(list: &LinuxSeccomp, tree: bool) -> Vec<Instruction> {
    let default = list.default_action().as_u32(list.default_errno_ret());
    let mut input = format!("default {default}\n");
    for arch in list.architectures().iter().flatten() {
        writeln!(input, "arch {}", *arch as u32).unwrap();
    }
    if tree {
        input.push_str("tree\n");
    }
    for rule in list.syscalls().iter().flatten() {
        let action = rule.action().as_u32(rule.errno_ret());
        let arguments = rule.args().as_deref().unwrap_or_default();
        let repeated = (0..6).any(|index| arguments.iter().filter(|argument| argument.index() == index).count() > 1);
        let groups: Vec<_> = if repeated { arguments.chunks(1).collect() } else { vec![arguments] };
        for (name, group) in rule.names().iter().flat_map(|name| groups.iter().map(move |group| (name, *group))) {
            // libseccomp takes no rule that does what the default does.
            if action != default {
                write!(input, "rule {action} {name} {}", group.len()).unwrap();
                for one in group {
                    let (op, second) = (one.op() as u32, one.value_two().unwrap_or(0));
                    write!(input, " {} {op} {} {second}", one.index(), one.value()).unwrap();
                }
                input.push('\n');
            }
        }
    }
    parse(&run(&input))
}

/// Returns the numbers that libseccomp gives calls on an architecture; nothing for a name it does not know or has no
/// number for.
pub fn numbers(arch: Arch, names: &[&str]) -> Vec<Option<u32>> {
    let mut input = String::new();
    for name in names {
        writeln!(input, "resolve {} {name}", arch as u32).unwrap();
    }
    let output = String::from_utf8(run(&input)).unwrap();
    output.lines().map(|line| line.parse::<i64>().unwrap()).map(|number| u32::try_from(number).ok()).collect()
}

/// Tells of each name whether libseccomp has heard of it.
pub fn knows(names: &[&str]) -> Vec<bool> {
    const UNKNOWN: &str = "-1";
    let mut input = String::new();
    for name in names {
        writeln!(input, "resolve {} {name}", Arch::ScmpArchX86_64 as u32).unwrap();
    }
    String::from_utf8(run(&input)).unwrap().lines().map(|line| line != UNKNOWN).collect()
}

/// Returns the list without the calls that are newer than the library, which it would skip.
pub fn known(mut list: LinuxSeccomp) -> LinuxSeccomp {
    let mut rules = list.syscalls().clone().unwrap_or_default();
    for rule in &mut rules {
        let names: Vec<&str> = rule.names().iter().map(String::as_str).collect();
        let known = knows(&names);
        let kept = rule.names().iter().zip(known).filter(|(_, known)| *known).map(|(name, _)| name.clone()).collect();
        rule.set_names(kept);
    }
    list.set_syscalls(Some(rules));
    list
}

fn run(input: &str) -> Vec<u8> {
    static PROGRAM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = PROGRAM.get_or_init(build);
    let mut child =
        Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the oracle starts");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "libseccomp took the list: {:?}", output.status);
    output.stdout
}

fn build() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (source, program) = (directory.path().join("oracle.c"), directory.path().join("oracle"));
    std::fs::write(&source, include_str!("oracle.c")).unwrap();
    let compiled = Command::new("cc").args(["-O1", "-o"]).arg(&program).arg(&source).arg("-lseccomp").status();
    assert!(compiled.is_ok_and(|status| status.success()), "gcc and libseccomp-dev are needed: `apt install` them");
    (directory, program)
}

fn parse(bytes: &[u8]) -> Vec<Instruction> {
    let instruction = |bytes: &[u8]| Instruction {
        code: u16::from_ne_bytes(bytes[0..2].try_into().unwrap()),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_ne_bytes(bytes[4..8].try_into().unwrap()),
    };
    bytes.chunks_exact(8).map(instruction).collect()
}
