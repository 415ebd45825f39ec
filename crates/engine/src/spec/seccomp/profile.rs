//! Lists in Docker's form (`--security-opt seccomp=FILE`): the specification's, with architectures by machine and with rules
//! that depend on capabilities, architecture and kernel version. A list in the specification's own form is read as well.

use std::collections::HashSet;

use oci::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSyscall,
};
use serde::Deserialize;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// It is not JSON, or not a profile.
    #[error("cannot read the seccomp profile")]
    Syntax(#[source] serde_json::Error),
    /// Both ways of naming architectures are used.
    #[error("the seccomp profile has both \"architectures\" and \"archMap\"; use one of them")]
    Architectures,
    /// Both ways of naming calls are used in one rule.
    #[error("a rule of the seccomp profile has both \"name\" ({name}) and \"names\"; use one of them")]
    Names {
        /// The single name.
        name: String,
    },
    /// The version is not two numbers.
    #[error("\"minKernel\" in the seccomp profile is {text:?}; expected a version such as 4.8")]
    Kernel {
        /// What stands there.
        text: String,
    },
}

/// Reads a profile for a container with these capabilities, on the machine's architecture and a kernel of this version.
pub fn parse_profile(
    json: &[u8],
    capabilities: &Capabilities,
    kernel: (u32, u32),
) -> Result<LinuxSeccomp, ProfileError> {
    let host = Host {
        arch: runtime::plan::seccomp::native(),
        name: oci::Platform::host().architecture,
        capabilities: capabilities.iter().map(|capability| format!("CAP_{capability}")).collect(),
        kernel,
    };
    serde_json::from_slice::<Profile>(json).map_err(ProfileError::Syntax)?.into_list(&host)
}

/// What the rules of a profile depend on.
#[derive(Debug)]
struct Host {
    arch: Arch,
    /// The architecture in Go's naming, as profiles have it.
    name: String,
    capabilities: HashSet<String>,
    kernel: (u32, u32),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<Arch>>,
    arch_map: Option<Vec<ArchMap>>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<std::path::PathBuf>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<LinuxSeccompArg>>,
    includes: Option<Condition>,
    excludes: Option<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

impl Profile {
    fn into_list(self, host: &Host) -> Result<LinuxSeccomp, ProfileError> {
        let architectures = self.architectures.filter(|listed| !listed.is_empty());
        let map = self.arch_map.filter(|map| !map.is_empty());
        let architectures = match (architectures, map) {
            (Some(_), Some(_)) => return Err(ProfileError::Architectures),
            (listed, None) => listed,
            (None, Some(map)) => map.into_iter().find(|entry| entry.architecture == host.arch).map(ArchMap::into_list),
        };
        let mut rules = Vec::new();
        for rule in self.syscalls.into_iter().flatten() {
            if rule.is_for(host)? {
                rules.push(rule.into_syscall()?);
            }
        }
        let mut list = LinuxSeccomp::default();
        list.set_default_action(self.default_action)
            .set_default_errno_ret(self.default_errno_ret)
            .set_architectures(architectures)
            .set_flags(self.flags)
            .set_listener_path(self.listener_path)
            .set_listener_metadata(self.listener_metadata)
            .set_syscalls(Some(rules));
        Ok(list)
    }
}

impl ArchMap {
    fn into_list(self) -> Vec<Arch> {
        std::iter::once(self.architecture).chain(self.sub_architectures.into_iter().flatten()).collect()
    }
}

impl Rule {
    /// Tells whether the rule is for this host: all that it includes is there, nothing that it excludes is.
    fn is_for(&self, host: &Host) -> Result<bool, ProfileError> {
        let included = match &self.includes {
            None => true,
            Some(Condition { caps, arches, min_kernel }) => {
                let arches = arches.as_ref().filter(|arches| !arches.is_empty());
                caps.iter().flatten().all(|capability| host.capabilities.contains(capability))
                    && arches.is_none_or(|arches| arches.contains(&host.name))
                    && reaches(min_kernel.as_deref(), host.kernel)?.unwrap_or(true)
            }
        };
        let excluded = match &self.excludes {
            None => false,
            Some(Condition { caps, arches, min_kernel }) => {
                caps.iter().flatten().any(|capability| host.capabilities.contains(capability))
                    || arches.iter().flatten().any(|arch| *arch == host.name)
                    || reaches(min_kernel.as_deref(), host.kernel)?.unwrap_or(false)
            }
        };
        Ok(included && !excluded)
    }

