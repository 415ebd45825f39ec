//! One change to the links, addresses or routes of a namespace, and what it says of itself.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use trace::{Explain, Step, quote};

use super::Mac;

/// Which network namespace a step is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Within {
    /// The one that we are in.
    Host,
    /// Another, by the file that a shell reaches it by, such as `/proc/PID/ns/net`.
    Namespace(PathBuf),
}

/// A change, and the namespace in which it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStep {
    /// Where.
    pub within: Within,
    /// What.
    pub change: LinkChange,
}

/// A change to links, addresses or routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// Makes a link that must not exist.
    Make(NewLink),
    /// Removes a link, and with a veth its far end; content when it is already gone.
    Remove(String),
    /// Switches a link on.
    Up(String),
    /// Switches a link off.
    Down(String),
    /// Makes a link a port of a bridge, or of none.
    SetMaster(String, Option<String>),
    /// Lets the bridge send what comes from this port back to it, or forbids it.
    SetHairpin(String, bool),
    /// Keeps the kernel from giving a link an IPv6 link-local address of its own when it is switched on. With that go the
    /// questions and reports that each such address sends to all ports of a bridge.
    NoLinkLocal(String),
    /// Sets the largest packet.
    SetMtu(String, u32),
    /// Sets the MAC address.
    SetMac(String, Mac),
    /// Gives a link one more name, of at most 127 bytes, by which tools find it too. It goes with the link.
    AddAltName(String, String),
    /// Gives a link an address that it must not have. IPv6 addresses can be used at once.
    AddAddress(String, IpNet),
    /// Takes an address away; content when it is already gone.
    RemoveAddress(String, IpNet),
    /// Adds a route that must not exist.
    AddRoute(Route),
    /// Removes a route; content when it is already gone.
    RemoveRoute(Route),
}

/// A link that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// Its name, at most 15 bytes.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// Its address; the kernel picks one otherwise.
    pub mac: Option<Mac>,
    /// The largest packet; the kernel's default otherwise.
    pub mtu: Option<u32>,
    /// The bridge whose port it becomes.
    pub master: Option<String>,
    /// The namespace that it is made in, if not where the step is.
    pub into: Option<PathBuf>,
    /// Whether it is switched on.
    pub up: bool,
}

impl NewLink {
    /// Makes the description of a link that is off and has nothing set.
    pub fn new(name: impl Into<String>, kind: LinkKind) -> Self {
        Self { name: name.into(), kind, mac: None, mtu: None, master: None, into: None, up: false }
    }
}

/// What a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// A switch.
    Bridge,
    /// A link that leads nowhere.
    Dummy,
    /// One of two links of which each receives what the other sends.
    Veth(Far),
    /// A link with a MAC address of its own on another link.
    Macvlan(String, MacvlanMode),
    /// A link with addresses of its own on another link, whose MAC address it shares.
    Ipvlan(String, IpvlanMode),
}

/// The far end of a veth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Far {
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its address; the kernel picks one otherwise.
    pub mac: Option<Mac>,
    /// The largest packet; the kernel's default otherwise.
    pub mtu: Option<u32>,
    /// The namespace that it is made in, if not where the step is.
    pub into: Option<PathBuf>,
}

/// What links of the macvlan kind on one parent see of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// Nothing.
    Private,
    /// What the switch outside sends back.
    Vepa,
    /// Each other.
    #[default]
    Bridge,
    /// There is one alone, which has the parent for itself.
    Passthru,
}

/// At which layer links of the ipvlan kind are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    /// They are on the parent's segment.
    #[default]
    L2,
    /// The parent routes to them.
    L3,
    /// The parent routes to them, and connection tracking sees it.
    L3s,
}

/// A way to a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where it leads; `0.0.0.0/0` and `::/0` are the default routes.
    pub to: IpNet,
    /// The next router.
    pub via: Option<IpAddr>,
    /// The link that it leaves by.
    pub link: Option<String>,
    /// Which of several routes is taken: the lowest.
    pub metric: Option<u32>,
}

impl Route {
    /// Makes the default route over a router.
    pub fn default_via(router: IpAddr) -> Self {
        let to = match router {
            IpAddr::V4(_) => IpNet::V4(ipnet::Ipv4Net::default()),
            IpAddr::V6(_) => IpNet::V6(ipnet::Ipv6Net::default()),
        };
        Self { to, via: Some(router), link: None, metric: None }
    }
}

