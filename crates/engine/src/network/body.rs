//! The body of a network: its bridge, its rules, and what the host must do for it. It is made when the first container
//! needs it, and found again by the next; it goes with the network.

use std::path::PathBuf;

use ipnet::IpNet;
use net::firewall::{Element, Firewall, FirewallStep, NetworkRules, Part, State};
use net::link::plan::{self, Bridge};
use net::link::{LinkChange, LinkStep, Links, Mac};
use sys::{Calling, Errno};
use trace::{Explain, Step};

use super::decide::usual_link;
use super::records::{self, Body, NetworkLock};
use super::run::RunNetwork;
use super::{Driver, Network, NetworkError, release};
use crate::error::Doing;
use crate::records::exists;
use crate::{ContainerId, Engine, Error, ledger};

/// The largest packet where nobody says anything.
const USUAL_MTU: u32 = 1500;

/// Makes what a network needs on the host, as far as it is not there, and returns what its endpoints must know.
pub(crate) fn ensure(engine: &Engine, network: &Network, lock: &NetworkLock) -> Result<Body, Error> {
    let doing = || format!("bring network {} up", network.name);
    let link = match &network.driver {
        Driver::Bridge { link, .. } => link,
        Driver::Macvlan { parent, .. } | Driver::Ipvlan { parent, .. } => return parent_body(network, parent),
    };
    let way = engine.settings().map(|settings| settings.default_interface.clone());
    let found = records::body(engine.layout(), &network.id);
    if found.as_ref().is_some_and(|body| body.unfinished) {
        // Whoever was making it has died, and nobody is on it yet.
        remove(engine, network)?;
    } else if let Some(mut body) = found
        && sys::inet::link_index(link).doing(doing)?.is_some()
    {
        if let Some(way) = way.filter(|way| *way != body.way) {
            change_way(engine, network, lock, &mut body, way)?;
        }
        ensure_rules(engine, &network_rules(network, &body))?;
        return Ok(body);
    }
    let host = net::link::Network::read(None).doing(doing)?;
    let mtu = network.mtu.unwrap_or_else(|| way_out_mtu(engine, &host));
    let mut body = Body { mtu, way: way.flatten(), unfinished: true };
    refuse_taken(network, link, &host)?;
    lock.write_body(&body)?;
    make_bridge(engine, network, link, &body, &host).inspect_err(|_| lock.forget_body())?;
    if !network.internal {
        forward(engine, network.has_ipv6(), &host)?;
    }
    ensure_rules(engine, &network_rules(network, &body))?;
    body.unfinished = false;
    lock.write_body(&body)?;
    Ok(body)
}

/// Looks at the link of the host that a network is on.
fn parent_body(network: &Network, parent: &str) -> Result<Body, Error> {
    let host = net::link::Network::read(None).doing(|| format!("bring network {} up", network.name))?;
    let found = host.link(parent).ok_or_else(|| {
        NetworkError::Option(format!("network {} is on the link {parent}, which is not there", network.name))
    })?;
    Ok(Body { mtu: network.mtu.unwrap_or(found.mtu), ..Body::default() })
}

/// The configuration names another way out than that by which the network goes.
fn change_way(
    engine: &Engine,
    network: &Network,
    lock: &NetworkLock,
    body: &mut Body,
    way: Option<String>,
) -> Result<(), Error> {
    let old = network_rules(network, body);
    body.way = way;
    let new = network_rules(network, body);
    let remove = old.iter().filter(|element| !new.contains(element)).cloned().collect();
    let add = new.iter().filter(|element| !old.contains(element)).cloned().collect();
    let what = format!("let network {} go another way", network.name);
    open_firewall(engine)?.apply(&FirewallStep::Change { what: what.clone(), remove, add }).doing(|| what)?;
    lock.write_body(body)
}

/// Returns the largest packet that leaves the host whole.
pub(crate) fn way_out_mtu(engine: &Engine, host: &net::link::Network) -> u32 {
    let chosen = engine.settings().and_then(|settings| host.link(settings.default_interface.as_deref()?));
    chosen.or_else(|| host.uplink()).map_or(USUAL_MTU, |link| link.mtu).clamp(1280, 65535)
}

/// Refuses to take a link or a subnet for a network's bridge that is somebody else's. Under the name that no other would choose
/// a bridge is ours, and only its record was lost.
fn refuse_taken(network: &Network, link: &str, host: &net::link::Network) -> Result<(), Error> {
    let name = &network.name;
    if let Some(found) = host.link(link) {
        if found.kind.as_deref() == Some("bridge") && link == usual_link(&network.id) {
            return Ok(());
        }
        let text = format!("network {name} needs the name {link} for its bridge, and another link has it");
        return Err(NetworkError::Option(text).into());
    }
    let collision = |subnet| Some((subnet, host.collision(&subnet)?));
    if let Some((subnet, with)) = network.pools.iter().find_map(|pool| collision(pool.subnet)) {
        let with = format!("the host's route to {with}, which has come since network {name} was made");
        return Err(NetworkError::Overlap { subnet, with }.into());
    }
    Ok(())
}

