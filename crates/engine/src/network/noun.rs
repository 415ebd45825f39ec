//! A network's record: what was asked for, and what was decided.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use net::link::{IpvlanMode, MacvlanMode};
use serde::{Deserialize, Serialize};

use super::{NetworkId, NetworkName};

/// The network that a container is on where none is named.
pub const DEFAULT_NETWORK: &str = "bridge";

/// A network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its id, for its whole life.
    pub id: NetworkId,
    /// Its name.
    pub name: NetworkName,
    /// When it was created.
    pub created: Timestamp,
    /// What it is made of.
    pub driver: Driver,
    /// Its subnets, at most one for each family.
    pub pools: Vec<Pool>,
    /// Who is on it reaches nothing beyond it.
    #[serde(default)]
    pub internal: bool,
    /// Labels, for people and tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What `-o` said, as it was said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// The largest packet; that of the way out where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// What a network is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Driver {
    /// A bridge of the host, with the host as the router.
    Bridge {
        /// The bridge's link.
        link: String,
        /// Whether those who are on it reach each other.
        together: bool,
        /// Whether they leave with the host's address.
        masquerade: bool,
        /// The host's address on which ports are published where none is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        publish_on: Option<IpAddr>,
    },
    /// Links with MAC addresses of their own on a link of the host.
    Macvlan {
        /// The host's link.
        parent: String,
        /// What those who are on it see of each other.
        mode: MacvlanMode,
    },
    /// Links that share the MAC address of a link of the host.
    Ipvlan {
        /// The host's link.
        parent: String,
        /// At which layer they are told apart.
        mode: IpvlanMode,
    },
}

/// A subnet of a network, and which of its addresses are given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The subnet.
    pub subnet: IpNet,
    /// The router's address: the host's, on a bridge.
    pub gateway: IpAddr,
    /// The part of the subnet from which addresses are chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<IpNet>,
    /// Addresses that others have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aux: BTreeMap<String, IpAddr>,
}

/// A network as it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkRequest {
    /// Its name.
    pub name: String,
    /// `bridge`, `macvlan` or `ipvlan`; a bridge where nothing is said.
    pub driver: Option<String>,
    /// Its subnets.
    pub subnets: Vec<IpNet>,
    /// The routers' addresses.
    pub gateways: Vec<IpAddr>,
    /// The parts of the subnets from which addresses are chosen.
    pub ranges: Vec<IpNet>,
    /// Addresses that others have, by name.
    pub aux: Vec<(String, IpAddr)>,
    /// Who is on it reaches nothing beyond it.
    pub internal: bool,
    /// It has an IPv6 subnet as well.
    pub ipv6: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What `-o` said.
    pub options: BTreeMap<String, String>,
}

impl Driver {
    /// Returns its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bridge { .. } => "bridge",
            Self::Macvlan { .. } => "macvlan",
            Self::Ipvlan { .. } => "ipvlan",
        }
    }
}

impl Network {
    /// Returns the bridge's link, where the network has one.
    pub fn bridge(&self) -> Option<&str> {
        match &self.driver {
            Driver::Bridge { link, .. } => Some(link),
            _ => None,
        }
    }

    /// Tells whether one of its subnets is of IPv6.
    pub fn has_ipv6(&self) -> bool {
        self.pools.iter().any(|pool| pool.subnet.addr().is_ipv6())
    }
}