impl LinkStep {
    /// Makes a step in our own namespace.
    pub fn host(change: LinkChange) -> Self {
        Self { within: Within::Host, change }
    }

    /// Makes a step in the namespace that has this file.
    pub fn inside(namespace: &Path, change: LinkChange) -> Self {
        Self { within: Within::Namespace(namespace.to_owned()), change }
    }

    /// Returns the step that undoes this one, where one does.
    pub fn undo(&self) -> Option<Self> {
        let change = match &self.change {
            LinkChange::Make(link) if link.into.is_none() => LinkChange::Remove(link.name.clone()),
            LinkChange::Make(link) => {
                let namespace = link.into.as_deref().unwrap_or(Path::new(""));
                return Some(Self::inside(namespace, LinkChange::Remove(link.name.clone())));
            }
            LinkChange::AddAddress(link, address) => LinkChange::RemoveAddress(link.clone(), *address),
            LinkChange::AddRoute(route) => LinkChange::RemoveRoute(route.clone()),
            _ => return None,
        };
        Some(Self { within: self.within.clone(), change })
    }
}

impl Explain for LinkStep {
    fn explain(&self) -> Step {
        let command = self.change.command();
        match &self.within {
            Within::Host => Step::host(self.change.to_string(), command),
            Within::Namespace(path) => {
                let path = path.to_string_lossy();
                let inside = |line: &str| format!("nsenter --net={} {line}", quote(&path));
                let command: Vec<_> = command.lines().map(inside).collect();
                Step::host(format!("{}, in the network namespace {path}", self.change), command.join("\n"))
            }
        }
    }
}

impl fmt::Display for LinkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make(link) => write!(f, "{link}"),
            Self::Remove(link) => write!(f, "remove the link {link}"),
            Self::Up(link) => write!(f, "switch the link {link} on"),
            Self::Down(link) => write!(f, "switch the link {link} off"),
            Self::SetMaster(link, Some(master)) => write!(f, "make the link {link} a port of {master}"),
            Self::SetMaster(link, None) => write!(f, "take the link {link} out of its bridge"),
            Self::SetHairpin(link, true) => write!(f, "let the bridge send back to {link} what comes from there"),
            Self::SetHairpin(link, false) => {
                write!(f, "keep the bridge from sending back to {link} what comes from there")
            }
            Self::NoLinkLocal(link) => write!(f, "give the link {link} no IPv6 link-local address"),
            Self::SetMtu(link, mtu) => write!(f, "set the MTU of the link {link} to {mtu}"),
            Self::SetMac(link, mac) => write!(f, "set the MAC address of the link {link} to {mac}"),
            Self::AddAltName(link, name) => write!(f, "give the link {link} the further name {name}"),
            Self::AddAddress(link, address) => write!(f, "give the link {link} the address {address}"),
            Self::RemoveAddress(link, address) => write!(f, "take the address {address} from the link {link}"),
            Self::AddRoute(route) => write!(f, "add the {route}"),
            Self::RemoveRoute(route) => write!(f, "remove the {route}"),
        }
    }
}

impl fmt::Display for NewLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.kind {
            LinkKind::Bridge => write!(f, "make the bridge {name}")?,
            LinkKind::Dummy => write!(f, "make the dummy link {name}")?,
            LinkKind::Veth(far) => {
                write!(f, "make the pair of links {name} and {}", far.name)?;
                if let Some(into) = &far.into {
                    write!(f, ", the latter in the network namespace {}", into.display())?;
                }
            }
            LinkKind::Macvlan(parent, mode) => write!(f, "make the macvlan link {name} on {parent} (mode {mode})")?,
            LinkKind::Ipvlan(parent, mode) => write!(f, "make the ipvlan link {name} on {parent} (mode {mode})")?,
        }
        if let Some(master) = &self.master {
            write!(f, "; {name} is a port of {master}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to.prefix_len() {
            0 => write!(f, "default route")?,
            _ => write!(f, "route to {}", self.to)?,
        }
        self.via.iter().try_for_each(|via| write!(f, " via {via}"))?;
        self.link.iter().try_for_each(|link| write!(f, " over {link}"))
    }
}

