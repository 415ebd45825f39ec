//! Networks change under a container, running or not: connect and disconnect, ports, links of its own, peers.
//!
//! What a container asks for is written down first or last, whichever leaves less behind when the command dies in between;
//! what it has is written down before it is made, as at a start.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use net::firewall::{Element, FirewallStep, Peers, Publication, Transport};
use net::link::{LinkChange, LinkStep, Links, Route};
use sys::file::Durability;

use super::acquire::wishes;
use super::run::{Endpoint, Medium, Peer, RunNetwork};
use super::up::Namespace;
use super::wish::{Attachment, OwnLink, PortRequest, Wishes};
use super::{NetworkError, body, ports, release};
use crate::error::Doing;
use crate::ledger::{self, Owner};
use crate::wire::ToMonitor;
use crate::{Container, Engine, Error, NetworkMode, client, files, records};

/// A container whose networks are about to change, and the right to change them.
struct Changing<'a> {
    engine: &'a Engine,
    container: &'a Container,
    wishes: Wishes,
    running: Option<Running>,
    _lock: Option<File>,
}

/// What a running container has.
struct Running {
    run: RunNetwork,
    namespace: Namespace,
    /// The first process, by which its end is known.
    process: OwnedFd,
}

impl Engine {
    /// Puts a container on a network, at once if it runs, and at every start.
    pub fn connect(&self, container: &Container, attachment: &Attachment) -> Result<(), Error> {
        self.settle(container)?;
        let mut changing = Changing::begin(self, container)?;
        let network = self.network_for(&attachment.network)?;
        let is_meant = |one: &Attachment| self.network_for(&one.network).is_ok_and(|found| found.id == network.id);
        if changing.wishes.networks.iter().any(is_meant) {
            let (container, network) = (container.name.to_string(), network.name.to_string());
            return Err(NetworkError::Connected { container, network }.into());
        }
        if let Some(mut running) = changing.running.take() {
            running.run.leasing = true;
            running.write(&changing)?;
            let leased = self.lease(container, attachment, &running.run);
            running.run.leasing = false;
            let endpoint = match leased {
                Ok(endpoint) => endpoint,
                Err(error) => {
                    running.write(&changing)?;
                    return Err(error);
                }
            };
            let name = endpoint.name.clone();
            running.run.endpoints.push(endpoint);
            let made = if_it_runs(changing.make_last(&mut running));
            if made.is_err() {
                changing.take_off(&mut running, &name)?;
                return made;
            }
        }
        let attachment = Attachment { network: network.name.to_string(), ..attachment.clone() };
        changing.wishes.networks.push(attachment);
        changing.write_wishes()
    }

    /// Takes a container off a network.
    pub fn disconnect(&self, container: &Container, asked: &str) -> Result<(), Error> {
        self.settle(container)?;
        let mut changing = Changing::begin(self, container)?;
        let found = self.network_for(asked);
        let is_meant = |one: &Attachment| match &found {
            Ok(network) => self.network_for(&one.network).is_ok_and(|other| other.id == network.id),
            Err(_) => one.network == asked,
        };
        // One that was cut short on its way off is still there.
        let is_there = |running: &Running| found.as_ref().is_ok_and(|network| running.run.on(&network.id).is_some());
        if !changing.wishes.networks.iter().any(is_meant) && !changing.running.as_ref().is_some_and(is_there) {
            let network = found?.name.to_string();
            return Err(NetworkError::NotConnected { container: container.name.to_string(), network }.into());
        }
        changing.wishes.networks.retain(|one| !is_meant(one));
        changing.write_wishes()?;
        if let (Some(mut running), Ok(network)) = (changing.running.take(), &found)
            && let Some(name) = running.run.on(&network.id).map(|endpoint| endpoint.name.clone())
        {
            if_it_runs(changing.take_off(&mut running, &name))?;
        }
        Ok(())
    }

    /// Publishes ports of a container, and others no more.
    pub fn change_ports(
        &self,
        container: &Container,
        add: &[PortRequest],
        remove: &[PortRequest],
    ) -> Result<(), Error> {
        self.settle(container)?;
        let mut changing = Changing::begin(self, container)?;
        changing.withdraw_ports(remove)?;
        changing.publish(&self.at_chosen_address(add))?;
        changing.write_wishes()
    }

