//! The kernel tests inside a small emulated guest with pure cgroup v2.
//!
//! The host that runs CI may have cgroup v1, and users have v2. So a kernel of Debian's boots in QEMU, without hardware
//! help, on an archive of ours: busybox, a few modules, the test programs (which are static) and [`init.sh`] as its first
//! process. The guest tells how it went by its last line, and is stopped when it takes too long.
//!
//! Start reading at [`run`]. Everything downloaded or made lies in `guest` below cargo's target directory.
//!
//! [`init.sh`]: ../../../../xtask/src/guest/init.sh

mod archive;
mod kernel;

use std::path::{Path, PathBuf};
use std::process::Command;

use archive::Archive;
use kernel::Kernel;

use crate::{Outcome, packages, shell};

/// The crates whose kernel tests run in the guest unless others are named.
const PACKAGES: [&str; 1] = ["cgroup"];

/// How long the guest may take, in seconds. It takes a fifth of that on a machine of two slow processors.
const PATIENCE: &str = "300";

/// What the guest says at its end.
const MARK: &str = "conductor-guest: ";

/// What to run, and on what.
#[derive(Debug, Default, PartialEq, Eq)]
struct Choice {
    packages: Vec<String>,
    kernel: Option<String>,
    filter: Option<String>,
}

/// Runs the kernel tests inside the guest: `[-p CRATE]... [--kernel PACKAGE] [FILTER]`.
pub(crate) fn run(words: &[String]) -> Outcome {
    let choice = Choice::parse(words)?;
    packages::install(&["busybox-static", "coreutils", "qemu-system-x86", "xz-utils"])?;
    let cache = shell::target_directory()?.join("guest");
    let kernel = Kernel::fetch(&cache, choice.kernel.as_deref())?;
    let root = cache.join("root.cpio");
    std::fs::write(&root, pack(&kernel, &choice)?)
        .map_err(|error| format!("cannot write {}: {error}", root.display()))?;
    boot(&kernel, &root, choice.filter.as_deref())
}

impl Choice {
    fn parse(words: &[String]) -> Outcome<Self> {
        let mut choice = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().cloned().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "-p" | "--package" => choice.packages.push(value()?),
                "--kernel" => choice.kernel = Some(value()?),
                option if option.starts_with('-') => return Err(format!("the guest knows no option {option}")),
                // It travels on the kernel's command line, where a space would end it.
                filter if filter.contains(char::is_whitespace) => return Err("a filter is one word".to_owned()),
                filter => choice.filter = Some(filter.to_owned()),
            }
        }
        if choice.packages.is_empty() {
            choice.packages = PACKAGES.map(str::to_owned).to_vec();
        }
        Ok(choice)
    }
}

/// Packs the guest's first root.
fn pack(kernel: &Kernel, choice: &Choice) -> Outcome<Vec<u8>> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "modules", "tests"] {
        archive.directory(directory);
    }
    archive.program("init", include_bytes!("init.sh"));
    archive.program("bin/busybox", &read(Path::new("/bin/busybox"))?);
    for (number, module) in kernel.modules()?.iter().enumerate() {
        archive.program(&format!("modules/{number:02}-{}.ko", module.name), &module.content);
    }
    for package in &choice.packages {
        archive.program(&format!("tests/{package}"), &read(&built_test(package)?)?);
    }
    Ok(archive.into_bytes())
}

/// Builds the kernel tests of a crate and returns the program.
fn built_test(package: &str) -> Outcome<PathBuf> {
    let words = ["test", "--locked", "--no-run", "--package", package, "--test", "kernel", "--quiet"];
    let messages = shell::output(shell::cargo(words).arg("--message-format=json-render-diagnostics"))?;
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    artifacts
        .filter(|message| message["target"]["name"] == "kernel")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("cargo built no kernel test of {package}"))
}

/// Boots the guest, shows its console, and reads from its last line how it went.
fn boot(kernel: &Kernel, root: &Path, filter: Option<&str>) -> Outcome {
    let (mut verdict, mut ran) = (None, false);
    let ended = shell::listened(&mut emulator(kernel, root, filter), |line| {
        let line = line.trim_end();
        ran |= line.starts_with("test result: ") && !line.contains(" 0 passed; 0 failed");
        if let Some(words) = line.strip_prefix(MARK) {
            verdict = Some(words == "0 failed");
        }
    });
    match (ended, verdict) {
        (Ok(()), Some(true)) if ran => Ok(()),
        (Ok(()), Some(true)) => Err("no test ran in the guest".to_owned()),
        (_, Some(false)) => Err("tests failed in the guest".to_owned()),
        (Err(reason), _) => Err(format!("the guest did not come to its end: {reason}")),
        (Ok(()), None) => Err("the guest did not come to its end".to_owned()),
    }
}

fn emulator(kernel: &Kernel, root: &Path, filter: Option<&str>) -> Command {
    let filter = filter.map(|filter| format!(" conductor_filter={filter}")).unwrap_or_default();
    // v1 controllers are forbidden, so that v2 has them all; a panic ends the emulator in place of waiting.
    let line = format!("console=ttyS0 cgroup_no_v1=all panic=-1 quiet loglevel=1{filter}");
    let mut command = shell::program("timeout", ["--kill-after=5", PATIENCE, "qemu-system-x86_64"]);
    command.args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1024", "-nodefaults", "-display", "none"]);
    command.args(["-serial", "stdio", "-no-reboot"]).arg("-kernel").arg(&kernel.image).arg("-initrd").arg(root);
    command.args(["-append", &line]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Outcome<Choice> {
        Choice::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn crates_kernel_and_filter_may_be_chosen() {
        assert_eq!(parse("").unwrap().packages, PACKAGES);
        let choice = parse("-p cgroup -p runtime --kernel linux-image-6.1 limits::").unwrap();
        assert_eq!(choice.packages, ["cgroup", "runtime"]);
        assert_eq!((choice.kernel.as_deref(), choice.filter.as_deref()), (Some("linux-image-6.1"), Some("limits::")));
        assert!(parse("--fast").is_err());
        assert!(parse("-p").is_err());
    }
}
