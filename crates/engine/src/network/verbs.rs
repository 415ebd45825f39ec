//! The verbs about networks themselves: create, list, find, remove, prune.

use super::acquire::first_wishes;
use super::decide::{self, Surroundings};
use super::pool::{AddressPool, default_pools};
use super::records::{self, NetworkLock};
use super::{DEFAULT_NETWORK, Network, NetworkError, NetworkId, NetworkRequest, body, release};
use crate::error::Doing;
use crate::{Engine, Error, create};

impl Engine {
    /// Creates a network. Its bridge is made when the first container needs it.
    pub fn create_network(&self, request: &NetworkRequest) -> Result<Network, Error> {
        self.sweep()?;
        let id = NetworkId::from_bytes(create::random()?);
        self.decide_network(|around| decide::plan_network(request, id, around))
    }

    /// Returns the network that is there for those who name none, and makes it if it is not.
    pub(crate) fn default_network(&self) -> Result<Network, Error> {
        if let Some(network) = records::named(self.layout(), DEFAULT_NETWORK)? {
            return Ok(network);
        }
        let id = self.default_network_id();
        match self.decide_network(|around| decide::plan_default(id, around)) {
            Err(Error::Network(NetworkError::NameInUse(_))) => records::find(self.layout(), DEFAULT_NETWORK),
            made => made,
        }
    }

    /// Returns the id of that network: it follows from the root, so that it is known before the network is made.
    pub fn default_network_id(&self) -> NetworkId {
        let digest = oci::Digest::of(self.root().as_os_str().as_encoded_bytes());
        NetworkId::from_bytes(*digest.as_bytes())
    }

    fn decide_network(
        &self,
        decide: impl FnOnce(&Surroundings<'_>) -> Result<Network, NetworkError>,
    ) -> Result<Network, Error> {
        let _lock = records::lock_all(self.layout())?;
        let host = net::link::Network::read(None).doing(|| "look at the host's network")?;
        let others = records::all(self.layout())?;
        let pools = self.pools();
        let network = decide(&Surroundings { host: &host, others: &others, pools: &pools })?;
        // Between the look of whoever came here and the lock somebody else may have made it.
        if others.iter().any(|other| other.name == network.name) {
            return Err(NetworkError::NameInUse(network.name.to_string()).into());
        }
        records::write(self.layout(), &network)?;
        Ok(network)
    }

    pub(super) fn pools(&self) -> Vec<AddressPool> {
        let chosen = self.settings().map(|settings| settings.address_pools.clone());
        chosen.filter(|chosen| !chosen.is_empty()).unwrap_or_else(default_pools)
    }

    /// Returns all networks on record, by name; the default one is among them once it has been needed.
    pub fn networks(&self) -> Result<Vec<Network>, Error> {
        self.sweep()?;
        records::all(self.layout())
    }

    /// Finds a network by its name, its id, or the beginning of that.
    pub fn find_network(&self, asked: &str) -> Result<Network, Error> {
        self.network_for(asked)
    }

    /// Removes a network on which no container is.
    pub fn remove_network(&self, network: &Network) -> Result<(), Error> {
        if network.name.as_str() == DEFAULT_NETWORK {
            return Err(NetworkError::Predefined(network.name.to_string()).into());
        }
        self.sweep()?;
        self.take_down(network, true)
    }

    /// Removes a network whose record is damaged. What it has beside that belongs to no network on record, and goes too, unless
    /// somebody is on it.
    pub fn remove_damaged_network(&self, name: &str) -> Result<(), Error> {
        self.sweep()?;
        let _lock = records::lock_all(self.layout())?;
        let known = records::all(self.layout())?;
        for id in release::states(self.layout())? {
            if known.iter().any(|network| network.id == id) {
                continue;
            }
            let lock = NetworkLock::take(self.layout(), &id)?;
            refuse_if_used(name, &lock)?;
            body::remove_bridge(self, &decide::usual_link(&id))?;
            lock.remove()?;
        }
        records::forget_name(self.layout(), name)
    }

    /// Removes all networks on which no container is, running or not; returns their names. The default network stays on
    /// record, without its bridge.
    pub fn prune_networks(&self, wanted: impl Fn(&Network) -> bool) -> Result<Vec<String>, Error> {
        self.sweep()?;
        let mut removed = Vec::new();
        let used = self.wished_networks()?;
        for network in records::all(self.layout())? {
            let is_default = network.name.as_str() == DEFAULT_NETWORK;
            if used.contains(&network.id) || !wanted(&network) {
                continue;
            }
            match self.take_down(&network, !is_default) {
                Ok(()) if is_default => {}
                Ok(()) => removed.push(network.name.to_string()),
                Err(Error::Network(NetworkError::InUse { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// Returns the networks that containers ask for.
    fn wished_networks(&self) -> Result<Vec<NetworkId>, Error> {
        let mut used = Vec::new();
        for id in crate::ledger::identifiers(&self.layout().containers())? {
            let Ok(Some(container)) = crate::records::container(self.layout(), &id) else { continue };
            // What is damaged costs that container alone.
            let wishes = super::wishes(self.layout(), &container).unwrap_or_else(|_| first_wishes(&container));
            used.extend(wishes.networks.iter().filter_map(|one| records::find(self.layout(), &one.network).ok()));
        }
        Ok(used.into_iter().map(|network| network.id).collect())
    }

    /// Takes a network's body away, and with `forget` its record, unless somebody is on it.
    fn take_down(&self, network: &Network, forget: bool) -> Result<(), Error> {
        let lock = NetworkLock::take(self.layout(), &network.id)?;
        refuse_if_used(network.name.as_str(), &lock)?;
        body::remove(self, network)?;
        if forget {
            records::forget_name(self.layout(), network.name.as_str())?;
        }
        lock.remove()
    }
}

/// Fails where containers are on a network.
fn refuse_if_used(network: &str, lock: &NetworkLock) -> Result<(), Error> {
    let zone = lock.zone()?;
    let names: Vec<_> = zone.endpoints.values().map(|endpoint| endpoint.name.as_str()).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(NetworkError::InUse { network: network.to_owned(), containers: names.join(", ") }.into()),
    }
}
