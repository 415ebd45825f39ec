//! What messages of nf_tables are made of: their kinds, their attributes, and the expressions of rules.
//!
//! Numbers that nf_tables reads itself go in network order; what is compared with a packet goes as it lies in a register.

use super::table::{Chain, Family, Load};
use crate::netlink::{Request, Writer};

pub(crate) const NEW_TABLE: u16 = 0x0a00;
pub(crate) const GET_TABLE: u16 = 0x0a01;
pub(crate) const DELETE_TABLE: u16 = 0x0a02;
pub(crate) const NEW_CHAIN: u16 = 0x0a03;
pub(crate) const GET_CHAIN: u16 = 0x0a04;
pub(crate) const NEW_RULE: u16 = 0x0a06;
pub(crate) const GET_RULE: u16 = 0x0a07;
pub(crate) const DELETE_RULE: u16 = 0x0a08;
pub(crate) const NEW_SET: u16 = 0x0a09;
pub(crate) const NEW_ELEMENT: u16 = 0x0a0c;
pub(crate) const GET_ELEMENT: u16 = 0x0a0d;
pub(crate) const DELETE_ELEMENT: u16 = 0x0a0e;
pub(crate) const GET_GENERATION: u16 = 0x0a10;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const EXCLUSIVE: u16 = 0x200;
pub(crate) const APPEND: u16 = 0x800;

/// The family of tables that see packets of both families.
pub(crate) const INET: u8 = 1;
/// The length of what stands before the attributes.
pub(crate) const FIXED_LENGTH: usize = 4;

/// The first attribute of a table, chain, rule, set or list of elements is the table's name.
pub(crate) const IN_TABLE: u16 = 1;
pub(crate) const LIST_ITEM: u16 = 1;
const DATA_VALUE: u16 = 1;

/// Makes a message about something in a table of this family.
pub(crate) fn request(family: u8, kind: u16, flags: u16, what: String, write: impl FnOnce(&mut Writer)) -> Request {
    Request::new(kind, flags, what, |body| {
        // The version of the protocol, and two bytes that matter in batches only.
        body.raw(&[family, 0, 0, 0]);
        write(body);
    })
}

/// Makes a chain that is called at a place in the way of packets, and lets them pass.
pub(crate) fn make_chain(family: u8, table: &str, chain: &Chain) -> Request {
    request(family, NEW_CHAIN, CREATE, format!("NFT_MSG_NEWCHAIN({})", chain.name), |body| {
        body.text(IN_TABLE, table).text(3, chain.name);
        body.nest(4, |hook| {
            number(hook, 1, chain.hook as u32);
            number(hook, 2, chain.priority.cast_unsigned());
        });
        const ACCEPT: u32 = 1;
        number(body, 5, ACCEPT);
        body.text(7, chain.kind);
    })
}

/// Makes a message about a table by its name.
pub(crate) fn about_table(family: u8, kind: u16, flags: u16, name: &str) -> Request {
    let verb = match kind {
        NEW_TABLE => "NFT_MSG_NEWTABLE",
        GET_TABLE => "NFT_MSG_GETTABLE",
        _ => "NFT_MSG_DELTABLE",
    };
    request(family, kind, flags, format!("{verb}({name:?})"), |body| {
        body.text(IN_TABLE, name);
    })
}

/// Removes a table whether it is there or not: making one that is there does nothing, and all is one transaction.
pub(crate) fn remove_table(family: u8, name: &str) -> [Request; 2] {
    [about_table(family, NEW_TABLE, CREATE, name), about_table(family, DELETE_TABLE, 0, name)]
}

/// Removes all rules of a chain.
pub(crate) fn flush_chain(family: u8, table: &str, chain: &str) -> Request {
    request(family, DELETE_RULE, 0, format!("NFT_MSG_DELRULE({chain})"), |body| {
        body.text(IN_TABLE, table).text(2, chain);
    })
}

/// Makes a rule at the end of a chain; `write` writes its expressions.
pub(crate) fn make_rule(family: u8, table: &str, chain: &str, write: impl FnOnce(&mut Writer)) -> Request {
    request(family, NEW_RULE, CREATE | APPEND, format!("NFT_MSG_NEWRULE({chain})"), |body| {
        body.text(IN_TABLE, table).text(2, chain).nest(4, write);
    })
}

/// The first of the registers of four bytes; parts of a key lie in those that follow each other.
pub(crate) const REGISTER: u32 = 8;
const VERDICT_REGISTER: u32 = 0;

impl Family {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    pub(crate) fn loopback_bytes(self) -> &'static [u8] {
        match self {
            Self::V4 => &[127, 0, 0, 1],
            Self::V6 => &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        }
    }
}

impl Load {
    pub(crate) const NETWORK: u32 = 1;
    pub(crate) const TRANSPORT: u32 = 2;

    /// Returns offset and length of an address in its header.
    pub(crate) fn header(self) -> (u32, u32) {
        match self {
            Self::Source(Family::V4) => (12, 4),
            Self::Destination(Family::V4) => (16, 4),
            Self::Source(Family::V6) => (8, 16),
            Self::Destination(Family::V6) => (24, 16),
            Self::Port => (2, 2),
            Self::Protocol | Self::In | Self::Out => (0, 0),
        }
    }