impl fmt::Display for MacvlanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::Vepa => "vepa",
            Self::Bridge => "bridge",
            Self::Passthru => "passthru",
        })
    }
}

impl fmt::Display for IpvlanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::L3s => "l3s",
        })
    }
}

impl LinkChange {
    /// Returns the command of iproute2 that does the same.
    fn command(&self) -> String {
        match self {
            Self::Make(link) => link.command(),
            Self::Remove(link) => format!("ip link delete {}", quote(link)),
            Self::Up(link) => format!("ip link set {} up", quote(link)),
            Self::Down(link) => format!("ip link set {} down", quote(link)),
            Self::SetMaster(link, Some(master)) => format!("ip link set {} master {}", quote(link), quote(master)),
            Self::SetMaster(link, None) => format!("ip link set {} nomaster", quote(link)),
            Self::SetHairpin(link, on) => {
                format!("ip link set {} type bridge_slave hairpin {}", quote(link), if *on { "on" } else { "off" })
            }
            Self::NoLinkLocal(link) => format!("ip link set {} addrgenmode none", quote(link)),
            Self::SetMtu(link, mtu) => format!("ip link set {} mtu {mtu}", quote(link)),
            Self::SetMac(link, mac) => format!("ip link set {} address {mac}", quote(link)),
            Self::AddAltName(link, name) => {
                format!("ip link property add dev {} altname {}", quote(link), quote(name))
            }
            Self::AddAddress(link, address) => {
                let at_once = if address.addr().is_ipv6() { " nodad" } else { "" };
                format!("ip address add {address} dev {}{at_once}", quote(link))
            }
            Self::RemoveAddress(link, address) => format!("ip address delete {address} dev {}", quote(link)),
            Self::AddRoute(route) => route.command("add"),
            Self::RemoveRoute(route) => route.command("delete"),
        }
    }
}

impl NewLink {
    fn command(&self) -> String {
        let mut words = vec!["ip link add".to_owned()];
        if let LinkKind::Macvlan(parent, _) | LinkKind::Ipvlan(parent, _) = &self.kind {
            words.push(format!("link {}", quote(parent)));
        }
        words.push(format!("name {}", quote(&self.name)));
        words.extend(settings(self.mac, self.mtu, self.into.as_deref()));
        match &self.kind {
            LinkKind::Bridge => words.push("type bridge".into()),
            LinkKind::Dummy => words.push("type dummy".into()),
            LinkKind::Macvlan(_, mode) => words.push(format!("type macvlan mode {mode}")),
            LinkKind::Ipvlan(_, mode) => words.push(format!("type ipvlan mode {mode}")),
            LinkKind::Veth(far) => {
                words.push(format!("type veth peer name {}", quote(&far.name)));
                words.extend(settings(far.mac, far.mtu, far.into.as_deref()));
            }
        }
        let mut lines = words.join(" ");
        if let Some(master) = &self.master {
            lines += &format!("\nip link set {} master {}", quote(&self.name), quote(master));
        }
        if self.up {
            lines += &format!("\nip link set {} up", quote(&self.name));
        }
        lines
    }
}

fn settings(mac: Option<Mac>, mtu: Option<u32>, into: Option<&Path>) -> impl Iterator<Item = String> {
    let mac = mac.map(|mac| format!("address {mac}"));
    let mtu = mtu.map(|mtu| format!("mtu {mtu}"));
    let into = into.map(|into| format!("netns {}", quote(&into.to_string_lossy())));
    mac.into_iter().chain(mtu).chain(into)
}

impl Route {
    fn command(&self, verb: &str) -> String {
        let family = if self.to.addr().is_ipv6() { "-6 " } else { "" };
        let mut line = format!("ip {family}route {verb} ");
        match self.to.prefix_len() {
            0 => line += "default",
            _ => line += &self.to.trunc().to_string(),
        }
        self.via.iter().for_each(|via| line += &format!(" via {via}"));
        self.link.iter().for_each(|link| line += &format!(" dev {}", quote(link)));
        self.metric.iter().for_each(|metric| line += &format!(" metric {metric}"));
        line
    }
}
