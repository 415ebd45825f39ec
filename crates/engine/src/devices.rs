//! Devices that a container gets: nodes of the host by their paths, and what vendors offer by name (the Container Device
//! Interface).

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use cdi::{Catalogue, DIRECTORIES, DeviceName, Edits};
use oci::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder};
use serde::{Deserialize, Serialize};

use crate::spec::device_nodes;

/// A device that a container is to get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceRequest {
    /// A node of the host, or all nodes below a directory.
    Node {
        /// Where it is on the host.
        source: PathBuf,
        /// Where it is in the container.
        target: PathBuf,
        /// What may be done with it: of `r`, `w` and `m` (make a node).
        access: String,
    },
    /// One that a vendor offers.
    Named(DeviceName),
}

/// Why a word is no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid device {0:?}: it is written HOST-PATH[:CONTAINER-PATH][:rwm] or VENDOR/CLASS=NAME")]
pub struct DeviceRequestError(String);

/// Why a container cannot have a device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is nothing of use at a path.
    #[error("{0} is neither a device nor a directory with devices")]
    NoNode(PathBuf),
    /// It is not offered by name.
    #[error(transparent)]
    Named(#[from] cdi::CdiError),
    /// A rule could not be composed: a mistake of ours.
    #[error("the spec is incomplete")]
    Incomplete(#[source] crate::Cause),
}

impl FromStr for DeviceRequest {
    type Err = DeviceRequestError;

    fn from_str(text: &str) -> Result<Self, DeviceRequestError> {
        if let Ok(name) = text.parse() {
            return Ok(Self::Named(name));
        }
        let is_access = |word: &str| !word.is_empty() && word.chars().all(|c| "rwm".contains(c));
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, access) = match parts[..] {
            [source] => (source, source, "rwm"),
            [source, access] if is_access(access) => (source, source, access),
            [source, target] => (source, target, "rwm"),
            [source, target, access] if is_access(access) => (source, target, access),
            _ => return Err(DeviceRequestError(text.to_owned())),
        };
        if !source.starts_with('/') || !target.starts_with('/') {
            return Err(DeviceRequestError(text.to_owned()));
        }
        Ok(Self::Node { source: source.into(), target: target.into(), access: access.to_owned() })
    }
}

impl TryFrom<String> for DeviceRequest {
    type Error = DeviceRequestError;

    fn try_from(text: String) -> Result<Self, DeviceRequestError> {
        text.parse()
    }
}

impl From<DeviceRequest> for String {
    fn from(request: DeviceRequest) -> Self {
        request.to_string()
    }
}

impl Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { source, target, access } => write!(f, "{}:{}:{access}", source.display(), target.display()),
            Self::Named(name) => name.fmt(f),
        }
    }
}

/// What the devices of a request come to on this host.
#[derive(Debug, Clone, Default)]
pub struct Granted {
    /// Nodes, with the rules that let them be used.
    pub nodes: Vec<(LinuxDevice, LinuxDeviceCgroup)>,
    /// What vendors want beside their nodes.
    pub edits: Edits,
}

/// Looks up what devices come to.
pub(crate) fn grant(requests: &[DeviceRequest]) -> Result<Granted, DeviceError> {
    let mut nodes = Vec::new();
    for request in requests {
        let DeviceRequest::Node { source, target, access } = request else { continue };
        let found = device_nodes(source, target);
        if found.is_empty() {
            return Err(DeviceError::NoNode(source.clone()));
        }
        for device in found {
            nodes.push((device.clone(), rule(&device, access)?));
        }
    }
    Ok(Granted { nodes, edits: edits(requests)?.looked_up()? })
}

/// Returns where the devices of a request mount something or have nodes, as far as that can be told.
pub(crate) fn places(requests: &[DeviceRequest]) -> Vec<PathBuf> {
    let nodes = requests.iter().filter_map(|request| match request {
        DeviceRequest::Node { source, target, .. } => Some(device_nodes(source, target)),
        DeviceRequest::Named(_) => None,
    });
    let mut places: Vec<_> = nodes.flatten().map(|device| device.path().clone()).collect();
    if let Ok(edits) = edits(requests) {
        places.extend(edits.places().map(Path::to_owned));
    }
    places
}

fn edits(requests: &[DeviceRequest]) -> Result<Edits, cdi::CdiError> {
    let named: Vec<_> = requests
        .iter()
        .filter_map(|request| if let DeviceRequest::Named(name) = request { Some(name) } else { None })
        .collect();
    if named.is_empty() {
        return Ok(Edits::default());
    }
    let catalogue = Catalogue::read(DIRECTORIES);
    let found: Vec<_> = named.into_iter().map(|name| catalogue.find(name)).collect::<Result<_, _>>()?;
    Ok(Edits::of(found))
}

fn rule(device: &LinuxDevice, access: &str) -> Result<LinuxDeviceCgroup, DeviceError> {
    let rule = LinuxDeviceCgroupBuilder::default().allow(true).typ(device.typ()).major(device.major());
    rule.minor(device.minor()).access(access).build().map_err(|error| DeviceError::Incomplete(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_paths_or_names() {
        let read = |text: &str| text.parse::<DeviceRequest>().map(|request| request.to_string());
        for (text, read_back) in [
            ("/dev/fuse", "/dev/fuse:/dev/fuse:rwm"),
            ("/dev/fuse:r", "/dev/fuse:/dev/fuse:r"),
            ("/dev/sda:/dev/xvdc", "/dev/sda:/dev/xvdc:rwm"),
            ("/dev/sda:/dev/xvdc:rw", "/dev/sda:/dev/xvdc:rw"),
            ("vendor.com/gpu=all", "vendor.com/gpu=all"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(read_back), "{text}");
            assert_eq!(read(read_back).as_deref(), Ok(read_back));
        }
        for bad in ["", "fuse", "/dev/a:b", "/dev/a:/dev/b:x", "/dev/a:/b:r:w", "vendor.com/gpu"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_device_is_refused() {
        let text = grant(&["/etc/passwd".parse().unwrap()]).unwrap_err().to_string();
        assert_eq!(text, "/etc/passwd is neither a device nor a directory with devices");
        let granted = grant(&["/dev/null:/dev/nothing:r".parse().unwrap()]).unwrap();
        let (device, rule) = &granted.nodes[0];
        assert_eq!((device.path(), device.major(), device.minor()), (&PathBuf::from("/dev/nothing"), 1, 3));
        assert_eq!((rule.access().as_deref(), rule.allow()), (Some("r"), true));
    }
}
