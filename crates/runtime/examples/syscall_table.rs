//! Writes `plan/seccomp/table.rs`: the number of every system call on every architecture that the specification knows.
//!
//! Most columns are the `__NR_*` constants of the `linux-raw-sys` crate (bindings to the kernel's own headers, already in
//! the dependency tree through `rustix`); the three architectures it lacks come from libseccomp, through a small C
//! program. To bring in the calls of a new kernel, update that crate and run
//!
//! ```text
//! cargo run -p runtime --example syscall_table -- ~/.cargo/registry/src/*/linux-raw-sys-*/src > crates/runtime/src/plan/seccomp/table.rs
//! ```
//!
//! `tests/seccomp` compares the result with libseccomp, and with the kernel headers of the machine.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::Command;

/// Column, and the directory of `linux-raw-sys` or the name in libseccomp that fills it.
const COLUMNS: [(&str, Source); 16] = [
    ("x86_64", Source::Headers("x86_64")),
    ("x86", Source::Headers("x86")),
    ("x32", Source::Headers("x32")),
    ("aarch64", Source::Headers("aarch64")),
    ("arm", Source::Headers("arm")),
    ("riscv64", Source::Headers("riscv64")),
    ("loongarch64", Source::Headers("loongarch64")),
    ("ppc", Source::Headers("powerpc")),
    ("ppc64", Source::Headers("powerpc64")),
    ("s390", Source::Libseccomp("s390", 0)),
    ("s390x", Source::Headers("s390x")),
    ("mips", Source::Headers("mips")),
    ("mips64", Source::Headers("mips64")),
    ("mips64n32", Source::Libseccomp("mips64n32", 6000)),
    ("parisc", Source::Libseccomp("parisc", 0)),
    ("m68k", Source::Headers("m68k")),
];

#[derive(Clone, Copy)]
enum Source {
    Headers(&'static str),
    /// The library's name of the architecture, and the number of its first call.
    Libseccomp(&'static str, u32),
}

/// The calls that 32-bit ARM has of its own, from 0x0f0000 on; the table keeps them from 0xf000 on.
const ARM_PRIVATE: [(&str, u16); 6] = [
    ("breakpoint", 0xf001),
    ("cacheflush", 0xf002),
    ("usr26", 0xf003),
    ("usr32", 0xf004),
    ("set_tls", 0xf005),
    ("get_tls", 0xf006),
];

/// The calls that some architectures also take through one number, told by the first argument: its value for each name.
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];
const IPC: [(&str, u16); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];
const VIA_SOCKETCALL: u16 = 0x100;
const VIA_IPC: u16 = 0x200;

const NONE: u16 = 0xffff;
const X32_BIT: u32 = 0x4000_0000;

/// From this number on, a call has the same number on every architecture (counted from the first call of each).
const UNIFORM: u32 = 424;

type Table = BTreeMap<String, [u16; COLUMNS.len()]>;

fn main() -> Result<(), Box<dyn Error>> {
    let headers = std::env::args().nth(1).ok_or("usage: syscall_table LINUX-RAW-SYS/src")?;
    let mut table = Table::new();
    for (column, (_, source)) in COLUMNS.iter().enumerate() {
        if let Source::Headers(directory) = source {
            read_headers(&Path::new(&headers).join(directory).join("general.rs"), column, &mut table)?;
        }
    }
    for (name, number) in ARM_PRIVATE {
        table.entry(name.to_owned()).or_insert([NONE; COLUMNS.len()])[4] = number;
    }
    for (column, (_, source)) in COLUMNS.iter().enumerate() {
        if let Source::Libseccomp(architecture, base) = source {
            ask_libseccomp(architecture, column, &mut table)?;
            continue_uniformly(*base, column, &mut table)?;
        }
    }
    print(&table);
    Ok(())
}

/// Fills one column with the `__NR_` constants of a file; markers such as `__NR_Linux` and unused slots are no calls.
fn read_headers(file: &Path, column: usize, table: &mut Table) -> Result<(), Box<dyn Error>> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    for line in text.lines() {
        let Some((name, number)) = line.strip_prefix("pub const __NR_").and_then(|rest| rest.split_once(": u32 = "))
        else {
            continue;
        };
        let marker = name.contains(|c: char| c.is_ascii_uppercase()) || name.ends_with("syscalls");
        if marker || name.starts_with("unused") || name.starts_with("reserved") {
            continue;
        }
        let number: u32 = number.trim_end_matches(';').parse()?;
        table.entry(name.to_owned()).or_insert([NONE; COLUMNS.len()])[column] = u16::try_from(number & !X32_BIT)?;
    }
    Ok(())
}

