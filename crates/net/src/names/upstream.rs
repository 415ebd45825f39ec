//! The host's name servers, and what an endpoint's own resolv.conf says (resolv.conf(5)).
//!
//! The sockets that ask them are opened in the host's network, so that a server on the host's loopback is as good as any
//! other. One is not asked: systemd-resolved's stub, since the servers behind it are known and one relay is enough.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::file::{Content, Watched};

/// Where systemd-resolved listens on the host.
const STUBS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54))];
/// The port of name servers.
const PORT: u16 = 53;
/// How long one server is waited for where the host does not say: short enough that a second and a third can be asked
/// before the usual client loses patience, after five seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
/// The longest that a host may ask for.
const LONGEST: u64 = 30;

/// A name server, as a resolv.conf names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Nameserver {
    address: IpAddr,
    /// The link on which a link-local address is meant.
    link: Option<String>,
    port: u16,
}

/// What a resolv.conf says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// The servers, in order.
    pub servers: Vec<Nameserver>,
    /// The domains in which short names are looked up.
    pub search: Vec<String>,
    /// The options, as they are written: `ndots:2`, `rotate`.
    pub options: Vec<String>,
}

/// What a user asks of an endpoint's resolv.conf.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// Search domains in place of the host's (`--dns-search`); a dot alone means none.
    #[serde(default)]
    pub search: Vec<String>,
    /// Options in place of the host's (`--dns-option`).
    #[serde(default)]
    pub options: Vec<String>,
}

impl Nameserver {
    /// Names a server by its address, at the usual port.
    pub fn new(address: IpAddr) -> Self {
        Self { address, link: None, port: PORT }
    }

    /// Names the port, for tests and for servers that have their own.
    #[must_use]
    pub fn at_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Returns where to send; `None` when the link it is meant on is not there.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        let address = match self.address {
            IpAddr::V4(address) => return Some(SocketAddrV4::new(address, self.port).into()),
            IpAddr::V6(address) => address,
        };
        let scope = match &self.link {
            None => 0,
            Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse().ok()?,
            // A name with a slash or a dot is not a link's, and must not lead elsewhere.
            Some(name) if name.contains(['/', '.']) => return None,
            Some(name) => {
                std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?.trim().parse().ok()?
            }
        };
        Some(SocketAddrV6::new(address, self.port, 0, scope).into())
    }
}

impl FromStr for Nameserver {
    type Err = std::net::AddrParseError;

    /// Reads `ADDRESS`, `ADDRESS%LINK` or `ADDRESS#PORT`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (text, port) = match text.rsplit_once('#').map(|(text, port)| (text, port.parse())) {
            Some((text, Ok(port))) => (text, port),
            _ => (text, PORT),
        };
        let (address, link) = match text.split_once('%') {
            Some((address, link)) => (address, Some(link.to_owned())),
            None => (text, None),
        };
        Ok(Self { address: address.parse()?, link, port })
    }
}

impl TryFrom<String> for Nameserver {
    type Error = std::net::AddrParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Nameserver> for String {
    fn from(server: Nameserver) -> Self {
        server.to_string()
    }
}

impl fmt::Display for Nameserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(link) = &self.link {
            write!(f, "%{link}")?;
        }
        if self.port == PORT { Ok(()) } else { write!(f, "#{}", self.port) }
    }
}

impl ResolvConf {
    /// Reads a resolv.conf; a line that makes no sense is passed over, as the C library does.
    pub fn parse(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => read.servers.extend(words.next().and_then(|word| word.parse().ok())),
                // The last of them counts.
                Some("search") => read.search = words.map(str::to_owned).collect(),
                Some("domain") => read.search = words.take(1).map(str::to_owned).collect(),
                Some("options") => read.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        read
    }

    /// Tells whether all servers are systemd-resolved's stub.
    pub fn is_stub(&self) -> bool {
        !self.servers.is_empty() && self.servers.iter().all(|server| STUBS.contains(&server.address))
    }

    /// Returns how long one server is waited for.
    pub fn patience(&self) -> Duration {
        let mut seconds = self.options.iter().filter_map(|option| option.strip_prefix("timeout:")?.parse::<u64>().ok());
        seconds.next_back().map_or(PATIENCE, |seconds| Duration::from_secs(seconds.clamp(1, LONGEST)))
    }

    /// Returns the resolv.conf of an endpoint whose resolver listens at `resolver`, on a host that has this one.
    ///
    /// Short names are tried as they are before any search domain: they are those of the endpoint's networks.
    pub fn for_endpoint(&self, resolver: IpAddr, wishes: &Wishes) -> String {
        let search = if wishes.search.is_empty() { &self.search } else { &wishes.search };
        let search: Vec<&str> = search.iter().map(String::as_str).filter(|domain| *domain != ".").collect();
        let options = if wishes.options.is_empty() { &self.options } else { &wishes.options };
        let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
        if !options.iter().any(|option| option.starts_with("ndots:")) {
            options.push("ndots:0");
        }
        let mut text = format!("nameserver {resolver}\n");
        if !search.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "search {}", search.join(" "));
        }
        let _ = writeln!(text, "options {}", options.join(" "));
        text
    }
}

/// The files in which a host names its servers.
#[derive(Debug)]
pub struct HostFiles {
    usual: Watched<ResolvConf>,
    behind_stub: Watched<ResolvConf>,
}

