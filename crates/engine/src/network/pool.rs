//! Choosing subnets and addresses. Pure: what is taken is an argument.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{NetworkError, Pool};

/// Where subnets are cut from when none is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPool {
    /// The whole.
    pub base: Ipv4Net,
    /// The length of a piece's prefix.
    pub size: u8,
}

/// Returns the pools from which networks get their subnets, first those that are least likely to be anybody's.
pub(crate) fn default_pools() -> Vec<AddressPool> {
    let pool = |a, b, length, size| {
        Ipv4Net::new(Ipv4Addr::new(a, b, 0, 0), length).ok().map(|base| AddressPool { base, size })
    };
    [pool(172, 30, 15, 20), pool(10, 213, 16, 20), pool(192, 168, 16, 24)].into_iter().flatten().collect()
}

/// Returns the pool from which a link between the host and one container gets its subnet: 192.168.1.0/24, and so on.
pub(crate) fn own_pools() -> Vec<AddressPool> {
    let mut pools = default_pools();
    pools.rotate_right(1);
    pools
}

/// Returns the first piece of the pools that `is_taken` does not refuse. The first piece of 192.168.0.0/16 is left to
/// the routers that people have at home.
pub(crate) fn free_subnet(pools: &[AddressPool], is_taken: impl Fn(&IpNet) -> bool) -> Option<Ipv4Net> {
    let home = Ipv4Addr::new(192, 168, 0, 0);
    let pieces = pools.iter().filter_map(|pool| pool.base.subnets(pool.size).ok()).flatten();
    pieces.filter(|piece| piece.network() != home).find(|piece| !is_taken(&IpNet::V4(*piece)))
}

