//! What will be run, with which arguments, and where its tree shall stand. Pure, but for a look at the search path.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use oci::Platform;
use trace::{Explain, Step, quote};

use super::{BootstrapError, BootstrapOptions};

/// Memory that must be free for the tree to stand in it; what the whole default base system takes is a quarter of that.
const ENOUGH: u64 = 2 << 30;

/// A run of debootstrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) target: PathBuf,
    pub(super) workplace: Workplace,
}

/// Where the tree stands while it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workplace {
    /// On a tmpfs of at most this many bytes, seen by nobody else.
    Memory(u64),
    /// In the work directory.
    Disk,
}

/// The steps around debootstrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RunStep<'a> {
    Namespaces,
    Tmpfs(&'a Path, u64),
    Debootstrap(&'a Plan),
}

/// The step after it.
#[derive(Debug)]
pub(super) struct PackStep;

/// Plans a run. `memory` is what the host has available.
pub(super) fn plan(
    options: &BootstrapOptions,
    program: PathBuf,
    work: &Path,
    memory: u64,
) -> Result<Plan, BootstrapError> {
    let word = |what, value: &str, extra: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-~:".contains(c) || extra.contains(c);
        let fits = value.chars().all(plain) && (value == "-" || !value.starts_with('-')) && !value.is_empty();
        if fits { Ok(value.to_owned()) } else { Err(BootstrapError::Option { what, value: value.to_owned() }) }
    };
    let mut arguments = Vec::new();
    if options.variant != "-" {
        arguments.push(format!("--variant={}", word("a variant", &options.variant, "")?));
    }
    if let Some(architecture) = &options.architecture {
        arguments.push(format!("--arch={}", word("an architecture", architecture, "")?));
    }
    let packages: Result<Vec<_>, _> = options.include.iter().map(|name| word("a package", name, "")).collect();
    if !options.include.is_empty() {
        arguments.push(format!("--include={}", packages?.join(",")));
    }
    let target = work.join("root");
    arguments.push(word("a suite", &options.suite, "/")?);
    arguments.push(target.to_string_lossy().into_owned());
    if let Some(mirror) = &options.mirror {
        arguments.push(word("a mirror", mirror, "/@%?&=_[],")?);
    }
    let workplace = if memory >= ENOUGH { Workplace::Memory(memory / 2) } else { Workplace::Disk };
    Ok(Plan { program, arguments, target, workplace })
}

impl Plan {
    /// Returns the command as a person would type it, for the history of the image.
    pub(super) fn command_line(&self) -> String {
        let words =
            self.arguments.iter().map(|word| if Path::new(word) == self.target { "TARGET" } else { word.as_str() });
        words.fold("debootstrap".to_owned(), |line, word| format!("{line} {}", quote(word)))
    }

    /// Tells whether the tree stands on a tmpfs.
    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.workplace, Workplace::Memory(_))
    }

    /// Lets the tree stand on the disk.
    pub(super) fn move_to_disk(&mut self) {
        self.workplace = Workplace::Disk;
    }
}

/// Looks for debootstrap on the search path, and where Debian puts it, as root's programs are not on everybody's.
pub(super) fn find_program(path: Option<&OsStr>) -> Option<PathBuf> {
    let searched = path.map(|path| std::env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from);
    let candidates = searched.into_iter().chain(usual).map(|directory| directory.join("debootstrap"));
    candidates.filter(|path| path.is_absolute()).find(|path| path.is_file())
}

/// Returns the memory that can be had without swapping, in bytes, from the text of `/proc/meminfo`.
pub(super) fn available_memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).map_or(0, |kib: u64| kib * 1024)
}

/// Returns the date of a Release file, in seconds since 1970.
pub(super) fn parse_release_date(release: &str) -> Option<u64> {
    let date = release.lines().find_map(|line| line.strip_prefix("Date:"))?.trim();
    // Debian writes UTC, where the format asks for GMT.
    let date = date.strip_suffix("UTC").map_or_else(|| date.to_owned(), |date| format!("{date}+0000"));
    let zoned = jiff::fmt::rfc2822::parse(&date).ok()?;
    u64::try_from(zoned.timestamp().as_second()).ok()
}

