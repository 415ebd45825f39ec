//! A container's record: what it was made from, and how it fares.
//!
//! The record is written once, when the container is created, and never changed; what changes ([`State`]) is kept beside
//! it. Both are JSON that a person can read with `cat`:
//!
//! ```text
//! <root>/containers/<id>/container.json    the record
//!                        exit.json         how the last run ended
//!                        upper/ work/      the container's changes to its image; made by the first start
//!                        <id>-json.log     its output, with <id>-json.log.1, .2 being older
//! <root>/names/<name>                      a link to the record's directory
//! <state>/containers/<id>/                 there only while something of the container runs
//!                        lock              held by the monitor for its whole life
//!                        state.json        what `ps` shows
//!                        config.json       the OCI spec of this run
//!                        monitor.sock      attach, wait
//!                        hostname hosts resolv.conf
//! ```

use std::path::PathBuf;

use jiff::Timestamp;
use oci::Digest;
use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::{ContainerId, ContainerName, CreateRequest, Health, HealthCheck};

/// A container's record.
///
/// It is made by [`Engine::create`](crate::Engine::create), found again by [`Engine::find`](crate::Engine::find), and gone
/// after [`Engine::remove`](crate::Engine::remove). In between it may run many times, one at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Its id, for its whole life.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// When it was created.
    pub created: Timestamp,
    /// The image's id: the digest of its configuration.
    pub image_id: Digest,
    /// The program and its arguments, from request and image together.
    pub args: Vec<String>,
    /// Names of the volumes that were made for this container alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anonymous_volumes: Vec<ContainerName>,
    /// How its health is checked, from request and image together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// What was asked for.
    pub request: CreateRequest,
}

impl Container {
    /// Returns the directory that takes its changes.
    pub(crate) fn upper(&self, layout: &Layout) -> PathBuf {
        self.request.scratch.as_ref().map_or_else(|| layout.upper(&self.id), |scratch| scratch.join("upper"))
    }

    /// Returns the directory that overlayfs needs beside it.
    pub(crate) fn work(&self, layout: &Layout) -> PathBuf {
        self.request.scratch.as_ref().map_or_else(|| layout.work(&self.id), |scratch| scratch.join("work"))
    }

    /// Tells whether it is a step of a build, which nobody else has to do with.
    pub(crate) fn is_step(&self) -> bool {
        self.request.scratch.is_some()
    }
}

/// How a container fares.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Which part of its life it is in.
    pub status: Status,
    /// The command's process, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The exit status of the last run.
    pub exit_code: i32,
    /// Whether the kernel killed a process of it for want of memory.
    pub oom_killed: bool,
    /// What went wrong with the last run, if it was us.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// How many times its policy has started it again.
    pub restarts: u32,
    /// How its health was found, where it is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// When it was started last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

/// Which part of its life a container is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has never run.
    #[default]
    Created,
    /// Its command runs.
    Running,
    /// Its command has ended, and is started again after a while.
    Restarting,
    /// Its command has ended.
    Exited,
    /// Its record is damaged: it can be removed, and nothing else.
    Dead,
}

impl Status {
    /// Returns Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

/// A container as `ps` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// The image, as the user named it.
    pub image: String,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// When it was created.
    pub created: Timestamp,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// The ports that it publishes, as in `0.0.0.0:8080->80/tcp`.
    pub ports: Vec<String>,
    /// How it fares.
    pub state: State,
}

/// What is mounted into a container, as `inspect` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountPoint {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// The volume's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it lies on the host.
    pub source: PathBuf,
    /// Where it is mounted.
    pub destination: PathBuf,
    /// Whether it can be written.
    #[serde(rename = "RW")]
    pub writable: bool,
    /// Which later mounts it shares.
    pub propagation: &'static str,
}