/// Returns the IPv6 subnet that belongs to a network's id: one of those that anybody may take (RFC 4193).
pub(crate) fn local_subnet(id: &super::NetworkId) -> Ipv6Net {
    let word = |at: usize| id.as_str().get(at..at + 4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    let [a, b, c, d] = [0, 4, 8, 12].map(|at| word(at).unwrap_or(0));
    let base = Ipv6Addr::new(0xfd00 | a & 0xff, b, c, d, 0, 0, 0, 0);
    Ipv6Net::new(base, 64).unwrap_or_default()
}

/// Returns the first address of a subnet that an interface can have.
pub(crate) fn first_address(subnet: &IpNet) -> IpAddr {
    nth(subnet, 1).unwrap_or_else(|| subnet.network())
}

/// Chooses an address that nobody has: the one that is wanted, or the next one behind `last`, so that one that was just
/// given back is not given to another at once.
pub(crate) fn choose(
    pool: &Pool,
    network: &str,
    wanted: Option<IpAddr>,
    last: Option<IpAddr>,
    holder: impl Fn(IpAddr) -> Option<String>,
) -> Result<IpAddr, NetworkError> {
    let reserved = |address: IpAddr| {
        let aux = pool.aux.iter().find(|(_, taken)| **taken == address);
        let gateway = (address == pool.gateway).then(|| "the network's router".to_owned());
        gateway.or_else(|| aux.map(|(name, _)| format!("the auxiliary address {name}")))
    };
    if let Some(address) = wanted {
        check(&pool.subnet, address).map_err(|why| NetworkError::Address {
            address,
            network: network.to_owned(),
            why,
        })?;
        return match reserved(address).or_else(|| holder(address)) {
            Some(holder) => Err(NetworkError::AddressTaken { address, network: network.to_owned(), holder }),
            None => Ok(address),
        };
    }
    let range = pool.range.unwrap_or(pool.subnet);
    let is_free = |address: &IpAddr| {
        check(&pool.subnet, *address).is_ok() && reserved(*address).is_none() && holder(*address).is_none()
    };
    let begin = last.filter(|last| range.contains(last)).and_then(|last| offset(&range, last)).map_or(0, |at| at + 1);
    let size = size(&range);
    // Nobody has as many as a million endpoints on one network: a longer search would find nothing either.
    let steps = size.min(1 << 20);
    let candidates = (0..steps).filter_map(|step| nth(&range, (begin + step) % size));
    candidates
        .filter(is_free)
        .map(Ok)
        .next()
        .unwrap_or_else(|| Err(NetworkError::Full { network: network.to_owned(), subnet: range }))
}

/// Tells why an address is not one that an interface on a subnet can have.
pub(crate) fn check(subnet: &IpNet, address: IpAddr) -> Result<(), String> {
    if !subnet.contains(&address) {
        return Err(format!("it is not in the subnet {}", subnet.trunc()));
    }
    let is_wide = subnet.max_prefix_len() - subnet.prefix_len() >= 2;
    if is_wide && address == subnet.network() {
        return Err("it is the address of the subnet itself".to_owned());
    }
    if is_wide && address.is_ipv4() && address == subnet.broadcast() {
        return Err("it is the address of everybody in the subnet".to_owned());
    }
    Ok(())
}

fn size(subnet: &IpNet) -> u128 {
    let bits = u32::from(subnet.max_prefix_len() - subnet.prefix_len());
    1_u128.checked_shl(bits).unwrap_or(u128::MAX)
}

pub(crate) fn nth(subnet: &IpNet, at: u128) -> Option<IpAddr> {
    if at >= size(subnet) {
        return None;
    }
    Some(match subnet.network() {
        IpAddr::V4(first) => IpAddr::V4((u32::from(first) + u32::try_from(at).ok()?).into()),
        IpAddr::V6(first) => IpAddr::V6((u128::from(first) + at).into()),
    })
}

fn offset(subnet: &IpNet, address: IpAddr) -> Option<u128> {
    match (subnet.network(), address) {
        (IpAddr::V4(first), IpAddr::V4(address)) => u32::from(address).checked_sub(first.into()).map(u128::from),
        (IpAddr::V6(first), IpAddr::V6(address)) => u128::from(address).checked_sub(first.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(subnet: &str) -> Pool {
        let subnet: IpNet = subnet.parse().unwrap();
        Pool { subnet, gateway: first_address(&subnet), range: None, aux: [].into() }
    }

    fn chosen(pool: &Pool, wanted: Option<&str>, last: Option<&str>, taken: &[&str]) -> Result<String, String> {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        let holder = |address: IpAddr| taken.iter().find(|one| parse(one) == address).map(|_| "web".to_owned());
        let chosen = choose(pool, "net", wanted.map(parse), last.map(parse), holder);
        chosen.map(|address| address.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_go_round() {
        let small = pool("10.1.0.0/29");
        assert_eq!(chosen(&small, None, None, &[]).unwrap(), "10.1.0.2");
        assert_eq!(chosen(&small, None, Some("10.1.0.2"), &[]).unwrap(), "10.1.0.3");
        assert_eq!(chosen(&small, None, Some("10.1.0.6"), &["10.1.0.2"]).unwrap(), "10.1.0.3");
        let all = ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"];
        assert_eq!(
            chosen(&small, None, Some("10.1.0.4"), &all).unwrap_err(),
            "network net has no address left in 10.1.0.0/29"
        );
        assert_eq!(chosen(&pool("fd00:1::/64"), None, Some("fd00:1::ff"), &[]).unwrap(), "fd00:1::100");
    }

    #[test]
    fn an_address_that_is_wanted_is_given_or_refused_with_the_reason() {
        let mut pool = pool("10.1.0.0/24");
        pool.aux.insert("printer".into(), "10.1.0.9".parse().unwrap());
        pool.range = Some("10.1.0.128/25".parse().unwrap());
        assert_eq!(chosen(&pool, None, None, &[]).unwrap(), "10.1.0.128");
        assert_eq!(chosen(&pool, Some("10.1.0.7"), None, &[]).unwrap(), "10.1.0.7");
        let refused = |wanted: &str| chosen(&pool, Some(wanted), None, &["10.1.0.8"]).unwrap_err();
        assert!(refused("10.1.0.8").ends_with("is taken in network net by web"));
        assert!(refused("10.1.0.9").ends_with("by the auxiliary address printer"));
        assert!(refused("10.1.0.1").ends_with("by the network's router"));
        assert!(refused("10.1.0.0").ends_with("it is the address of the subnet itself"));
        assert!(refused("10.1.0.255").ends_with("it is the address of everybody in the subnet"));
        assert!(refused("10.2.0.1").ends_with("it is not in the subnet 10.1.0.0/24"));
    }

    #[test]
    fn subnets_are_the_first_that_are_free() {
        let taken: Vec<IpNet> = ["172.30.0.0/16", "10.213.0.0/20"].map(|net| net.parse().unwrap()).into();
        let overlaps = |piece: &IpNet| taken.iter().any(|one| one.contains(piece) || piece.contains(one));
        assert_eq!(free_subnet(&default_pools(), overlaps).unwrap().to_string(), "172.31.0.0/20");
        assert_eq!(free_subnet(&own_pools(), overlaps).unwrap().to_string(), "192.168.1.0/24");
        assert_eq!(free_subnet(&default_pools(), |_| true), None);
    }
}
