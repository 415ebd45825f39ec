//! Packets that no honest client sends.

use std::io::Write;
use std::net::{IpAddr, TcpStream};

use domain::base::Message;
use net::names::message::{Answer, Query, Refused, STREAM_LIMIT};
use net::names::setup::Setup;
use net::names::upstream::ResolvConf;
use net::names::zone::Zone;

use crate::place::{ADDRESS, Client, Place, question};

/// Numbers that look random and are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.roll().to_le_bytes()[3]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.byte()).collect()
    }

    /// Either noise, or a good question with some bytes changed, cut off, put in or repeated.
    fn packet(&mut self) -> Vec<u8> {
        if self.below(4) == 0 {
            return self.bytes(600);
        }
        let names = ["web", "db.inner", "2.0.9.10.in-addr.arpa", "a.b.c.d.e.f.g.test"];
        let kinds = [1, 28, 12, 255, 65];
        let mut packet = question(0x5a5a, names[self.below(names.len())], kinds[self.below(kinds.len())]);
        if self.below(2) == 0 {
            packet[11] = 1;
            packet.extend([0, 0, 41, self.byte(), self.byte(), 0, 0, 0, 0, 0, 0]);
        }
        for _ in 0..self.below(5) {
            let at = self.below(packet.len().max(1));
            match self.below(6) {
                0 => packet.truncate(at),
                1 => packet.insert(at.min(packet.len()), self.byte()),
                // A pointer, to anywhere.
                2 => packet.splice(at.min(packet.len()).., [0xc0 | self.byte() & 0x3f, self.byte()]).for_each(drop),
                3 => packet.extend(packet.clone().into_iter().skip(at).take(64)),
                _ => packet.iter_mut().skip(at).take(1).for_each(|byte| *byte = self.0.to_le_bytes()[5]),
            }
        }
        packet
    }
}

#[test]
fn a_hundred_thousand_packets_are_read_and_answered_within_bounds() {
    let mut dice = Dice(0x0123_4567_89ab_cdef);
    let many: Vec<IpAddr> = (0..=255).map(|last| IpAddr::from([10, 0, 0, last])).collect();
    let answers = [
        Answer::Addresses(many),
        Answer::Names(vec!["web.inner".to_owned(), "x".repeat(300), "..".to_owned()]),
        Answer::NoSuchName,
        Answer::Failure,
    ];
    let (mut good, mut refused, mut silent) = (0, 0, 0);
    for _ in 0..100_000 {
        let packet = dice.packet();
        match Query::read(&packet) {
            Ok(query) => {
                good += 1;
                let _ = (query.name(), query.wanted());
                for answer in &answers {
                    check(&packet, &query.reply(answer, query.datagram_limit()), query.datagram_limit());
                    check(&packet, &query.reply(answer, STREAM_LIMIT), STREAM_LIMIT);
                }
                check(&packet, &query.truncated(), 512);
                assert!(!query.is_answered_by(&dice.packet(), 1));
            }
            Err(Refused::Reply(reply)) => {
                refused += 1;
                check(&packet, &reply, 512);
            }
            Err(Refused::Silently) => silent += 1,
        }
    }
    assert!(good > 10_000 && refused > 10_000 && silent > 10_000, "{good} {refused} {silent}");
}

/// Expects a whole answer to this packet.
fn check(packet: &[u8], reply: &[u8], limit: usize) {
    assert!(reply.len() <= limit, "{} bytes of {limit}", reply.len());
    let message = Message::from_octets(reply).unwrap();
    assert!(message.header().qr());
    assert_eq!(reply[..2], packet[..2]);
    for record in message.answer().unwrap() {
        record.unwrap();
    }
    assert!(message.additional().unwrap().all(|record| record.is_ok()));
}

#[test]
fn files_of_noise_are_read_without_a_stumble() {
    let mut dice = Dice(77);
    for _ in 0..20_000 {
        let text = dice.bytes(200);
        let _ = (Zone::parse(&text), Setup::parse(&text));
        let read = ResolvConf::parse(&String::from_utf8_lossy(&text));
        assert!(read.servers.is_empty());
    }
}

#[test]
fn a_resolver_under_a_rain_of_packets_goes_on_answering() {
    let place = Place::new(&["inner"], |_| {}, "");
    place.zone("inner", true, &[("db", &[], &["10.9.0.4"])]);
    let mut dice = Dice(0xfeed);
    let client = Client::new();
    for round in 0..200u16 {
        for _ in 0..100 {
            client.send(&dice.packet());
        }
        assert_eq!(Client::new().ask(round, "db").1, [IpAddr::from([10, 9, 0, 4])]);
        let mut stream = TcpStream::connect(ADDRESS).unwrap();
        // The resolver may hang up in the middle, which is its right.
        let _ = stream.write_all(&dice.bytes(3000));
    }
    assert_eq!(place.short("+tcp db A"), ["10.9.0.4"]);
    let turns = place.stop();
    assert!(turns < 100_000, "{turns}");
}