fn make_bridge(
    engine: &Engine,
    network: &Network,
    link: &str,
    body: &Body,
    host: &net::link::Network,
) -> Result<(), Error> {
    if host.link(link).is_some() {
        tracing::debug!(link, "the bridge of a network is there already, without a record");
        return Ok(());
    }
    let steps = bridge_steps(network, link, body.mtu);
    let mut links = Links::new(engine.recorder());
    links.apply(&steps).map_err(|error| {
        // What is half made would be taken for the whole, and what was there already is another's.
        if error.errno() != Errno::EXIST {
            links.undo(&steps[..1]);
        }
        let doing = || format!("bring network {} up", network.name);
        unsupported(error.errno(), "bridges").unwrap_or_else(|| Error::Doing { doing: doing(), source: error.into() })
    })
}

/// Decides a network's bridge.
pub(super) fn bridge_steps(network: &Network, link: &str, mtu: u32) -> Vec<LinkStep> {
    let addresses = network.pools.iter().filter_map(|pool| IpNet::new(pool.gateway, pool.subnet.prefix_len()).ok());
    let addresses: Vec<_> = addresses.collect();
    let mac = addresses.iter().find_map(|address| match address {
        IpNet::V4(address) => Some(Mac::of_address(address.addr())),
        IpNet::V6(_) => None,
    });
    let id = network.id.as_str().as_bytes();
    let mac = mac.unwrap_or(Mac([2, 0x42, id[0], id[1], id[2], id[3]]));
    plan::plan_bridge(&Bridge { name: link.to_owned(), mac, mtu: Some(mtu), addresses })
}

/// Says what a kernel lacks that refuses a message as one that it does not know.
pub(crate) fn unsupported(errno: Errno, what: &'static str) -> Option<Error> {
    let hint = "load the module (modprobe bridge veth nf_tables), or do without: --network none or --network host";
    matches!(errno, Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT)
        .then(|| NetworkError::Kernel { what, hint }.into())
}

/// Returns what a network may do. Where the way out is one link alone, all others are closed.
pub(crate) fn network_rules(network: &Network, body: &Body) -> Vec<Element> {
    let Driver::Bridge { link, together, masquerade, .. } = &network.driver else { return Vec::new() };
    let rules = NetworkRules {
        link: link.clone(),
        subnets: network.pools.iter().map(|pool| pool.subnet).collect(),
        together: *together,
        open: !network.internal,
        masquerade: *masquerade,
    };
    match &body.way {
        Some(way) if rules.open => rules.elements_by(way),
        _ => rules.elements(),
    }
}

/// Makes sure that elements are in the firewall, of which the first stands for all.
fn ensure_rules(engine: &Engine, elements: &[Element]) -> Result<(), Error> {
    let doing = || "look at the firewall";
    let Some(first) = elements.first() else { return Ok(()) };
    let mut firewall = open_firewall(engine)?;
    if firewall.holds(first).doing(doing)? {
        return Ok(());
    }
    settle(engine, &mut firewall)?;
    add(engine, &mut firewall, "let a network reach what it may", elements)
}

/// Opens the firewall, and admits us in those of others.
pub(crate) fn open_firewall(engine: &Engine) -> Result<Firewall<'_>, Error> {
    Firewall::open(None, engine.recorder()).map_err(|error| {
        let doing = || "open the firewall".to_owned();
        unsupported(error.errno(), "nf_tables").unwrap_or_else(|| Error::Doing { doing: doing(), source: error.into() })
    })
}

/// Adds elements; where the table has been flushed meanwhile, all that is on record is put back first. Where somebody else's are in
/// the way, their owner is dead: the ports were free, and no sweep has been there since.
pub(crate) fn add(engine: &Engine, firewall: &mut Firewall<'_>, what: &str, elements: &[Element]) -> Result<(), Error> {
    if elements.is_empty() {
        return Ok(());
    }
    let step = FirewallStep::add(what, elements.to_vec());
    match firewall.apply(&step) {
        Err(error) if error.errno() == Errno::NOENT => {
            settle(engine, firewall)?;
            firewall.apply(&step)
        }
        Err(error) if error.errno() == Errno::EXIST => {
            ledger::release_dead(engine.layout())?;
            firewall.apply(&step)
        }
        applied => applied,
    }
    .map_err(|error| unsupported(error.errno(), "nf_tables").unwrap_or_else(|| from_firewall(error)))
}

