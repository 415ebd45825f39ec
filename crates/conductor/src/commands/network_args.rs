//! The options of `run` and `create` that are about networks: where the container is, what leads to it, what it knows by
//! name.
//!
//! `--network` names what Docker calls a mode (`none`, `host`, `container:NAME`) or networks, one or several. Options that
//! belong to a place on a network (`--ip`, `--network-alias`, ...) are those of the first one.

use clap::Args;
use engine::network::{Attachment, ExposedPort, HostWish, NameWishes, PortRequest};
use engine::{CreateRequest, NetworkMode};

use super::container_args::flag;
use crate::error::Failure;

/// Where the container is, and who reaches it.
#[derive(Debug, Default, Args)]
pub(crate) struct NetworkArgs {
    /// Connect to a network, or to none, host or container:NAME; as name=NETWORK,alias=NAME,ip=ADDRESS with more words
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// Give the container a further name on its network
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// IPv4 address on the network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// IPv6 address on the network
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<String>,
    /// MAC address on the network
    #[arg(long, value_name = "ADDRESS")]
    mac_address: Option<String>,
    /// Publish a port: [[ADDRESS:]HOST:]CONTAINER[/PROTOCOL], where a port may be a range
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<String>,
    /// Publish every port that is exposed, on ports of the host that are free
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Call a port useful: PORT[/PROTOCOL], as EXPOSE does in an image
    #[arg(long, value_name = "PORT")]
    expose: Vec<String>,
    /// Ask this server for names, in place of the host's
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
    /// Look short names up in this domain; a dot alone means in none
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Set an option of the resolver, as in ndots:2
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
    /// Let a name mean an address, or the host by host-gateway
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
}

impl NetworkArgs {
    /// Writes what the words mean into a request.
    pub(crate) fn fill(self, request: CreateRequest) -> Result<CreateRequest, Failure> {
        let (network, networks) = self.places()?;
        let names = self.names()?;
        let ports = ports(&self.publish)?;
        let exposed = self.expose.iter().map(|text| flag("expose", ExposedPort::parse(text)));
        let exposed = exposed.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        Ok(CreateRequest { network, networks, ports, publish_all: self.publish_all, exposed, names, ..request })
    }

    /// Tells the mode, and the networks that are named.
    fn places(&self) -> Result<(NetworkMode, Vec<Attachment>), Failure> {
        let mut networks = Vec::new();
        for word in &self.network {
            let attachment = attachment(word)?;
            let Some(mode) = mode(&attachment.network) else {
                if networks.iter().any(|other: &Attachment| other.network == attachment.network) {
                    return Err(wrong("network", format!("{} is named twice", attachment.network)));
                }
                networks.push(attachment);
                continue;
            };
            let mode = mode?;
            if self.network.len() > 1 || attachment != Attachment::to(attachment.network.clone()) {
                let word = &attachment.network;
                return Err(Failure::message(format!("conflicting options: --network {word} and another network"))
                    .hint(format!("{word} stands alone; name networks, as many as you like, or {word}")));
            }
            self.want_nothing_of(&mode)?;
            return Ok((mode, Vec::new()));
        }
        if self.asks_for_a_place() {
            if networks.is_empty() {
                networks.push(Attachment::to_default());
            }
            self.complete(&mut networks[0])?;
        }
        Ok((NetworkMode::Networks, networks))
    }

    fn asks_for_a_place(&self) -> bool {
        let addresses = [&self.ip, &self.ip6, &self.mac_address];
        !self.network_alias.is_empty() || addresses.iter().any(|address| address.is_some())
    }

    /// Refuses what belongs to a place on a network where the container has none.
    fn want_nothing_of(&self, mode: &NetworkMode) -> Result<(), Failure> {
        let addresses = [("ip", &self.ip), ("ip6", &self.ip6), ("mac-address", &self.mac_address)];
        let address = addresses.iter().find(|(_, value)| value.is_some()).map(|(name, _)| *name);
        let Some(name) = address.or((!self.network_alias.is_empty()).then_some("network-alias")) else {
            return Ok(());
        };
        let word = String::from(mode.clone());
        Err(Failure::message(format!("conflicting options: --{name} and --network {word}"))
            .hint("an address and further names belong to a network: 'conductor network ls' lists them"))
    }

