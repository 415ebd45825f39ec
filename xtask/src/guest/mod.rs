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

/// What runs in the guest unless something else is named: what cgroup v2 or the age of the kernel may change.
const SUITES: [&str; 5] =
    ["cgroup", "testkit", "runtime:kernel:overlay::", "engine:kernel:script::", "conductor:cli:limits:: explain::"];

/// The programs of a Debian base system that a script of `explain --script` calls; those of busybox are not enough.
const PROGRAMS: &str = "bash cat chmod dirname env grep head id ldd ln mkdir mknod mktemp mount nsenter perl pivot_root \
    prlimit readlink rm rmdir setpriv sort touch umount unshare";

/// How long the guest may take, in seconds. It takes an eighth of that on a machine of two slow processors.
const PATIENCE: &str = "600";

/// The size of the guest's disk; the file is sparse.
const DISK_SIZE: u64 = 8 << 30;

/// What the guest says at its end.
const MARK: &str = "conductor-guest: ";

/// What to run, and on what.
#[derive(Debug, Default, PartialEq, Eq)]
struct Choice {
    suites: Vec<Suite>,
    /// Programs of this machine that the tests start, beside [`PROGRAMS`].
    programs: Vec<String>,
    profile: Option<String>,
    kernel: Option<String>,
    filter: Option<String>,
}

/// A test program of a crate, `kernel` unless another is named, and which tests of it: `runtime`, `conductor:cli:limits`.
/// Several filters stand beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Suite {
    package: String,
    test: String,
    filter: String,
}

/// Runs tests inside the guest: `[-p CRATE[:TEST[:FILTER]]]... [--with PROGRAM]... [--profile PROFILE] [--kernel PACKAGE]
/// [FILTER]`.
pub(crate) fn run(words: &[String]) -> Outcome {
    let choice = Choice::parse(words)?;
    packages::install(&["busybox-static", "coreutils", "e2fsprogs", "mount", "qemu-system-x86", "xz-utils"])?;
    let cache = shell::target_directory()?.join("guest");
    let kernel = Kernel::fetch(&cache, choice.kernel.as_deref())?;
    let root = cache.join("root.cpio");
    std::fs::write(&root, pack(&kernel, &choice)?)
        .map_err(|error| format!("cannot write {}: {error}", root.display()))?;
    boot(&kernel, &root, &format_disk(&cache)?)
}

impl Choice {
    fn parse(words: &[String]) -> Outcome<Self> {
        let mut choice = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().cloned().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "-p" | "--package" => choice.suites.push(Suite::parse(&value()?)),
                "--with" => choice.programs.push(value()?),
                "--profile" => choice.profile = Some(value()?),
                "--kernel" => choice.kernel = Some(value()?),
                option if option.starts_with('-') => return Err(format!("the guest knows no option {option}")),
                filter => choice.filter = Some(filter.to_owned()),
            }
        }
        if choice.suites.is_empty() {
            choice.suites = SUITES.map(Suite::parse).to_vec();
        }
        Ok(choice)
    }
}

impl Suite {
    fn parse(word: &str) -> Self {
        let (package, rest) = word.split_once(':').unwrap_or((word, "kernel"));
        // Only the first two colons are ours: modules of tests have their own.
        let (test, filter) = rest.split_once(':').unwrap_or((rest, ""));
        Self { package: package.to_owned(), test: test.to_owned(), filter: filter.to_owned() }
    }

    /// Builds the test program, and the programs of the same crate, which its tests may start.
    fn build(&self, profile: Option<&str>) -> Outcome<(PathBuf, Vec<PathBuf>)> {
        // As the suites on the host have it, so that nothing is built twice.
        let profile = profile.unwrap_or(if self.package == "conductor" { "e2e" } else { "dev" });
        let words = ["test", "--locked", "--no-run", "--quiet", "--profile", profile, "--package", &self.package];
        let mut command = shell::cargo(words);
        command.args(["--test", &self.test, "--message-format=json-render-diagnostics"]);
        let messages = shell::output(&mut command)?;
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let (mut test, mut programs) = (None, Vec::new());
        for message in messages {
            let Some(path) = message["executable"].as_str() else { continue };
            match message["target"]["kind"][0].as_str() {
                Some("test") if message["target"]["name"] == self.test.as_str() => test = Some(PathBuf::from(path)),
                Some("bin") => programs.push(PathBuf::from(path)),
                _ => {}
            }
        }
        let test = test.ok_or_else(|| format!("cargo built no test {} of {}", self.test, self.package))?;
        Ok((test, programs))
    }
}

