//! The names of one network, and what an endpoint of several networks finds by them.
//!
//! ```text
//! STATE/.../NETWORK/names      a Zone as JSON, replaced whole when an endpoint comes or goes
//! ```
//!
//! A zone is searched from its beginning to its end: it has some hundreds of names at most, lives only while questions
//! come, and an index in every endpoint's resolver would cost more than it spares.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file;
use super::message::{Answer, Wanted};

/// The names by which the host itself is known on every network.
const HOST_NAMES: [&str; 2] = ["host.docker.internal", "gateway.docker.internal"];

/// The names of one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The network's name; `web` is also `web.NETWORK`.
    pub network: String,
    /// The network leads nowhere: questions about other names do not leave it either.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// The host's addresses on this network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<IpAddr>,
    /// Who is on the network, by an identity that is theirs alone.
    #[serde(default)]
    pub endpoints: BTreeMap<String, Endpoint>,
    /// The addresses that were given last, one for each family, so that the next endpoint gets others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<IpAddr>,
}

/// The names and addresses of one endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its first name, by which its addresses are told.
    pub name: String,
    /// Other names, its own or shared: short ID, host name, aliases, services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Its addresses on this network.
    pub addresses: Vec<IpAddr>,
}

/// A name that is given for one endpoint alone, as `--add-host` does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

impl Zone {
    /// Reads a zone from its file's text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// Replaces the zone's file; the network's lock is the caller's.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        file::replace(path, &serde_json::to_vec(self)?)
    }

    /// Returns the addresses of all that have a name; `None` when nobody has it.
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        let short = without_suffix(name, &self.network);
        let mut found: Option<Vec<IpAddr>> = None;
        for endpoint in self.endpoints.values().filter(|one| one.has(name) || short.is_some_and(|short| one.has(short)))
        {
            let found = found.get_or_insert_default();
            for address in &endpoint.addresses {
                if !found.contains(address) {
                    found.push(*address);
                }
            }
        }
        if found.is_none() && HOST_NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            found = (!self.host.is_empty()).then(|| self.host.clone());
        }
        found
    }

    fn names_of(&self, address: IpAddr) -> impl Iterator<Item = String> {
        let there = self.endpoints.values().filter(move |one| one.addresses.contains(&address));
        there.map(|endpoint| format!("{}.{}", endpoint.name, self.network))
    }
}

impl Endpoint {
    fn has(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    }
}

/// Answers a question about `name` from fixed names and from the zones of all networks that the asker is on, the first
/// network before the others; `None` when the name is not known there. `turn` says with which address to begin.
pub fn resolve<'a>(
    hosts: &[Host],
    zones: impl Iterator<Item = &'a Zone> + Clone,
    name: &str,
    wanted: Wanted,
    turn: usize,
) -> Option<Answer> {
    if wanted == Wanted::Pointer {
        return pointers(hosts, zones, super::message::reversed_address(name)?);
    }
    let fixed = hosts.iter().filter(|host| host.name.eq_ignore_ascii_case(name)).map(|host| host.address);
    let fixed: Vec<IpAddr> = fixed.chain(loopback(name)).collect();
    let fixed = (!fixed.is_empty()).then_some(fixed);
    let mut is_known = false;
    for mut addresses in fixed.into_iter().chain(zones.filter_map(|zone| zone.addresses(name))) {
        is_known = true;
        addresses.retain(|address| wanted.takes(*address));
        if !addresses.is_empty() {
            let first = turn % addresses.len();
            addresses.rotate_left(first);
            return Some(Answer::Addresses(addresses));
        }
    }
    is_known.then(|| Answer::Addresses(Vec::new()))
}

fn pointers<'a>(hosts: &[Host], zones: impl Iterator<Item = &'a Zone>, address: IpAddr) -> Option<Answer> {
    let fixed = hosts.iter().filter(|host| host.address == address).map(|host| host.name.clone());
    let names: Vec<String> = zones.flat_map(|zone| zone.names_of(address)).chain(fixed).collect();
    (!names.is_empty()).then_some(Answer::Names(names))
}

/// `localhost` and what is below it never leave the machine (RFC 6761, 6.3).
fn loopback(name: &str) -> Vec<IpAddr> {
    let is_local = name.eq_ignore_ascii_case("localhost") || without_suffix(name, "localhost").is_some();
    if is_local { vec![std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()] } else { Vec::new() }
}

/// Takes `.suffix` from the end of a name.
fn without_suffix<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    let at = name.len().checked_sub(suffix.len())?.checked_sub(1)?;
    let (short, rest) = name.split_at_checked(at)?;
    (at > 0 && rest.starts_with('.') && rest.get(1..)?.eq_ignore_ascii_case(suffix)).then_some(short)
}

impl Wanted {
    fn takes(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
            Self::Any => true,
            Self::Pointer | Self::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, aliases: &[&str], addresses: &[&str]) -> (String, Endpoint) {
        let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        (format!("id of {name}"), Endpoint { name: name.to_owned(), aliases, addresses })
    }

