//! Measures the default seccomp list: compiling it, writing and reading it as JSON, and what a call costs under it.
//!
//! Run in release mode: `cargo run --release -p engine --example seccomp_cost`. A call is timed in children under no filter,
//! under ours, and under the two that libseccomp makes of the same list (a tree, as runc asks for, and a chain). The kernel
//! caches its answer for calls whose arguments the filter does not look at, so `getppid` shows the cache and `socket` the
//! filter.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

use std::collections::HashSet;
use std::process::Command;
use std::time::Instant;

use engine::spec::seccomp::default_profile;
use oci::runtime::LinuxSeccomp;
use runtime::plan::seccomp::compile;
use sys::seccomp::{Flags, Instruction, load};
use testkit::seccomp::libseccomp;

fn main() {
    if let Some(filter) = std::env::args().nth(1) {
        return time_calls(&filter);
    }
    let list = default_profile(&HashSet::new());
    let json = serde_json::to_vec(&list).unwrap();
    let program = compile(&list).unwrap();
    println!("default list: {} bytes of JSON, {} instructions", json.len(), program.len());
    println!("  make the list  {:7.1} us", time(|| default_profile(&HashSet::new())));
    println!("  write as JSON  {:7.1} us", time(|| serde_json::to_vec(&list).unwrap()));
    println!("  read from JSON {:7.1} us", time(|| serde_json::from_slice::<LinuxSeccomp>(&json).unwrap()));
    println!("  compile        {:7.1} us", time(|| compile(&list).unwrap()));
    for filter in ["none", "ours", "tree", "chain"] {
        let output = Command::new(std::env::current_exe().unwrap()).arg(filter).output().unwrap();
        print!("{}", String::from_utf8(output.stdout).unwrap());
    }
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

/// Times calls in this process, under the filter.
fn time_calls(filter: &str) {
    let list = default_profile(&HashSet::new());
    let program: Vec<Instruction> = match filter {
        "ours" => compile(&list).unwrap(),
        "tree" => libseccomp::compile(&list, true),
        "chain" => libseccomp::compile(&list, false),
        _ => Vec::new(),
    };
    if !program.is_empty() {
        load(&program, Flags::SPEC_ALLOW).unwrap();
    }
    const CALLS: u32 = 20_000;
    let each = |call: &dyn Fn()| time(|| (0..CALLS).for_each(|_| call())) * 1e3 / f64::from(CALLS);
    let getppid = each(&|| {
        std::hint::black_box(std::os::unix::process::parent_id());
    });
    let socket = each(&|| drop(std::os::unix::net::UnixDatagram::unbound()));
    println!("  {filter:5} getppid {getppid:6.1} ns, socket and close {socket:6.1} ns");
}
