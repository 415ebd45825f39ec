//! What is mounted into every container, and what was asked for beside it.

use std::path::{Path, PathBuf};

use oci::runtime::{Mount, MountBuilder};

use super::Place;
use crate::resources::DEFAULT_SHM;
use crate::{CreateRequest, MountRequest, MountSource};

/// Decides all mounts: the kernel's file systems, then the files that name the container, then the volumes.
///
/// A volume comes last, so that one at `/etc/hosts` or `/dev/shm` has the last word.
pub(super) fn plan_mounts(request: &CreateRequest, place: &Place<'_>) -> Vec<Mount> {
    let covered = |target: &str| request.mounts.iter().any(|mount| mount.target == Path::new(target));
    let mut mounts = kernel_mounts(request);
    mounts.retain(|mount| !covered(&mount.destination().to_string_lossy()));
    let files = place.files.iter().filter(|(target, _)| !covered(target));
    mounts.extend(files.map(|(target, source)| file_mount(target, source)));
    // A mount below another one must come after it.
    let mut volumes: Vec<&MountRequest> = request.mounts.iter().collect();
    volumes.sort_by_key(|mount| mount.target.components().count());
    mounts.extend(volumes.into_iter().map(|mount| requested(mount, &place.volumes)));
    mounts
}

/// Returns where something is mounted in a container, whatever is there in its image.
pub(crate) fn mount_places(request: &CreateRequest) -> Vec<PathBuf> {
    let files = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"].map(PathBuf::from);
    let kernel = kernel_mounts(request).into_iter().map(|mount| mount.destination().clone());
    let volumes = request.mounts.iter().map(|mount| mount.target.clone());
    kernel.chain(files).chain(volumes).collect()
}

fn kernel_mounts(request: &CreateRequest) -> Vec<Mount> {
    let shm = format!("size={}", request.resources.shm_size.unwrap_or(DEFAULT_SHM));
    // What the kernel tells of itself may be changed by a privileged container alone.
    let kernel = if request.privileged { "rw" } else { "ro" };
    vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", kernel]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", kernel]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm]),
    ]
}

fn file_mount(target: &str, source: &Path) -> Mount {
    mount(target, "bind", &source.to_string_lossy(), &["bind", "rprivate"])
}

fn requested(request: &MountRequest, volumes: &Path) -> Mount {
    let target = request.target.to_string_lossy();
    let access = if request.read_only { "ro" } else { "rw" };
    match &request.source {
        MountSource::Bind { path, propagation, recursive } => {
            let bind = if *recursive { "rbind" } else { "bind" };
            let access = if request.read_only && *recursive { "rro" } else { access };
            mount(&target, "bind", &path.to_string_lossy(), &[bind, access, propagation.as_str()])
        }
        MountSource::Volume { name, .. } => {
            let source = name.as_ref().map(|name| volume_data(volumes, name.as_str())).unwrap_or_default();
            mount(&target, "bind", &source.to_string_lossy(), &["rbind", access, "rprivate"])
        }
        MountSource::Tmpfs { options } => {
            let own = ["nosuid", "nodev", "noexec", access];
            // What was asked for comes last, so that `exec` lifts our `noexec`.
            let all: Vec<&str> = own.into_iter().chain(options.iter().map(String::as_str)).collect();
            mount(&target, "tmpfs", "tmpfs", &all)
        }
    }
}

/// Returns where the data of a volume lies.
pub(crate) fn volume_data(volumes: &Path, name: &str) -> PathBuf {
    volumes.join(name).join("_data")
}

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let builder = MountBuilder::default().destination(target).typ(kind).source(source).options(options);
    // Every field is optional to the builder, so nothing can be missing.
    builder.build().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(request: &CreateRequest) -> Vec<String> {
        let files = [("/etc/hosts", PathBuf::from("/run/c/hosts"))];
        let place = Place { volumes: "/v".into(), files: &files, ..Place::default() };
        let line = |mount: &Mount| {
            let options = mount.options().as_ref().unwrap().join(",");
            format!("{} {} {options}", mount.destination().display(), mount.source().as_ref().unwrap().display())
        };
        plan_mounts(request, &place).iter().map(line).collect()
    }

    fn with(mounts: &[&str]) -> Vec<String> {
        let parse = |text: &&str| MountRequest::parse_volume(text, Path::new("/")).unwrap();
        plan(&CreateRequest { mounts: mounts.iter().map(parse).collect(), ..CreateRequest::default() })
    }

    #[test]
    fn every_container_has_the_kernel_s_file_systems() {
        insta::assert_snapshot!(with(&[]).join("\n"), @r"
        /proc proc nosuid,noexec,nodev
        /dev tmpfs nosuid,strictatime,mode=755,size=65536k
        /dev/pts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5
        /sys sysfs nosuid,noexec,nodev,ro
        /sys/fs/cgroup cgroup nosuid,noexec,nodev,relatime,ro
        /dev/mqueue mqueue nosuid,noexec,nodev
        /dev/shm shm nosuid,noexec,nodev,mode=1777,size=67108864
        /etc/hosts /run/c/hosts bind,rprivate
        ");
    }

    #[test]
    fn volumes_come_last_and_outer_ones_before_inner_ones() {
        let plan = with(&["data:/a/b/c:ro", "/src:/a:ro"]);
        assert_eq!(plan[8..], ["/a /src rbind,rro,rprivate", "/a/b/c /v/data/_data rbind,ro,rprivate"]);
    }

    #[test]
    fn a_volume_takes_the_place_of_what_stands_at_its_target() {
        let plan = with(&["/mine:/etc/hosts", "/big:/dev/shm"]);
        assert!(!plan.iter().any(|line| line.contains("/run/c/hosts") || line.starts_with("/dev/shm shm")));
        assert!(plan.contains(&"/etc/hosts /mine rbind,rw,rprivate".to_owned()));
    }

    #[test]
    fn a_tmpfs_is_careful_unless_told_otherwise() {
        let tmpfs = MountRequest::parse_tmpfs("/run:exec,size=1m").unwrap();
        let plan = plan(&CreateRequest { mounts: vec![tmpfs], ..CreateRequest::default() });
        assert_eq!(plan.last().unwrap(), "/run tmpfs nosuid,nodev,noexec,rw,exec,size=1m");
    }

    #[test]
    fn a_privileged_container_may_write_to_the_kernel_s_files() {
        let plan = plan(&CreateRequest { privileged: true, ..CreateRequest::default() });
        assert!(plan.contains(&"/sys sysfs nosuid,noexec,nodev,rw".to_owned()));
    }
}