    fn zone(network: &str, endpoints: impl IntoIterator<Item = (String, Endpoint)>) -> Zone {
        Zone { network: network.to_owned(), endpoints: endpoints.into_iter().collect(), ..Zone::default() }
    }

    fn front() -> Zone {
        let web = ["10.1.0.2", "fd01::2"];
        let mut zone = zone(
            "front",
            [
                endpoint("web-1", &["web", "0123456789ab"], &web),
                endpoint("web-2", &["web"], &["10.1.0.3"]),
                endpoint("db", &[], &["10.1.0.9"]),
            ],
        );
        zone.host = vec!["10.1.0.1".parse().unwrap()];
        zone
    }

    fn back() -> Zone {
        zone("back", [endpoint("db", &["store"], &["10.2.0.9", "fd02::9"])])
    }

    fn found(zones: &[Zone], name: &str, wanted: Wanted, turn: usize) -> Option<Vec<String>> {
        match resolve(&[], zones.iter(), name, wanted, turn)? {
            Answer::Addresses(addresses) => Some(addresses.iter().map(ToString::to_string).collect()),
            Answer::Names(names) => Some(names),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_found_on_the_asker_s_networks_alone() {
        let cases: &[(&str, Wanted, Option<&[&str]>)] = &[
            ("web-1", Wanted::V4, Some(&["10.1.0.2"])),
            ("WEB-1", Wanted::V6, Some(&["fd01::2"])),
            ("web-1.front", Wanted::V4, Some(&["10.1.0.2"])),
            ("web-1.back", Wanted::V4, None),
            ("0123456789ab", Wanted::Any, Some(&["10.1.0.2", "fd01::2"])),
            ("db", Wanted::V6, Some(&[])),
            ("db", Wanted::Other, Some(&[])),
            ("store", Wanted::V4, None),
            ("web-", Wanted::V4, None),
            (".front", Wanted::V4, None),
            ("front", Wanted::V4, None),
            ("", Wanted::V4, None),
            ("host.docker.internal", Wanted::V4, Some(&["10.1.0.1"])),
            ("a.localhost", Wanted::V6, Some(&["::1"])),
        ];
        for (name, wanted, expected) in cases {
            let expected = expected.map(|words| words.iter().map(ToString::to_string).collect());
            assert_eq!(found(&[front()], name, *wanted, 0), expected, "{name} {wanted:?}");
        }
    }

    #[test]
    fn the_first_network_that_has_an_address_answers() {
        let both = [front(), back()];
        assert_eq!(found(&both, "db", Wanted::V4, 0).unwrap(), ["10.1.0.9"]);
        assert_eq!(found(&both, "db", Wanted::V6, 0).unwrap(), ["fd02::9"]);
        assert_eq!(found(&both, "db.back", Wanted::V4, 0).unwrap(), ["10.2.0.9"]);
    }

    #[test]
    fn a_service_has_all_its_addresses_in_turn() {
        let zones = [front()];
        assert_eq!(found(&zones, "web", Wanted::V4, 0).unwrap(), ["10.1.0.2", "10.1.0.3"]);
        assert_eq!(found(&zones, "web", Wanted::V4, 1).unwrap(), ["10.1.0.3", "10.1.0.2"]);
        assert_eq!(found(&zones, "web", Wanted::V4, 2).unwrap(), ["10.1.0.2", "10.1.0.3"]);
    }

    #[test]
    fn an_address_has_the_name_of_its_endpoint() {
        let zones = [front()];
        assert_eq!(found(&zones, "2.0.1.10.in-addr.arpa", Wanted::Pointer, 0).unwrap(), ["web-1.front"]);
        let long = format!("2.{}1.0.d.f.ip6.arpa", "0.".repeat(27));
        assert_eq!(found(&zones, &long, Wanted::Pointer, 0).unwrap(), ["web-1.front"]);
        for other in
            ["9.0.2.10.in-addr.arpa", "2.0.1.in-addr.arpa", "7.2.0.1.10.in-addr.arpa", "x.ip6.arpa", "ip6.arpa"]
        {
            assert_eq!(found(&zones, other, Wanted::Pointer, 0), None, "{other}");
        }
    }

    #[test]
    fn fixed_names_come_first() {
        let hosts = [Host { name: "Db".to_owned(), address: "192.0.2.1".parse().unwrap() }];
        let zones = [front()];
        let answer = |wanted| resolve(&hosts, zones.iter(), "db", wanted, 7);
        assert_eq!(answer(Wanted::V4), Some(Answer::Addresses(vec!["192.0.2.1".parse().unwrap()])));
    }

    #[test]
    fn a_zone_comes_back_from_its_text() {
        let text = serde_json::to_vec(&front()).unwrap();
        assert_eq!(Zone::parse(&text), Some(front()));
        assert_eq!(Zone::parse(&text[1..]), None);
    }
}