    /// Gives a container a link to the host, with a way outside where that is asked for, and publishes ports on it: the
    /// founding documents' `addnetwork`. A container that has a way outside needs no other one.
    pub fn add_network(&self, container: &Container, internet: bool, expose: &[PortRequest]) -> Result<(), Error> {
        self.settle(container)?;
        let mut changing = Changing::begin(self, container)?;
        let has_way = |run: &RunNetwork| run.endpoints.iter().any(|endpoint| endpoint.leads_out);
        let is_served = changing.running.as_ref().is_some_and(|running| has_way(&running.run));
        match changing.wishes.own {
            None if !is_served => changing.give_own(OwnLink { internet })?,
            Some(OwnLink { internet: false }) if internet && !is_served => changing.open_own()?,
            _ => {}
        }
        changing.publish(&self.at_chosen_address(expose))?;
        changing.write_wishes()
    }

    /// Lets two containers reach each other, and nobody else.
    pub fn make_peers(&self, one: &Container, other: &Container) -> Result<(), Error> {
        if one.id == other.id {
            return Err(NetworkError::Option(format!("{} cannot be its own peer", one.name)).into());
        }
        self.settle(one)?;
        self.settle(other)?;
        // Two commands that name the same two must not wait for each other.
        let (first, second) = if one.id < other.id { (one, other) } else { (other, one) };
        let mut first = Changing::begin(self, first)?;
        let mut second = Changing::begin(self, second)?;
        for changing in [&mut first, &mut second] {
            let has_link = changing.running.as_ref().is_none_or(|running| !running.run.endpoints.is_empty());
            if changing.wishes.own.is_none() && !has_link {
                changing.give_own(OwnLink::default())?;
            }
        }
        if let (Some(here), Some(there)) = (&mut first.running, &mut second.running) {
            join(self, (first.container, here), (second.container, there))?;
        }
        let ids = [second.container.id.clone(), first.container.id.clone()];
        for (changing, other) in [&mut first, &mut second].into_iter().zip(ids) {
            if !changing.wishes.peers.contains(&other) {
                changing.wishes.peers.push(other);
            }
            changing.write_wishes()?;
        }
        Ok(())
    }

    /// Joins a container that is on record as running with those of its peers that are. Of two that are started at the same
    /// time, each is on record before it looks for the other: so at least one of them finds the other.
    pub(crate) fn join_peers(&self, container: &Container) -> Result<(), Error> {
        for id in wishes(self.layout(), container)?.peers {
            let Ok(Some(other)) = records::container(self.layout(), &id) else { continue };
            // The other one may be doing the same: both take the locks in one order.
            let (first, second) = if container.id < id { (&container.id, &id) } else { (&id, &container.id) };
            let _locks = (release::lock_wishes(self.layout(), first)?, release::lock_wishes(self.layout(), second)?);
            let (Some(mut here), Some(mut there)) = (Running::look(self, container)?, Running::look(self, &other)?)
            else {
                continue;
            };
            join(self, (container, &mut here), (&other, &mut there))?;
        }
        Ok(())
    }
}

impl<'a> Changing<'a> {
    fn begin(engine: &'a Engine, container: &'a Container) -> Result<Self, Error> {
        let shares = |what| Err(NetworkError::Shares(container.name.to_string(), what).into());
        match container.request.network {
            NetworkMode::Host => return shares("the host's network"),
            NetworkMode::Container(_) => return shares("another container's network"),
            NetworkMode::None | NetworkMode::Networks => {}
        }
        let lock = release::lock_wishes(engine.layout(), &container.id)?;
        let wishes = wishes(engine.layout(), container)?;
        let running = Running::find(engine, container)?;
        Ok(Self { engine, container, wishes, running, _lock: lock })
    }

    fn write_wishes(&self) -> Result<(), Error> {
        let path = self.engine.layout().network_wishes(&self.container.id);
        records::write(&path, &self.wishes, Durability::Synced)
    }

    /// Makes the endpoint that was leased last.
    fn make_last(&self, running: &mut Running) -> Result<(), Error> {
        running.run.choose_way_out();
        running.write(self)?;
        let Some(endpoint) = running.run.endpoints.last() else { return Ok(()) };
        self.engine.make_endpoint(endpoint, &running.namespace)?;
        self.engine.open_ways(&running.run)?;
        running.tell(self)
    }

