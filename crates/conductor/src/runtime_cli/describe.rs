//! `spec` and `features`: a spec to begin with, and what this runtime knows of the specification.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use oci::runtime::Spec;
use serde_json::{Value, json};

use super::table::{Call, Operation};
use crate::error::{Failure, Outcome};
use crate::ui;

/// Write a spec to begin with
#[derive(Debug, Args)]
pub(super) struct SpecArgs {
    /// Directory of the bundle (default the current one)
    #[arg(short, long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    bundle: PathBuf,
    /// Write a spec that needs no root
    #[arg(long)]
    rootless: bool,
}

impl Operation for SpecArgs {
    const NAME: &'static str = "spec";
    const ABOUT: &'static str = "Write a spec to begin with";
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, _call: &Call<'_>) -> Outcome {
        let user = sys::credentials::effective_user();
        let mut spec = if self.rootless { Spec::rootless(user, user) } else { Spec::default() };
        spec.set_hostname(Some("conductor".to_owned()));
        let mut text = serde_json::to_string_pretty(&spec)?;
        text.push('\n');
        let path = self.bundle.join("config.json");
        // A spec that somebody has worked on is never written over.
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| Failure::new(error).doing(format!("cannot write {}", path.display())))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Print what this runtime knows of the specification
#[derive(Debug, Args)]
pub(super) struct FeaturesArgs {}

impl Operation for FeaturesArgs {
    const NAME: &'static str = "features";
    const ABOUT: &'static str = "Print what this runtime knows of the specification";
    const USAGE: &'static str = "";

    fn run(self, _call: &Call<'_>) -> Outcome {
        ui::print_line(&serde_json::to_string_pretty(&features())?).map(|()| ExitCode::SUCCESS)
    }
}

/// Returns the document of the specification's features.md.
fn features() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": runtime::SPEC_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": MOUNT_OPTIONS,
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": capabilities(),
            "cgroup": {"v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": false},
            "seccomp": {
                "enabled": true,
                "actions": ACTIONS,
                "operators": OPERATORS,
                "archs": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
            },
            "apparmor": {"enabled": false},
            "selinux": {"enabled": false},
            "intelRdt": {"enabled": false},
        },
        "annotations": {"conductor.version": crate::commands::version::VERSION},
    })
}

const MOUNT_OPTIONS: &[&str] = &[
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "exec",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnosuid",
    "ro",
    "rprivate",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rsuid",
    "runbindable",
    "rw",
    "shared",
    "slave",
    "strictatime",
    "suid",
    "tmpcopyup",
    "unbindable",
];

const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const OPERATORS: [&str; 7] =
    ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"];

/// Returns the capabilities by name.
fn capabilities() -> Vec<String> {
    CAPABILITIES.split_whitespace().map(|name| format!("CAP_{}", name.to_ascii_uppercase())).collect()
}

const CAPABILITIES: &str = "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable \
    net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace \
    sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control \
    setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mount_option_that_is_named_is_known() {
        for word in MOUNT_OPTIONS {
            let options = runtime::plan::MountOptions::parse([*word]);
            assert!(options.data.is_empty(), "{word} would go to the file system");
        }
    }

    #[test]
    fn the_document_names_its_versions_and_namespaces() {
        let document = features();
        assert_eq!(document["ociVersionMax"], json!(runtime::SPEC_VERSION));
        for name in document["linux"]["capabilities"].as_array().unwrap() {
            assert!(serde_json::from_value::<oci::runtime::Capability>(name.clone()).is_ok(), "{name}");
        }
    }
}
