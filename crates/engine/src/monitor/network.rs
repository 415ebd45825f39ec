//! What the monitor does for the container's networks: it keeps the sockets that take published ports, and answers
//! questions about names.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use net::names::server::{Server, Sockets};
use net::names::upstream::HostFiles;
use sys::event::Poller;

use super::{Monitor, RESOLVER};
use crate::layout::Layout;
use crate::{ContainerId, network};

/// Begins to answer questions from sockets in the container's network.
pub(super) fn answer(
    layout: &Layout,
    id: &ContainerId,
    poller: &Poller,
    (datagrams, listener): (OwnedFd, OwnedFd),
) -> Option<Server> {
    let sockets = Sockets::adopt(datagrams, listener).ok()?;
    Server::new(sockets, layout.run_names(id), HostFiles::default(), poller, RESOLVER).ok()
}

impl Monitor {
    /// Keeps sockets for as long as the container runs, or until they are freed.
    pub(super) fn keep(&mut self, token: u64, sockets: Vec<OwnedFd>) {
        self.kept.extend(sockets);
        self.say_done(token);
    }

    /// Gives up the sockets that are bound to an address.
    pub(super) fn free(&mut self, token: u64, address: &[u8]) {
        let address = std::str::from_utf8(address).ok().and_then(|text| text.parse::<SocketAddr>().ok());
        self.kept.retain(|socket| address.is_none() || sys::inet::address(socket).ok() != address);
        self.say_done(token);
    }

    /// Takes the sockets of a resolver over.
    pub(super) fn take_resolver(&mut self, token: u64, sockets: Vec<OwnedFd>) {
        if let Ok([datagrams, listener]) = <[OwnedFd; 2]>::try_from(sockets) {
            self.names = None;
            self.names = answer(&self.layout, &self.order.id, &self.poller, (datagrams, listener));
        }
        self.say_done(token);
    }

    /// Answers what has come to the resolver.
    pub(super) fn answer_names(&mut self, token: u64) {
        if let Some(names) = &mut self.names {
            names.ready(&self.poller, token);
        }
    }

    /// Does what time demands of the resolver.
    pub(super) fn tend_names(&mut self) {
        if let Some(names) = &mut self.names {
            names.tick(&self.poller);
        }
    }

    /// Leaves the container's network and gives back what it had of others; nothing where that failed.
    pub(super) fn leave_networks(&mut self) -> Option<network::Closing> {
        // Its sockets would keep the network from going.
        self.names = None;
        let left = network::release(&self.layout, &self.order.id).ok();
        self.kept.clear();
        left
    }
}
