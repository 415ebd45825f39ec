//! Ports of the host: taken by sockets that are bound and never listen.
//!
//! The kernel translates what comes to a published port before it would reach a socket. A socket is bound to it all the
//! same, for as long as the port is published: so two that want the same port meet in the kernel, which lets one of them
//! have it, a program of the host that wants it is told that it is in use, and the port is free the moment the monitor
//! is gone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use net::firewall::{Publication, Transport};
use sys::Errno;

use super::run::RunNetwork;
use super::wish::PortRequest;
use super::{NetworkError, holder};

/// Tells which of our containers publishes a port.
pub(crate) type Others<'a> = &'a dyn Fn(SocketAddr, Transport) -> Option<String>;

/// A port that is taken, and the sockets that take it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) publications: Vec<Publication>,
    pub(crate) sockets: Vec<OwnedFd>,
}

/// Takes the ports that a container asks for; they lead to the endpoint of `run` that ports are published on.
pub(crate) fn take(
    requests: &[PortRequest],
    run: &RunNetwork,
    publish_on: Option<IpAddr>,
    others: Others<'_>,
) -> Result<Held, NetworkError> {
    let mut held = Held { publications: Vec::new(), sockets: Vec::new() };
    for request in requests {
        take_one(request, run, publish_on, others, &mut held)?;
    }
    Ok(held)
}

fn take_one(
    request: &PortRequest,
    run: &RunNetwork,
    publish_on: Option<IpAddr>,
    others: Others<'_>,
    held: &mut Held,
) -> Result<(), NetworkError> {
    let failed = |why: &str| NetworkError::Port { port: request.to_string(), why: why.to_owned() };
    let endpoint = run.publishing().ok_or_else(|| failed("the container is on no network that leads outside"))?;
    let wanted: Vec<IpAddr> = match request.address.or(publish_on) {
        Some(address) => vec![address],
        None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    };
    let pair = |address: IpAddr| Some((address, endpoint.address(address.is_ipv6())?));
    let pairs: Vec<_> = wanted.iter().copied().filter_map(pair).collect();
    if pairs.is_empty() {
        let family = if wanted.iter().any(IpAddr::is_ipv6) { "IPv6" } else { "IPv4" };
        return Err(failed(&format!("the container has no {family} address")));
    }
    let addresses: Vec<_> = pairs.iter().map(|(address, _)| *address).collect();
    let (port, sockets) = take_everywhere(request, &addresses, others)?;
    held.sockets.extend(sockets);
    held.publications.extend(pairs.into_iter().map(|(address, inside)| Publication {
        address,
        port,
        transport: request.transport,
        to: SocketAddr::new(inside, request.container),
        gateway: endpoint.host_addresses().into_iter().find(|gateway| gateway.is_ipv6() == address.is_ipv6()),
    }));
    Ok(())
}

/// How often a port of the kernel's choice is tried that turns out to be taken on another address.
const TRIES: usize = 32;

/// Takes the first port that is free on all addresses.
fn take_everywhere(
    request: &PortRequest,
    addresses: &[IpAddr],
    others: Others<'_>,
) -> Result<(u16, Vec<OwnedFd>), NetworkError> {
    let candidates: Vec<u16> = match request.host {
        Some((first, last)) => (first..=last).collect(),
        None => vec![0; TRIES],
    };
    let mut refused = None;
    for candidate in candidates {
        let (mut port, mut sockets) = (candidate, Vec::new());
        let taken = addresses.iter().try_for_each(|address| {
            let at = SocketAddr::new(*address, port);
            let (socket, chosen) = bind(at, request.transport).map_err(|error| (at, error))?;
            port = chosen;
            sockets.extend(socket);
            Ok(())
        });
        match taken {
            Ok(()) => return Ok((port, sockets)),
            Err((at, error)) if error.errno() == Errno::ADDRINUSE => refused = refused.or(Some(at)),
            Err((at, error)) => return Err(refusal(at, request.transport, &error)),
        }
    }
    let at = refused.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
    let port = format!("{at}/{}", request.transport);
    let several = request.host.is_none_or(|(first, last)| last > first);
    let holder = match others(at, request.transport).or_else(|| holder::of(at, request.transport)) {
        _ if several => "no port of those that may be taken is free".to_owned(),
        Some(holder) => format!("it is taken by {holder}"),
        None => "it is taken by another program of this host".to_owned(),
    };
    Err(NetworkError::PortTaken { port, holder })
}

/// Binds a socket and returns it with its port. A kernel without SCTP has nobody who could take one of its ports.
fn bind(at: SocketAddr, transport: Transport) -> sys::Result<(Option<OwnedFd>, u16)> {
    let kind = match transport {
        Transport::Tcp => sys::inet::Kind::Tcp,
        Transport::Udp => sys::inet::Kind::Udp,
        Transport::Sctp => sys::inet::Kind::Sctp,
    };
    match sys::inet::take_port(at, kind) {
        Ok((socket, bound)) => Ok((Some(socket), bound.port())),
        Err(error) if transport == Transport::Sctp && error.errno() == Errno::PROTONOSUPPORT && at.port() != 0 => {
            Ok((None, at.port()))
        }
        Err(error) => Err(error),
    }
}

fn refusal(at: SocketAddr, transport: Transport, error: &sys::Error) -> NetworkError {
    let why = match error.errno() {
        Errno::ADDRNOTAVAIL => format!("this host has no address {}", at.ip()),
        Errno::PROTONOSUPPORT => "this kernel does not know the protocol: name the host's port".to_owned(),
        Errno::ACCESS => "we may not take this port".to_owned(),
        _ => error.to_string(),
    };
    NetworkError::Port { port: format!("{at}/{transport}"), why }
}
