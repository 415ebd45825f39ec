//! Another builder: buildah of Debian 13, in a root of its own.
//!
//! What it takes to run here, found by trying:
//!
//! - The root is made by debootstrap with buildah, crun, netavark and skopeo, once a machine, and kept beside other temporary
//!   files. (Without netavark `golang-github-containers-common` is left unconfigured, and buildah with it: debootstrap does not
//!   know that something else provides `container-network-stack`.) It is the lower layer of an overlay, so nobody writes to it.
//! - `--isolation chroot` needs neither cgroups nor a runtime of OCI, so mixed cgroup versions do not matter to it.
//! - `--ulimit nofile=` and `nproc=` with what is in force: by itself it raises both to 1,048,576, which fails without
//!   CAP_SYS_RESOURCE (`setting "RLIMIT_NOFILE" limit: operation not permitted`).
//! - `--network host`, as there is no network to make; the namespace that it is in has the loopback link alone.
//! - Its store on a tmpfs with the driver `overlay`: the kernel's own overlays take that, and two builds take half the time
//!   of `vfs`.
//! - `--format docker`, as OCI's format has no place for HEALTHCHECK, SHELL and ONBUILD; and `dir:` for the way out, as every
//!   other way would convert it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::built::Built;
use super::corpus::Case;

/// What is in the root beside the smallest Debian.
const PACKAGES: &str = "buildah,ca-certificates,crun,netavark,skopeo";

/// What is run as the first process of its namespaces. `$1` is the root, `$2` a directory that both sides see.
const ENTER: &str = r#"
set -eu
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
cd /mnt/root
mkdir -p shared old var/tmp var/lib/containers
mount --bind "$2" shared
mount -t proc proc proc
mount --rbind /sys sys
mount -t tmpfs tmpfs dev
for device in null zero full random urandom; do
    : > dev/$device
    mount --bind /dev/$device dev/$device
done
mkdir dev/shm dev/pts
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
for directory in run tmp var/tmp var/lib/containers; do mount -t tmpfs tmpfs $directory; done
pivot_root . old
umount -l old
cd /
exec bash /shared/script
"#;

/// What is run in there before the builds.
const PREPARE: &str = r#"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
files=$(ulimit -Hn) processes=$(ulimit -Hu)
buildah() { command buildah --storage-driver overlay "$@"; }
bud() {
    buildah bud -q --isolation chroot --layers --format docker --network host \
        --ulimit "nofile=$files:$files" --ulimit "nproc=$processes:$processes" "$@"
}
buildah pull -q docker-archive:/shared/base.tar > /shared/base.log 2>&1
try() { name=$1; shift; "$@" > "/shared/$name.log" 2>&1; echo $? > "/shared/$name.code"; }
"#;

/// Builds cases, each below `shared/contexts/NAME`, from the image in `shared/base.tar`, in the root that [`root`] gives. A build that failed gives what was said.
pub(crate) fn build(root: &Path, cases: &[Case], shared: &Path) -> Vec<Result<Built, String>> {
    let mut script = PREPARE.to_owned();
    for case in cases {
        script += &commands(case);
    }
    std::fs::write(shared.join("script"), script).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c", ENTER, "sh"]);
    let out = command.arg(root).arg(shared).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "the root of buildah: {said}");
    let log = |name: &str| std::fs::read_to_string(shared.join(name)).unwrap_or_default();
    assert!(log("base.log").starts_with(|c: char| c.is_ascii_hexdigit()), "the base: {}", log("base.log"));
    let built = |case: &Case| match log(&format!("{}.code", case.name)).trim() {
        "0" => Ok(Built::read_directory(&shared.join("out").join(case.name))),
        _ => Err(log(&format!("{}.log", case.name))),
    };
    cases.iter().map(built).collect()
}

/// Returns the commands that build one case and bring its image out.
fn commands(case: &Case) -> String {
    let (name, context) = (case.name, format!("/shared/contexts/{}", case.name));
    let words: Vec<_> = case.options.iter().map(|word| quote(&word.replace("{context}", &context))).collect();
    let mut steps = Vec::new();
    if case.parent.is_some() {
        steps.push(format!("bud -t parent-{name} -f {context}/parent.Dockerfile {context}"));
    }
    let stdin = format!("{context}/stdin.Dockerfile");
    steps.push(format!(
        "bud -t {name} {} {context} < $( [ -e {stdin} ] && echo {stdin} || echo /dev/null )",
        words.join(" ")
    ));
    steps.push(format!("buildah push -q localhost/{name} dir:/shared/out/{name}"));
    format!("build() {{ mkdir -p /shared/out && {}; }}\ntry {name} build\n", steps.join(" && "))
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Returns a root with buildah in it. The first time, it takes debootstrap most of a minute, and the network of the host: so
/// this comes before the test has moved into a sandbox.
pub(crate) fn root() -> PathBuf {
    let cache = std::env::temp_dir().join("conductor-cache");
    std::fs::create_dir_all(&cache).unwrap();
    // One at a time; the others then find it made.
    let lock = File::create(cache.join("trixie-buildah.lock")).unwrap();
    lock.lock().unwrap();
    let (root, work) = (cache.join("trixie-buildah"), cache.join("trixie-buildah.new"));
    if root.exists() {
        return root;
    }
    if work.exists() {
        std::fs::remove_dir_all(&work).unwrap();
    }
    // What it mounts goes with its namespace.
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "debootstrap", "--variant=minbase"]);
    command.arg(format!("--include={PACKAGES}")).arg("trixie").arg(&work);
    let out = command.stdin(Stdio::null()).output().unwrap();
    let end = |bytes: &[u8]| String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2000)..]).into_owned();
    assert!(out.status.success(), "debootstrap: {}{}", end(&out.stdout), end(&out.stderr));
    for directory in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        std::fs::remove_dir_all(work.join(directory)).unwrap();
    }
    std::fs::rename(&work, &root).unwrap();
    root
}