/// Fills one column with what libseccomp says of every name that the table has.
fn ask_libseccomp(architecture: &str, column: usize, table: &mut Table) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (source, program) = (directory.path().join("resolve.c"), directory.path().join("resolve"));
    std::fs::write(&source, RESOLVE)?;
    let compiled = Command::new("cc").arg(&source).arg("-o").arg(&program).arg("-lseccomp").status()?;
    if !compiled.success() {
        return Err("cannot compile a program against libseccomp: install gcc and libseccomp-dev".into());
    }
    let output = Command::new(&program).arg(architecture).args(table.keys()).output()?;
    let numbers = String::from_utf8(output.stdout)?;
    for (row, number) in table.values_mut().zip(numbers.lines()) {
        // Below zero stands what the library knows by name and the architecture has no number for.
        row[column] = u16::try_from(number.parse::<i64>()?).unwrap_or(NONE);
    }
    Ok(())
}

/// Adds the calls that are younger than the library: they are numbered alike everywhere, so s390x tells them.
fn continue_uniformly(base: u32, column: usize, table: &mut Table) -> Result<(), Box<dyn Error>> {
    const S390X: usize = 10;
    for row in table.values_mut() {
        let number = row[S390X];
        if number != NONE && u32::from(number) >= UNIFORM && row[column] == NONE {
            row[column] = u16::try_from(base + u32::from(number))?;
        }
    }
    Ok(())
}

const RESOLVE: &str = r#"
#include <seccomp.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    for (int i = 2; i < argc; i++)
        printf("%d\n", seccomp_syscall_resolve_name_arch(seccomp_arch_resolve_name(argv[1]), argv[i]));
}
"#;

#[allow(clippy::print_stdout, reason = "the table is what this program gives")]
fn print(table: &Table) {
    println!("//! The number of every system call on every architecture, as of Linux 6.18; sorted by name.");
    println!("//!");
    println!("//! Written by `examples/syscall_table.rs`, which tells where the numbers come from. Do not edit.");
    println!();
    println!("/// What stands in the table where an architecture lacks the call.");
    println!("pub(super) const NONE: u16 = 0xffff;");
    println!();
    println!("/// Where the table keeps the private calls of 32-bit ARM, which the kernel counts from 0x0f0000 on.");
    println!("pub(super) const ARM_PRIVATE: u16 = 0xf000;");
    println!();
    println!(
        "/// Bit of the third field of [`Row`]: the call is also reached through `socketcall`, by the number in the low byte."
    );
    println!("pub(super) const VIA_SOCKETCALL: u16 = {VIA_SOCKETCALL:#x};");
    println!();
    println!(
        "/// Bit of the third field of [`Row`]: the call is also reached through `ipc`, by the number in the low byte."
    );
    println!("pub(super) const VIA_IPC: u16 = {VIA_IPC:#x};");
    println!();
    println!("/// The architectures, in the order of the columns.");
    println!("#[derive(Debug, Clone, Copy, PartialEq, Eq)]");
    println!("#[rustfmt::skip]");
    println!("pub(super) enum Column {{");
    let variants: Vec<String> = COLUMNS.iter().map(|(name, _)| variant(name)).collect();
    println!("    {},", variants.join(", "));
    println!("}}");
    println!();
    println!("const N: u16 = NONE;");
    println!();
    println!("/// One call: its name, its number by [`Column`] (x32 without bit 30), and how else it is reached.");
    println!("#[derive(Debug)]");
    println!("pub(super) struct Row(pub(super) &'static str, pub(super) [u16; {}], pub(super) u16);", COLUMNS.len());
    println!();
    println!("/// Every call, by name.");
    println!("#[rustfmt::skip]");
    println!("pub(super) static TABLE: [Row; {}] = [", table.len());
    for (name, row) in table {
        let numbers: Vec<String> =
            row.iter().map(|&number| if number == NONE { "N".to_owned() } else { number.to_string() }).collect();
        println!("    Row(\"{name}\", [{}], {:#x}),", numbers.join(", "), shared(name));
    }
    println!("];");
}

fn shared(name: &str) -> u16 {
    let socket = (1..).zip(SOCKETCALL).find(|(_, known)| *known == name).map(|(number, _)| VIA_SOCKETCALL | number);
    let ipc = IPC.iter().find(|(known, _)| *known == name).map(|(_, number)| VIA_IPC | number);
    socket.or(ipc).unwrap_or(0)
}

fn variant(column: &str) -> String {
    let mut chars = column.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}
