//! The Container Device Interface: a host's devices by name, and what each comes to in a container
//! (CDI specification 1.1.0, SPEC.md of cncf-tags/container-device-interface).
//!
//! Vendors put files into [`DIRECTORIES`], each with the devices of one kind. [`Catalogue::read`] reads them;
//! [`Catalogue::find`] returns a device by its name, and [`Edits`] are what devices come to: nodes, mounts, variables, hooks.
//!
//! A file that cannot be read costs the devices that are in it and no others; the error about such a device tells of it.

mod catalogue;
mod edits;
mod file;
mod name;

use std::path::PathBuf;

pub use catalogue::{Catalogue, DIRECTORIES, Device};
pub use edits::Edits;
pub use name::{DeviceName, NameError};

/// Why a device could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CdiError {
    /// No file lists it.
    #[error("this machine offers no device {name}{}", reasons(.faults))]
    NoDevice {
        /// What was asked for.
        name: String,
        /// Files that could not be read: it may be in one of them.
        faults: Vec<Fault>,
    },
    /// Files of the same rank list it.
    #[error("the device {name} is in several files: {} and {}", .files[0].display(), .files[1].display())]
    Conflict {
        /// What was asked for.
        name: DeviceName,
        /// The files.
        files: Box<[PathBuf; 2]>,
    },
    /// A node that a device stands for is not there.
    #[error("cannot look at the node {path} of a device")]
    Node {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be looked at.
        source: sys::Error,
    },
    /// A node is no device, and its file does not say which.
    #[error("{0} is no device node")]
    NoNode(PathBuf),
    /// The container's spec could not be completed: a mistake of ours.
    #[error("the spec is incomplete")]
    Incomplete(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A file that could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", .path.display())]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

fn reasons(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("; {fault}")).collect()
}