/// Returns the platform for Debian's name of a machine.
pub(super) fn platform(architecture: &str) -> Platform {
    let (architecture, variant) = match architecture {
        "i386" => ("386", None),
        "arm64" => ("arm64", Some("v8")),
        "armhf" => ("arm", Some("v7")),
        "armel" => ("arm", Some("v5")),
        "ppc64el" => ("ppc64le", None),
        "mips64el" => ("mips64le", None),
        other => (other, None),
    };
    Platform { os: "linux".into(), architecture: architecture.into(), variant: variant.map(Into::into) }
}

impl Explain for RunStep<'_> {
    fn explain(&self) -> Step {
        match self {
            Self::Namespaces => Step::host(
                "enter a mount and PID namespace for debootstrap, so that it leaves nothing mounted or running",
                "unshare --mount --pid --fork --kill-child --mount-proc --propagation private",
            ),
            Self::Tmpfs(target, size) => {
                let target = target.to_string_lossy();
                let shell = format!("mount -t tmpfs -o size={size},mode=0755 tmpfs {}", quote(&target));
                Step::inside("give the base system a tmpfs to stand on", shell)
            }
            Self::Debootstrap(plan) => {
                let words = plan.arguments.iter().map(|word| quote(word));
                let shell = words.fold(plan.program.display().to_string(), |line, word| format!("{line} {word}"));
                Step::inside("make the base system", shell)
            }
        }
    }
}

impl Explain for PackStep {
    fn explain(&self) -> Step {
        Step::host(
            "write the base system into the store as the image's layer, hashing it on the way",
            "tar --sort=name --numeric-owner --xattrs -cf - . | tee LAYER | sha256sum",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(options: &BootstrapOptions) -> Result<Plan, BootstrapError> {
        plan(options, "/usr/sbin/debootstrap".into(), Path::new("/s/tmp/w"), 0)
    }

    #[test]
    fn the_default_is_a_small_bookworm_with_the_tools_of_the_documents() {
        let plan = plan_of(&BootstrapOptions::default()).unwrap();
        insta::assert_snapshot!(
            RunStep::Debootstrap(&plan).explain().shell,
            @"/usr/sbin/debootstrap --variant=minbase --include=procps,iproute2,iputils-ping bookworm /s/tmp/w/root"
        );
        insta::assert_snapshot!(
            plan.command_line(),
            @"debootstrap --variant=minbase --include=procps,iproute2,iputils-ping bookworm TARGET"
        );
    }

    #[test]
    fn an_option_cannot_smuggle_another() {
        let bad = |change: fn(&mut BootstrapOptions)| {
            let mut options = BootstrapOptions::default();
            change(&mut options);
            assert!(matches!(plan_of(&options), Err(BootstrapError::Option { .. })), "{options:?}");
        };
        bad(|options| options.suite = "--help".into());
        bad(|options| options.suite = String::new());
        bad(|options| options.suite = "a b".into());
        bad(|options| options.variant = "x\ny".into());
        bad(|options| options.include = vec!["a,b".into()]);
        bad(|options| options.mirror = Some("-x".into()));
        bad(|options| options.architecture = Some("$(id)".into()));
    }

    #[test]
    fn the_tree_stands_in_memory_where_there_is_enough() {
        let meminfo = "MemTotal:  8000000 kB\nMemAvailable:    4194304 kB\n";
        assert_eq!(available_memory(meminfo), 4 << 30);
        let options = BootstrapOptions::default();
        let plan = plan(&options, "/d".into(), Path::new("/w"), 4 << 30).unwrap();
        assert_eq!(plan.workplace, Workplace::Memory(2 << 30));
        assert_eq!(plan_of(&options).unwrap().workplace, Workplace::Disk);
    }

    #[test]
    fn the_archives_date_is_read_from_its_release() {
        let release = "Origin: Debian\nDate: Sat, 17 May 2025 08:57:33 UTC\nAcquire-By-Hash: yes\n";
        assert_eq!(parse_release_date(release), Some(1_747_472_253));
        assert_eq!(parse_release_date("Origin: Debian\n"), None);
    }
}
