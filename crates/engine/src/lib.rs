//! The life of a container: create to remove, its monitor, its state, its logs.
//!
//! The engine knows images (through `store`) and processes (through `runtime`) and makes containers of them. A command
//! calls a verb of [`Engine`]; the verb decides with plain functions ([`spec`], the parsers of [`MountRequest`] and
//! [`Resources`]) and then acts. What stays when the command has returned is one small monitor per container
//! ([`monitor`]), and files that are drawn above [`Container`].
//!
//! Start reading at [`Engine`].

mod attach;
mod boot;
mod changes;
mod client;
mod container;
mod create;
mod devices;
mod engine;
mod error;
mod exec;
mod explain;
mod files;
mod flow;
mod health;
mod inspect;
mod layout;
mod ledger;
mod list;
pub mod logs;
pub mod monitor;
mod mounts;
mod name;
mod names;
pub mod network;
mod records;
mod recover;
mod remove;
mod request;
mod requires;
mod resources;
mod restart;
mod script;
mod session;
mod settings;
mod signal;
pub mod spec;
mod start;
mod step;
mod stop;
mod usage;
mod views;
mod volumes;
mod wire;

pub use attach::{AttachOptions, DetachKeys, DetachKeysError};
pub use boot::{BootOutcome, Booted};
pub use container::{Container, MountPoint, State, Status, Summary};
pub use devices::{DeviceError, DeviceRequest, DeviceRequestError, Granted};
pub use engine::{AttachOutcome, Engine, ExecRequest, LogsRequest, RemoveOptions, RunOutcome, StartMode, StopOptions};
pub use error::{Cause, Chain, Error};
pub use health::{
    Health, HealthCheck, HealthError, HealthOnFailure, HealthOnFailureError, HealthRequest, HealthStatus, ImageHealth,
    Probe,
};
pub use inspect::{Config, GraphDriver, HostConfig, Inspection, LogConfig, RestartPolicyView, StateView, UlimitView};
pub use logs::options::{LogDriver, LogOptionError, LogOptions};
pub use logs::tag::{Tag, TagError};
pub use mounts::{MountError, MountRequest, MountSource, Propagation, VolumeName};
pub use name::{ContainerId, ContainerName, IdError, NameError};
pub use network::{
    Attachment, Driver, ExposedPort, HostWish, NameWishes, Network, NetworkError, NetworkRequest, NetworkSettings,
    PortRequest,
};
pub use request::{CreateRequest, NetworkMode, NetworkModeError, Seccomp, Security, SecurityError};
pub use requires::{Requirement, RequirementError, WaitCondition, WaitConditionError};
pub use resources::{
    Cpus, DEFAULT_PIDS, DEFAULT_SHM, LEAST_MEMORY, Resources, ResourcesError, Ulimit, parse_cpus, parse_size,
};
pub use restart::{RestartPolicy, RestartPolicyError};
pub use settings::{SETTINGS, Settings};
pub use signal::{Signal, SignalError};
pub use step::StepOutcome;
pub use usage::{ContainerUsage, DiskUsage, VolumeUsage};
