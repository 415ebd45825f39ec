//! What a plan needs to know of the host, looked up before it is made.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci::runtime::{Capability, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType};
use sys::credentials::CapabilitySet;

/// The capabilities of Linux in the order of their numbers (capabilities(7)).
const BY_NUMBER: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// Returns the capabilities of a kernel's set.
pub(crate) fn capabilities_of(set: CapabilitySet) -> HashSet<Capability> {
    set.iter().filter_map(|number| BY_NUMBER.get(usize::try_from(number).ok()?).copied()).collect()
}

/// Reads the kernel's version; a text of another form is older than anything.
pub(crate) fn kernel_version() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Returns the node of the host at a path, or the nodes below it, as they are to be seen in a container.
pub(crate) fn device_nodes(source: &Path, target: &Path) -> Vec<LinuxDevice> {
    let mut devices = Vec::new();
    match source.metadata() {
        Ok(metadata) if metadata.is_dir() => collect(source, &mut devices),
        Ok(metadata) => devices.extend(device(source, &metadata)),
        Err(_) => {}
    }
    for device in &mut devices {
        let below = device.path().strip_prefix(source).unwrap_or(Path::new(""));
        let seen = if below.as_os_str().is_empty() { target.to_owned() } else { target.join(below) };
        device.set_path(seen);
    }
    devices
}

/// Returns the host's devices, for a privileged container: every node below `/dev` but those that each container has of
/// its own.
pub(crate) fn host_devices() -> Vec<LinuxDevice> {
    let mut devices = Vec::new();
    collect(Path::new("/dev"), &mut devices);
    devices
}

fn collect(directory: &Path, devices: &mut Vec<LinuxDevice>) {
    const OWN: [&str; 14] = [
        "pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr", "console", "ptmx", "null", "zero", "full", "random",
        "urandom",
    ];
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if OWN.iter().any(|own| name == *own) || name == "tty" {
            continue;
        }
        // What vanishes meanwhile is not there.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            collect(&entry.path(), devices);
        } else {
            devices.extend(device(&entry.path(), &metadata));
        }
    }
}

fn device(path: &Path, metadata: &Metadata) -> Option<LinuxDevice> {
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => LinuxDeviceType::C,
        kind if kind.is_block_device() => LinuxDeviceType::B,
        _ => return None,
    };
    let (major, minor) = sys::path::device_numbers(metadata.rdev());
    LinuxDeviceBuilder::default()
        .path(path)
        .typ(kind)
        .major(i64::from(major))
        .minor(i64::from(minor))
        .file_mode(metadata.mode() & 0o7777)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernel_s() {
        assert_eq!(capabilities_of(CapabilitySet(1)), HashSet::from([Capability::Chown]));
        assert_eq!(capabilities_of(CapabilitySet(1 << 21 | 1 << 40)).len(), 2);
        assert!(capabilities_of(CapabilitySet(1 << 21)).contains(&Capability::SysAdmin));
        assert!(capabilities_of(CapabilitySet(1 << 40)).contains(&Capability::CheckpointRestore));
    }

    #[test]
    fn a_container_s_own_devices_are_not_the_host_s() {
        assert!(host_devices().iter().all(|device| device.path() != Path::new("/dev/null")));
    }
}
