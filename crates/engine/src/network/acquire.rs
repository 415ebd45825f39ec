//! What a start needs of networks: addresses leased, ports taken, all of it written down before anything is made.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use ipnet::IpNet;
use net::firewall::Transport;
use net::link::Mac;
use net::names::zone;

use super::body;
use super::decide::LINKS;
use super::pool;
use super::records::{self, NetworkLock};
use super::run::{Endpoint, Medium, NetworkRef, RunNetwork};
use super::wish::{Attachment, OwnLink, PortRequest, Wishes};
use super::{DEFAULT_NETWORK, Driver, Network, NetworkError, ports};
use crate::error::Doing;
use crate::layout::Layout;
use crate::records::exists;
use crate::{Container, Engine, Error, NetworkMode, create, ledger};

/// What a run has of networks, and the sockets that keep its ports for it.
#[derive(Debug)]
pub(crate) struct Acquired {
    pub(crate) run: RunNetwork,
    pub(crate) sockets: Vec<OwnedFd>,
}

impl Engine {
    /// Leases and takes what a container asks of networks; `None` where it asks for nothing. The caller has claimed the run;
    /// whatever fails, what was taken goes with the run.
    pub(crate) fn acquire_network(&self, container: &Container) -> Result<Option<Acquired>, Error> {
        let wishes = wishes(self.layout(), container)?;
        if wishes.is_empty() {
            return Ok(None);
        }
        let mut run = RunNetwork { answers: true, leasing: true, ..RunNetwork::default() };
        run.write(self.layout(), &container.id)?;
        for attachment in &wishes.networks {
            let endpoint = self.lease(container, attachment, &run)?;
            run.endpoints.push(endpoint);
        }
        run.choose_way_out();
        if let Some(own) = wishes.own {
            self.lease_own(container, own, &mut run)?;
            run.choose_way_out();
        }
        let sockets = self.take_ports(container, &wishes, &mut run)?;
        run.leasing = false;
        // Who is on no network has nobody to ask; a network that comes later brings the resolver along.
        run.answers = !run.endpoints.is_empty();
        run.write(self.layout(), &container.id)?;
        Ok(Some(Acquired { run, sockets }))
    }

    /// Leases a place on a network.
    pub(super) fn lease(
        &self,
        container: &Container,
        attachment: &Attachment,
        run: &RunNetwork,
    ) -> Result<Endpoint, Error> {
        let network = self.network_for(&attachment.network)?;
        if run.on(&network.id).is_some() {
            let (container, network) = (container.name.to_string(), network.name.to_string());
            return Err(NetworkError::Connected { container, network }.into());
        }
        let lock = NetworkLock::take(self.layout(), &network.id)?;
        if records::named(self.layout(), network.name.as_str())?.is_none_or(|found| found.id != network.id) {
            lock.remove()?;
            return Err(NetworkError::NoSuchNetwork(attachment.network.clone()).into());
        }
        let body = body::ensure(self, &network, &lock)?;
        let mut zone = lock.zone()?;
        let addresses = choose_addresses(&network, attachment, &zone)?;
        let endpoint = endpoint_on(&network, attachment, addresses, body.mtu, run.free_name())?;
        zone.network = network.name.to_string();
        zone.internal = network.internal;
        zone.host = host_addresses(&network);
        zone.given = endpoint.addresses.iter().map(IpNet::addr).collect();
        zone.endpoints.insert(container.id.to_string(), endpoint.named(container));
        lock.write_zone(&zone)?;
        Ok(endpoint)
    }

