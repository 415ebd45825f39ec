//! Compiles the program of `conductor/hello`, which the library carries as data.
//!
//! It needs nothing that the build of Conductor itself does not need: the same compiler, the same linker, the same target.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=hello/main.rs");
    if let Err(why) = compile() {
        println!("cargo::error={why}");
    }
}

fn compile() -> Result<(), String> {
    let value = |name: &str| env::var(name).unwrap_or_default();
    let architecture = value("CARGO_CFG_TARGET_ARCH");
    if !matches!(architecture.as_str(), "x86_64" | "aarch64") {
        let advice = "add them to crates/image/hello/main.rs";
        return Err(format!("conductor/hello has no system calls for {architecture} yet: {advice}"));
    }
    let output = Path::new(&value("OUT_DIR")).join("hello");
    let mut rustc = Command::new(value("RUSTC"));
    rustc.args(["--edition=2024", "--crate-name=hello", "--crate-type=bin", "--target", &value("TARGET")]);
    for option in [
        "panic=abort",
        "opt-level=s",
        "strip=symbols",
        "debuginfo=0",
        "relocation-model=static",
        "link-arg=-nostartfiles",
        "link-arg=-nostdlib",
        "link-arg=-static",
        "link-arg=-no-pie",
        // One page-aligned segment would be enough, and 64 KiB alignment makes a file of that size.
        "link-arg=-Wl,-z,max-page-size=4096,-z,noseparate-code,-z,norelro,--build-id=none,--hash-style=gnu",
    ] {
        rustc.args(["-C", option]);
    }
    if value("CARGO_CFG_TARGET_ENV") == "musl" {
        // There rustc brings startup files of its own, which would define the entry a second time.
        rustc.args(["-C", "link-self-contained=no"]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    match rustc.arg("-o").arg(&output).arg("hello/main.rs").status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("rustc could not compile conductor/hello: {status}")),
        Err(error) => Err(format!("rustc could not be started: {error}")),
    }
}
