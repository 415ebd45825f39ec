//! A run's endpoints are made, once its namespace is there.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use net::link::Links;
use net::names::redirect;

use super::run::{Endpoint, RunNetwork};
use super::{body, release};
use crate::error::Doing;
use crate::{Engine, Error};

/// The address at which a container's resolver listens, in the container's own network.
pub(crate) const RESOLVER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 11);

/// The sockets of a run's resolver, UDP and TCP.
pub(crate) type Resolver = (OwnedFd, OwnedFd);

/// A container's network namespace, and the file by which a shell reaches it.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) path: PathBuf,
    pub(crate) fd: OwnedFd,
}

impl Namespace {
    /// Opens the one of a process.
    pub(crate) fn of(pid: u32) -> Result<Self, Error> {
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        let fd = sys::namespace::open(&path).doing(|| "enter the container's network")?;
        Ok(Self { path, fd })
    }
}

impl Engine {
    /// Makes a run's endpoints in the namespace of its first process, opens its ports, and opens the sockets of its
    /// resolver.
    pub(crate) fn bring_up(&self, run: &RunNetwork, pid: u32) -> Result<Option<Resolver>, Error> {
        let namespace = Namespace::of(pid)?;
        for endpoint in &run.endpoints {
            self.make_endpoint(endpoint, &namespace)?;
        }
        let resolver = run.answers.then(|| self.open_resolver(&namespace)).transpose()?;
        self.open_ways(run)?;
        Ok(resolver)
    }

    /// Makes an endpoint's links, addresses and routes.
    pub(super) fn make_endpoint(&self, endpoint: &Endpoint, namespace: &Namespace) -> Result<(), Error> {
        let steps = endpoint.steps(&namespace.path);
        let mut links = Links::new(self.recorder()).with_namespace(&namespace.path, namespace.fd.as_fd());
        links.apply(&steps).map_err(|error| {
            links.undo(&steps[..1]);
            let doing = || match &endpoint.network {
                Some(network) => format!("connect the container to network {}", network.name),
                None => "connect the container to the host".to_owned(),
            };
            body::unsupported(error.errno(), "links of this kind")
                .unwrap_or_else(|| Error::Doing { doing: doing(), source: error.into() })
        })
    }

    /// Opens what the firewall must let pass for a run alone: its ports, its peers, its own link.
    pub(super) fn open_ways(&self, run: &RunNetwork) -> Result<(), Error> {
        let elements = run.elements();
        if elements.is_empty() {
            return Ok(());
        }
        let needs_forwarding =
            !run.ports.is_empty() || !run.peers.is_empty() || run.endpoints.iter().any(Endpoint::is_open_alone);
        if needs_forwarding {
            let ipv6 = run.addresses().any(|address| address.is_ipv6());
            body::forward_if_off(self, ipv6)?;
        }
        let mut firewall = body::open_firewall(self)?;
        body::add(self, &mut firewall, "open what leads to a container", &elements)?;
        release::forget_flows(run);
        Ok(())
    }

    /// Opens the sockets of a resolver in a container's network, and leads the container's questions there.
    pub(super) fn open_resolver(&self, namespace: &Namespace) -> Result<Resolver, Error> {
        let doing = || "open the container's resolver";
        let sockets = redirect::listen(namespace.fd.as_fd()).doing(doing)?;
        let address = sockets.address().doing(doing)?;
        redirect::lead(namespace.fd.as_fd(), &namespace.path, address, self.recorder()).map_err(|error| {
            body::unsupported(error.errno(), "nf_tables")
                .unwrap_or_else(|| Error::Doing { doing: doing().to_owned(), source: error.into() })
        })?;
        Ok(sockets.into_fds())
    }
}
