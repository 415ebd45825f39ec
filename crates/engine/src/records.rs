//! The small files of a container: its record, the run that goes on, the way the last one ended.
//!
//! Each is written beside its place and renamed, so that a reader without a lock sees a whole file or none.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::snapshot::SnapshotterKind;
use sys::Calling;
use sys::file::{Durability, replace};

use crate::error::Doing;
use crate::health::Health;
use crate::layout::Layout;
use crate::names;
use crate::{Container, ContainerId, ContainerName, Error, State, Status, Summary};

/// What is known of a run while it goes on. It holds what `ps` shows, so that `ps` reads one file a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) pid: u32,
    pub(crate) started_at: Timestamp,
    pub(crate) name: ContainerName,
    pub(crate) image: String,
    pub(crate) args: Vec<String>,
    pub(crate) created: Timestamp,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    /// How many times the policy has started it again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) restarts: u32,
    /// Its health is checked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) has_health: bool,
    /// The ports that it publishes, in the words of `ps`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ports: Vec<String>,
    /// The snapshotter that was chosen, for the runs that follow by the policy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) snapshotter: SnapshotterKind,
    /// It is a step of a build, which lists leave out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) step: bool,
    /// How its health was found; kept in a file of its own.
    #[serde(skip)]
    pub(crate) health: Option<Health>,
    /// Its command has ended, so and then, and is about to be started again; there is no process meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pause: Option<Pause>,
}

/// The time between the end of a command and its restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pause {
    pub(crate) exit_code: u8,
    pub(crate) finished_at: Timestamp,
}

fn is_default(kind: &SnapshotterKind) -> bool {
    *kind == SnapshotterKind::default()
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) exit_code: u8,
    #[serde(default)]
    pub(crate) oom_killed: bool,
    /// Somebody asked for the end.
    #[serde(default)]
    pub(crate) stopped: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) restarts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<Health>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Timestamp,
}

impl Run {
    pub(crate) fn of(container: &Container, pid: u32, started_at: Timestamp) -> Self {
        Self {
            pid,
            restarts: 0,
            has_health: container.health.is_some(),
            step: container.is_step(),
            ports: Vec::new(),
            health: None,
            pause: None,
            snapshotter: SnapshotterKind::default(),
            started_at,
            name: container.name.clone(),
            image: container.request.image.clone(),
            args: container.args.clone(),
            created: container.created,
            labels: container.request.labels.clone(),
        }
    }

    pub(crate) fn state(&self) -> State {
        if let Some(pause) = &self.pause {
            return State {
                status: Status::Restarting,
                exit_code: i32::from(pause.exit_code),
                restarts: self.restarts,
                started_at: Some(self.started_at),
                finished_at: Some(pause.finished_at),
                ..State::default()
            };
        }
        State {
            status: Status::Running,
            restarts: self.restarts,
            health: self.health.clone(),
            pid: i32::try_from(self.pid).ok(),
            started_at: Some(self.started_at),
            ..State::default()
        }
    }

    pub(crate) fn into_summary(self, id: ContainerId) -> Summary {
        let state = self.state();
        let Self { name, image, args, created, labels, ports, .. } = self;
        Summary { id, name, image, args, created, labels, ports, state }
    }
}

impl Exit {
    /// The end of a run whose monitor died: nobody was there to see how.
    pub(crate) fn unseen(error: &str, started_at: Option<Timestamp>, finished_at: Timestamp) -> Self {
        Self {
            exit_code: 137,
            oom_killed: false,
            stopped: false,
            restarts: 0,
            health: None,
            error: error.to_owned(),
            started_at,
            finished_at,
        }
    }

    /// A run that came to nothing.
    pub(crate) fn failed(exit_code: u8, error: String) -> Self {
        let finished_at = Timestamp::now();
        Self { exit_code, ..Self::unseen(&error, None, finished_at) }
    }

    pub(crate) fn state(&self) -> State {
        State {
            status: Status::Exited,
            pid: None,
            exit_code: i32::from(self.exit_code),
            oom_killed: self.oom_killed,
            restarts: self.restarts,
            health: self.health.clone(),
            error: self.error.clone(),
            started_at: self.started_at,
            finished_at: Some(self.finished_at),
        }
    }
}

impl Container {
    /// Returns the container as `ps` shows it, in this state.
    pub fn summary(self, state: State) -> Summary {
        let Self { id, name, created, args, request, .. } = self;
        let (image, labels, ports) = (request.image, request.labels, Vec::new());
        Summary { id, name, image, args, created, labels, ports, state }
    }
}

/// Tells whether there is something at a path of ours.
pub(crate) fn exists(path: &Path) -> Result<bool, Error> {
    sys::file::exists(path).doing(|| format!("look for {}", path.display()))
}

/// Reads a file of ours; `None` when there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(bytes) = read_bytes(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).doing(|| format!("understand {}: it is damaged", path.display()))
}

fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).call(|| format!("open({path:?})")).doing(|| format!("read {}", path.display())),
    }
}

/// Writes a file of ours.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<(), Error> {
    let mut bytes = serde_json::to_vec(value).doing(|| format!("write {}", path.display()))?;
    bytes.push(b'\n');
    replace(path, &bytes, durability).doing(|| format!("write {}", path.display()))
}

/// Reads the record of a container. One that is damaged costs this container alone: whoever looks at many goes on.
pub(crate) fn container(layout: &Layout, id: &ContainerId) -> Result<Option<Container>, Error> {
    let path = layout.record(id);
    let Some(bytes) = read_bytes(&path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| Error::Damaged {
        id: id.clone(),
        name: names::of(layout, id).map_or_else(|| id.short().to_owned(), |name| name.to_string()),
        path: path.display().to_string(),
        source: error.into(),
    })
}
