//! Capabilities, system calls and kernel parameters: what a container may do beside being processes.

use std::collections::{HashMap, HashSet};

use oci::runtime::{Capability, LinuxSeccomp};

use super::{Host, SpecError};
use crate::{CreateRequest, Seccomp};

/// The eight capabilities of a container: those that installing and running ordinary services takes, and none that
/// reaches devices, the network's raw sockets or files of the host.
pub(crate) const DEFAULT: [Capability; 8] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::Setgid,
    Capability::Setuid,
];

/// Why a capability cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// There is no such capability.
    #[error("unknown capability {0:?}: use a name of capabilities(7), as in NET_ADMIN, or ALL")]
    Unknown(String),
    /// We do not have it ourselves.
    #[error("the capability {0} cannot be given: this process does not have it itself")]
    Lacking(String),
}

/// Decides the capabilities of a container, in Docker's order: ALL first, then each added, then each dropped.
pub(crate) fn plan_capabilities(request: &CreateRequest, host: &Host) -> Result<HashSet<Capability>, CapabilityError> {
    let all = |words: &[String]| words.iter().any(|word| word.eq_ignore_ascii_case("all"));
    let (added, dropped) = (parse(&request.cap_add)?, parse(&request.cap_drop)?);
    if let Some(lacking) = added.iter().find(|capability| !host.capabilities.contains(capability)) {
        return Err(CapabilityError::Lacking(lacking.to_string()));
    }
    let mut capabilities: HashSet<Capability> =
        match (request.privileged || all(&request.cap_add), all(&request.cap_drop)) {
            (true, _) => host.capabilities.clone(),
            (false, true) => HashSet::new(),
            (false, false) => DEFAULT.into_iter().filter(|capability| host.capabilities.contains(capability)).collect(),
        };
    capabilities.extend(added);
    capabilities.retain(|capability| !dropped.contains(capability));
    Ok(capabilities)
}

/// Checks the names of capabilities and kernel parameters.
pub(super) fn check_words(request: &CreateRequest) -> Result<(), SpecError> {
    parse(&request.cap_add)?;
    parse(&request.cap_drop)?;
    plan_sysctls(request).map(drop)
}

fn parse(words: &[String]) -> Result<Vec<Capability>, CapabilityError> {
    let parse = |word: &String| {
        let upper = word.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        name.parse().map_err(|_| CapabilityError::Unknown(word.clone()))
    };
    words.iter().filter(|word| !word.eq_ignore_ascii_case("all")).map(parse).collect()
}

/// Decides the filter of system calls: none for a privileged container, a file's, or the list that is compiled in.
pub(super) fn plan_seccomp(
    request: &CreateRequest,
    profile: Option<&[u8]>,
    capabilities: &HashSet<Capability>,
    kernel: (u32, u32),
) -> Result<Option<LinuxSeccomp>, SpecError> {
    Ok(match (&request.security.seccomp, profile) {
        (Seccomp::Unconfined, _) => None,
        (_, Some(profile)) => Some(super::seccomp::parse_profile(profile, capabilities, kernel)?),
        _ if request.privileged => None,
        _ => Some(super::seccomp::default_profile(capabilities)),
    })
}

/// What a network namespace of a container's own has in place of capabilities, as with Docker: anybody may ping (over
/// ICMP's own sockets, icmp(7)), and no port is privileged where nobody else listens (ip(7)).
const NETWORK_DEFAULTS: [(&str, &str); 2] =
    [("net.ipv4.ping_group_range", "0 2147483647"), ("net.ipv4.ip_unprivileged_port_start", "0")];

/// A new namespace forwards IPv4 where the host does (`devconf_inherit_init_net`, admin-guide/sysctl/net), which would
/// make each container on two networks a router between them. Who asks for any kind of forwarding gets what they ask.
const NO_ROUTER: (&str, &str) = ("net.ipv4.ip_forward", "0");

