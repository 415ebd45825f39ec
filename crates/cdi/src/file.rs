//! What a file of a vendor says (SPEC.md, "CDI JSON Specification"), as JSON or YAML.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::name::{is_kind, is_name};

/// A file: the devices of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SpecFile {
    pub(crate) cdi_version: String,
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) devices: Vec<FileDevice>,
    /// What each container gets that gets any device of the file.
    #[serde(default)]
    pub(crate) container_edits: FileEdits,
}

/// A device of a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FileDevice {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) container_edits: FileEdits,
}

/// What a container gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FileEdits {
    #[serde(default)]
    pub(crate) env: Vec<String>,
    #[serde(default)]
    pub(crate) device_nodes: Vec<Node>,
    #[serde(default)]
    pub(crate) net_devices: Vec<NetDevice>,
    #[serde(default)]
    pub(crate) mounts: Vec<FileMount>,
    #[serde(default)]
    pub(crate) hooks: Vec<FileHook>,
    #[serde(default)]
    pub(crate) additional_gids: Vec<u32>,
    #[serde(default)]
    pub(crate) intel_rdt: Option<Rdt>,
}

/// A node below `/dev`. What is not said is as it is on the host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Node {
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) host_path: Option<PathBuf>,
    /// `b`, `c`, `u` or `p`.
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) major: Option<i64>,
    #[serde(default)]
    pub(crate) minor: Option<i64>,
    #[serde(default)]
    pub(crate) file_mode: Option<u32>,
    /// Of `rwm`.
    #[serde(default)]
    pub(crate) permissions: Option<String>,
    #[serde(default)]
    pub(crate) uid: Option<u32>,
    #[serde(default)]
    pub(crate) gid: Option<u32>,
}

/// A link of the host that moves into the container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NetDevice {
    pub(crate) host_interface_name: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FileMount {
    pub(crate) host_path: PathBuf,
    pub(crate) container_path: PathBuf,
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) options: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FileHook {
    pub(crate) hook_name: String,
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) env: Vec<String>,
    #[serde(default)]
    pub(crate) timeout: Option<i64>,
}

/// A share of a processor's cache and memory bandwidth (Intel RDT).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Rdt {
    #[serde(rename = "closID")]
    pub(crate) clos_id: Option<String>,
    pub(crate) l3_cache_schema: Option<String>,
    pub(crate) mem_bw_schema: Option<String>,
    pub(crate) schemata: Option<Vec<String>>,
    pub(crate) enable_monitoring: Option<bool>,
    #[serde(rename = "enableCMT")]
    pub(crate) enable_cmt: Option<bool>,
    #[serde(rename = "enableMBM")]
    pub(crate) enable_mbm: Option<bool>,
}

/// The newest version of the specification that is known here.
const NEWEST: (u32, u32) = (1, 1);

impl SpecFile {
    /// Reads a file's text.
    pub(crate) fn parse(text: &[u8], is_yaml: bool) -> Result<Self, String> {
        let read: Self = match is_yaml {
            true => serde_saphyr::from_slice(text).map_err(|error| one_line(&error.to_string()))?,
            false => serde_json::from_slice(text).map_err(|error| error.to_string())?,
        };
        read.check().map(|()| read)
    }

    fn check(&self) -> Result<(), String> {
        let mut numbers = self.cdi_version.trim_start_matches('v').split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if (major, minor) <= NEWEST => {}
            (Some(Ok(_)), Some(Ok(_))) => {
                return Err(format!("its version {} is newer than {}.{}", self.cdi_version, NEWEST.0, NEWEST.1));
            }
            _ => return Err(format!("its version {:?} is none", self.cdi_version)),
        }
        if !is_kind(&self.kind) {
            return Err(format!("its kind {:?} is none: it is written as in vendor.com/class", self.kind));
        }
        if self.devices.is_empty() {
            return Err("it has no devices".to_owned());
        }
        for (place, device) in self.devices.iter().enumerate() {
            if !is_name(&device.name) {
                return Err(format!("the name {:?} of a device is none", device.name));
            }
            if self.devices[..place].iter().any(|earlier| earlier.name == device.name) {
                return Err(format!("it has two devices {}", device.name));
            }
            device.container_edits.check().map_err(|reason| format!("device {}: {reason}", device.name))?;
        }
        self.container_edits.check()
    }
}

impl FileEdits {
    fn check(&self) -> Result<(), String> {
        if let Some(word) = self.env.iter().find(|word| !word.contains('=')) {
            return Err(format!("the variable {word:?} has no value"));
        }
        for node in &self.device_nodes {
            let kind = node.kind.as_deref().unwrap_or("");
            if !matches!(kind, "" | "b" | "c" | "u" | "p") {
                return Err(format!("{kind:?} is no type of a node"));
            }
            if node.permissions.as_deref().unwrap_or("").chars().any(|c| !"rwm".contains(c)) {
                return Err(format!("the permissions of {} are of r, w and m", node.path.display()));
            }
            is_absolute(&node.path)?;
        }
        self.mounts.iter().try_for_each(|mount| is_absolute(&mount.container_path))?;
        let known = |hook: &&FileHook| HOOKS.contains(&hook.hook_name.as_str());
        match self.hooks.iter().find(|hook| !known(hook)) {
            Some(hook) => Err(format!("there are no hooks {:?}", hook.hook_name)),
            None => Ok(()),
        }
    }
}

/// The points of a container's life at which hooks are called (runtime-spec, "POSIX-platform Hooks").
pub(crate) const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

fn is_absolute(path: &std::path::Path) -> Result<(), String> {
    if path.is_absolute() { Ok(()) } else { Err(format!("the path {:?} is not absolute", path.display())) }
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "\
cdiVersion: \"0.6.0\"
kind: vendor1.com/device
annotations:
  org.mobyproject.buildkit.device.autoallow: true
devices:
  - name: foo
    containerEdits:
      env: [FOO=injected]
      deviceNodes:
        - {path: /dev/foo, hostPath: /dev/null, fileMode: 0o640}
";

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = SpecFile::parse(YAML.as_bytes(), true).unwrap();
        let json = br#"{"cdiVersion": "0.6.0", "kind": "vendor1.com/device",
            "annotations": {"org.mobyproject.buildkit.device.autoallow": "true"},
            "devices": [{"name": "foo", "containerEdits": {"env": ["FOO=injected"],
            "deviceNodes": [{"path": "/dev/foo", "hostPath": "/dev/null", "fileMode": 416}]}}]}"#;
        assert_eq!(SpecFile::parse(json, false).unwrap(), yaml);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told() {
        let fault = |from: &str, to: &str| SpecFile::parse(YAML.replace(from, to).as_bytes(), true).unwrap_err();
        assert_eq!(fault("0.6.0", "2.0.0"), "its version 2.0.0 is newer than 1.1");
        assert_eq!(fault("0.6.0", "x"), "its version \"x\" is none");
        assert_eq!(
            fault("vendor1.com/device", "vendor"),
            "its kind \"vendor\" is none: it is written as in vendor.com/class"
        );
        assert_eq!(fault("name: foo", "name: a b"), "the name \"a b\" of a device is none");
        assert_eq!(fault("FOO=injected", "FOO"), "device foo: the variable \"FOO\" has no value");
        assert_eq!(fault("path: /dev/foo", "path: foo"), "device foo: the path \"foo\" is not absolute");
        assert!(fault("env:", "environment:").contains("environment"));
        assert!(SpecFile::parse(b"{", false).is_err() && SpecFile::parse(b"- [", true).is_err());
    }
}