    /// Leases a link between the host and the container alone, and writes it down while nobody else chooses.
    pub(super) fn lease_own(&self, container: &Container, own: OwnLink, run: &mut RunNetwork) -> Result<(), Error> {
        let doing = || "choose a subnet";
        let layout = self.layout();
        let _lock = records::lock_all(layout)?;
        let host = net::link::Network::read(None).doing(doing)?;
        let networks = records::all(layout)?;
        let mut taken: Vec<IpNet> =
            networks.iter().flat_map(|network| &network.pools).map(|pool| pool.subnet).collect();
        for id in ledger::runs(layout)? {
            if let Ok(Some(other)) = RunNetwork::read(layout, &id) {
                taken.extend(other.endpoints.iter().flat_map(|endpoint| endpoint.addresses.iter().map(IpNet::trunc)));
            }
        }
        let overlaps = |piece: &IpNet| taken.iter().any(|one| one.contains(piece) || piece.contains(one));
        let free = pool::free_subnet(&pool::own_pools(), |piece| host.collision(piece).is_some() || overlaps(piece));
        let subnet: IpNet = free.ok_or(NetworkError::NoSubnetLeft)?.into();
        let router = pool::first_address(&subnet);
        let inside = pool::nth(&subnet, 2).ok_or(NetworkError::NoSubnetLeft)?;
        let with_prefix = |address| IpNet::new(address, subnet.prefix_len()).doing(doing);
        let addresses = vec![with_prefix(inside)?];
        let name = format!("{}-inside", container.name);
        run.endpoints.push(Endpoint {
            network: None,
            mac: mac_of(&addresses)?,
            medium: Medium::Alone {
                host: link_name()?,
                addresses: vec![with_prefix(router)?],
                internet: own.internet,
                way: self.settings().and_then(|settings| settings.default_interface.clone()),
            },
            name: if super::decide::is_link_name(&name) { name } else { run.free_name() },
            mtu: body::way_out_mtu(self, &host),
            addresses,
            routers: vec![router],
            leads_out: false,
            aliases: Vec::new(),
        });
        run.write(layout, &container.id)
    }

    /// Takes the ports that a container publishes.
    fn take_ports(&self, container: &Container, wishes: &Wishes, run: &mut RunNetwork) -> Result<Vec<OwnedFd>, Error> {
        if wishes.ports.is_empty() {
            return Ok(Vec::new());
        }
        if run.publishing().is_none() && exists(&self.layout().network_wishes(&container.id))? {
            // It was taken off the network on which it had published them.
            tracing::warn!(
                "container {} is on no network that leads outside: its ports are not published",
                container.name
            );
            return Ok(Vec::new());
        }
        let publish_on = self.publish_on(run)?;
        let others = |at: SocketAddr, transport: Transport| self.publisher(container, at, transport);
        let held = ports::take(&wishes.ports, run, publish_on, &others)?;
        run.ports.extend(held.publications);
        Ok(held.sockets)
    }

    /// Returns the host's address on which ports are published where none is said.
    pub(super) fn publish_on(&self, run: &RunNetwork) -> Result<Option<IpAddr>, Error> {
        let network = run.publishing().and_then(|endpoint| endpoint.network.as_ref());
        let network =
            network.map(|network| records::named(self.layout(), network.name.as_str())).transpose()?.flatten();
        let of_network = match network.map(|network| network.driver) {
            Some(Driver::Bridge { publish_on, .. }) => publish_on,
            _ => None,
        };
        Ok(of_network)
    }

    /// Lets ports that name no address of the host have the one that the configuration names. It is decided when they are asked
    /// for, and so the same at every start.
    pub(crate) fn at_chosen_address(&self, ports: &[PortRequest]) -> Vec<PortRequest> {
        let chosen = self.settings().and_then(|settings| settings.publish_address);
        ports.iter().map(|port| PortRequest { address: port.address.or(chosen), ..port.clone() }).collect()
    }

    /// Tells which other container publishes a port.
    pub(super) fn publisher(&self, own: &Container, at: SocketAddr, transport: Transport) -> Option<String> {
        let runs = ledger::runs(self.layout()).ok()?;
        let publishes = |id: &crate::ContainerId| {
            let run = RunNetwork::read(self.layout(), id).ok().flatten()?;
            let meets = |address: IpAddr| {
                address == at.ip()
                    || address.is_ipv4() == at.is_ipv4() && (address.is_unspecified() || at.ip().is_unspecified())
            };
            let has = run
                .ports
                .iter()
                .any(|port| port.port == at.port() && port.transport == transport && meets(port.address));
            has.then(|| match crate::records::container(self.layout(), id) {
                Ok(Some(container)) => format!("container {}", container.name),
                _ => format!("container {}", id.short()),
            })
        };
        runs.iter().filter(|id| **id != own.id).find_map(publishes)
    }

    /// Finds a network that is on record; `None` for the default one while it is not.
    pub(super) fn known_network(&self, asked: &str) -> Result<Option<Network>, Error> {
        match asked {
            DEFAULT_NETWORK | "default" => records::named(self.layout(), DEFAULT_NETWORK),
            _ => records::find(self.layout(), asked).map(Some),
        }
    }

    /// Finds a network that a container asks for, and makes the one that is there for those who name none.
    pub(crate) fn network_for(&self, asked: &str) -> Result<Network, Error> {
        match asked {
            DEFAULT_NETWORK | "default" => self.default_network(),
            _ => records::find(self.layout(), asked),
        }
    }
}

