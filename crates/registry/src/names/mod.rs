//! From a host's name to addresses, without the C library: a static binary must not load its modules (NSS).
//!
//! Literal addresses and `localhost` are themselves; then the hosts file is read, then the name servers of resolv.conf are
//! asked ([`ask`]). Which names are asked for, and in which order, is a plan ([`files`]).

mod ask;
mod files;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::url::{is_loopback, split_port};
use files::ResolvConf;

/// More addresses are not tried, and do not fit.
const MOST_ADDRESSES: usize = 16;

/// The files that tell where hosts are.
#[derive(Debug, Clone)]
pub struct NameFiles {
    /// Names with their addresses (hosts(5)).
    pub hosts: PathBuf,
    /// The name servers (resolv.conf(5)).
    pub resolv_conf: PathBuf,
}

impl Default for NameFiles {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into() }
    }
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The servers know no such name.
    #[error("there is no host of the name {0}")]
    NoSuchName(String),
    /// The name is there, and has no address.
    #[error("the name {0} has no address")]
    NoAddress(String),
    /// It is no name at all.
    #[error("{0:?} is not the name of a host")]
    Name(String),
    /// No server answered.
    #[error("no name server answers a question about {name}")]
    Servers {
        /// The name.
        name: String,
        /// What the last of them did.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Resolver for NameFiles {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        let (host, port) = split_port(authority);
        let port = port.unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let found = self.look_up(host).map_err(|error| ureq::Error::Other(Box::new(error)))?;
        let mut addresses = self.empty();
        for address in reachable_first(found).into_iter().take(MOST_ADDRESSES) {
            addresses.push(SocketAddr::new(address, port));
        }
        Ok(addresses)
    }
}

impl NameFiles {
    /// Returns the addresses of a host, one at least.
    pub(crate) fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, NameError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let listed = files::listed(&self.read(&self.hosts)?, host);
        if !listed.is_empty() {
            return Ok(listed);
        }
        if is_loopback(host) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        ask_all(&ResolvConf::parse(&self.read(&self.resolv_conf)?), host)
    }

    fn read(&self, path: &PathBuf) -> Result<String, NameError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(source) => Err(NameError::Read { path: path.clone(), source }),
        }
    }
}

/// Asks for each name that the host's domains make of this one, until one has addresses.
fn ask_all(conf: &ResolvConf, host: &str) -> Result<Vec<IpAddr>, NameError> {
    let mut there = false;
    for name in conf.candidates(host) {
        match ask::addresses(conf, &name)? {
            ask::Found::Addresses(addresses) if !addresses.is_empty() => return Ok(addresses),
            ask::Found::Addresses(_) => there = true,
            ask::Found::NoSuchName => {}
        }
    }
    Err(if there { NameError::NoAddress(host.to_owned()) } else { NameError::NoSuchName(host.to_owned()) })
}

/// Puts addresses that there is a route to in front. To connect a datagram socket sends nothing.
fn reachable_first(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let reachable = |address: &IpAddr| {
        let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((*address, 9))).is_ok()
    };
    let (mut first, rest): (Vec<_>, Vec<_>) = addresses.into_iter().partition(reachable);
    first.extend(rest);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_looked_for_in_the_file_before_any_server_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let files = NameFiles { hosts: dir.path().join("hosts"), resolv_conf: dir.path().join("resolv.conf") };
        std::fs::write(&files.hosts, "192.0.2.7 r.test other # r2.test\n2001:db8::7 R.test\n").unwrap();
        // A port where nobody listens: whoever is asked refuses.
        std::fs::write(&files.resolv_conf, "nameserver 127.0.0.1#1\noptions timeout:1 attempts:1\n").unwrap();
        let text =
            |host: &str| files.look_up(host).map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(text("r.test").unwrap(), ["192.0.2.7", "2001:db8::7"]);
        assert_eq!(text("192.0.2.1").unwrap(), ["192.0.2.1"]);
        assert_eq!(text("2001:db8::1").unwrap(), ["2001:db8::1"]);
        assert_eq!(text("localhost").unwrap(), ["127.0.0.1", "::1"]);
        assert!(matches!(text("r2.test"), Err(NameError::Servers { .. })));
        assert!(matches!(text("a..b"), Err(NameError::Name(_))));
    }
}
