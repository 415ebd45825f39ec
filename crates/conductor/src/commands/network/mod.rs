//! `network`: networks made, listed, looked into and removed; containers put on them and taken off.
//!
//! Three networks are always there, as in Docker: `bridge`, on which a container is that names none, and the two that are
//! no networks of ours, `host` and `none`. What Docker's commands say of those two is made up here ([`Predefined`]).

mod connect;
mod create;
mod firewall;
mod inspect;
mod ls;
mod prune;
mod rm;

pub(super) use connect::{ConnectArgs, DisconnectArgs};
pub(super) use create::NetworkCreateArgs;
pub(super) use firewall::FirewallArgs;
pub(super) use inspect::{NetworkInspectArgs, document, predefined};
pub(super) use ls::NetworkLsArgs;
pub(super) use prune::{NetworkPruneArgs, prune_networks};
pub(super) use rm::NetworkRmArgs;

use engine::network::{DEFAULT_NETWORK, NetworkId};

/// A network that is no network of ours: the host's own, or none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Predefined {
    Host,
    None,
}

impl Predefined {
    pub(super) const ALL: [Self; 2] = [Self::Host, Self::None];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::None => "none",
        }
    }

    pub(super) fn driver(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::None => "null",
        }
    }

    /// Returns an id that is always the same: nothing is on record that could have one of its own.
    pub(super) fn id(self) -> NetworkId {
        NetworkId::from_bytes(*oci::Digest::of(format!("network {}", self.name()).as_bytes()).as_bytes())
    }

    /// Finds one by its name, or by as much of its id as `ls` shows: fewer digits may be the name of another one.
    pub(super) fn named(asked: &str) -> Option<Self> {
        let is_id = |one: &Self| asked.len() >= 12 && one.id().as_str().starts_with(asked);
        Self::ALL.into_iter().find(|one| one.name() == asked).or_else(|| Self::ALL.into_iter().find(is_id))
    }
}

/// Tells whether a name means a network that is always there.
fn is_predefined(name: &str) -> bool {
    name == DEFAULT_NETWORK || Predefined::ALL.iter().any(|one| one.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_networks_are_found_that_are_on_no_record() {
        assert_eq!(Predefined::named("host"), Some(Predefined::Host));
        assert_eq!(Predefined::named(&Predefined::None.id().as_str()[..12]), Some(Predefined::None));
        assert_eq!(Predefined::named("bridge"), None);
        assert_eq!(Predefined::named(&Predefined::None.id().as_str()[..11]), None);
        assert!(is_predefined("none") && is_predefined("bridge") && !is_predefined("front"));
    }
}