/// Returns what a container asks of networks, as it stands now.
pub(crate) fn wishes(layout: &Layout, container: &Container) -> Result<Wishes, Error> {
    Ok(crate::records::read(&layout.network_wishes(&container.id))?.unwrap_or_else(|| first_wishes(container)))
}

/// Returns what a container asked of networks when it was created.
pub(crate) fn first_wishes(container: &Container) -> Wishes {
    let request = &container.request;
    match request.network {
        NetworkMode::Networks => Wishes {
            networks: match request.networks.is_empty() {
                true => vec![Attachment::to_default()],
                false => request.networks.clone(),
            },
            ports: request.ports.clone(),
            ..Wishes::default()
        },
        _ => Wishes::default(),
    }
}

/// Decides a container's place on a network.
pub(super) fn endpoint_on(
    network: &Network,
    attachment: &Attachment,
    addresses: Vec<IpNet>,
    mtu: u32,
    name: String,
) -> Result<Endpoint, Error> {
    let routers = network.pools.iter().map(|pool| pool.gateway).collect();
    Ok(Endpoint {
        mac: attachment.mac.map_or_else(|| mac_of(&addresses), Ok)?,
        network: Some(NetworkRef { id: network.id.clone(), name: network.name.clone() }),
        medium: medium(network)?,
        name,
        mtu,
        addresses,
        routers: if network.internal { Vec::new() } else { routers },
        leads_out: false,
        aliases: attachment.aliases.clone(),
    })
}

pub(super) fn choose_addresses(
    network: &Network,
    attachment: &Attachment,
    zone: &zone::Zone,
) -> Result<Vec<IpNet>, Error> {
    let wanted = |ipv6: bool| match ipv6 {
        false => attachment.ip.map(IpAddr::V4),
        true => attachment.ip6.map(IpAddr::V6),
    };
    if let Some(address) = wanted(true).filter(|_| !network.has_ipv6()) {
        let why = "it has no IPv6 subnet".to_owned();
        return Err(NetworkError::Address { address, network: network.name.to_string(), why }.into());
    }
    let holder = |address: IpAddr| {
        zone.endpoints
            .values()
            .find(|one| one.addresses.contains(&address))
            .map(|one| format!("container {}", one.name))
    };
    let mut addresses = Vec::with_capacity(network.pools.len());
    for pool in &network.pools {
        let ipv6 = pool.subnet.addr().is_ipv6();
        let last = zone.given.iter().copied().find(|address| address.is_ipv6() == ipv6);
        let address = pool::choose(pool, network.name.as_str(), wanted(ipv6), last, holder)?;
        addresses.push(IpNet::new(address, pool.subnet.prefix_len()).doing(|| "choose an address")?);
    }
    Ok(addresses)
}

/// Returns the host's addresses on a network.
fn host_addresses(network: &Network) -> Vec<IpAddr> {
    match network.driver {
        Driver::Bridge { .. } => network.pools.iter().map(|pool| pool.gateway).collect(),
        Driver::Macvlan { .. } | Driver::Ipvlan { .. } => Vec::new(),
    }
}

fn medium(network: &Network) -> Result<Medium, Error> {
    Ok(match &network.driver {
        Driver::Bridge { link, .. } => {
            Medium::Bridge { host: link_name()?, bridge: link.clone(), hairpin: body::bridges_ask_the_firewall() }
        }
        Driver::Macvlan { parent, mode } => Medium::Macvlan { parent: parent.clone(), mode: *mode },
        Driver::Ipvlan { parent, mode } => Medium::Ipvlan { parent: parent.clone(), mode: *mode },
    })
}

/// Makes up a name for a link of the host. A new one for each run: the kernel may still be taking the last one's away.
fn link_name() -> Result<String, Error> {
    let bytes: [u8; 6] = create::random()?;
    Ok(bytes.iter().fold(LINKS.to_owned(), |name, byte| name + &format!("{byte:02x}")))
}

fn mac_of(addresses: &[IpNet]) -> Result<Mac, Error> {
    let of = |address: &IpNet| match address {
        IpNet::V4(address) => Some(Mac::of_address(address.addr())),
        IpNet::V6(_) => None,
    };
    match addresses.iter().find_map(of) {
        Some(mac) => Ok(mac),
        None => create::random().map(|[a, b, c, d]: [u8; 4]| Mac([2, 0x42, a, b, c, d])),
    }
}
