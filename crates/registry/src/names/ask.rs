//! Questions to name servers over UDP, and over TCP where the answer is cut short (RFC 1035, RFC 6891).
//!
//! Both kinds of addresses are asked for at once, from a socket that takes answers of its server alone and under numbers
//! that nobody else knows.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::str::FromStr;
use std::time::{Duration, Instant};

use domain::base::iana::{Rcode, Rtype};
use domain::base::name::{Name, ToName};
use domain::base::{Message, MessageBuilder};
use domain::rdata::{A, Aaaa, Cname};

use super::NameError;
use super::files::ResolvConf;

/// The most that a server may send in a datagram: what passes every link whole.
const DATAGRAM: u16 = 1232;
/// The longest chain of aliases.
const MOST_ALIASES: usize = 12;
/// The two kinds of addresses.
const KINDS: [Rtype; 2] = [Rtype::AAAA, Rtype::A];

/// What the servers say about a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// These addresses; none where the name has something else only.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoSuchName,
}

type HostName = Name<Vec<u8>>;

/// Asks the servers, one after another, until one knows.
pub(super) fn addresses(conf: &ResolvConf, name: &str) -> Result<Found, NameError> {
    let host = HostName::from_str(name).map_err(|_| NameError::Name(name.to_owned()))?;
    let mut last = io::Error::from(ErrorKind::TimedOut);
    for _ in 0..conf.attempts {
        for server in &conf.servers {
            match ask(*server, &host, conf.timeout) {
                Ok(found) => return Ok(found),
                Err(error) => last = error,
            }
        }
    }
    Err(NameError::Servers { name: name.to_owned(), source: last })
}

/// Asks one server for both kinds of addresses.
fn ask(server: SocketAddr, name: &HostName, timeout: Duration) -> io::Result<Found> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    let random = RandomState::new().hash_one(name.as_slice()).to_ne_bytes();
    let ids = [u16::from_ne_bytes([random[0], random[1]]), u16::from_ne_bytes([random[2], random[3]])];
    let questions = [question(name, KINDS[0], ids[0])?, question(name, KINDS[1], ids[1] ^ 1)?];
    for question in &questions {
        socket.send(question)?;
    }
    let mut answers: [Option<Found>; 2] = [None, None];
    let end = Instant::now() + timeout;
    while answers.iter().any(Option::is_none) {
        let bytes = match receive(&socket, end) {
            Ok(bytes) => bytes,
            // One kind of address is better than none: there are servers that never answer about the other.
            Err(_) if matches!(&answers[1], Some(Found::Addresses(found)) if !found.is_empty()) => break,
            Err(error) => return Err(error),
        };
        let Ok(message) = Message::from_octets(bytes) else { continue };
        let asked = questions.iter().position(|question| belongs(&message, question));
        let Some(at) = asked else { continue };
        let message = if message.header().tc() { over_stream(server, &questions[at], timeout)? } else { message };
        answers[at] = Some(understand(&message, name, KINDS[at])?);
    }
    Ok(united(answers))
}

fn question(name: &HostName, kind: Rtype, id: u16) -> io::Result<Vec<u8>> {
    let long = |_| io::Error::from(ErrorKind::InvalidInput);
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    builder.push((name, kind)).map_err(long)?;
    let mut builder = builder.additional();
    builder
        .opt(|opt| {
            opt.set_udp_payload_size(DATAGRAM);
            Ok(())
        })
        .map_err(long)?;
    Ok(builder.finish())
}

fn receive(socket: &UdpSocket, end: Instant) -> io::Result<Vec<u8>> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    socket.set_read_timeout(Some(left))?;
    let mut bytes = vec![0; 4096];
    let length = socket.recv(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    })?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Tells whether a message answers a question: the number and the question itself must be the same.
fn belongs(message: &Message<Vec<u8>>, question: &[u8]) -> bool {
    let Ok(asked) = Message::from_octets(question) else { return false };
    let same_question = match (message.sole_question(), asked.sole_question()) {
        (Ok(own), Ok(other)) => own.qname().name_eq(other.qname()) && own.qtype() == other.qtype(),
        _ => false,
    };
    message.header().qr() && message.header().id() == asked.header().id() && same_question
}

