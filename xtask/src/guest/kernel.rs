//! The guest's kernel: a package of Debian's, downloaded and unpacked below the target directory, never installed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::{Outcome, shell};

/// The packages that name a kernel, the first that the machine's sources have. 6.12 is in the sources of a plain Debian
/// 12 as well as 6.1, and has what images need: EROFS from a file.
const CANDIDATES: [&str; 2] = ["linux-image-6.12-cloud-amd64", "linux-image-cloud-amd64"];

/// What the tests need beside what is built in; their dependencies are found.
const MODULES: [&str; 14] = [
    "virtio_pci",
    "virtio_blk",
    "overlay",
    "erofs",
    "loop",
    "bridge",
    "veth",
    "nf_tables",
    "nft_chain_nat",
    "nft_ct",
    "nft_fib_inet",
    "nft_masq",
    "nft_nat",
    "nf_conntrack_netlink",
];

/// A kernel to boot, and its modules.
#[derive(Debug)]
pub(super) struct Kernel {
    /// The image that is booted.
    pub(super) image: PathBuf,
    modules: PathBuf,
}

/// One module, not compressed.
#[derive(Debug)]
pub(super) struct Module {
    /// Its name.
    pub(super) name: String,
    /// The file's bytes.
    pub(super) content: Vec<u8>,
}

impl Kernel {
    /// Returns a kernel below `cache`, downloading it the first time. A package other than the usual may be named.
    pub(super) fn fetch(cache: &Path, package: Option<&str>) -> Outcome<Self> {
        let dir = cache.join(package.unwrap_or("kernel"));
        if !dir.join("complete").exists() {
            let _ = std::fs::remove_dir_all(&dir);
            std::fs::create_dir_all(&dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
            download(&dir, package)?;
            std::fs::write(dir.join("complete"), "")
                .map_err(|error| format!("cannot write to {}: {error}", dir.display()))?;
        }
        let image = only(&dir.join("boot"), "vmlinuz-")?;
        let modules = only(&dir.join("lib/modules"), "")?;
        Ok(Self { image, modules })
    }

    /// Returns the modules that the tests need, each after those that it needs. One that is built in is not among them.
    pub(super) fn modules(&self) -> Outcome<Vec<Module>> {
        let mut found = Vec::new();
        MODULES.iter().try_for_each(|name| self.add_module(name, &mut found))?;
        Ok(found)
    }

    fn add_module(&self, name: &str, found: &mut Vec<Module>) -> Outcome {
        if found.iter().any(|module| module.name == name) {
            return Ok(());
        }
        let Some(file) = find_module(&self.modules, name) else {
            let built_in = std::fs::read_to_string(self.modules.join("modules.builtin")).unwrap_or_default();
            let known = built_in.lines().any(|line| module_name(line) == Some(name.to_owned()));
            return if known { Ok(()) } else { Err(format!("the guest's kernel has no module {name}")) };
        };
        let content = plain(&file)?;
        for needed in dependencies(&content) {
            self.add_module(&needed, found)?;
        }
        found.push(Module { name: name.to_owned(), content });
        Ok(())
    }
}

fn download(dir: &Path, package: Option<&str>) -> Outcome {
    let wanted = package.map_or(CANDIDATES.to_vec(), |package| vec![package]);
    let package = match resolve(&wanted) {
        Some(package) => package,
        None => {
            shell::aloud(&mut shell::program("apt-get", ["update", "-q"]))?;
            resolve(&wanted).ok_or_else(|| format!("apt knows no package {}", wanted.join(" or ")))?
        }
    };
    let mut command = shell::program("apt-get", ["download", "-q", &package]);
    // As root, apt would drop its rights, could not write here, and say so.
    shell::aloud(command.current_dir(dir).args(["-o", "APT::Sandbox::User=root"]))?;
    let archive = only(dir, "linux-image")?;
    shell::aloud(shell::program("dpkg-deb", ["--extract"]).arg(&archive).arg(dir))?;
    std::fs::remove_file(&archive).map_err(|error| format!("cannot remove {}: {error}", archive.display()))
}

/// Returns the first package that apt knows, or the one it depends on, since a package named after a series holds none.
fn resolve(wanted: &[&str]) -> Option<String> {
    wanted.iter().find_map(|package| {
        let mut query = shell::program("apt-cache", ["depends", package]);
        let out = query.stderr(Stdio::null()).output().ok().filter(|out| out.status.success())?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let needed = text.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
        Some(needed.map_or((*package).to_owned(), |needed| format!("linux-image-{needed}")))
    })
}

/// Returns the one entry of a directory whose name begins so.
fn only(dir: &Path, beginning: &str) -> Outcome<PathBuf> {
    let entries = std::fs::read_dir(dir).map_err(|error| format!("cannot read {}: {error}", dir.display()))?;
    let mut paths = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning));
    paths.next().map(|entry| entry.path()).ok_or_else(|| format!("{} has no {beginning}*", dir.display()))
}

fn find_module(dir: &Path, name: &str) -> Option<PathBuf> {
    let mut deeper = Vec::new();
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            deeper.push(path);
        } else if module_name(&path.to_string_lossy()).as_deref() == Some(name) {
            return Some(path);
        }
    }
    deeper.iter().find_map(|dir| find_module(dir, name))
}

/// Returns the name of the module in a file, in which a dash is as good as an underscore.
fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (stem, rest) = file.split_once('.')?;
    rest.starts_with("ko").then(|| stem.replace('-', "_"))
}

fn plain(file: &Path) -> Outcome<Vec<u8>> {
    if file.extension().is_some_and(|extension| extension == "xz") {
        let out = shell::program("xz", ["--decompress", "--stdout"]).arg(file).stderr(Stdio::inherit()).output();
        let out = out.map_err(|error| format!("cannot start xz: {error}"))?;
        return if out.status.success() {
            Ok(out.stdout)
        } else {
            Err(format!("cannot decompress {}", file.display()))
        };
    }
    std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

/// Returns the names behind `depends=` in a module's information section, which is text between zeros.
fn dependencies(module: &[u8]) -> Vec<String> {
    let words = module.split(|byte| *byte == 0).find_map(|word| word.strip_prefix(b"depends="));
    let words = String::from_utf8_lossy(words.unwrap_or_default()).into_owned();
    words.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_names_those_it_needs() {
        assert_eq!(dependencies(b"\x7fELF\0license=GPL\0depends=libcrc32c,netfs\0x"), ["libcrc32c", "netfs"]);
        assert_eq!(dependencies(b"depends=\0"), [""; 0]);
        assert_eq!(module_name("kernel/fs/over-lay.ko.xz").as_deref(), Some("over_lay"));
        assert_eq!(module_name("kernel/modules.dep"), None);
    }
}
