//! A request becomes a network: names checked, subnets chosen, options understood. Pure.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use jiff::Timestamp;
use net::link::{IpvlanMode, MacvlanMode};

use super::pool::{self, AddressPool};
use super::{DEFAULT_NETWORK, Driver, Network, NetworkError, NetworkId, NetworkName, NetworkRequest, Pool};

/// What the decision depends on.
pub(crate) struct Surroundings<'a> {
    /// The host's links, addresses and routes.
    pub(crate) host: &'a net::link::Network,
    /// The networks that are on record.
    pub(crate) others: &'a [Network],
    /// Where subnets are cut from.
    pub(crate) pools: &'a [AddressPool],
}

/// Decides a network.
pub(crate) fn plan_network(
    request: &NetworkRequest,
    id: NetworkId,
    around: &Surroundings<'_>,
) -> Result<Network, NetworkError> {
    let option = |text: String| NetworkError::Option(text);
    let name: NetworkName = request.name.parse().map_err(|_| {
        option(format!(
            "invalid network name {:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, two of them at least",
            request.name
        ))
    })?;
    if is_predefined(&request.name) {
        return Err(NetworkError::Predefined(request.name.clone()));
    }
    if around.others.iter().any(|other| other.name == name) {
        return Err(NetworkError::NameInUse(request.name.clone()));
    }
    let mut options = Options { left: request.options.clone() };
    let driver = plan_driver(request, &id, &mut options)?;
    let mtu = options.take("com.docker.network.driver.mtu").or_else(|| options.take("mtu"));
    let mtu = mtu.map(|value| parsed("mtu", &value)).transpose()?;
    let mtu = mtu.filter(|mtu| *mtu != 0);
    if mtu.is_some_and(|mtu: u32| !(68..=65535).contains(&mtu)) {
        return Err(option("the MTU must be between 68 and 65535".to_owned()));
    }
    if let Some((key, _)) = options.left.pop_first() {
        return Err(option(format!("a network of the driver {} has no option {key}", driver.name())));
    }
    let pools = plan_pools(request, &id, &driver, around)?;
    if mtu.is_some_and(|mtu| mtu < 1280) && pools.iter().any(|pool| pool.subnet.addr().is_ipv6()) {
        return Err(option("IPv6 needs an MTU of 1280 at least".to_owned()));
    }
    Ok(Network {
        id,
        name,
        created: Timestamp::now(),
        driver,
        pools,
        internal: request.internal,
        labels: request.labels.clone(),
        options: request.options.clone(),
        mtu,
    })
}

/// Decides the network that is there for those who name none. Its id follows from the engine's root, so that it is known
/// before the network is made.
pub(crate) fn plan_default(id: NetworkId, around: &Surroundings<'_>) -> Result<Network, NetworkError> {
    let request = NetworkRequest::default();
    let driver = plan_driver(&request, &id, &mut Options { left: BTreeMap::new() })?;
    let pools = plan_pools(&request, &id, &driver, around)?;
    let name = DEFAULT_NETWORK.parse().map_err(|_| NetworkError::Predefined(DEFAULT_NETWORK.to_owned()))?;
    Ok(Network {
        id,
        name,
        created: Timestamp::now(),
        driver,
        pools,
        internal: false,
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
        mtu: None,
    })
}

/// Tells whether a name means a network that every engine has.
pub(crate) fn is_predefined(name: &str) -> bool {
    matches!(name, DEFAULT_NETWORK | "default" | "host" | "none" | "container")
}

/// Options that are not understood yet.
struct Options {
    left: BTreeMap<String, String>,
}

impl Options {
    fn take(&mut self, key: &str) -> Option<String> {
        self.left.remove(key)
    }

    fn flag(&mut self, key: &str) -> Result<bool, NetworkError> {
        self.take(key).map_or(Ok(true), |value| parsed(key, &value))
    }
}

fn parsed<T: FromStr<Err: Display>>(key: &str, value: &str) -> Result<T, NetworkError> {
    value
        .parse()
        .map_err(|error| NetworkError::Option(format!("invalid value {value:?} for the option {key}: {error}")))
}

fn plan_driver(request: &NetworkRequest, id: &NetworkId, options: &mut Options) -> Result<Driver, NetworkError> {
    let bad = |text: String| Err(NetworkError::Option(text));
    match request.driver.as_deref().unwrap_or("bridge") {
        "bridge" => {
            let link = options.take("com.docker.network.bridge.name");
            let link = link.unwrap_or_else(|| usual_link(id));
            if !is_link_name(&link) {
                return bad(format!("{link:?} cannot be a link's name: at most 15 bytes, without spaces and slashes"));
            }
            let publish_on = options.take("com.docker.network.bridge.host_binding_ipv4");
            Ok(Driver::Bridge {
                link,
                together: options.flag("com.docker.network.bridge.enable_icc")?,
                masquerade: options.flag("com.docker.network.bridge.enable_ip_masquerade")?,
                publish_on: publish_on.map(|value| parsed("host_binding_ipv4", &value)).transpose()?,
            })
        }
        kind @ ("macvlan" | "ipvlan") => {
            let Some(parent) = options.take("parent") else {
                return bad(format!("a network of the driver {kind} needs the link that it is on: -o parent=LINK"));
            };
            if request.internal {
                return bad(format!("a network of the driver {kind} cannot be internal: the host is not its router"));
            }
            let mode = options.take(&format!("{kind}_mode"));
            match (kind, mode.as_deref()) {
                ("macvlan", None | Some("bridge")) => Ok(Driver::Macvlan { parent, mode: MacvlanMode::Bridge }),
                ("macvlan", Some("private")) => Ok(Driver::Macvlan { parent, mode: MacvlanMode::Private }),
                ("macvlan", Some("vepa")) => Ok(Driver::Macvlan { parent, mode: MacvlanMode::Vepa }),
                ("macvlan", Some("passthru")) => Ok(Driver::Macvlan { parent, mode: MacvlanMode::Passthru }),
                ("ipvlan", None | Some("l2")) => Ok(Driver::Ipvlan { parent, mode: IpvlanMode::L2 }),
                ("ipvlan", Some("l3")) => Ok(Driver::Ipvlan { parent, mode: IpvlanMode::L3 }),
                ("ipvlan", Some("l3s")) => Ok(Driver::Ipvlan { parent, mode: IpvlanMode::L3s }),
                (_, Some(mode)) => bad(format!("{kind} has no mode {mode:?}")),
                (_, None) => bad(format!("{kind} needs a mode")),
            }
        }
        "host" | "none" | "null" => Err(NetworkError::Predefined(request.driver.clone().unwrap_or_default())),
        other => bad(format!("there is no network driver {other:?}: use bridge, macvlan or ipvlan")),
    }
}