fn from_firewall(error: net::firewall::FirewallError) -> Error {
    Error::Doing { doing: "change the firewall".to_owned(), source: error.into() }
}

/// Puts back what the firewall lacks of all that is on record: another tool may have flushed it. Elements that are not on
/// record are another engine's.
pub(crate) fn settle(engine: &Engine, firewall: &mut Firewall<'_>) -> Result<(), Error> {
    // A run that ends meanwhile would find its elements put back behind it, and nobody would take them away any more.
    let mut held = Vec::new();
    let wanted = gather(engine, |id| held.extend(release::await_wishes(engine.layout(), id)))?;
    let apply = |firewall: &mut Firewall<'_>, step: &FirewallStep| {
        firewall
            .apply(step)
            .map_err(|error| unsupported(error.errno(), "nf_tables").unwrap_or_else(|| from_firewall(error)))
    };
    let doing = || "look at the firewall";
    let add = FirewallStep::add("put back what is on record", wanted.clone());
    match firewall.state().doing(doing)? {
        State::Other => apply(firewall, &FirewallStep::Rebuild(wanted))?,
        State::Current if !firewall.has_rules().doing(doing)? => apply(firewall, &FirewallStep::Rebuild(wanted))?,
        State::Missing => {
            apply(firewall, &FirewallStep::Make)?;
            apply(firewall, &add)?;
        }
        State::Current => apply(firewall, &add)?,
    }
    firewall.admit(super::decide::LINKS).doing(|| "be let through by the host's other firewalls").map(drop)
}

/// Returns the elements of all networks and runs.
pub(super) fn wanted(engine: &Engine) -> Result<Vec<Element>, Error> {
    gather(engine, |_| {})
}

/// Returns the same; `before` is called before a run's record is read.
fn gather(engine: &Engine, mut before: impl FnMut(&ContainerId)) -> Result<Vec<Element>, Error> {
    let layout = engine.layout();
    let mut wanted = Vec::new();
    for network in records::all(layout)? {
        if let Some(body) = records::body(layout, &network.id) {
            wanted.extend(network_rules(&network, &body));
        }
    }
    for id in ledger::runs(layout)? {
        before(&id);
        // What is damaged is told when its container is looked at.
        if let Ok(Some(run)) = RunNetwork::read(layout, &id) {
            wanted.extend(run.elements());
        }
    }
    wanted.sort();
    wanted.dedup();
    Ok(wanted)
}

/// Puts the firewall's table back where it is gone although something is on record that needs it.
pub(crate) fn put_back(engine: &Engine) -> Result<(), Error> {
    let Some(first) = first_wanted(engine)? else { return Ok(()) };
    let mut firewall = open_firewall(engine)?;
    let doing = || "look at the firewall";
    if firewall.holds(&first).doing(doing)? && firewall.has_rules().doing(doing)? {
        // Another tool may have begun to forbid what passes.
        return firewall.admit(super::decide::LINKS).doing(|| "look at the host's other firewalls").map(drop);
    }
    tracing::warn!("the firewall has lost our rules, probably by another tool: they are put back");
    settle(engine, &mut firewall)
}

/// Returns one of the elements that must be there. Whoever takes one away takes all of them.
fn first_wanted(engine: &Engine) -> Result<Option<Element>, Error> {
    let layout = engine.layout();
    if exists(&layout.network_states())? {
        for network in records::all(layout)? {
            let rules = records::body(layout, &network.id).map(|body| network_rules(&network, &body));
            if let Some(first) = rules.and_then(|rules| rules.into_iter().next()) {
                return Ok(Some(first));
            }
        }
    }
    let of_run = |id| RunNetwork::read(layout, &id).ok().flatten()?.elements().into_iter().next();
    Ok(ledger::runs(layout)?.into_iter().find_map(of_run))
}

