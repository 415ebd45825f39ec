//! Who reaches whom, found out by real connections.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use crate::space::Space;

/// How long a connection that must come about may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one that must not come about is waited for. Where the firewall drops, nothing ever tells.
const BRIEFLY: Duration = Duration::from_millis(400);

/// A server in a namespace that tells each client the address it sees.
pub(crate) struct Server {
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Server {
    /// Listens on a port of TCP and UDP, on all addresses of both families.
    pub(crate) fn start(space: &Space, port: u16) -> Self {
        space.run(|| {
            let tcp = TcpListener::bind(("::", port)).unwrap();
            let udp = UdpSocket::bind(("::", port)).unwrap();
            Self { tcp, udp }
        })
    }

    /// Connects from `client` to `to`, and returns the address that the server sees. Fails if the connection leads
    /// elsewhere or nowhere.
    #[track_caller]
    pub(crate) fn hears(&self, client: &Space, to: &str) -> IpAddr {
        let to: SocketAddr = to.parse().unwrap();
        let mut ours = client.run(|| TcpStream::connect_timeout(&to, PATIENCE)).expect("a connection");
        ours.write_all(b"hello").unwrap();
        let (mut theirs, from) = self.tcp.accept().unwrap();
        let mut bytes = [0; 5];
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        theirs.read_exact(&mut bytes).unwrap();
        theirs.write_all(b"world").unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        ours.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"world");
        from.ip().to_canonical()
    }

    /// The same over UDP.
    #[track_caller]
    pub(crate) fn hears_datagram(&self, client: &Space, to: &str) -> IpAddr {
        let to: SocketAddr = to.parse().unwrap();
        let any: SocketAddr = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
        let ours = client.run(|| UdpSocket::bind(any)).unwrap();
        ours.send_to(b"hello", to).unwrap();
        let mut bytes = [0; 16];
        self.udp.set_read_timeout(Some(PATIENCE)).unwrap();
        let (_, from) = self.udp.recv_from(&mut bytes).expect("a datagram");
        self.udp.send_to(b"world", from).unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let (length, back) = ours.recv_from(&mut bytes).expect("an answer");
        assert_eq!((&bytes[..length], back), (&b"world"[..], to));
        from.ip().to_canonical()
    }
}

impl Server {
    /// Returns the next datagram that comes, if one comes.
    pub(crate) fn datagram(&self) -> Option<String> {
        let mut bytes = [0; 16];
        self.udp.set_read_timeout(Some(PATIENCE)).unwrap();
        let (length, _) = self.udp.recv_from(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }
}

/// Tells whether a connection comes about, whoever takes it.
pub(crate) fn reaches(client: &Space, to: &str) -> bool {
    let to: SocketAddr = to.parse().unwrap();
    client.run(|| TcpStream::connect_timeout(&to, BRIEFLY)).is_ok()
}