    /// Takes an endpoint away, with what depends on it.
    fn take_off(&self, running: &mut Running, name: &str) -> Result<(), Error> {
        let Some((left, gone)) = running.run.without(name) else { return Ok(()) };
        let old = running.run.ports.clone();
        self.turn_into(running, left, "close what led to a container")?;
        let freed: Vec<_> = old.into_iter().filter(|port| !running.run.publishes(port)).collect();
        release::forget_flows(&RunNetwork { ports: freed.clone(), ..RunNetwork::default() });
        self.free_ports(running, &freed)?;
        remove_links(self.engine, &gone, &running.namespace)?;
        if let Some(network) = &gone.network {
            release::give_back(self.engine.layout(), &network.id, &self.container.id)?;
        }
        if gone.leads_out
            && let Some(next) = running.run.endpoints.iter().find(|endpoint| endpoint.leads_out)
        {
            add_default_routes(self.engine, next, &running.namespace)?;
        }
        running.run.before = None;
        running.write(self)?;
        running.tell(self)
    }

    /// Changes the firewall to what a container has now. What it had stays on record until the caller has taken that away.
    fn turn_into(&self, running: &mut Running, now: RunNetwork, what: &'static str) -> Result<(), Error> {
        let before = std::mem::replace(&mut running.run, now);
        let (old, new) = (before.elements(), running.run.elements());
        running.run.before = Some(Box::new(before));
        running.write(self)?;
        let lacks = |among: &[Element], element: &&Element| !among.contains(element);
        let remove: Vec<_> = old.iter().filter(|element| lacks(&new, element)).cloned().collect();
        let add: Vec<_> = new.iter().filter(|element| lacks(&old, element)).cloned().collect();
        if remove.is_empty() && add.is_empty() {
            return Ok(());
        }
        let step = FirewallStep::Change { what: what.to_owned(), remove, add };
        body::open_firewall(self.engine)?.apply(&step).doing(|| what)
    }

    /// Publishes ports at once, if the container runs, and writes them down among what it asks for.
    fn publish(&mut self, requests: &[PortRequest]) -> Result<(), Error> {
        let new: Vec<_> = requests.iter().filter(|request| !self.wishes.ports.contains(request)).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        if let Some(mut running) = self.running.take() {
            let publish_on = self.engine.publish_on(&running.run)?;
            let others = |at: SocketAddr, transport: Transport| self.engine.publisher(self.container, at, transport);
            let held = ports::take(&new, &running.run, publish_on, &others)?;
            running.run.ports.extend(held.publications);
            running.write(self)?;
            if_it_runs(self.hand_over(&running, &held.sockets))?;
            self.engine.open_ways(&running.run)?;
            self.running = Some(running);
        }
        self.wishes.ports.extend(new);
        Ok(())
    }

    /// Publishes ports no more.
    fn withdraw_ports(&mut self, requests: &[PortRequest]) -> Result<(), Error> {
        for request in requests {
            let names = |one: &PortRequest| {
                one.container == request.container
                    && one.transport == request.transport
                    && (request.host.is_none() || one.host == request.host)
                    && (request.address.is_none() || one.address == request.address)
            };
            if !self.wishes.ports.iter().any(names) {
                let container = self.container.name.to_string();
                return Err(NetworkError::NotPublished { container, port: request.to_string() }.into());
            }
            self.wishes.ports.retain(|one| !names(one));
            let Some(mut running) = self.running.take() else { continue };
            let is_meant = |port: &Publication| {
                port.to.port() == request.container
                    && port.transport == request.transport
                    && request.host.is_none_or(|(first, last)| (first..=last).contains(&port.port))
                    && request.address.is_none_or(|address| address == port.address)
            };
            let (gone, left): (Vec<_>, Vec<_>) = std::mem::take(&mut running.run.ports).into_iter().partition(is_meant);
            let elements: Vec<_> = gone.iter().flat_map(Publication::elements).collect();
            if !elements.is_empty() {
                let doing = || "withdraw a port";
                let mut firewall = body::open_firewall(self.engine)?;
                firewall.apply(&FirewallStep::remove("withdraw a port", elements)).doing(doing)?;
            }
            release::forget_flows(&RunNetwork { ports: gone.clone(), ..RunNetwork::default() });
            if_it_runs(self.free_ports(&running, &gone))?;
            running.run.ports = left;
            running.write(self)?;
            self.running = Some(running);
        }
        Ok(())
    }