    /// Adds the options that stand alone to the first network.
    fn complete(&self, first: &mut Attachment) -> Result<(), Failure> {
        let Attachment { aliases, ip, ip6, mac, network } = first;
        for alias in &self.network_alias {
            aliases.push(host_name("network-alias", alias)?);
        }
        once("ip", network, ip, self.ip.as_deref())?;
        once("ip6", network, ip6, self.ip6.as_deref())?;
        once("mac-address", network, mac, self.mac_address.as_deref())
    }

    fn names(&self) -> Result<NameWishes, Failure> {
        let search = |domain: &String| match domain.as_str() {
            "." => Ok(domain.clone()),
            _ => host_name("dns-search", domain),
        };
        let option = |option: &String| match option.bytes().all(|byte| byte.is_ascii_graphic()) && !option.is_empty() {
            true => Ok(option.clone()),
            false => Err(wrong("dns-option", format!("{option:?} is not one word"))),
        };
        Ok(NameWishes {
            servers: self.dns.iter().map(|text| flag("dns", text.parse())).collect::<Result<_, _>>()?,
            search: self.dns_search.iter().map(search).collect::<Result<_, _>>()?,
            options: self.dns_option.iter().map(option).collect::<Result<_, _>>()?,
            hosts: self
                .add_host
                .iter()
                .map(|text| flag("add-host", text.parse::<HostWish>()))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Says what a request asks for in vain.
pub(crate) fn warning(request: &CreateRequest) -> Option<&'static str> {
    let publishes = !request.ports.is_empty() || request.publish_all;
    match request.network {
        NetworkMode::Host if publishes => {
            Some("published ports are discarded: on the host's network a container has the host's ports themselves")
        }
        NetworkMode::None if publishes => {
            Some("published ports are discarded: without a network nobody reaches the container")
        }
        _ => None,
    }
}

/// Reads the ports of `--publish`, each once: first those that can be had in one way alone, so that none of them is taken
/// for one that may be any.
fn ports(words: &[String]) -> Result<Vec<PortRequest>, Failure> {
    let mut ports: Vec<PortRequest> = Vec::new();
    for word in words {
        for port in publish("publish", word)? {
            if port.host.is_some() && ports.contains(&port) {
                continue;
            }
            if let Some(other) = ports.iter().find(|other| collide(other, &port)) {
                let why = format!("{other} and {port} want the same port of the host");
                return Err(wrong("publish", why));
            }
            ports.push(port);
        }
    }
    ports.sort_by_key(|port| port.host.map_or(u32::MAX, |(first, last)| u32::from(last - first)));
    Ok(ports)
}

/// Tells whether two of one container cannot both be published.
fn collide(one: &PortRequest, other: &PortRequest) -> bool {
    let fixed = |port: &PortRequest| port.host.filter(|(first, last)| first == last);
    let meet = match (one.address, other.address) {
        (Some(one), Some(other)) => one == other || one.is_unspecified() || other.is_unspecified(),
        _ => true,
    };
    meet && one.transport == other.transport && fixed(one).is_some() && fixed(one) == fixed(other)
}

/// Reads a port to publish, in the short form or in the one with words: `published=8080,target=80,protocol=tcp`.
pub(crate) fn publish(name: &str, word: &str) -> Result<Vec<PortRequest>, Failure> {
    if !word.contains('=') {
        return flag(name, PortRequest::parse(word));
    }
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for pair in word.split(',') {
        match pair.split_once('=') {
            Some(("published", value)) => published = value,
            Some(("target", value)) => target = value,
            Some(("protocol", value)) => protocol = value,
            _ => return Err(wrong(name, format!("{pair:?} is not published=, target= or protocol="))),
        }
    }
    flag(name, PortRequest::parse(&format!("{published}:{target}/{protocol}")))
}

/// Reads a network, or Docker's long form: `name=NETWORK,alias=NAME,ip=ADDRESS,ip6=ADDRESS,mac-address=ADDRESS`.
fn attachment(word: &str) -> Result<Attachment, Failure> {
    let mut attachment = Attachment::default();
    if !word.contains('=') {
        attachment.network = word.to_owned();
    } else {
        for pair in word.split(',') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key.trim() {
                "name" => attachment.network = value.to_owned(),
                "alias" => attachment.aliases.push(host_name("network", value)?),
                "ip" => attachment.ip = Some(flag("network", value.parse())?),
                "ip6" => attachment.ip6 = Some(flag("network", value.parse())?),
                "mac-address" => attachment.mac = Some(flag("network", value.parse())?),
                _ => {
                    let keys = "use name, alias, ip, ip6 or mac-address";
                    return Err(wrong("network", format!("{word:?} has an unknown key {key:?}: {keys}")));
                }
            }
        }
    }
    if attachment.network.is_empty() {
        return Err(wrong("network", format!("{word:?} names no network")));
    }
    Ok(attachment)
}

/// Tells whether a word is a mode, and which.
fn mode(word: &str) -> Option<Result<NetworkMode, Failure>> {
    let is_mode = matches!(word, "none" | "host") || word.starts_with("container:");
    is_mode.then(|| flag("network", word.parse()))
}

/// Sets what the long form may have set already.
fn once<T>(name: &str, network: &str, place: &mut Option<T>, word: Option<&str>) -> Result<(), Failure>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let Some(word) = word else { return Ok(()) };
    if place.is_some() {
        return Err(Failure::message(format!("conflicting options: --{name} and {name}= of the network {network}")));
    }
    *place = Some(flag(name, word.parse())?);
    Ok(())
}

/// Reads a name that others look up.
pub(crate) fn host_name(name: &str, word: &str) -> Result<String, Failure> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match (1..=253).contains(&word.len()) && word.bytes().all(fits) {
        true => Ok(word.to_owned()),
        false => Err(wrong(name, format!("{word:?} is no name: letters, digits, '-', '_' and '.' make one"))),
    }
}

