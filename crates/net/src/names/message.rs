//! DNS messages (RFC 1035, RFC 6891): a query is read with suspicion, an answer is written within the asker's bounds.
//!
//! What is forwarded travels as the bytes that came, with another ID: only the header, the question and the size that the
//! asker can take are looked at. Names are compared without regard to case, and the question goes back as it was written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use domain::base::iana::{Class, Opcode, OptRcode, Rcode, Rtype};
use domain::base::message_builder::{AnswerBuilder, PushError};
use domain::base::name::{Name, ParsedName, ToLabelIter};
use domain::base::opt::Opt;
use domain::base::{Message, MessageBuilder, Question, StaticCompressor};
use domain::rdata::{A, Aaaa, Ptr};

/// The size of a header, the least that a message can have.
pub const HEADER: usize = 12;
/// The most that an asker without EDNS takes in a datagram.
pub const PLAIN_LIMIT: usize = 512;
/// The most that we send in a datagram, and say that we take; a client is on our own host, so that nothing fragments it.
pub const DATAGRAM_LIMIT: usize = 4096;
/// The most that a stream carries.
pub const STREAM_LIMIT: usize = u16::MAX as usize;

/// How long others may keep an answer: not at all, since a container may be gone in the next moment.
const TTL: u32 = 0;

/// A question that can be answered, or asked elsewhere.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    message: Message<&'a [u8]>,
    question: Question<ParsedName<&'a [u8]>>,
    /// What the asker takes in a datagram, where it speaks EDNS.
    payload: Option<u16>,
}

/// What to do with bytes that are no question we can answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nothing: they are no query at all, and an answer to an answer would go on for ever.
    Silently,
    /// Send this.
    Reply(Vec<u8>),
}

/// What is asked about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// IPv4 addresses.
    V4,
    /// IPv6 addresses.
    V6,
    /// Addresses of both kinds.
    Any,
    /// The name of an address.
    Pointer,
    /// Something that our names do not have.
    Other,
}

/// An answer of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These addresses; none means that the name is there and has none of the kind that was asked for.
    Addresses(Vec<IpAddr>),
    /// The names of an address.
    Names(Vec<String>),
    /// There is no such name.
    NoSuchName,
    /// The question could not be answered now.
    Failure,
    /// The question will not be answered.
    Refusal,
}

