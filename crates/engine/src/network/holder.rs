//! Which program of the host has a port: found in the kernel's tables of sockets, and among the descriptors of all processes
//! (proc(5)). It is asked for when a port is taken, and never otherwise.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use net::firewall::Transport;

/// The state of a socket that listens, and of one that is bound and no more.
const LISTENS: &str = "0A";
const BOUND: &str = "07";

/// Returns the name and the process ID of whoever has a port; `None` where that cannot be found out.
pub(crate) fn of(at: SocketAddr, transport: Transport) -> Option<String> {
    let tables: &[&str] = match transport {
        Transport::Tcp => &["tcp", "tcp6"],
        Transport::Udp => &["udp", "udp6"],
        Transport::Sctp => return None,
    };
    let inodes = tables.iter().filter_map(|table| std::fs::read_to_string(format!("/proc/net/{table}")).ok());
    let inode = inodes.flat_map(|table| inodes_of(&table, at)).next()?;
    let wanted = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let has = |process: &std::fs::DirEntry| {
        let descriptors = std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let mut links = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
        links.any(|link| link.as_os_str() == wanted.as_str())
    };
    let is_process = |entry: &std::fs::DirEntry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
    let process = processes.filter(is_process).find(has)?;
    let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
    Some(format!("{} (process {})", name.trim(), process.file_name().to_string_lossy()))
}

/// Returns the inode numbers of the sockets in a table that keep others from an address.
fn inodes_of(table: &str, at: SocketAddr) -> Vec<u64> {
    let read = |line: &str| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let (local, state, inode) = (words.get(1)?, *words.get(3)?, words.get(9)?.parse::<u64>().ok()?);
        let (address, port) = local.split_once(':')?;
        let is_meant = u16::from_str_radix(port, 16).ok()? == at.port()
            && matches!(state, LISTENS | BOUND)
            && inode != 0
            && meets(address_of(address)?, at.ip());
        is_meant.then_some(inode)
    };
    table.lines().skip(1).filter_map(read).collect()
}

/// Tells whether sockets at two addresses are in each other's way.
fn meets(one: IpAddr, other: IpAddr) -> bool {
    one == other
        || one == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        || (one.is_ipv4() == other.is_ipv4() && (one.is_unspecified() || other.is_unspecified()))
}

/// Reads an address as the kernel prints it: words of 32 bits in the machine's order.
fn address_of(digits: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(digits.get(at * 8..at * 8 + 8)?, 16).ok();
    match digits.len() {
        8 => Some(IpAddr::from(word(0)?.to_ne_bytes())),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?.to_ne_bytes());
            }
            Some(IpAddr::from(bytes))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_listens_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = of(listener.local_addr().unwrap(), Transport::Tcp).unwrap();
        assert!(found.ends_with(&format!("(process {})", std::process::id())), "{found}");
        let everywhere = SocketAddr::new("0.0.0.0".parse().unwrap(), listener.local_addr().unwrap().port());
        assert_eq!(of(everywhere, Transport::Tcp), Some(found));
        let elsewhere = SocketAddr::new("127.0.0.2".parse().unwrap(), listener.local_addr().unwrap().port());
        assert_eq!(of(elsewhere, Transport::Tcp), None);
    }
}