fn wrong(name: &str, why: impl std::fmt::Display) -> Failure {
    Failure::message(format!("invalid value for --{name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    #[command(no_binary_name = true)]
    struct Line {
        #[command(flatten)]
        network: NetworkArgs,
    }

    fn read(line: &str) -> Result<CreateRequest, String> {
        use clap::Parser;
        let line = Line::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
        line.network.fill(CreateRequest::default()).map_err(|failure| failure.lines().unwrap())
    }

    fn networks(line: &str) -> Vec<Attachment> {
        let request = read(line).unwrap();
        assert_eq!(request.network, NetworkMode::Networks, "{line}");
        request.networks
    }

    #[test]
    fn a_container_is_on_the_default_network_where_nothing_is_said() {
        assert_eq!(networks(""), []);
        assert_eq!(networks("--network bridge"), [Attachment::to_default()]);
    }

    #[test]
    fn modes_stand_alone() {
        for (word, mode) in [
            ("none", NetworkMode::None),
            ("host", NetworkMode::Host),
            ("container:web", NetworkMode::Container("web".into())),
            ("name=host", NetworkMode::Host),
        ] {
            let request = read(&format!("--net {word}")).unwrap();
            assert_eq!((request.network, request.networks.len()), (mode, 0), "{word}");
        }
        for (line, said) in [
            ("--network none --network front", "error: conflicting options: --network none and another network"),
            ("--network front --network host", "error: conflicting options: --network host and another network"),
            ("--network name=host,alias=x", "error: conflicting options: --network host and another network"),
            ("--network host --ip 10.1.0.2", "error: conflicting options: --ip and --network host"),
            ("--network none --network-alias x", "error: conflicting options: --network-alias and --network none"),
            ("--network container:", "error: invalid value for --network"),
        ] {
            let got = read(line).unwrap_err();
            assert!(got.starts_with(said), "{line}: {got}");
        }
    }

    #[test]
    fn several_networks_and_what_is_wanted_on_them() {
        let first = Attachment {
            aliases: vec!["www".into(), "web".into()],
            ip: "10.1.0.9".parse().ok(),
            ip6: "fd00::9".parse().ok(),
            mac: "02:42:00:00:00:09".parse().ok(),
            ..Attachment::to("front")
        };
        let line = "--network name=front,alias=www,ip=10.1.0.9 --network back --net-alias web --ip6 fd00::9 \
                    --mac-address 02:42:00:00:00:09";
        assert_eq!(networks(line), [first, Attachment::to("back")]);
        // Without a network that is named, it is the default one on which something is wanted.
        let wanted = Attachment { ip: "172.30.0.9".parse().ok(), ..Attachment::to_default() };
        assert_eq!(networks("--ip 172.30.0.9"), [wanted]);
    }

    #[test]
    fn a_wrong_place_is_named() {
        for (line, said) in [
            ("--network front --network front", "error: invalid value for --network: front is named twice"),
            ("--network name=front,colour=red", "error: invalid value for --network: \"name=front,colour=red\" has"),
            ("--network alias=x", "error: invalid value for --network: \"alias=x\" names no network"),
            ("--network name=front,ip=10.1", "error: invalid value for --network\n  because: invalid IPv4 address"),
            ("--ip 10.1.0.256", "error: invalid value for --ip\n  because: invalid IPv4 address syntax"),
            ("--ip fd00::1", "error: invalid value for --ip"),
            ("--ip6 10.1.0.1", "error: invalid value for --ip6"),
            ("--mac-address 02:42", "error: invalid value for --mac-address"),
            ("--network-alias a/b", "error: invalid value for --network-alias: \"a/b\" is no name"),
            ("--network name=a,ip=10.1.0.2 --ip 10.1.0.3", "error: conflicting options: --ip and ip= of the network a"),
        ] {
            let got = read(line).unwrap_err();
            assert!(got.starts_with(said), "{line}: {got}");
        }
    }

    #[test]
    fn ports_are_published_and_exposed() {
        let request = read(
            "-p 8080:80 -p 8080:80 -p 53/udp -p 90-99:90 -p published=90,target=91,protocol=udp -P --expose 81-82",
        )
        .unwrap();
        let ports: Vec<_> = request.ports.iter().map(ToString::to_string).collect();
        assert_eq!(ports, ["8080:80/tcp", "90:91/udp", "90-99:90/tcp", "53/udp"]);
        let exposed: Vec<_> = request.exposed.iter().map(ToString::to_string).collect();
        assert_eq!((exposed, request.publish_all), (vec!["81/tcp".to_owned(), "82/tcp".to_owned()], true));
        assert!(read("-p 8080:80 -p 8080:80/udp -p 127.0.0.1:81:80 -p 127.0.0.2:81:80").is_ok());
        for (line, said) in [
            ("-p 70000:80", "error: invalid value for --publish\n  because: \"70000:80\" names no port: "),
            ("-p 80:0", "error: invalid value for --publish"),
            ("-p web:80", "error: invalid value for --publish"),
            ("-p 80:80/icmp", "error: invalid value for --publish"),
            ("-p 8080:80 -p 8080:81", "error: invalid value for --publish: 8080:80/tcp and 8080:81/tcp want the same"),
            ("-p 8080:80 -p 127.0.0.1:8080:80", "error: invalid value for --publish: 8080:80/tcp and 127.0.0.1:8080"),
            ("-p host=80", "error: invalid value for --publish: \"host=80\" is not published="),
            ("--expose 80:80", "error: invalid value for --expose"),
        ] {
            let got = read(line).unwrap_err();
            assert!(got.starts_with(said), "{line}: {got}");
        }
    }

    #[test]
    fn ports_of_a_container_without_a_network_are_warned_of() {
        let warned = |line: &str| warning(&read(line).unwrap()).is_some();
        assert!(warned("--network host -p 80") && warned("--network none -P"));
        assert!(!warned("-p 80") && !warned("--network host") && !warned("--network none --expose 80"));
    }

    #[test]
    fn names_are_asked_for_where_they_are_said_to_be() {
        let request = read(
            "--dns 10.1.0.53 --dns fd00::53 --dns-search example.org --dns-search . --dns-opt ndots:2 \
             --add-host db:10.1.0.5 --add-host host.local:host-gateway",
        );
        let names = request.unwrap().names;
        assert_eq!(names.servers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.1.0.53", "fd00::53"]);
        assert_eq!((names.search, names.options), (vec!["example.org".into(), ".".into()], vec!["ndots:2".into()]));
        assert_eq!(names.hosts[0].address, "10.1.0.5".parse().ok());
        assert_eq!((names.hosts[1].name.as_str(), names.hosts[1].address), ("host.local", None));
        for line in ["--dns dns.example.org", "--dns-search a/b", "--add-host db", "--add-host db:there"] {
            assert!(read(line).unwrap_err().starts_with("error: invalid value for --"), "{line}");
        }
    }
}
