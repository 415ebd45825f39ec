//! What the host's administrator has chosen: one file for all engines of the host.

use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use store::snapshot::SnapshotterKind;

use crate::error::Doing;
use crate::network::AddressPool;
use crate::{Error, parse_size, records};

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
    /// How much the cache of builds may hold, as a number of bytes or as in `20GB`; a tenth of the file system or 20 GB, whichever
    /// is larger, and at most half of it, where nothing is chosen.
    #[serde(deserialize_with = "read_size")]
    pub build_cache_size: Option<u64>,
    /// How images become trees of files: `auto`, `erofs` or `directory`.
    pub snapshotter: SnapshotterKind,
}

/// A size as JSON has it: a number, or a text with a unit.
#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

fn read_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::<Size>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Size::Bytes(bytes)) => Ok(Some(bytes)),
        Some(Size::Text(text)) => parse_size(&text).map(Some).map_err(serde::de::Error::custom),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_or_a_text() {
        let of = |text: &str| serde_json::from_str::<Settings>(text).map(|settings| settings.build_cache_size);
        assert_eq!(of("{}").unwrap(), None);
        assert_eq!(of("{\"build_cache_size\": 5}").unwrap(), Some(5));
        assert_eq!(of("{\"build_cache_size\": \"2GB\"}").unwrap(), Some(2 << 30));
        assert!(of("{\"build_cache_size\": \"much\"}").is_err());
    }
}