/// The beginning of the names of all our links on the host.
pub(crate) const LINKS: &str = "cnd";

/// Returns the name of a network's bridge where none is chosen.
pub(crate) fn usual_link(id: &NetworkId) -> String {
    format!("{LINKS}-{}", &id.short()[..8])
}

/// Tells whether a text can be a link's name.
pub(crate) fn is_link_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':');
    !text.is_empty() && text.len() <= 15 && text.bytes().all(fits) && !matches!(text, "." | ".." | "all" | "default")
}

fn plan_pools(
    request: &NetworkRequest,
    id: &NetworkId,
    driver: &Driver,
    around: &Surroundings<'_>,
) -> Result<Vec<Pool>, NetworkError> {
    let bad = |text: String| NetworkError::Option(text);
    let mut subnets: Vec<IpNet> = request.subnets.iter().map(IpNet::trunc).collect();
    for family in [false, true] {
        if subnets.iter().filter(|subnet| subnet.addr().is_ipv6() == family).count() > 1 {
            return Err(bad("a network has at most one subnet for each family".to_owned()));
        }
    }
    let has_ipv4 = subnets.iter().any(|subnet| subnet.addr().is_ipv4());
    let has_ipv6 = subnets.iter().any(|subnet| subnet.addr().is_ipv6());
    let is_bridge = matches!(driver, Driver::Bridge { .. });
    for subnet in &subnets {
        if subnet.max_prefix_len() - subnet.prefix_len() < 2 || subnet.prefix_len() < 8 {
            return Err(bad(format!(
                "the subnet {subnet} is of no use: the prefix must be from /8 to /30, or /126 for IPv6"
            )));
        }
        if let Some(with) = collision(subnet, is_bridge, around) {
            return Err(NetworkError::Overlap { subnet: *subnet, with });
        }
    }
    if !has_ipv4 {
        if !is_bridge {
            return Err(bad(format!(
                "a network of the driver {} needs the subnet of its link: --subnet",
                driver.name()
            )));
        }
        let piece = pool::free_subnet(around.pools, |piece| collision(piece, true, around).is_some());
        subnets.insert(0, piece.ok_or(NetworkError::NoSubnetLeft)?.into());
    }
    if request.ipv6 && !has_ipv6 {
        subnets.push(pool::local_subnet(id).into());
    }
    let mut pools: Vec<Pool> = subnets.iter().map(|subnet| plan_pool(*subnet, request)).collect::<Result<_, _>>()?;
    let in_some = |address: IpAddr| subnets.iter().any(|subnet| subnet.contains(&address));
    for (name, address) in request.aux.iter().map(|(name, address)| (name.as_str(), *address)) {
        match pools.iter_mut().find(|pool| pool.subnet.contains(&address)) {
            Some(pool) => drop(pool.aux.insert(name.to_owned(), address)),
            None => {
                return Err(bad(format!("the auxiliary address {name}={address} is in none of the network's subnets")));
            }
        }
    }
    if let Some(gateway) = request.gateways.iter().find(|gateway| !in_some(**gateway)) {
        return Err(bad(format!("the gateway {gateway} is in none of the network's subnets: name that with --subnet")));
    }
    if let Some(range) = request.ranges.iter().find(|range| !subnets.iter().any(|subnet| subnet.contains(*range))) {
        return Err(bad(format!("the range {range} is in none of the network's subnets: name that with --subnet")));
    }
    Ok(pools)
}

fn plan_pool(subnet: IpNet, request: &NetworkRequest) -> Result<Pool, NetworkError> {
    let gateway = request.gateways.iter().copied().find(|gateway| subnet.contains(gateway));
    if let Some(gateway) = gateway {
        pool::check(&subnet, gateway)
            .map_err(|why| NetworkError::Option(format!("{gateway} cannot be the gateway: {why}")))?;
    }
    Ok(Pool {
        subnet,
        gateway: gateway.unwrap_or_else(|| pool::first_address(&subnet)),
        range: request.ranges.iter().copied().find(|range| subnet.contains(range)),
        aux: BTreeMap::new(),
    })
}

/// Tells what a subnet overlaps with. A network that is on a link of the host has that link's own subnet.
fn collision(subnet: &IpNet, of_ours: bool, around: &Surroundings<'_>) -> Option<String> {
    let overlap = |other: &IpNet| other.contains(subnet) || subnet.contains(other);
    let taken = around.others.iter().find(|other| other.pools.iter().any(|pool| overlap(&pool.subnet)));
    if let Some(other) = taken {
        return Some(format!("network {}", other.name));
    }
    let route = around.host.collision(subnet).filter(|_| of_ours)?;
    Some(format!("the host's route to {route}"))
}
