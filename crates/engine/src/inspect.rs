//! A container in Docker's JSON, as `inspect` prints it.

use serde::Serialize;

use crate::MountPoint;

/// A container in Docker's JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspection {
    /// The id.
    pub id: String,
    /// When it was created.
    pub created: String,
    /// The program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What is mounted.
    pub mounts: Vec<MountPoint>,
}
