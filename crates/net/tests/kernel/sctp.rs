//! Ports of SCTP, published. Few kernels have the protocol itself, so its packets are made and read here.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use net::firewall::{Publication, Transport, forget};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

use crate::links::attach;
use crate::reach::World;
use crate::space::Space;

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;

/// A socket for whole packets of the protocol.
struct Raw(UdpSocket);

impl Raw {
    fn open(space: &Space) -> Self {
        let open = || socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::SCTP));
        let socket = UdpSocket::from(space.run(open).unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(socket)
    }

    fn send(&self, to: &str, ports: (u16, u16), kind: u8) {
        let mut packet = [&ports.0.to_be_bytes()[..], &ports.1.to_be_bytes()].concat();
        // The first packet has no tag, and the answer has the one that it brought.
        packet.extend(if kind == INIT { [0; 4] } else { [7; 4] });
        packet.extend([0; 4]);
        packet.extend([kind, 0, 0, 20, 7, 7, 7, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
        let sum = checksum(&packet).to_le_bytes();
        packet[8..12].copy_from_slice(&sum);
        self.0.send_to(&packet, SocketAddr::new(to.parse().unwrap(), 0)).unwrap();
    }

    /// Returns who sent the next packet of this kind, to whom, and the ports.
    fn next(&self, kind: u8) -> (Ipv4Addr, Ipv4Addr, (u16, u16)) {
        loop {
            let mut bytes = [0; 128];
            let (length, _) = self.0.recv_from(&mut bytes).expect("a packet");
            let (header, packet) = bytes[..length].split_at(20);
            let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&header[at..at + 4]).unwrap());
            let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
            if packet[12] == kind {
                let mut blank = packet.to_vec();
                blank[8..12].fill(0);
                assert_eq!(packet[8..12], checksum(&blank).to_le_bytes(), "the checksum");
                return (address(12), address(16), (port(0), port(2)));
            }
        }
    }
}

/// CRC32c (RFC 9260, appendix A).
fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

#[test]
fn a_published_port_of_sctp_is_led_to_its_endpoint_and_back() {
    let mut world = World::new();
    let one = attach(0, 2);
    let publication = Publication {
        address: "0.0.0.0".parse().unwrap(),
        port: 8080,
        transport: Transport::Sctp,
        to: "10.89.0.2:80".parse().unwrap(),
        gateway: Some("10.89.0.1".parse().unwrap()),
    };
    world.add(publication.elements());
    let server = Raw::open(&one);
    let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
    for (space, to, from, seen) in [
        (&world.internet, "192.0.2.2", "198.51.100.9", "198.51.100.9"),
        (&world.host, "127.0.0.1", "127.0.0.1", "10.89.0.1"),
    ] {
        let client = Raw::open(space);
        client.send(to, (5000, 8080), INIT);
        assert_eq!(server.next(INIT), (ip(seen), ip("10.89.0.2"), (5000, 80)));
        server.send(seen, (80, 5000), INIT_ACK);
        assert_eq!(client.next(INIT_ACK), (ip(to), ip(from), (8080, 5000)));
    }
    assert_eq!(forget(None, |flow| flow.came_by(&publication)).unwrap(), 2);
}