/// Decides the kernel parameters; only those of the container's own namespaces may be set.
pub(super) fn plan_sysctls(request: &CreateRequest) -> Result<HashMap<String, String>, SpecError> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let own = |name: &str| {
        IPC.contains(&name) || name.starts_with("fs.mqueue.") || (name.starts_with("net.") && request.network.is_own())
    };
    match request.sysctls.keys().find(|name| !own(name)) {
        Some(name) => Err(SpecError::Sysctl(name.clone())),
        None => {
            let asks = request.sysctls.keys().any(|name| name.contains("forward"));
            let router = Some(&NO_ROUTER).filter(|_| !asks);
            let defaults = NETWORK_DEFAULTS.iter().chain(router).filter(|_| request.network.is_own());
            let defaults = defaults.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Ok(defaults.chain(request.sysctls.clone()).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NetworkMode;

    fn host() -> Host {
        let capabilities = DEFAULT.into_iter().chain([Capability::NetAdmin, Capability::SysAdmin]).collect();
        Host { capabilities, ..Host::default() }
    }

    fn plan(add: &[&str], drop: &[&str]) -> Result<HashSet<Capability>, CapabilityError> {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        let request = CreateRequest { cap_add: words(add), cap_drop: words(drop), ..CreateRequest::default() };
        plan_capabilities(&request, &host())
    }

    #[test]
    fn eight_capabilities_are_given_where_nothing_is_said() {
        assert_eq!(plan(&[], &[]).unwrap(), DEFAULT.into_iter().collect());
    }

    #[test]
    fn all_may_be_added_or_dropped_and_single_ones_beside() {
        assert_eq!(plan(&["NET_ADMIN"], &["ALL"]).unwrap(), HashSet::from([Capability::NetAdmin]));
        let all_but_one = plan(&["all"], &["cap_sys_admin"]).unwrap();
        assert_eq!(all_but_one.len(), 9);
        assert!(!all_but_one.contains(&Capability::SysAdmin));
        assert_eq!(plan(&[], &["CHOWN"]).unwrap().len(), 7);
    }

    #[test]
    fn a_capability_that_nobody_knows_or_has_is_an_error() {
        assert_eq!(plan(&["FLY"], &[]).unwrap_err(), CapabilityError::Unknown("FLY".into()));
        assert!(matches!(plan(&["SYS_TIME"], &[]).unwrap_err(), CapabilityError::Lacking(_)));
    }

    #[test]
    fn who_asks_for_forwarding_of_any_kind_is_not_overruled() {
        for name in ["net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv4.conf.eth0.forwarding"] {
            let sysctls = [(name.to_owned(), "1".to_owned())].into();
            let planned = plan_sysctls(&CreateRequest { sysctls, ..CreateRequest::default() }).unwrap();
            let forwarding: Vec<_> = planned.iter().filter(|(name, _)| name.contains("forward")).collect();
            assert_eq!(forwarding, [(&name.to_owned(), &"1".to_owned())]);
        }
    }

    #[test]
    fn kernel_parameters_of_the_host_are_refused() {
        let sysctls = |name: &str, network: NetworkMode| {
            let request = CreateRequest {
                sysctls: [(name.to_owned(), "1".to_owned())].into(),
                network,
                ..CreateRequest::default()
            };
            plan_sysctls(&request).is_ok()
        };
        assert!(sysctls("net.ipv4.ip_forward", NetworkMode::None));
        let own = plan_sysctls(&CreateRequest { network: NetworkMode::None, ..CreateRequest::default() }).unwrap();
        assert_eq!(own["net.ipv4.ping_group_range"], "0 2147483647");
        assert_eq!(own["net.ipv4.ip_forward"], "0");
        let hosts = plan_sysctls(&CreateRequest { network: NetworkMode::Host, ..CreateRequest::default() }).unwrap();
        assert!(hosts.is_empty());
        assert!(!sysctls("net.ipv4.ip_forward", NetworkMode::Host));
        assert!(sysctls("kernel.shmmax", NetworkMode::Host));
        assert!(!sysctls("kernel.panic", NetworkMode::None));
    }
}
