//! Netlink messages as bytes: a header of 16 bytes, a fixed body, and attributes that may hold attributes.
//!
//! Reading never panics and never reads beyond what came: a length that does not fit ends the walk.

/// Marks an attribute that holds attributes.
const NESTED: u16 = 0x8000;
/// What remains of an attribute's kind without the two marks.
const KIND: u16 = 0x3fff;
const HEADER: usize = 16;

/// What is asked of the kernel: one message, without the sequence number that it is given when it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    /// How strace would print it: `RTM_NEWADDR(10.0.0.1/24, "eth0")`.
    pub(crate) what: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Makes a request whose body `write` writes.
    pub(crate) fn new(kind: u16, flags: u16, what: String, write: impl FnOnce(&mut Writer)) -> Self {
        let mut writer = Writer::default();
        write(&mut writer);
        Self { kind, flags, what, body: writer.0 }
    }

    /// Appends the whole message to `bytes`.
    pub(crate) fn append_to(&self, bytes: &mut Vec<u8>, sequence: u32, more_flags: u16) {
        bytes.extend_from_slice(&length_of(HEADER + self.body.len()).to_ne_bytes());
        bytes.extend_from_slice(&self.kind.to_ne_bytes());
        bytes.extend_from_slice(&(self.flags | more_flags).to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        // The kernel's own port: it knows from which socket this comes.
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        bytes.extend_from_slice(&self.body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
}

/// Writes the body of a message.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Writes bytes as they are, for the fixed part of a body.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Writes an attribute.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.open(kind, |writer| {
            writer.raw(value);
        })
    }

    /// Writes a text with the zero that ends it.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        self.open(kind, |writer| {
            writer.raw(value.as_bytes()).raw(&[0]);
        })
    }

    /// Writes an attribute that holds the attributes that `write` writes.
    pub(crate) fn nest(&mut self, kind: u16, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.open(kind | NESTED, write)
    }

    fn open(&mut self, kind: u16, write: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.0.len();
        self.raw(&[0; 2]).raw(&kind.to_ne_bytes());
        write(self);
        // An attribute beyond 64 KiB cannot be said; whoever writes many elements splits them (`firewall::request`).
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        debug_assert_ne!(length, u16::MAX, "an attribute of 64 KiB");
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }
}

fn length_of(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// One message of the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Returns the attributes that follow a fixed part of `fixed` bytes.
    pub(crate) fn attributes(&self, fixed: usize) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        attributes(self.body.get(fixed..).unwrap_or_default())
    }
}

/// Walks over the messages in what one read gave.
pub(crate) fn answers(mut bytes: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(bytes, 0)? as usize;
        let body = bytes.get(HEADER..length)?;
        let answer = Answer { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, sequence: u32_at(bytes, 8)?, body };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(answer)
    })
}

/// Walks over attributes.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let value = bytes.get(4..length)?;
        let kind = u16_at(bytes, 2)? & KIND;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Reads 16 bits in the machine's order.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Reads 32 bits in the machine's order.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Reads a text up to its zero or its end.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Vec<u8> {
        let request = Request::new(16, 1, String::new(), |body| {
            body.raw(&[7; 4]).text(3, "eth0").nest(18, |inner| {
                inner.attribute(1, b"veth");
            });
        });
        let mut bytes = Vec::new();
        request.append_to(&mut bytes, 9, 4);
        request.append_to(&mut bytes, 10, 0);
        bytes
    }

    #[test]
    fn what_is_written_can_be_read() {
        let bytes = sent();
        let read: Vec<_> = answers(&bytes).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].kind, read[0].flags, read[0].sequence, read[1].sequence), (16, 5, 9, 10));
        let held: Vec<_> = read[0].attributes(4).collect();
        assert_eq!(held[0], (3, &b"eth0\0"[..]));
        assert_eq!(attributes(held[1].1).collect::<Vec<_>>(), [(1, &b"veth"[..])]);
        assert_eq!(text(held[0].1), "eth0");
    }

    #[test]
    fn what_is_cut_or_spoilt_ends_the_walk() {
        let bytes = sent();
        for end in 0..bytes.len() {
            for answer in answers(&bytes[..end]) {
                answer.attributes(4).for_each(drop);
            }
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 3, 0x7f, 0xff] {
                let mut spoilt = bytes.clone();
                spoilt[at] = value;
                let walked = answers(&spoilt).map(|answer| answer.attributes(4).count()).sum::<usize>();
                assert!(walked <= spoilt.len());
            }
        }
    }
}