    /// Gives the container a link to the host.
    fn give_own(&mut self, own: OwnLink) -> Result<(), Error> {
        if let Some(mut running) = self.running.take() {
            self.engine.lease_own(self.container, own, &mut running.run)?;
            let made = if_it_runs(self.make_last(&mut running));
            if made.is_err() {
                let name = running.run.endpoints.last().map(|endpoint| endpoint.name.clone()).unwrap_or_default();
                self.take_off(&mut running, &name)?;
                return made;
            }
            self.running = Some(running);
        }
        self.wishes.own = Some(own);
        Ok(())
    }

    /// Lets the container's own link lead outside.
    fn open_own(&mut self) -> Result<(), Error> {
        if let Some(mut running) = self.running.take() {
            let mut open = running.run.clone();
            for endpoint in &mut open.endpoints {
                if let Medium::Alone { internet, .. } = &mut endpoint.medium {
                    *internet = true;
                }
            }
            open.choose_way_out();
            self.turn_into(&mut running, open, "let a container reach the outside")?;
            running.run.before = None;
            running.write(self)?;
            self.engine.open_ways(&running.run)?;
            if let Some(endpoint) = running.run.endpoints.iter().find(|endpoint| endpoint.leads_out) {
                add_default_routes(self.engine, endpoint, &running.namespace)?;
            }
            running.tell(self)?;
            self.running = Some(running);
        }
        self.wishes.own = Some(OwnLink { internet: true });
        Ok(())
    }
}

/// What a container that has just ended had is taken back by its monitor, and what it asks for is written down as for any
/// other that does not run.
fn if_it_runs(changed: Result<(), Error>) -> Result<(), Error> {
    match changed {
        Err(Error::NotRunning(_)) => Ok(()),
        changed => changed,
    }
}

impl Running {
    /// Finds what a container has; `None` when it does not run. One that is just being started has what it asked for a moment
    /// ago: it is waited for.
    fn find(engine: &Engine, container: &Container) -> Result<Option<Self>, Error> {
        let (layout, until) = (engine.layout(), Instant::now() + client::PATIENCE);
        while !records::exists(&layout.run_state(&container.id))?
            && ledger::owner(layout, &container.id)? == Owner::Living
            && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        Self::look(engine, container)
    }

    /// Finds what a container has, if it is on record as running now.
    fn look(engine: &Engine, container: &Container) -> Result<Option<Self>, Error> {
        let layout = engine.layout();
        let Some(pid) = records::read::<records::Run>(&layout.run_state(&container.id))?.map(|run| run.pid) else {
            return Ok(None);
        };
        // While it waits for its restart there is no process; one that has just ended has no namespace any more.
        let (Ok(process), Ok(namespace)) = (sys::process::pidfd_open(pid), Namespace::of(pid)) else { return Ok(None) };
        if pid == 0 || sys::signal::wait_readable(&process, Some(Duration::ZERO)).doing(|| "look at a process")? {
            return Ok(None);
        }
        let run = RunNetwork::read(layout, &container.id)?.unwrap_or_default();
        Ok(Some(Self { run, namespace, process }))
    }

    fn write(&self, changing: &Changing<'_>) -> Result<(), Error> {
        let (layout, id) = (changing.engine.layout(), &changing.container.id);
        self.run.write(layout, id)?;
        super::note_ports(layout, id, &self.run)
    }

    /// Lets the container know of its names, its addresses and its resolver.
    fn tell(&mut self, changing: &Changing<'_>) -> Result<(), Error> {
        let Changing { engine, container, .. } = changing;
        if !self.run.answers && !self.run.endpoints.is_empty() {
            let (datagrams, listener) = engine.open_resolver(&self.namespace)?;
            self.run.answers = true;
            files::write_names(engine, container, &self.run)?;
            changing.say(self, ToMonitor::Answer, &[datagrams.as_fd(), listener.as_fd()])?;
            self.run.write(engine.layout(), &container.id)?;
        }
        files::rewrite(engine, container, &self.run)
    }
}

