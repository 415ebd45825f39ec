//! Why something about networks could not be done, in the user's words.

use std::net::IpAddr;

use ipnet::IpNet;

/// Why something about networks could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// No network has this name or id.
    #[error("no such network: {0}")]
    NoSuchNetwork(String),
    /// Several ids begin so.
    #[error("{prefix} is the beginning of {count} network ids: give more digits")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// How many networks it fits.
        count: usize,
    },
    /// Another network has the name.
    #[error("the network {0} exists already: remove it first, or use another name")]
    NameInUse(String),
    /// The name means something that every engine has.
    #[error("{0} is a network that is always there: it can be neither made nor removed")]
    Predefined(String),
    /// A network's record was cut short or overwritten.
    #[error("the record of network {name} is damaged: {why}")]
    Damaged {
        /// The network.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// An option that makes no sense, alone or beside others.
    #[error("{0}")]
    Option(String),
    /// The subnet overlaps with something that is there.
    #[error("the subnet {subnet} overlaps with {with}: choose another one, or leave --subnet away to have one chosen")]
    Overlap {
        /// The subnet.
        subnet: IpNet,
        /// What it overlaps with.
        with: String,
    },
    /// All subnets that may be chosen overlap with something.
    #[error("no subnet is left that overlaps with no route of this host: name one with --subnet")]
    NoSubnetLeft,
    /// The address is not one that the network may give.
    #[error("the address {address} cannot be given in network {network}: {why}")]
    Address {
        /// The address.
        address: IpAddr,
        /// The network.
        network: String,
        /// Why not.
        why: String,
    },
    /// Somebody else has the address.
    #[error("the address {address} is taken in network {network} by {holder}")]
    AddressTaken {
        /// The address.
        address: IpAddr,
        /// The network.
        network: String,
        /// Who has it.
        holder: String,
    },
    /// All addresses are given.
    #[error("network {network} has no address left in {subnet}")]
    Full {
        /// The network.
        network: String,
        /// Its subnet.
        subnet: IpNet,
    },
    /// Containers are on the network.
    #[error("network {network} is in use by {containers}: stop them, or take them off by network disconnect")]
    InUse {
        /// The network.
        network: String,
        /// The containers' names.
        containers: String,
    },
    /// The container is on the network already.
    #[error("container {container} is on network {network} already")]
    Connected {
        /// The container.
        container: String,
        /// The network.
        network: String,
    },
    /// The container is not on the network.
    #[error("container {container} is not on network {network}")]
    NotConnected {
        /// The container.
        container: String,
        /// The network.
        network: String,
    },
    /// The container has no network namespace of its own.
    #[error("container {0} shares {1}: it can be given no network of its own")]
    Shares(String, &'static str),
    /// A port of the host is taken.
    #[error("cannot publish port {port}: {holder}")]
    PortTaken {
        /// The port, with address and protocol.
        port: String,
        /// Who has it, and what can be done.
        holder: String,
    },
    /// A port that cannot be published.
    #[error("cannot publish port {port}: {why}")]
    Port {
        /// The port, with address and protocol.
        port: String,
        /// Why not.
        why: String,
    },
    /// The container publishes no such port.
    #[error("container {container} publishes no port {port}")]
    NotPublished {
        /// The container.
        container: String,
        /// The port.
        port: String,
    },
    /// The kernel lacks something.
    #[error("this kernel has no {what}: {hint}")]
    Kernel {
        /// What it lacks.
        what: &'static str,
        /// What can be done.
        hint: &'static str,
    },
}