/// Packs the guest's first root.
fn pack(kernel: &Kernel, choice: &Choice) -> Outcome<Vec<u8>> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "filters", "host", "modules", "tests"] {
        archive.directory(directory);
    }
    archive.program("init", include_bytes!("init.sh"));
    archive.program("bin/busybox", &read(Path::new("/bin/busybox"))?);
    for (number, module) in kernel.modules()?.iter().enumerate() {
        archive.program(&format!("modules/{number:02}-{}.ko", module.name), &module.content);
    }
    for suite in &choice.suites {
        let (test, programs) = suite.build(choice.profile.as_deref())?;
        let name = format!("{}-{}", suite.package, suite.test);
        archive.program(&format!("tests/{name}"), &read(&test)?);
        let filter = choice.filter.as_ref().unwrap_or(&suite.filter);
        archive.program(&format!("filters/{name}"), filter.as_bytes());
        // A test knows a program, and its directory for large files, by paths of the build: so there they must be.
        for program in programs {
            archive.program_at(&program, &read(&program)?);
        }
        if let Some(target) = test.ancestors().nth(3) {
            archive.directory_at(&target.join("tmp"));
        }
    }
    for program in PROGRAMS.split_whitespace().chain(choice.programs.iter().map(String::as_str)) {
        let path = find_program(program)?;
        let content = read(&path)?;
        archive.program_at(&Path::new("/usr/local/bin").join(program), &content);
        for library in libraries(&path, &content)? {
            archive.program_at(&library, &read(&library)?);
        }
    }
    Ok(archive.into_bytes())
}

fn find_program(name: &str) -> Outcome<PathBuf> {
    let places = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(|dir| Path::new(dir).join(name));
    places.into_iter().find(|path| path.is_file()).ok_or_else(|| format!("this machine has no program {name}"))
}

/// Returns the libraries of a program, and the program that loads them. A script has none.
fn libraries(program: &Path, content: &[u8]) -> Outcome<Vec<PathBuf>> {
    if content.starts_with(b"#!") {
        return Ok(Vec::new());
    }
    let told = shell::output(&mut shell::program("ldd", [program]))?;
    Ok(told
        .split_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(PathBuf::from)
        .collect())
}

/// Makes an empty disk: EROFS mounts from a file on a disk, and not from one on a tmpfs.
fn format_disk(cache: &Path) -> Outcome<PathBuf> {
    let disk = cache.join("disk.ext4");
    let made = std::fs::File::create(&disk).and_then(|file| file.set_len(DISK_SIZE));
    made.map_err(|error| format!("cannot make {}: {error}", disk.display()))?;
    shell::aloud(shell::program("mke2fs", ["-q", "-t", "ext4", "-F"]).arg(&disk))?;
    Ok(disk)
}

/// Boots the guest, shows its console, and reads from its last line how it went.
fn boot(kernel: &Kernel, root: &Path, disk: &Path) -> Outcome {
    let mut verdict = None;
    let ended = shell::listened(&mut emulator(kernel, root, disk), |line| {
        verdict = line.trim_end().strip_prefix(MARK).map(str::to_owned).or(verdict.take());
    });
    match (ended, verdict) {
        (Ok(()), Some(counts)) if counts.starts_with("0 passed; 0 ") => Err("no test ran in the guest".to_owned()),
        (Ok(()), Some(counts)) if counts.ends_with("; 0 failed") => Ok(()),
        (_, Some(counts)) => Err(format!("{counts} in the guest")),
        (ended, None) => {
            let reason = ended.err().map(|reason| format!(": {reason}")).unwrap_or_default();
            Err(format!("the guest did not come to its end{reason}"))
        }
    }
}

fn emulator(kernel: &Kernel, root: &Path, disk: &Path) -> Command {
    // v1 controllers are forbidden, so that v2 has them all; a panic ends the emulator in place of waiting.
    let line = "console=ttyS0 cgroup_no_v1=all panic=-1 quiet loglevel=1";
    let mut command = shell::program("timeout", ["--kill-after=5", PATIENCE, "qemu-system-x86_64"]);
    // One processor: with two, QEMU 7.2 may miss how one rewrites the kernel code that the other runs, and Linux panics.
    command.args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "1024", "-nodefaults", "-display", "none"]);
    command.args(["-serial", "stdio", "-no-reboot"]).arg("-kernel").arg(&kernel.image).arg("-initrd").arg(root);
    // What is on the disk need not survive us.
    let drive = format!("if=virtio,format=raw,cache=unsafe,discard=unmap,file={}", disk.display());
    command.args(["-append", line, "-drive", &drive]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Outcome<Choice> {
        Choice::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn suites_kernel_and_filter_may_be_chosen() {
        assert_eq!(parse("").unwrap().suites, SUITES.map(Suite::parse));
        let choice = parse("-p cgroup -p conductor:cli:limits::v2 --kernel linux-image-6.1 limits::").unwrap();
        let words = |suite: &Suite| [suite.package.clone(), suite.test.clone(), suite.filter.clone()];
        let suites: Vec<_> = choice.suites.iter().map(words).collect();
        assert_eq!(suites, [["cgroup", "kernel", ""], ["conductor", "cli", "limits::v2"]]);
        assert_eq!((choice.kernel.as_deref(), choice.filter.as_deref()), (Some("linux-image-6.1"), Some("limits::")));
        assert!(parse("--fast").is_err());
        assert!(parse("-p").is_err());
    }
}