    /// Returns how many registers of four bytes it fills.
    pub(crate) fn registers(self) -> u32 {
        match self {
            Self::Protocol | Self::Port => 1,
            Self::In | Self::Out => 4,
            Self::Source(_) | Self::Destination(_) => self.header().1 / 4,
        }
    }
}

pub(crate) fn load(list: &mut Writer, what: Load, register: u32) {
    let (offset, length) = what.header();
    match what {
        Load::In => meta(list, 6, register),
        Load::Out => meta(list, 7, register),
        Load::Protocol => meta(list, 16, register),
        Load::Port => payload(list, Load::TRANSPORT, offset, length, register),
        Load::Source(_) | Load::Destination(_) => payload(list, Load::NETWORK, offset, length, register),
    }
}

pub(crate) fn meta(list: &mut Writer, key: u32, register: u32) {
    expression(list, "meta", |of| {
        number(of, 2, key);
        number(of, 1, register);
    });
}

pub(crate) fn payload(list: &mut Writer, header: u32, offset: u32, length: u32, register: u32) {
    expression(list, "payload", |of| {
        number(of, 1, register);
        number(of, 2, header);
        number(of, 3, offset);
        number(of, 4, length);
    });
}

pub(crate) fn compare(list: &mut Writer, equal: bool, value: &[u8]) {
    expression(list, "cmp", |of| {
        number(of, 1, REGISTER);
        number(of, 2, u32::from(!equal));
        data(of, 3, value);
    });
}

/// Requires that the destination is an address of the host.
pub(crate) fn to_host(list: &mut Writer) {
    const ADDRESS_TYPE: u32 = 3;
    const OF_DESTINATION: u32 = 2;
    const LOCAL: u32 = 2;
    expression(list, "fib", |of| {
        number(of, 1, REGISTER);
        number(of, 2, ADDRESS_TYPE);
        number(of, 3, OF_DESTINATION);
    });
    compare(list, true, &LOCAL.to_ne_bytes());
}

/// Requires that a connection has one of the bits of `mask` in its state or status.
pub(crate) fn connection(list: &mut Writer, key: u32, mask: u32) {
    expression(list, "ct", |of| {
        number(of, 2, key);
        number(of, 1, REGISTER);
    });
    expression(list, "bitwise", |of| {
        number(of, 1, REGISTER);
        number(of, 2, REGISTER);
        number(of, 3, 4);
        data(of, 4, &mask.to_ne_bytes());
        data(of, 5, &[0; 4]);
    });
    compare(list, false, &[0; 4]);
}

/// Writes a value into registers.
pub(crate) fn immediate(list: &mut Writer, register: u32, value: &[u8]) {
    expression(list, "immediate", |of| {
        number(of, 1, register);
        data(of, 2, value);
    });
}

/// Translates the destination to the address and the port in the registers.
pub(crate) fn translate(list: &mut Writer, family: Family) {
    const DESTINATION: u32 = 1;
    expression(list, "nat", |of| {
        number(of, 1, DESTINATION);
        number(of, 2, family.number().into());
        number(of, 3, REGISTER);
        number(of, 5, REGISTER + Load::Destination(family).registers());
    });
}

/// Writes the register into a port, and mends the transport's checksum.
pub(crate) fn write_port(list: &mut Writer, offset: u32, checksum_at: u32) {
    const OF_BYTES: u32 = 1;
    expression(list, "payload", |of| {
        number(of, 5, REGISTER);
        number(of, 2, Load::TRANSPORT);
        number(of, 3, offset);
        number(of, 4, 2);
        number(of, 6, OF_BYTES);
        number(of, 7, checksum_at);
    });
}

/// Writes the register into an address, and mends the checksums.
pub(crate) fn write_address(list: &mut Writer, part: Load) {
    let (offset, length) = part.header();
    let (kind, at) = if part.family() == Family::V4 { (1, 10) } else { (0, 0) };
    const AND_THAT_OF_TRANSPORT: u32 = 1;
    expression(list, "payload", |of| {
        number(of, 5, REGISTER);
        number(of, 2, Load::NETWORK);
        number(of, 3, offset);
        number(of, 4, length);
        number(of, 6, kind);
        number(of, 7, at);
        number(of, 8, AND_THAT_OF_TRANSPORT);
    });
}

/// Counts the packets that come so far.
pub(crate) fn counter(list: &mut Writer) {
    expression(list, "counter", |_| {});
}

pub(crate) fn verdict(list: &mut Writer, code: i32) {
    const VERDICT: u16 = 2;
    expression(list, "immediate", |of| {
        number(of, 1, VERDICT_REGISTER);
        of.nest(2, |value| {
            value.nest(VERDICT, |verdict| number(verdict, 1, code.cast_unsigned()));
        });
    });
}

pub(crate) fn expression(list: &mut Writer, name: &str, write: impl FnOnce(&mut Writer)) {
    list.nest(LIST_ITEM, |item| {
        item.text(1, name).nest(2, write);
    });
}

pub(crate) fn data(writer: &mut Writer, kind: u16, value: &[u8]) {
    writer.nest(kind, |data| {
        data.attribute(DATA_VALUE, value);
    });
}

pub(crate) fn number(writer: &mut Writer, kind: u16, value: u32) {
    writer.attribute(kind, &value.to_be_bytes());
}