/// A parameter of the host's network that must have another value: its key, the value, why, and what is then said.
type Parameter = (String, &'static str, &'static str, Option<&'static str>);

/// Lets the host forward packets, and says so.
pub(crate) fn forward(engine: &Engine, ipv6: bool, host: &net::link::Network) -> Result<(), Error> {
    for (key, value, what, said) in forwarding(ipv6, host) {
        write(engine, &key, value, what)?;
        if let Some(said) = said {
            tracing::warn!("{said} was off and is switched on: containers reach the outside through this host");
        }
    }
    Ok(())
}

/// Tells what forwarding would change.
pub(super) fn forwarding_steps(ipv6: bool, host: &net::link::Network) -> Vec<Step> {
    let step = |(key, value, what, _): &Parameter| SysctlStep { key, value, what }.explain();
    forwarding(ipv6, host).iter().map(step).collect()
}

/// Decides what must change for the host to forward packets.
fn forwarding(ipv6: bool, host: &net::link::Network) -> Vec<Parameter> {
    let mut wanted =
        vec![("net/ipv4/ip_forward".to_owned(), "1", "switch IPv4 forwarding on", Some("IPv4 forwarding"))];
    if ipv6 {
        // A router does not listen to other routers, unless it is told to: the host's own way out must not get lost.
        let routed = host.uplink().map(|uplink| format!("net/ipv6/conf/{}/accept_ra", uplink.name));
        let routed = routed.filter(|key| read(key).as_deref() == Some("1"));
        wanted.extend(routed.map(|key| (key, "2", "go on listening to the routers outside", None)));
        let all = "net/ipv6/conf/all/forwarding".to_owned();
        wanted.push((all, "1", "switch IPv6 forwarding on", Some("IPv6 forwarding")));
    }
    wanted.retain(|(key, value, ..)| read(key).as_deref() != Some(*value));
    wanted
}

/// The same, for what is on no network of its own; the host is looked at when there is something to do.
pub(crate) fn forward_if_off(engine: &Engine, ipv6: bool) -> Result<(), Error> {
    let is_on = |key: &str| read(key).as_deref() == Some("1");
    if is_on("net/ipv4/ip_forward") && (!ipv6 || is_on("net/ipv6/conf/all/forwarding")) {
        return Ok(());
    }
    let host = net::link::Network::read(None).doing(|| "look at the host's network")?;
    forward(engine, ipv6, &host)
}

fn path(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(key)
}

fn read(key: &str) -> Option<String> {
    std::fs::read_to_string(path(key)).ok().map(|text| text.trim().to_owned())
}

fn write(engine: &Engine, key: &str, value: &str, what: &'static str) -> Result<(), Error> {
    engine.recorder().record(&SysctlStep { key, value, what });
    let written = std::fs::write(path(key), value);
    written.call(|| format!("write({:?}, {value:?})", path(key))).doing(|| what)
}

/// Sets a parameter of the host's network.
struct SysctlStep<'a> {
    key: &'a str,
    value: &'a str,
    what: &'a str,
}

impl Explain for SysctlStep<'_> {
    fn explain(&self) -> Step {
        Step::host(self.what, format!("sysctl -w {}={}", self.key.replace('/', "."), self.value))
    }
}

/// Tells whether bridges hand what they switch to the firewall.
pub(crate) fn bridges_ask_the_firewall() -> bool {
    let asks = |tables: &str| read(&format!("net/bridge/bridge-nf-call-{tables}")).as_deref() == Some("1");
    asks("iptables") || asks("ip6tables")
}

/// Takes a network's body away: its rules, its bridge.
pub(crate) fn remove(engine: &Engine, network: &Network) -> Result<(), Error> {
    let Driver::Bridge { link, .. } = &network.driver else { return Ok(()) };
    match records::body(engine.layout(), &network.id) {
        Some(_) => remove_bridge(engine, link),
        // One that is not on record has no other name than the usual one.
        None if sys::inet::link_index(&usual_link(&network.id)).doing(|| "look for a bridge")?.is_some() => {
            remove_bridge(engine, &usual_link(&network.id))
        }
        None => Ok(()),
    }
}

/// Takes away a bridge, and the elements in which its name stands, with those of its subnets: whatever record of them is left.
pub(crate) fn remove_bridge(engine: &Engine, link: &str) -> Result<(), Error> {
    let doing = || format!("take the bridge {link} down");
    let mut firewall = open_firewall(engine)?;
    let all = firewall.elements().doing(doing)?;
    let names = |element: &Element| element.key.contains(&Part::Interface(link.to_owned()));
    let subnets: Vec<_> = all.iter().filter(|element| names(element)).flat_map(|element| &element.key).collect();
    let is_its = |element: &&Element| {
        names(element) || matches!(&element.key[..], [subnet @ Part::Subnet(_)] if subnets.contains(&subnet))
    };
    let elements: Vec<_> = all.iter().filter(is_its).cloned().collect();
    if !elements.is_empty() {
        firewall.apply(&FirewallStep::remove(format!("close the bridge {link}"), elements)).doing(doing)?;
        firewall.withdraw_if_empty(super::decide::LINKS).doing(doing)?;
    }
    Links::new(engine.recorder()).apply(&[LinkStep::host(LinkChange::Remove(link.to_owned()))]).doing(doing)
}
