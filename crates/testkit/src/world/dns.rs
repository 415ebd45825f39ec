//! A name server that the test can look into, and a client that asks the resolver of a container.
//!
//! Both know as much of the messages (RFC 1035) as the tests need, and share nothing with what they test.

use std::io::{PipeWriter, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use sys::event::{EventFlags, Poller};

use super::Place;

/// How long an answer may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the resolver of a container listens.
const RESOLVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)), 53);
/// The code that says that there is no such name.
pub const NO_SUCH_NAME: u8 = 3;

const KINDS: [(&str, u16); 3] = [("A", 1), ("PTR", 12), ("AAAA", 28)];

/// A name server, over UDP and TCP. It ends when it is dropped.
#[derive(Debug)]
pub struct NameServer {
    asked: Arc<Mutex<Vec<String>>>,
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Starts a server in a place, at one of its addresses, that knows these names and their addresses.
    pub fn start(place: &Place, at: IpAddr, records: &[(&str, &str)]) -> Self {
        let records: Vec<(String, IpAddr)> =
            records.iter().map(|(name, address)| ((*name).to_owned(), address.parse().expect("an address"))).collect();
        let (udp, tcp) = place.run(|| {
            let udp = UdpSocket::bind((at, 53)).unwrap_or_else(|error| panic!("bind({at}:53): {error}"));
            (udp, TcpListener::bind((at, 53)).unwrap_or_else(|error| panic!("bind({at}:53): {error}")))
        });
        let (stopped, stop) = std::io::pipe().expect("a pipe");
        let poller = Poller::new().expect("a poller");
        for (fd, token) in [stopped.as_fd(), udp.as_fd(), tcp.as_fd()].into_iter().zip(0..) {
            poller.add(fd, token, EventFlags::IN).expect("something to wait for");
        }
        let asked = Arc::new(Mutex::new(Vec::new()));
        let thread = std::thread::spawn({
            let asked = Arc::clone(&asked);
            move || {
                let _stopped = stopped;
                let note = |name: &str, kind: &str, transport: &str| {
                    asked.lock().expect("the list").push(format!("{name} {kind} {transport}"));
                };
                while let Ok(ready) = poller.wait(None) {
                    for event in ready {
                        match event.token {
                            0 => return,
                            1 => serve_datagram(&udp, &records, note),
                            _ => drop(serve_stream(&tcp, &records, note)),
                        }
                    }
                }
            }
        });
        Self { asked, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns what it was asked so far, as `NAME KIND TRANSPORT`, and forgets it.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("the list"))
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve_datagram(udp: &UdpSocket, records: &[(String, IpAddr)], note: impl Fn(&str, &str, &str)) {
    let mut bytes = [0; 2048];
    let Ok((length, from)) = udp.recv_from(&mut bytes) else { return };
    if let Some((reply, name, kind)) = reply_to(&bytes[..length], records) {
        note(&name, kind, "udp");
        let _ = udp.send_to(&reply, from);
    }
}

fn serve_stream(
    tcp: &TcpListener,
    records: &[(String, IpAddr)],
    note: impl Fn(&str, &str, &str),
) -> std::io::Result<()> {
    let (mut stream, _) = tcp.accept()?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let question = read_message(&mut stream)?;
    if let Some((reply, name, kind)) = reply_to(&question, records) {
        note(&name, kind, "tcp");
        write_message(&mut stream, &reply)?;
    }
    Ok(())
}

fn reply_to(question: &[u8], records: &[(String, IpAddr)]) -> Option<(Vec<u8>, String, &'static str)> {
    let (name, end) = name_at(question, 12)?;
    let kind = u16::from_be_bytes([*question.get(end)?, *question.get(end + 1)?]);
    let known = records.iter().any(|(own, _)| own.eq_ignore_ascii_case(&name));
    let fits = |address: &IpAddr| matches!((kind, address), (1, IpAddr::V4(_)) | (28, IpAddr::V6(_)));
    let found = records.iter().filter(|(own, address)| own.eq_ignore_ascii_case(&name) && fits(address));
    let found: Vec<_> = found.map(|(_, address)| *address).collect();
    let code = if known { 0 } else { NO_SUCH_NAME };
    let mut reply = question.get(..2)?.to_vec();
    let count = u8::try_from(found.len()).ok()?;
    reply.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    reply.extend_from_slice(question.get(12..end + 4)?);
    for address in found {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        // The name is the question's, which stands at 12; the answer is good for a minute.
        reply.extend([0xc0, 12, 0, u8::try_from(kind).ok()?, 0, 1, 0, 0, 0, 60, 0, u8::try_from(bytes.len()).ok()?]);
        reply.extend(bytes);
    }
    let kind = KINDS.iter().find(|(_, number)| *number == kind).map_or("other", |(word, _)| word);
    Some((reply, name, kind))
}

/// A client of the resolver of a container, quicker than a process a question.
#[derive(Debug)]
pub struct Asker {
    datagrams: UdpSocket,
    id: u16,
}

impl Asker {
    /// Opens a client in a place.
    pub fn new(place: &Place) -> Self {
        let datagrams = place.run(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.connect(RESOLVER).expect("the way to the resolver");
            socket
        });
        datagrams.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        Self { datagrams, id: 0 }
    }

    /// Asks for the addresses (`A`, `AAAA`) or the names (`PTR`, given an address) of a name; returns the code and what was
    /// found, in the order of the answer.
    #[track_caller]
    pub fn ask(&mut self, name: &str, kind: &str) -> (u8, Vec<String>) {
        self.id = self.id.wrapping_add(1);
        let sent = self.datagrams.send(&question(self.id, name, kind));
        sent.unwrap_or_else(|error| panic!("cannot ask for {name}: {error}"));
        let mut reply = [0; 4096];
        loop {
            let length = self.datagrams.recv(&mut reply);
            let length = length.unwrap_or_else(|error| panic!("no answer about {name}: {error}"));
            if reply[..2] == self.id.to_be_bytes() {
                return found_in(&reply[..length]).unwrap_or_else(|| panic!("a broken answer about {name}"));
            }
        }
    }
}

impl Place {
    /// Asks the resolver over UDP and over TCP, which must tell the same; the order of the answer is not kept.
    #[track_caller]
    pub fn resolves(&self, name: &str, kind: &str) -> (u8, Vec<String>) {
        let mut udp = Asker::new(self).ask(name, kind);
        let tcp = self.run(|| -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect_timeout(&RESOLVER, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write_message(&mut stream, &question(7, name, kind))?;
            read_message(&mut stream)
        });
        let tcp = tcp.unwrap_or_else(|error| panic!("no answer about {name} over TCP: {error}"));
        let mut tcp = found_in(&tcp).unwrap_or_else(|| panic!("a broken answer about {name}"));
        udp.1.sort();
        tcp.1.sort();
        assert_eq!(udp, tcp, "{name} {kind} over UDP and TCP");
        udp
    }
}

fn question(id: u16, name: &str, kind: &str) -> Vec<u8> {
    let number = KINDS.iter().find(|(word, _)| *word == kind).unwrap_or_else(|| panic!("{kind} is no kind")).1;
    let name = match name.parse::<IpAddr>() {
        Ok(address) if kind == "PTR" => reversed(address),
        _ => name.to_owned(),
    };
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("a label"));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(number.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

/// Reads the code and what was found from an answer.
fn found_in(reply: &[u8]) -> Option<(u8, Vec<String>)> {
    let word = |at: usize| Some(u16::from_be_bytes([*reply.get(at)?, *reply.get(at + 1)?]));
    let (_, mut at) = name_at(reply, 12)?;
    at += 4;
    let mut found = Vec::new();
    for _ in 0..word(6)? {
        let (_, end) = name_at(reply, at)?;
        let (kind, length) = (word(end)?, usize::from(word(end + 8)?));
        let data = reply.get(end + 10..end + 10 + length)?;
        match kind {
            1 => found.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).to_string()),
            28 => found.push(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).to_string()),
            12 => found.push(name_at(reply, end + 10)?.0),
            _ => {}
        }
        at = end + 10 + length;
    }
    Some((reply.get(3)? & 15, found))
}