fn over_stream(server: SocketAddr, question: &[u8], timeout: Duration) -> io::Result<Message<Vec<u8>>> {
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let length = u16::try_from(question.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    stream.write_all(&[&length.to_be_bytes(), question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut bytes)?;
    let message = Message::from_octets(bytes).map_err(|_| odd("the answer is too short"))?;
    if belongs(&message, question) { Ok(message) } else { Err(odd("the answer is to another question")) }
}

/// Follows the aliases of a name to its addresses.
fn understand(message: &Message<Vec<u8>>, name: &HostName, kind: Rtype) -> io::Result<Found> {
    match message.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Ok(Found::NoSuchName),
        other => return Err(io::Error::other(format!("the name server says {other}"))),
    }
    let records: Vec<_> = message.answer().map_err(|_| odd("the answer is damaged"))?.flatten().collect();
    let mut name = name.clone();
    for _ in 0..MOST_ALIASES {
        let own = records.iter().filter(|record| record.owner().name_eq(&name));
        let addresses = own.clone().filter_map(|record| match kind {
            Rtype::A => Some(IpAddr::V4(record.to_record::<A>().ok()??.data().addr())),
            _ => Some(IpAddr::V6(record.to_record::<Aaaa>().ok()??.data().addr())),
        });
        let addresses: Vec<_> = addresses.collect();
        if !addresses.is_empty() {
            return Ok(Found::Addresses(addresses));
        }
        let alias = own.clone().find_map(|record| Some(record.to_record::<Cname<_>>().ok()??.data().cname().to_name()));
        match alias {
            Some(alias) => name = alias,
            None => break,
        }
    }
    Ok(Found::Addresses(Vec::new()))
}

fn united(answers: [Option<Found>; 2]) -> Found {
    let mut all = Vec::new();
    let mut there = false;
    for answer in answers.into_iter().flatten() {
        if let Found::Addresses(addresses) = answer {
            there = true;
            all.extend(addresses);
        }
    }
    if there { Found::Addresses(all) } else { Found::NoSuchName }
}

fn odd(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server on loopback that makes an answer of each question that comes in as many datagrams.
    fn server(
        questions: usize,
        answer: impl Fn(&Message<Vec<u8>>, Rtype) -> Vec<u8> + Send + 'static,
    ) -> (ResolvConf, UdpSocket) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let text =
            format!("nameserver 127.0.0.1#{}\noptions attempts:1 timeout:10\n", socket.local_addr().unwrap().port());
        let own = socket.try_clone().unwrap();
        thread::spawn(move || {
            for _ in 0..questions {
                let mut bytes = [0; 512];
                let (length, from) = own.recv_from(&mut bytes).unwrap();
                let message = Message::from_octets(bytes[..length].to_vec()).unwrap();
                let kind = message.sole_question().unwrap().qtype();
                own.send_to(&answer(&message, kind), from).unwrap();
            }
        });
        (ResolvConf::parse(&text), socket)
    }

    fn reply(to: &Message<Vec<u8>>, code: Rcode, kind: Rtype, aliases: &[(&str, &str)], last: &str) -> Vec<u8> {
        let name = |text: &str| HostName::from_str(text).unwrap();
        let mut builder = MessageBuilder::new_vec().start_answer(to, code).unwrap();
        for (from, to) in aliases {
            builder.push((name(from), 60, Cname::new(name(to)))).unwrap();
        }
        match kind {
            Rtype::A => builder.push((name(last), 60, A::from_octets(192, 0, 2, 1))).unwrap(),
            _ => builder.push((name(last), 60, Aaaa::new("2001:db8::1".parse().unwrap()))).unwrap(),
        }
        builder.finish()
    }

    fn both() -> Found {
        Found::Addresses(vec!["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()])
    }

    #[test]
    fn both_kinds_of_addresses_are_found_behind_aliases() {
        let aliases = [("R.test", "a.test"), ("a.test", "b.test")];
        let (conf, _socket) = server(2, move |asked, kind| reply(asked, Rcode::NOERROR, kind, &aliases, "b.test"));
        assert_eq!(addresses(&conf, "r.test").unwrap(), both());
    }

    #[test]
    fn an_address_of_another_name_is_not_taken() {
        let (conf, _socket) = server(2, |asked, kind| reply(asked, Rcode::NOERROR, kind, &[], "other.test"));
        assert_eq!(addresses(&conf, "r.test").unwrap(), Found::Addresses(Vec::new()));
    }

    #[test]
    fn an_alias_that_leads_to_itself_ends() {
        let (conf, _socket) =
            server(2, |asked, kind| reply(asked, Rcode::NOERROR, kind, &[("r.test", "r.test")], "x.test"));
        assert_eq!(addresses(&conf, "r.test").unwrap(), Found::Addresses(Vec::new()));
    }

    #[test]
    fn a_name_that_is_not_there_is_told_apart_from_a_server_that_fails() {
        let (conf, _socket) = server(2, |asked, kind| reply(asked, Rcode::NXDOMAIN, kind, &[], "r.test"));
        assert_eq!(addresses(&conf, "r.test").unwrap(), Found::NoSuchName);
        let (conf, _socket) = server(2, |asked, kind| reply(asked, Rcode::SERVFAIL, kind, &[], "r.test"));
        assert!(matches!(addresses(&conf, "r.test"), Err(NameError::Servers { .. })));
    }

    #[test]
    fn an_answer_that_is_cut_short_is_asked_for_over_tcp() {
        let (conf, socket) = server(2, |asked, kind| {
            let mut bytes = reply(asked, Rcode::NOERROR, kind, &[], "x.test");
            bytes[2] |= 2;
            bytes
        });
        let listener = TcpListener::bind(socket.local_addr().unwrap()).unwrap();
        let streams = thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut bytes = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut bytes).unwrap();
                let asked = Message::from_octets(bytes).unwrap();
                let kind = asked.sole_question().unwrap().qtype();
                let bytes = reply(&asked, Rcode::NOERROR, kind, &[], "r.test");
                stream.write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes()).unwrap();
                stream.write_all(&bytes).unwrap();
            }
        });
        assert_eq!(addresses(&conf, "r.test").unwrap(), both());
        streams.join().unwrap();
    }

    #[test]
    fn noise_is_not_taken_for_an_answer() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let conf = ResolvConf::parse(&format!("nameserver 127.0.0.1#{}", socket.local_addr().unwrap().port()));
        thread::spawn(move || {
            for _ in 0..2 {
                let mut bytes = [0; 512];
                let (length, from) = socket.recv_from(&mut bytes).unwrap();
                let asked = Message::from_octets(bytes[..length].to_vec()).unwrap();
                let kind = asked.sole_question().unwrap().qtype();
                let good = reply(&asked, Rcode::NOERROR, kind, &[], "r.test");
                let mut other_id = good.clone();
                other_id[0] ^= 0x55;
                let mut a_question = good.clone();
                a_question[2] &= 0x7f;
                for bytes in [&b"x"[..], &[0; 40], &other_id, &a_question, &good] {
                    socket.send_to(bytes, from).unwrap();
                }
            }
        });
        assert_eq!(addresses(&conf, "r.test").unwrap(), both());
    }
}