impl Default for HostFiles {
    fn default() -> Self {
        Self::at("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
    }
}

impl HostFiles {
    /// Names the files: the host's own, and the one with the servers behind systemd-resolved's stub.
    pub fn at(usual: impl Into<PathBuf>, behind_stub: impl Into<PathBuf>) -> Self {
        Self { usual: Watched::new(usual), behind_stub: Watched::new(behind_stub) }
    }

    /// Returns what the host's resolv.conf says now, with the servers behind the stub.
    pub fn read(&mut self) -> ResolvConf {
        let parse = |text: &[u8]| Some(ResolvConf::parse(&String::from_utf8_lossy(text)));
        let mut read = match self.usual.look(parse) {
            Content::Is(read) => read.clone(),
            Content::Missing | Content::Unreadable => ResolvConf::default(),
        };
        if read.is_stub()
            && let Content::Is(behind) = self.behind_stub.look(parse)
            && !behind.servers.is_empty()
        {
            read.servers.clone_from(&behind.servers);
            if read.search.is_empty() {
                read.search.clone_from(&behind.search);
            }
        }
        if read.servers.is_empty() {
            // So says resolv.conf(5).
            read.servers.push(Nameserver::new(Ipv4Addr::LOCALHOST.into()));
        }
        read
    }

    /// Returns whom to ask, in order, and how long to wait for each; `own` are asked in place of the host's.
    pub(super) fn servers(&mut self, own: &[Nameserver]) -> (Vec<SocketAddr>, Duration) {
        let read = self.read();
        let servers = if own.is_empty() { &read.servers } else { own };
        (servers.iter().filter_map(Nameserver::socket_address).collect(), read.patience())
    }

    /// Forgets what was read, to be small.
    pub(super) fn forget(&mut self) {
        self.usual.forget();
        self.behind_stub.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(read: &ResolvConf) -> Vec<String> {
        read.servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_resolv_conf_is_read_as_the_c_library_does() {
        let text = "# nameserver 1.1.1.1\n; x\nnameserver 192.0.2.1 # more\nnameserver\nnameserver nonsense\n\
                    nameserver\tfe80::1%eth0\nsearch a.test\nsearch b.test c.test\noptions ndots:2 timeout:99\n\
                    options rotate\nsortlist 1.2.3.4\n";
        let read = ResolvConf::parse(text);
        assert_eq!(servers(&read), ["192.0.2.1", "fe80::1%eth0"]);
        assert_eq!(read.search, ["b.test", "c.test"]);
        assert_eq!(read.options, ["ndots:2", "timeout:99", "rotate"]);
        assert_eq!(read.patience(), Duration::from_secs(30));
        assert_eq!(ResolvConf::parse("domain d.test e.test\n").search, ["d.test"]);
        assert_eq!(ResolvConf::parse("").patience(), PATIENCE);
    }

    #[test]
    fn the_servers_behind_the_stub_are_asked_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (usual, behind) = (dir.path().join("usual"), dir.path().join("behind"));
        let mut files = HostFiles::at(&usual, &behind);
        assert_eq!(servers(&files.read()), ["127.0.0.1"]);
        std::fs::write(&usual, "nameserver 127.0.0.53\nsearch a.test\n").unwrap();
        assert_eq!(servers(&files.read()), ["127.0.0.53"]);
        std::fs::write(&behind, "nameserver 192.0.2.7\nsearch b.test\n").unwrap();
        let read = files.read();
        assert_eq!((servers(&read), read.search), (vec!["192.0.2.7".to_owned()], vec!["a.test".to_owned()]));
        // A resolver on the host's loopback that is not systemd's is asked like any other.
        std::fs::write(&usual, "nameserver 127.0.0.1\nnameserver 127.0.0.53\n").unwrap();
        assert_eq!(servers(&files.read()), ["127.0.0.1", "127.0.0.53"]);
    }

    #[test]
    fn an_endpoint_s_resolv_conf_names_its_resolver_and_the_host_s_domains() {
        let host = ResolvConf::parse("nameserver 192.0.2.1\nsearch a.test\noptions timeout:3\n");
        let text = |search: &[&str], options: &[&str]| {
            let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
            host.for_endpoint("127.0.0.11".parse().unwrap(), &Wishes { search: own(search), options: own(options) })
        };
        assert_eq!(text(&[], &[]), "nameserver 127.0.0.11\nsearch a.test\noptions timeout:3 ndots:0\n");
        assert_eq!(text(&["b.test"], &["ndots:5"]), "nameserver 127.0.0.11\nsearch b.test\noptions ndots:5\n");
        assert_eq!(text(&["."], &["rotate"]), "nameserver 127.0.0.11\noptions rotate ndots:0\n");
    }

    #[test]
    fn a_link_local_server_is_reached_over_its_link() {
        let address = |text: &str| text.parse::<Nameserver>().unwrap().socket_address().map(|it| it.to_string());
        assert_eq!(address("fe80::1%lo").as_deref(), Some("[fe80::1%1]:53"));
        assert_eq!(address("fe80::1%7").as_deref(), Some("[fe80::1%7]:53"));
        assert_eq!(address("fe80::1%no-such-link"), None);
        assert_eq!(address("fe80::1%../../../etc"), None);
        assert_eq!(address("192.0.2.1#5353").as_deref(), Some("192.0.2.1:5353"));
    }
}
