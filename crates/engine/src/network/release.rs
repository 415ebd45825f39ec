//! The end of what a run has of networks: ports, rules, peers, leases. The links go with the namespace, by the kernel's hand.

use std::sync::LazyLock;

use net::firewall::{Firewall, FirewallStep, Transport, forget};
use net::link::{LinkChange, LinkStep, Links};
use trace::Recorder;

use super::NetworkId;
use super::records::NetworkLock;
use super::run::{Peer, RunNetwork};
use crate::error::Doing;
use crate::layout::Layout;
use crate::records::exists;
use crate::{ContainerId, Error, ledger, remove};

/// The firewall from which something was removed. To close it takes until no packet can meet what was removed, some
/// milliseconds: whoever has others wait keeps it until they have gone.
#[derive(Debug)]
pub(crate) struct Closing(#[expect(dead_code, reason = "it is held")] Option<Firewall<'static>>);

static SILENT: LazyLock<Recorder> = LazyLock::new(Recorder::silent);

/// Takes back what a run has of networks, as far as it has anything: the caller owns the run, and its processes are gone.
///
/// The order is that of danger: first nobody is led here any more, and then the addresses can be others'.
pub(crate) fn release(layout: &Layout, id: &ContainerId) -> Result<Closing, Error> {
    // What is written down first is removed last.
    if !exists(&layout.run_network(id))? {
        return Ok(Closing(None));
    }
    let _lock = lock_wishes(layout, id)?;
    // A record that is damaged, or was not finished, does not tell all: leases are found by the container's id.
    let run = RunNetwork::read(layout, id).unwrap_or_else(|error| {
        tracing::warn!(container = id.short(), "what it had of networks is damaged: {error}");
        None
    });
    let closing = Closing(run.as_ref().map(|run| withdraw(layout, id, run)).transpose()?.flatten());
    let networks = match run.filter(|run| !run.leasing) {
        Some(run) => run.all_endpoints().filter_map(|endpoint| Some(endpoint.network.as_ref()?.id.clone())).collect(),
        None => states(layout)?,
    };
    for network in networks {
        give_back(layout, &network, id)?;
    }
    remove::unlink(&layout.run_network(id)).doing(|| "close the networks of a run")?;
    Ok(closing)
}

fn withdraw(layout: &Layout, id: &ContainerId, run: &RunNetwork) -> Result<Option<Firewall<'static>>, Error> {
    let doing = || "close the networks of a run";
    let elements = run.elements();
    let mut firewall = None;
    if !elements.is_empty() {
        let firewall = firewall.insert(Firewall::open(None, &SILENT).doing(doing)?);
        firewall.apply(&FirewallStep::remove("close what led to a container", elements)).doing(doing)?;
        // A network's bridge stays until it is pruned, and the table with it; a link that stood alone leaves neither.
        if run.all_endpoints().any(|endpoint| endpoint.network.is_none()) {
            firewall.withdraw_if_empty(super::decide::LINKS).doing(doing)?;
        }
    }
    forget_flows(run);
    if exists(&layout.shared_network(id))? {
        // Others live in the namespace, and so it would keep the links.
        let links = run.all_endpoints().filter_map(|endpoint| endpoint.host_link());
        let steps: Vec<_> = links.map(|link| LinkStep::host(LinkChange::Remove(link.to_owned()))).collect();
        Links::new(&SILENT).apply(&steps).doing(doing)?;
    }
    forget_peers(layout, id)?;
    Ok(firewall)
}

/// Lets the kernel forget what came by ports that are published no more, or were not until now: UDP would go where it went for
/// as long as somebody sends. Connections of TCP end by themselves, and to look at all that the kernel tracks takes it
/// milliseconds.
pub(super) fn forget_flows(run: &RunNetwork) {
    let ports: Vec<_> = run.ports.iter().filter(|port| port.transport != Transport::Tcp).collect();
    if ports.is_empty() {
        return;
    }
    if let Err(error) = forget(None, |flow| ports.iter().any(|port| flow.came_by(port))) {
        tracing::warn!("what came by ports that are published no more cannot be forgotten: {error}");
    }
}

/// Takes a container out of what others have written down of it.
fn forget_peers(layout: &Layout, id: &ContainerId) -> Result<(), Error> {
    let wishes: Option<super::wish::Wishes> = crate::records::read(&layout.network_wishes(id)).unwrap_or_default();
    for other in wishes.map(|wishes| wishes.peers).unwrap_or_default() {
        let Some(mut run) = RunNetwork::read(layout, &other).unwrap_or_default() else { continue };
        let (gone, left): (Vec<_>, Vec<_>) = run.peers.into_iter().partition(|peer| peer.id == *id);
        run.peers = left;
        if !gone.is_empty() {
            let elements = gone.iter().flat_map(Peer::elements).collect();
            let doing = || "part two containers";
            let mut firewall = Firewall::open(None, &SILENT).doing(doing)?;
            firewall.apply(&FirewallStep::remove("part two containers", elements)).doing(doing)?;
            run.write(layout, &other)?;
        }
    }
    Ok(())
}

/// Gives a container's addresses on a network back.
pub(super) fn give_back(layout: &Layout, network: &NetworkId, id: &ContainerId) -> Result<(), Error> {
    match NetworkLock::take_if_there(layout, network)? {
        Some(lock) => lock.take_out(id),
        None => Ok(()),
    }
}

/// Returns all networks that have a state.
pub(super) fn states(layout: &Layout) -> Result<Vec<NetworkId>, Error> {
    ledger::identifiers(&layout.network_states())
}

/// Waits a moment for whoever changes what a container has of networks. We may be the one ourselves, so it is no more than that.
pub(super) fn await_wishes(layout: &Layout, id: &ContainerId) -> Option<std::fs::File> {
    let lock = std::fs::File::open(layout.container(id)).ok()?;
    for _ in 0..50 {
        match lock.try_lock() {
            Ok(()) => return Some(lock),
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(2)),
            Err(std::fs::TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// Takes the right to change what a container asks and has of networks; `None` when the container is just going.
pub(crate) fn lock_wishes(layout: &Layout, id: &ContainerId) -> Result<Option<std::fs::File>, Error> {
    let directory = layout.container(id);
    let doing = || format!("lock the networks of container {}", id.short());
    match std::fs::File::open(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        opened => {
            let lock = opened.doing(doing)?;
            lock.lock().doing(doing)?;
            Ok(Some(lock))
        }
    }
}