impl<'a> Query<'a> {
    /// Reads a query; what it is refused for is answered as RFC 1035, 4.1.1 has it.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        let message = Message::from_octets(bytes).map_err(|_| Refused::Silently)?;
        if message.header().qr() {
            return Err(Refused::Silently);
        }
        let refused = |rcode| Refused::Reply(bare_reply(&message, rcode));
        if message.header().opcode() != Opcode::QUERY {
            return Err(refused(OptRcode::NOTIMP));
        }
        let counts = message.header_counts();
        if counts.qdcount() != 1 || counts.ancount() != 0 {
            return Err(refused(OptRcode::FORMERR));
        }
        let question = message.sole_question().map_err(|_| refused(OptRcode::FORMERR))?;
        // There is nothing before the first name that it could point to. (That the name is compressed is not to be learnt
        // from the library where it is one pointer and no more.)
        let end = message.answer().map_err(|_| refused(OptRcode::FORMERR))?.pos();
        if end != HEADER + usize::from(question.qname().compose_len()) + 4 {
            return Err(refused(OptRcode::FORMERR));
        }
        let payload = match read_opt(&message) {
            Ok(Some((0, payload))) => Some(payload),
            Ok(None) => None,
            Ok(Some(_)) => return Err(refused(OptRcode::BADVERS)),
            Err(()) => return Err(refused(OptRcode::FORMERR)),
        };
        let query = Self { message, question, payload };
        match question.qtype() {
            Rtype::AXFR | Rtype::IXFR => Err(Refused::Reply(query.reply(&Answer::Refusal, DATAGRAM_LIMIT))),
            _ if !matches!(question.qclass(), Class::IN | Class::ANY) => {
                Err(Refused::Reply(query.reply(&Answer::Refusal, DATAGRAM_LIMIT)))
            }
            _ => Ok(query),
        }
    }

    /// Returns the number by which the asker knows the answer.
    pub fn id(&self) -> u16 {
        self.message.header().id()
    }

    /// Returns the message as it came.
    pub fn bytes(&self) -> &'a [u8] {
        self.message.as_octets()
    }

    /// Returns what is asked.
    pub fn wanted(&self) -> Wanted {
        match self.question.qtype() {
            Rtype::A => Wanted::V4,
            Rtype::AAAA => Wanted::V6,
            Rtype::ANY => Wanted::Any,
            Rtype::PTR => Wanted::Pointer,
            _ => Wanted::Other,
        }
    }

    /// Returns the name in lower case, without the dot at its end; `None` for one that no name of ours can be, since it
    /// has bytes beyond printable ASCII or a dot within a label.
    pub fn name(&self) -> Option<String> {
        let mut name = String::with_capacity(64);
        for label in self.question.qname().iter_labels().filter(|label| !label.is_root()) {
            if !label.as_slice().iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.') {
                return None;
            }
            if !name.is_empty() {
                name.push('.');
            }
            name.extend(label.as_slice().iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        }
        Some(name)
    }

    /// Returns how long an answer in a datagram may be.
    pub fn datagram_limit(&self) -> usize {
        let payload = self.payload.map_or(PLAIN_LIMIT, usize::from);
        payload.clamp(PLAIN_LIMIT, DATAGRAM_LIMIT)
    }

    /// Writes an answer no longer than `limit`. What does not fit is left out and said to be missing (TC); what fits is
    /// sent, for those that cannot ask again over a stream.
    pub fn reply(&self, answer: &Answer, limit: usize) -> Vec<u8> {
        self.write(answer, limit).unwrap_or_else(|_| bare_reply(&self.message, OptRcode::SERVFAIL))
    }

    /// Writes an answer that says no more than that the whole is too long for a datagram.
    pub fn truncated(&self) -> Vec<u8> {
        self.write_with(Rcode::NOERROR, PLAIN_LIMIT, |answer| {
            answer.header_mut().set_tc(true);
            Ok(())
        })
        .unwrap_or_else(|_| bare_reply(&self.message, OptRcode::SERVFAIL))
    }

    /// Tells whether these bytes answer this query: a response with the ID `id` to the same question.
    pub fn is_answered_by(&self, bytes: &[u8], id: u16) -> bool {
        let Ok(response) = Message::from_octets(bytes) else { return false };
        let header = response.header();
        if !header.qr() || header.id() != id || header.opcode() != Opcode::QUERY {
            return false;
        }
        match response.sole_question() {
            Ok(question) => question == self.question,
            // Servers that cannot read a question, or EDNS, may leave it out of the refusal.
            Err(_) => response.header_counts().qdcount() == 0 && header.rcode() != Rcode::NOERROR,
        }
    }

    fn write(&self, answer: &Answer, limit: usize) -> Result<Vec<u8>, PushError> {
        let rcode = match answer {
            Answer::Addresses(_) | Answer::Names(_) => Rcode::NOERROR,
            Answer::NoSuchName => Rcode::NXDOMAIN,
            Answer::Failure => Rcode::SERVFAIL,
            Answer::Refusal => Rcode::REFUSED,
        };
        self.write_with(rcode, limit, |builder| {
            let pushed = match answer {
                Answer::Addresses(addresses) => addresses.iter().try_for_each(|address| self.push(builder, *address)),
                Answer::Names(names) => names.iter().try_for_each(|name| self.push_name(builder, name)),
                _ => return Ok(()),
            };
            builder.header_mut().set_aa(true);
            if let Err(PushError::LimitExceeded) = pushed {
                builder.header_mut().set_tc(true);
            }
            Ok(())
        })
    }

    fn write_with(
        &self,
        rcode: Rcode,
        limit: usize,
        fill: impl FnOnce(&mut AnswerBuilder<StaticCompressor<Vec<u8>>>) -> Result<(), PushError>,
    ) -> Result<Vec<u8>, PushError> {
        let target = StaticCompressor::new(Vec::with_capacity(128));
        let builder = MessageBuilder::from_target(target).map_err(|_| PushError::ShortBuf)?;
        let mut answer = builder.start_answer(&self.message, rcode)?;
        answer.header_mut().set_ra(true);
        // The library's limit is the first length that is too long; our own OPT record has 11 bytes.
        let reserved = if self.payload.is_some() { 11 } else { 0 };
        answer.set_push_limit(limit.saturating_sub(reserved) + 1);
        fill(&mut answer)?;
        answer.clear_push_limit();
        let mut additional = answer.additional();
        if self.payload.is_some() {
            additional.opt(|opt| {
                opt.set_udp_payload_size(u16::try_from(DATAGRAM_LIMIT).unwrap_or(u16::MAX));
                Ok(())
            })?;
        }
        Ok(additional.finish().into_target())
    }

    fn push(&self, builder: &mut AnswerBuilder<StaticCompressor<Vec<u8>>>, address: IpAddr) -> Result<(), PushError> {
        let name = self.question.qname();
        match address {
            IpAddr::V4(address) => builder.push((name, Class::IN, TTL, A::new(address))),
            IpAddr::V6(address) => builder.push((name, Class::IN, TTL, Aaaa::new(address))),
        }
    }

    fn push_name(&self, builder: &mut AnswerBuilder<StaticCompressor<Vec<u8>>>, name: &str) -> Result<(), PushError> {
        match name.parse::<Name<Vec<u8>>>() {
            Ok(target) => builder.push((self.question.qname(), Class::IN, TTL, Ptr::new(target))),
            // A name that DNS cannot carry is no answer.
            Err(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({} {} {})", self.id(), self.question.qname(), self.question.qtype())
    }
}

/// Tells whether a message that came says that it is not whole.
pub fn is_truncated(bytes: &[u8]) -> bool {
    Message::from_octets(bytes).is_ok_and(|message| message.header().tc())
}

/// Tells whether an upstream's answer says that another should be asked: it could not or would not answer.
pub fn is_failure(bytes: &[u8]) -> bool {
    let failed = |rcode| matches!(rcode, Rcode::SERVFAIL | Rcode::REFUSED | Rcode::NOTIMP);
    Message::from_octets(bytes).is_ok_and(|message| failed(message.header().rcode()))
}

/// Gives a message another ID.
pub fn set_id(bytes: &mut [u8], id: u16) {
    if let Some(start) = bytes.first_chunk_mut::<2>() {
        *start = id.to_be_bytes();
    }
}

/// Returns the address that a name such as `2.0.89.10.in-addr.arpa` stands for.
pub fn reversed_address(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0; 4];
        let mut words = digits.split('.');
        for octet in octets.iter_mut().rev() {
            *octet = words.next()?.parse().ok()?;
        }
        return words.next().is_none().then(|| Ipv4Addr::from(octets).into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let mut bits: u128 = 0;
    let mut count = 0;
    for word in digits.rsplit('.') {
        let digit = u128::from_str_radix(word, 16).ok().filter(|_| word.len() == 1)?;
        bits = (bits << 4) | digit;
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from(bits).into())
}

/// Returns version and payload size of the EDNS record, where there is one; fails where the rest of the message cannot be
/// read or has two of them.
fn read_opt(message: &Message<&[u8]>) -> Result<Option<(u8, u16)>, ()> {
    let section = message.additional().map_err(drop)?;
    let mut found = None;
    for record in section {
        let record = record.map_err(drop)?;
        if record.rtype() != Rtype::OPT {
            continue;
        }
        record.to_record::<Opt<_>>().map_err(drop)?;
        let version = record.ttl().as_secs().to_be_bytes()[1];
        if found.replace((version, record.class().to_int())).is_some() {
            return Err(());
        }
    }
    Ok(found)
}

/// Writes a reply that is a header alone, or with an OPT record where the code does not fit into it.
fn bare_reply(message: &Message<&[u8]>, rcode: OptRcode) -> Vec<u8> {
    let Ok(mut builder) = MessageBuilder::from_target(Vec::with_capacity(32));
    let asked = message.header();
    let header = builder.header_mut();
    header.set_id(asked.id());
    header.set_qr(true);
    header.set_opcode(asked.opcode());
    header.set_rd(asked.rd());
    header.set_ra(true);
    header.set_rcode(rcode.rcode());
    let mut additional = builder.additional();
    if rcode.is_ext() {
        // A vector grows, so that this cannot fail.
        let _ = additional.opt(|opt| {
            opt.set_rcode(rcode);
            Ok(())
        });
    }
    additional.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question as dig writes it: name, type, class; `payload` adds an EDNS record.
    fn question(name: &str, kind: u16, payload: Option<u16>) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(payload.is_some())];
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        if let Some(payload) = payload {
            bytes.extend([0, 0, 41]);
            bytes.extend(payload.to_be_bytes());
            bytes.extend([0; 6]);
        }
        bytes
    }

    fn header(reply: &[u8]) -> (u16, [u8; 2], [u8; 8]) {
        (u16::from_be_bytes([reply[0], reply[1]]), [reply[2], reply[3]], reply[4..12].try_into().unwrap())
    }

    #[test]
    fn an_answer_keeps_the_case_of_the_question() {
        let bytes = question("wEb.Front", 1, None);
        let query = Query::read(&bytes).unwrap();
        assert_eq!((query.name().as_deref(), query.wanted()), (Some("web.front"), Wanted::V4));
        let reply = query.reply(&Answer::Addresses(vec!["10.0.0.2".parse().unwrap()]), 512);
        assert_eq!(header(&reply), (0x1234, [0x85, 0x80], [0, 1, 0, 1, 0, 0, 0, 0]));
        assert_eq!(reply[12..bytes.len()], bytes[12..]);
        assert_eq!(reply[bytes.len()..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 0, 0, 2]);
    }

    #[test]
    fn the_codes_of_answers_without_records() {
        let bytes = question("web", 28, None);
        let query = Query::read(&bytes).unwrap();
        let cases = [
            (Answer::Addresses(Vec::new()), [0x85, 0x80]),
            (Answer::NoSuchName, [0x81, 0x83]),
            (Answer::Failure, [0x81, 0x82]),
            (Answer::Refusal, [0x81, 0x85]),
        ];
        for (answer, flags) in cases {
            let reply = query.reply(&answer, 512);
            assert_eq!(header(&reply), (0x1234, flags, [0, 1, 0, 0, 0, 0, 0, 0]), "{answer:?}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_refused_by_its_code_or_in_silence() {
        let plain = question("web", 1, None);
        let changed = |at: usize, value: u8| {
            let mut bytes = plain.clone();
            bytes[at] = value;
            bytes
        };
        let mut two_opts = question("web", 1, Some(1232));
        two_opts[11] = 2;
        two_opts.extend([0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]);
        let mut newer = question("web", 1, Some(1232));
        let version = newer.len() - 5;
        newer[version] = 1;
        let cases: &[(&str, Vec<u8>, Option<u8>)] = &[
            ("nothing", Vec::new(), None),
            ("half a header", plain[..11].to_vec(), None),
            ("an answer", changed(2, 0x81), None),
            ("an update", changed(2, 0x28), Some(4)),
            ("no question", changed(5, 0), Some(1)),
            ("two questions", changed(5, 2), Some(1)),
            ("an answer in it", changed(7, 1), Some(1)),
            ("a name cut short", plain[..14].to_vec(), Some(1)),
            ("a question cut short", plain[..plain.len() - 1].to_vec(), Some(1)),
            ("a name that points to itself", [&plain[..12], &[0xc0, 12, 0, 1, 0, 1]].concat(), Some(1)),
            ("a name that points into the header", [&plain[..12], &[0xc0, 4, 0, 1, 0, 1]].concat(), Some(1)),
            ("a label of another kind", changed(12, 0x43), Some(1)),
            ("a record missing", changed(11, 1), Some(1)),
            ("two EDNS records", two_opts, Some(1)),
            ("a zone transfer", question("web", 252, None), Some(5)),
            ("another class", changed(plain.len() - 1, 3), Some(5)),
            ("a newer EDNS", newer, Some(0)),
        ];
        for (what, bytes, code) in cases {
            match (Query::read(bytes), code) {
                (Err(Refused::Silently), None) => {}
                (Err(Refused::Reply(reply)), Some(code)) => assert_eq!(reply[3] & 15, *code, "{what}"),
                (other, _) => panic!("{what}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said_to_be_missing() {
        let addresses: Vec<IpAddr> = (0..200u8).map(|last| Ipv4Addr::new(10, 0, 0, last).into()).collect();
        let answer = Answer::Addresses(addresses);
        for (payload, records) in [(None, 30), (Some(100), 30), (Some(512), 30), (Some(1232), 75), (Some(60_000), 200)]
        {
            let bytes = question("web", 1, payload);
            let query = Query::read(&bytes).unwrap();
            let reply = query.reply(&answer, query.datagram_limit());
            assert!(reply.len() <= query.datagram_limit());
            assert_eq!((usize::from(reply[7]), reply[2] & 2 != 0), (records, records < 200), "{payload:?}");
            assert_eq!(query.reply(&answer, STREAM_LIMIT)[2] & 2, 0);
        }
    }

    #[test]
    fn only_the_answer_to_a_question_is_its_answer() {
        let bytes = question("web.test", 1, None);
        let query = Query::read(&bytes).unwrap();
        let mut answer = query.reply(&Answer::Failure, 512);
        set_id(&mut answer, 7);
        assert!(query.is_answered_by(&answer, 7));
        assert!(!query.is_answered_by(&answer, 8));
        assert!(!query.is_answered_by(&bytes, 0x1234));
        for other in [question("wex.test", 1, None), question("web.test", 28, None)] {
            let foreign = Query::read(&other).unwrap().reply(&Answer::Failure, 512);
            assert!(!query.is_answered_by(&foreign, 0x1234));
        }
    }
}
