//! What the runtime-spec calls a container's state: what hooks are told and `state` prints (runtime.md, "State").

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use oci::runtime::Spec;
use serde::{Deserialize, Serialize};

use crate::plan::ContainerPlan;

/// The version of the runtime-spec that we follow.
pub const SPEC_VERSION: &str = "1.2.1";

/// A container's state as the runtime-spec has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the specification.
    pub oci_version: String,
    /// The container's ID.
    pub id: String,
    /// Where it is in its life.
    pub status: Status,
    /// The first process, as the host sees it; 0 when there is none.
    pub pid: u32,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The spec's annotations.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    pub annotations: HashMap<String, String>,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being made.
    #[default]
    Creating,
    /// It stands and has not been started.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its program has ended.
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

impl State {
    /// Returns what hooks are told while the container is made.
    pub(crate) fn creating(plan: &ContainerPlan, spec: &Spec, bundle: &Path, pid: u32) -> Self {
        Self {
            oci_version: SPEC_VERSION.to_owned(),
            id: plan.id.clone(),
            status: Status::Creating,
            pid,
            bundle: bundle.to_path_buf(),
            annotations: spec.annotations().clone().unwrap_or_default(),
        }
    }

    /// Returns the document as JSON.
    pub fn to_json(&self) -> String {
        // Strings and numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}