/// Lets two running containers reach each other.
fn join(engine: &Engine, one: (&Container, &mut Running), other: (&Container, &mut Running)) -> Result<(), Error> {
    let ((one, here), (other, there)) = (one, other);
    let reachable = |run: &RunNetwork| run.endpoints.iter().find(|endpoint| endpoint.host_link().is_some()).cloned();
    let (Some(ours), Some(theirs)) = (reachable(&here.run), reachable(&there.run)) else { return Ok(()) };
    let pairs = [false, true].into_iter().filter_map(|ipv6| Some(Peers(ours.address(ipv6)?, theirs.address(ipv6)?)));
    let pairs: Vec<_> = pairs.collect();
    let reversed = pairs.iter().map(|pair| Peers(pair.1, pair.0)).collect();
    let note = |container: &Container, running: &mut Running, peer: Peer| {
        running.run.peers.retain(|known| known.id != peer.id);
        running.run.peers.push(peer);
        running.run.write(engine.layout(), &container.id)?;
        if running.run.answers { files::write_names(engine, container, &running.run) } else { Ok(()) }
    };
    note(one, here, Peer { id: other.id.clone(), name: other.name.clone(), pairs, follows: false })?;
    note(other, there, Peer { id: one.id.clone(), name: one.name.clone(), pairs: reversed, follows: true })?;
    lead_to(engine, &ours, &theirs, here)?;
    lead_to(engine, &theirs, &ours, there)?;
    engine.open_ways(&here.run)
}

/// Adds routes to another container where no default route leads there.
fn lead_to(engine: &Engine, from: &Endpoint, to: &Endpoint, running: &Running) -> Result<(), Error> {
    if running.run.endpoints.iter().any(|endpoint| endpoint.leads_out) {
        return Ok(());
    }
    for router in &from.routers {
        let Some(address) = to.address(router.is_ipv6()) else { continue };
        let own_subnet = from.addresses.iter().any(|own| own.contains(&address));
        if own_subnet {
            continue;
        }
        let to = IpNet::new(address, if address.is_ipv6() { 128 } else { 32 }).doing(|| "lead to a peer")?;
        let route = Route { to, via: Some(*router), link: Some(from.name.clone()), metric: None };
        add_route(engine, route, &running.namespace)?;
    }
    Ok(())
}

fn add_default_routes(engine: &Engine, endpoint: &Endpoint, namespace: &Namespace) -> Result<(), Error> {
    let route = |router: &IpAddr| Route { link: Some(endpoint.name.clone()), ..Route::default_via(*router) };
    endpoint.routers.iter().map(route).try_for_each(|route| add_route(engine, route, namespace))
}

/// Adds a route; content when it is there.
fn add_route(engine: &Engine, route: Route, namespace: &Namespace) -> Result<(), Error> {
    let step = LinkStep::inside(&namespace.path, LinkChange::AddRoute(route));
    let mut links = Links::new(engine.recorder()).with_namespace(&namespace.path, namespace.fd.as_fd());
    match links.apply(&[step]) {
        Err(error) if error.errno() == sys::Errno::EXIST => Ok(()),
        applied => applied.doing(|| "give the container a route"),
    }
}

fn remove_links(engine: &Engine, gone: &Endpoint, namespace: &Namespace) -> Result<(), Error> {
    let step = match gone.host_link() {
        Some(host) => LinkStep::host(LinkChange::Remove(host.to_owned())),
        None => LinkStep::inside(&namespace.path, LinkChange::Remove(gone.name.clone())),
    };
    let mut links = Links::new(engine.recorder()).with_namespace(&namespace.path, namespace.fd.as_fd());
    links.apply(&[step]).doing(|| "remove a container's link")
}

impl Changing<'_> {
    /// Gives the container's monitor sockets to keep.
    fn hand_over(&self, running: &Running, sockets: &[OwnedFd]) -> Result<(), Error> {
        let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        self.say(running, ToMonitor::Keep, &sockets)
    }

    /// Lets the container's monitor give ports back.
    fn free_ports(&self, running: &Running, ports: &[Publication]) -> Result<(), Error> {
        for port in ports {
            let at = SocketAddr::new(port.address, port.port).to_string();
            self.say(running, ToMonitor::Free(at.as_bytes()), &[])?;
        }
        Ok(())
    }

    fn say(&self, running: &Running, frame: ToMonitor<'_>, sockets: &[BorrowedFd<'_>]) -> Result<(), Error> {
        client::hand_over(self.engine.layout(), self.container, running.process.as_fd(), frame, sockets)
    }
}