/// Reads a name, following pointers; returns it with the place behind it.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let (mut labels, mut end) = (Vec::new(), None);
    // A name has 127 labels at most, so one with more runs in a circle.
    for _ in 0..128 {
        let length = usize::from(*message.get(at)?);
        if length == 0 {
            return Some((labels.join("."), end.unwrap_or(at + 1)));
        }
        if length >= 0xc0 {
            end = end.or(Some(at + 2));
            at = (length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
            continue;
        }
        labels.push(String::from_utf8_lossy(message.get(at + 1..at + 1 + length)?).into_owned());
        at += 1 + length;
    }
    None
}

fn read_message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn write_message(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    stream.write_all(&[&length.to_be_bytes()[..], message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_is_what_the_client_finds() {
        let records = [("www.test".to_owned(), "192.0.2.1".parse().unwrap())];
        let ask = |name, kind| {
            let (reply, name, kind) = reply_to(&question(5, name, kind), &records).unwrap();
            (name, kind, found_in(&reply).unwrap())
        };
        assert_eq!(ask("WWW.test", "A"), ("WWW.test".into(), "A", (0, vec!["192.0.2.1".to_owned()])));
        assert_eq!(ask("www.test", "AAAA"), ("www.test".into(), "AAAA", (0, Vec::new())));
        assert_eq!(ask("db.test", "A"), ("db.test".into(), "A", (NO_SUCH_NAME, Vec::new())));
        assert_eq!(ask("192.0.2.1", "PTR").0, "1.2.0.192.in-addr.arpa");
    }
}