    fn into_syscall(self) -> Result<LinuxSyscall, ProfileError> {
        let names = match (self.name.filter(|name| !name.is_empty()), self.names.filter(|names| !names.is_empty())) {
            (Some(name), Some(_)) => return Err(ProfileError::Names { name }),
            (name, names) => names.unwrap_or_else(|| name.into_iter().collect()),
        };
        let mut syscall = LinuxSyscall::default();
        syscall.set_names(names).set_action(self.action).set_errno_ret(self.errno_ret);
        syscall.set_args(self.args.filter(|arguments| !arguments.is_empty()));
        Ok(syscall)
    }
}

/// Tells whether the kernel is at least of the version, if there is one.
fn reaches(version: Option<&str>, kernel: (u32, u32)) -> Result<Option<bool>, ProfileError> {
    let Some(text) = version.filter(|text| !text.is_empty()) else { return Ok(None) };
    let parsed = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let wanted: (u32, u32) = parsed.ok_or_else(|| ProfileError::Kernel { text: text.to_owned() })?;
    Ok(Some(kernel >= wanted))
}

#[cfg(test)]
mod tests {
    use oci::runtime::Capability;

    use super::*;

    fn host(capabilities: &[Capability]) -> Host {
        let capabilities = capabilities.iter().map(|capability| format!("CAP_{capability}")).collect();
        Host { arch: Arch::ScmpArchX86_64, name: "amd64".into(), capabilities, kernel: (6, 1) }
    }

    fn read(json: &serde_json::Value, host: &Host) -> Result<LinuxSeccomp, ProfileError> {
        serde_json::from_value::<Profile>(json.clone()).map_err(ProfileError::Syntax)?.into_list(host)
    }

    fn names(list: &LinuxSeccomp) -> Vec<&str> {
        list.syscalls().iter().flatten().flat_map(LinuxSyscall::names).map(String::as_str).collect()
    }

    #[test]
    fn rules_are_chosen_by_capabilities_architecture_and_kernel() {
        let profile = serde_json::json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "archMap": [
                { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] },
                { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] },
            ],
            "syscalls": [
                { "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": null, "comment": "", "includes": {}, "excludes": {} },
                { "name": "write", "action": "SCMP_ACT_ALLOW" },
                { "names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] } },
                { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": { "caps": ["CAP_SYS_ADMIN"], "arches": ["s390x"] },
                  "args": [{ "index": 0, "value": 2114060288_u64, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] },
                { "names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["amd64", "x32"] } },
                { "names": ["set_tls"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["arm64"] } },
                { "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4.8" } },
                { "names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "6.10" } },
                { "names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "excludes": { "minKernel": "5.0" } },
            ]
        });
        let plain = read(&profile, &host(&[])).unwrap();
        assert_eq!(names(&plain), ["read", "write", "clone", "arch_prctl", "ptrace"]);
        assert_eq!(plain.architectures(), &Some(vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86]));
        let admin = read(&profile, &host(&[Capability::SysAdmin])).unwrap();
        assert_eq!(names(&admin), ["read", "write", "mount", "arch_prctl", "ptrace"]);
    }

    #[test]
    fn what_contradicts_itself_is_refused_in_words() {
        let refuse = |json| read(&json, &host(&[])).unwrap_err().to_string();
        assert_eq!(
            refuse(serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
                "archMap": [{ "architecture": "SCMP_ARCH_X86_64" }] })),
            "the seccomp profile has both \"architectures\" and \"archMap\"; use one of them"
        );
        assert_eq!(
            refuse(serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "name": "read", "names": ["write"], "action": "SCMP_ACT_LOG" }] })),
            "a rule of the seccomp profile has both \"name\" (read) and \"names\"; use one of them"
        );
        assert_eq!(
            refuse(serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "name": "read", "action": "SCMP_ACT_LOG", "includes": { "minKernel": "new" } }] })),
            "\"minKernel\" in the seccomp profile is \"new\"; expected a version such as 4.8"
        );
        assert!(refuse(serde_json::json!({ "syscalls": [] })).starts_with("cannot read"));
    }
}
