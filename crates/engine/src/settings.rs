//! What the host's administrator has chosen: one file for all engines of the host.

use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;
use store::snapshot::SnapshotterKind;

use crate::error::Doing;
use crate::network::AddressPool;
use crate::{Error, records};

/// Where the file lies.
pub const SETTINGS: &str = "/etc/conductor/config.json";

/// What can be chosen. A file that has anything else is refused: a word with a mistake in it would be dropped in silence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The link by which containers reach the outside; whichever the routes say where nothing is chosen.
    pub default_interface: Option<String>,
    /// The host's address on which ports are published where none is said; all of them where nothing is chosen.
    pub publish_address: Option<IpAddr>,
    /// Where the subnets of networks are cut from.
    pub address_pools: Vec<AddressPool>,
    /// The most bytes that a layer may have, unpacked; 64 GiB where nothing is chosen.
    pub largest_layer: Option<u64>,
    /// How images become trees of files: `auto`, `erofs` or `directory`.
    pub snapshotter: SnapshotterKind,
}

impl Settings {
    /// Reads the file; without one nothing is chosen.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let doing = || format!("read the configuration {}", path.display());
        let settings: Self = records::read(path).doing(doing)?.unwrap_or_default();
        match settings.address_pools.iter().find(|pool| pool.size < pool.base.prefix_len() || pool.size > 30) {
            Some(pool) => {
                let why = format!("address_pools: {} cannot be cut into pieces of /{}", pool.base, pool.size);
                Err(crate::NetworkError::Option(why)).doing(doing)
            }
            None => Ok(settings),
        }
    }
}
