//! Measures the default seccomp list: compiling it, writing and reading it as JSON, and what a call costs under it.
//!
//! `cargo run --release -p engine --example seccomp_cost` prints what it costs to make, write, read and compile the list.
//! With a directory as its word it leaves there, in place of that, the filters that are made of one list: ours, and
//! libseccomp's two (a tree, as runc asks for, and a chain, which is its default), each as the kernel takes it. `cargo
//! xtask bench seccomp` times calls under them.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use engine::spec::seccomp::default_profile;
use oci::runtime::LinuxSeccomp;
use runtime::plan::seccomp::compile;
use sys::seccomp::Instruction;
use testkit::seccomp::libseccomp;

fn main() {
    let list = default_profile(&HashSet::new());
    if let Some(directory) = std::env::args_os().nth(1) {
        return write_filters(list, Path::new(&directory));
    }
    let json = serde_json::to_vec(&list).unwrap();
    let program = compile(&list).unwrap();
    println!("default list: {} bytes of JSON, {} instructions", json.len(), program.len());
    println!("  make the list  {:7.1} us", time(|| default_profile(&HashSet::new())));
    println!("  write as JSON  {:7.1} us", time(|| serde_json::to_vec(&list).unwrap()));
    println!("  read from JSON {:7.1} us", time(|| serde_json::from_slice::<LinuxSeccomp>(&json).unwrap()));
    println!("  compile        {:7.1} us", time(|| compile(&list).unwrap()));
}

/// Returns the microseconds that a call of `work` takes: the least of many, which is the one nothing disturbed.
fn time<T>(mut work: impl FnMut() -> T) -> f64 {
    let once = |work: &mut dyn FnMut() -> T| {
        let start = Instant::now();
        std::hint::black_box(work());
        start.elapsed().as_secs_f64() * 1e6
    };
    (0..100).map(|_| once(&mut work)).fold(f64::INFINITY, f64::min)
}

/// Writes the filters of the part of the list that libseccomp knows, so that all three stand for the same.
fn write_filters(list: LinuxSeccomp, directory: &Path) {
    let list = libseccomp::known(list);
    let filters = [
        ("ours", compile(&list).unwrap()),
        ("tree", libseccomp::compile(&list, true)),
        ("chain", libseccomp::compile(&list, false)),
    ];
    for (name, program) in filters {
        let bytes = |one: &Instruction| {
            let (code, operand) = (one.code.to_ne_bytes(), one.k.to_ne_bytes());
            [&code[..], &[one.jt, one.jf], &operand].concat()
        };
        let bytes: Vec<u8> = program.iter().flat_map(bytes).collect();
        std::fs::write(directory.join(name), bytes).unwrap();
    }
}
