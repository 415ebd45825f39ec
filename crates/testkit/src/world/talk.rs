//! Who reaches whom, and as whom, found out by real connections.

use std::collections::BTreeSet;
use std::io::{PipeWriter, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::thread::JoinHandle;
use std::time::Duration;

use sys::event::{EventFlags, Poller};

use super::Place;

/// How long a connection that must come about may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one that must not come about is waited for. Where a firewall drops, nothing ever tells.
const BRIEFLY: Duration = Duration::from_millis(600);
/// After this long a datagram is sent again: the first one may be lost while neighbours are looked for.
const AGAIN: Duration = Duration::from_millis(250);
/// What the clients say: enough for a web server.
const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// A server that tells each client its own label and the client's address as it sees that, over TCP (as a web page) and UDP.
///
/// It ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server in a place, at these addresses (`[::]:80` is every address of both families).
    pub fn start(place: &Place, label: &str, at: &[&str]) -> Self {
        let bind = |at: &&str| {
            let tcp = TcpListener::bind(*at).unwrap_or_else(|error| panic!("{label} cannot listen at {at}: {error}"));
            let udp = UdpSocket::bind(*at).unwrap_or_else(|error| panic!("{label} cannot bind {at}: {error}"));
            (tcp, udp)
        };
        let sockets: Vec<_> = place.run(|| at.iter().map(bind).collect());
        let (stopped, stop) = std::io::pipe().expect("a pipe");
        let poller = Poller::new().expect("a poller");
        poller.add(stopped.as_fd(), u64::MAX, EventFlags::IN).expect("a pipe to wait for");
        for ((tcp, udp), token) in sockets.iter().zip((0..).step_by(2)) {
            poller.add(tcp.as_fd(), token, EventFlags::IN).expect("a socket to wait for");
            poller.add(udp.as_fd(), token + 1, EventFlags::IN).expect("a socket to wait for");
        }
        let label = label.to_owned();
        let serve = move || {
            let _stopped = stopped;
            while let Ok(ready) = poller.wait(None) {
                for token in ready.into_iter().map(|event| event.token) {
                    if token == u64::MAX {
                        return;
                    }
                    let Some((tcp, udp)) = usize::try_from(token / 2).ok().and_then(|at| sockets.get(at)) else {
                        continue;
                    };
                    if token % 2 == 0 { take(tcp, &label) } else { answer(udp, &label) }
                }
            }
        };
        Self { stop: Some(stop), thread: Some(std::thread::spawn(serve)) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Takes one connection, on a thread of its own: a client that says nothing must not keep the others waiting.
fn take(tcp: &TcpListener, label: &str) {
    let Ok((mut client, from)) = tcp.accept() else { return };
    let page = format!("HTTP/1.0 200 OK\r\n\r\n{label} {}\n", from.ip().to_canonical());
    std::thread::spawn(move || {
        let _ = client.set_read_timeout(Some(PATIENCE));
        let mut request = Vec::new();
        let mut bytes = [0; 1024];
        // To the end of the request, since closing with something unread would take the answer back.
        while !request.ends_with(b"\r\n\r\n") {
            match client.read(&mut bytes) {
                Ok(length @ 1..) => request.extend_from_slice(&bytes[..length]),
                _ => return,
            }
        }
        let _ = client.write_all(page.as_bytes());
    });
}

fn answer(udp: &UdpSocket, label: &str) {
    let mut bytes = [0; 1024];
    if let Ok((_, from)) = udp.recv_from(&mut bytes) {
        let _ = udp.send_to(format!("{label} {}", from.ip().to_canonical()).as_bytes(), from);
    }
}

impl Place {
    /// Talks to a [`Server`] from here, over TCP and UDP, which must tell the same, and returns that: `LABEL ADDRESS`.
    #[track_caller]
    pub fn hears(&self, to: &str) -> String {
        let address = parse(to);
        let Some(tcp) = self.run(|| by_tcp(address, PATIENCE)) else { panic!("no connection to {to}") };
        let Some(udp) = self.run(|| by_udp(address, PATIENCE)) else { panic!("no answer from {to}/udp") };
        assert_eq!(udp, tcp, "tcp and udp of {to} differ");
        tcp
    }

    /// Tries all of these addresses at once over TCP and UDP (`tcp ADDRESS` and `udp ADDRESS` are one alone), and expects
    /// answers from those of `expected` and from no others.
    #[track_caller]
    pub fn reaches_only(&self, expected: &[&str], of: &[&str]) {
        let (expected, all) = (both(expected), both(of));
        assert!(expected.is_subset(&all), "{expected:?} is expected, {all:?} is tried");
        let reached: BTreeSet<String> = self.run(|| {
            std::thread::scope(|scope| {
                let attempt = |target: &String| {
                    let patience = if expected.contains(target) { PATIENCE } else { BRIEFLY };
                    let target = target.clone();
                    scope.spawn(move || speak(&target, patience).map(|_| target))
                };
                let attempts: Vec<_> = all.iter().map(attempt).collect();
                attempts.into_iter().filter_map(|attempt| attempt.join().expect("an attempt")).collect()
            })
        });
        assert_eq!(reached, expected, "of {all:?}");
    }

    /// Expects an answer from none of these addresses, over TCP and UDP.
    #[track_caller]
    pub fn reaches_none(&self, of: &[&str]) {
        self.reaches_only(&[], of);
    }

    /// Expects an answer from all of these addresses, over TCP and UDP.
    #[track_caller]
    pub fn reaches_all(&self, of: &[&str]) {
        self.reaches_only(of, of);
    }
}

fn both(targets: &[&str]) -> BTreeSet<String> {
    let expand = |target: &&str| match target.split_once(' ') {
        Some(_) => vec![(*target).to_owned()],
        None => vec![format!("tcp {target}"), format!("udp {target}")],
    };
    targets.iter().flat_map(expand).collect()
}

fn parse(to: &str) -> SocketAddr {
    to.parse().unwrap_or_else(|_| panic!("{to:?} is not ADDRESS:PORT"))
}

/// Speaks to `tcp ADDRESS` or `udp ADDRESS`.
fn speak(target: &str, patience: Duration) -> Option<String> {
    match target.split_once(' ') {
        Some(("tcp", to)) => by_tcp(parse(to), patience),
        Some(("udp", to)) => by_udp(parse(to), patience),
        _ => panic!("{target:?} is neither tcp nor udp"),
    }
}

/// Connects to `to` and returns the last line of what it says. A server that takes the connection counts as reached,
/// whatever it says.
fn by_tcp(to: SocketAddr, patience: Duration) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&to, patience).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut text = String::new();
    let _ = stream.write_all(REQUEST).and_then(|()| stream.read_to_string(&mut text));
    Some(text.lines().last().unwrap_or_default().to_owned())
}

/// Sends datagrams to `to` and returns the first answer that comes from there.
fn by_udp(to: SocketAddr, patience: Duration) -> Option<String> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    socket.set_read_timeout(Some(AGAIN)).ok()?;
    let start = std::time::Instant::now();
    let mut bytes = [0; 1024];
    while start.elapsed() < patience {
        // Refused is what the last attempt may be told by now; the next one may do better.
        let _ = socket.send(REQUEST);
        match socket.recv(&mut bytes) {
            Ok(length) => return Some(String::from_utf8_lossy(&bytes[..length]).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => std::thread::park_timeout(AGAIN),
        }
    }
    None
}
