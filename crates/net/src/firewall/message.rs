//! The messages of nf_tables: our table, its sets, chains, rules, and elements.
//!
//! Numbers that nf_tables reads itself go in network order; what is compared with a packet goes as it lies in a register.

use super::set::{Element, Field, Part, Set, Shape};
use super::table::{CHAINS, Chain, Family, LAYOUT, Load, TABLE, Term};
use crate::netlink::{Request, Writer};

const NEW_TABLE: u16 = 0x0a00;
pub(crate) const GET_TABLE: u16 = 0x0a01;
const DELETE_TABLE: u16 = 0x0a02;
const NEW_CHAIN: u16 = 0x0a03;
const NEW_RULE: u16 = 0x0a06;
const NEW_SET: u16 = 0x0a09;
const NEW_ELEMENT: u16 = 0x0a0c;
pub(crate) const GET_ELEMENT: u16 = 0x0a0d;
const DELETE_ELEMENT: u16 = 0x0a0e;
pub(crate) const GET_GENERATION: u16 = 0x0a10;
const CREATE: u16 = 0x400;
const EXCLUSIVE: u16 = 0x200;
const APPEND: u16 = 0x800;
/// The family `inet`, the version of the protocol, and two bytes that matter in batches only.
const FIXED: [u8; 4] = [1, 0, 0, 0];
/// The length of that.
pub(crate) const FIXED_LENGTH: usize = FIXED.len();

/// The first attribute of a table, chain, rule, set or list of elements is the table's name.
const IN_TABLE: u16 = 1;
const LIST_ITEM: u16 = 1;
const DATA_VALUE: u16 = 1;
pub(crate) const TABLE_USERDATA: u16 = 6;
pub(crate) const ELEMENTS: u16 = 3;

/// Attributes and flags of an element.
pub(crate) mod element {
    pub(crate) const KEY: u16 = 1;
    pub(crate) const VALUE: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const KEY_END: u16 = 10;
    pub(crate) const IS_END: u32 = 1;
}

/// Makes all of the table. With `exclusive`, one that is there refuses it.
pub(crate) fn make_table(exclusive: bool) -> Vec<Request> {
    let flags = if exclusive { CREATE | EXCLUSIVE } else { CREATE };
    let mut requests = vec![request(NEW_TABLE, flags, format!("NFT_MSG_NEWTABLE({TABLE:?})"), |body| {
        body.text(IN_TABLE, TABLE).attribute(TABLE_USERDATA, &comment(LAYOUT));
    })];
    requests.extend(Set::ALL.iter().zip(1..).map(|(set, id)| make_set(&set.shape(), id)));
    requests.extend(CHAINS.iter().map(make_chain));
    for chain in CHAINS {
        requests.extend(chain.rules.iter().map(|rule| make_rule(chain, rule)));
    }
    requests
}

/// Removes the table whether it is there or not: making one that is there does nothing, and all is one transaction.
pub(crate) fn remove_table() -> Vec<Request> {
    let named = |kind, flags, verb: &str| {
        request(kind, flags, format!("{verb}({TABLE:?})"), |body| {
            body.text(IN_TABLE, TABLE);
        })
    };
    vec![named(NEW_TABLE, CREATE, "NFT_MSG_NEWTABLE"), named(DELETE_TABLE, 0, "NFT_MSG_DELTABLE")]
}

/// Makes the question for our table.
pub(crate) fn get_table() -> Request {
    request(GET_TABLE, 0, format!("NFT_MSG_GETTABLE({TABLE:?})"), |body| {
        body.text(IN_TABLE, TABLE);
    })
}

/// Makes the question for the number of the ruleset, which every change raises.
pub(crate) fn get_generation() -> Request {
    request(GET_GENERATION, 0, "NFT_MSG_GETGEN()".into(), |_| {})
}

/// Makes the question for the elements of a set.
pub(crate) fn get_elements(set: Set) -> Request {
    request(GET_ELEMENT, 0, format!("NFT_MSG_GETSETELEM({set})"), |body| {
        body.text(IN_TABLE, TABLE).text(2, set.shape().name);
    })
}

/// Adds an element; one that is there with the same value is left.
pub(crate) fn add_element(element: &Element) -> Request {
    change_element(NEW_ELEMENT, CREATE, "NFT_MSG_NEWSETELEM", element)
}

/// Removes an element.
pub(crate) fn remove_element(element: &Element) -> Request {
    change_element(DELETE_ELEMENT, 0, "NFT_MSG_DELSETELEM", element)
}

fn change_element(kind: u16, flags: u16, verb: &str, element: &Element) -> Request {
    let shape = element.set.shape();
    request(kind, flags, format!("{verb}({}, {element})", shape.name), |body| {
        body.text(IN_TABLE, TABLE).text(2, shape.name).nest(ELEMENTS, |list| {
            list.nest(LIST_ITEM, |item| self::element(item, element, &shape));
            // Alone, a subnet is two elements: its first address, and the first beyond it, where there is one.
            if let (true, [part]) = (shape.subnets, &element.key[..])
                && let Some(beyond) = successor(part.last())
            {
                list.nest(LIST_ITEM, |item| {
                    item.attribute(element::FLAGS, &element::IS_END.to_be_bytes());
                    data(item, element::KEY, &beyond);
                });
            }
        });
    })
}

fn element(item: &mut Writer, element: &Element, shape: &Shape) {
    data(item, element::KEY, &joined(&element.key, Part::first));
    if shape.subnets && shape.key.len() > 1 {
        data(item, element::KEY_END, &joined(&element.key, Part::last));
    }
    if !element.value.is_empty() {
        data(item, element::VALUE, &joined(&element.value, Part::first));
    }
}

/// Joins parts as they lie in registers: each begins at a multiple of four bytes. A single part has no padding.
fn joined(parts: &[Part], bytes: fn(&Part) -> Vec<u8>) -> Vec<u8> {
    if let [part] = parts {
        return bytes(part);
    }
    let mut all = Vec::with_capacity(48);
    for part in parts {
        all.extend(bytes(part));
        all.resize(all.len().next_multiple_of(4), 0);
    }
    all
}

/// Returns the next address; there is none after the last.
fn successor(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    for byte in bytes.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(bytes);
        }
    }
    None
}

fn make_set(shape: &Shape, id: u32) -> Request {
    const INTERVAL: u32 = 4;
    const MAP: u32 = 8;
    const CONCATENATED: u32 = 0x80;
    let several = shape.key.len() > 1;
    let flags = if shape.subnets { INTERVAL } else { 0 }
        | if shape.subnets && several { CONCATENATED } else { 0 }
        | if shape.value.is_empty() { 0 } else { MAP };
    request(NEW_SET, CREATE, format!("NFT_MSG_NEWSET({})", shape.name), |body| {
        body.text(IN_TABLE, TABLE).text(2, shape.name);
        number(body, 3, flags);
        number(body, 4, kind_of(shape.key));
        number(body, 5, length_of(shape.key));
        if !shape.value.is_empty() {
            number(body, 6, kind_of(shape.value));
            number(body, 7, length_of(shape.value));
        }
        number(body, 10, id);
        if shape.key == [Field::Interface] {
            body.attribute(13, &in_host_order());
        }
        if flags & CONCATENATED != 0 {
            const DESCRIPTION: u16 = 9;
            const PARTS: u16 = 2;
            body.nest(DESCRIPTION, |description| {
                description.nest(PARTS, |parts| {
                    for field in shape.key {
                        parts.nest(LIST_ITEM, |part| number(part, 1, small(field.length())));
                    }
                });
            });
        }
    })
}

/// Returns what tells nft that a key lies in the machine's order: without it, it prints no names of links.
fn in_host_order() -> Vec<u8> {
    const KEY_BYTE_ORDER: u8 = 0;
    const HOST: u32 = 1;
    [&[KEY_BYTE_ORDER, 4][..], &HOST.to_ne_bytes()].concat()
}

/// Returns the type's number for nft: six bits for each part.
fn kind_of(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |kind, field| kind << 6 | field.number())
}

fn length_of(fields: &[Field]) -> u32 {
    match fields {
        [field] => small(field.length()),
        fields => small(fields.iter().map(|field| field.length().next_multiple_of(4)).sum()),
    }
}

fn make_chain(chain: &Chain) -> Request {
    request(NEW_CHAIN, CREATE, format!("NFT_MSG_NEWCHAIN({})", chain.name), |body| {
        body.text(IN_TABLE, TABLE).text(3, chain.name);
        body.nest(4, |hook| {
            number(hook, 1, chain.hook as u32);
            number(hook, 2, chain.priority.cast_unsigned());
        });
        const ACCEPT: u32 = 1;
        number(body, 5, ACCEPT);
        body.text(7, chain.kind);
    })
}

fn make_rule(chain: &Chain, rule: &[Term]) -> Request {
    request(NEW_RULE, CREATE | APPEND, format!("NFT_MSG_NEWRULE({})", chain.name), |body| {
        body.text(IN_TABLE, TABLE).text(2, chain.name);
        body.nest(4, |list| rule.iter().for_each(|term| self::term(list, term)));
    })
}

/// The first of the registers of four bytes; parts of a key lie in those that follow each other.
const REGISTER: u32 = 8;
const VERDICT_REGISTER: u32 = 0;

fn term(list: &mut Writer, term: &Term) {
    match term {
        Term::Is(family) => {
            meta(list, 15, REGISTER);
            compare(list, true, &[family.number()]);
        }
        Term::IsLoopback(part) => {
            load(list, *part, REGISTER);
            compare(list, true, part.family().loopback_bytes());
        }
        Term::IsLoopbackNet(part) => {
            let (offset, _) = part.header();
            payload(list, Load::NETWORK, offset, 1, REGISTER);
            compare(list, true, &[127]);
        }
        Term::OutByLoopback => {
            load(list, Load::Out, REGISTER);
            compare(list, true, b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        }
        Term::NotInByLoopback => {
            load(list, Load::In, REGISTER);
            compare(list, false, b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        }
        Term::ToHost => to_host(list),
        Term::Established => connection(list, 0, 2 | 4),
        Term::Translated => connection(list, 2, 0x20),
        Term::In(set, loads) => lookup(list, *set, loads),
        Term::Translate(family, set, loads) => {
            lookup(list, *set, loads);
            translate(list, *family);
        }
        Term::Write(part, set, loads) => {
            lookup(list, *set, loads);
            write_address(list, *part);
        }
        Term::WriteLoopback(part) => {
            expression(list, "immediate", |of| {
                number(of, 1, REGISTER);
                data(of, 2, part.family().loopback_bytes());
            });
            write_address(list, *part);
        }
        Term::Masquerade => expression(list, "masq", |_| {}),
        Term::Accept => verdict(list, 1),
        Term::Drop => verdict(list, 0),
        Term::Return => verdict(list, -5),
    }
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    fn loopback_bytes(self) -> &'static [u8] {
        match self {
            Self::V4 => &[127, 0, 0, 1],
            Self::V6 => &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        }
    }
}

impl Load {
    const NETWORK: u32 = 1;
    const TRANSPORT: u32 = 2;

    /// Returns offset and length of an address in its header.
    fn header(self) -> (u32, u32) {
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
    fn registers(self) -> u32 {
        match self {
            Self::Protocol | Self::Port => 1,
            Self::In | Self::Out => 4,
            Self::Source(_) | Self::Destination(_) => self.header().1 / 4,
        }
    }
}

fn load(list: &mut Writer, what: Load, register: u32) {
    let (offset, length) = what.header();
    match what {
        Load::In => meta(list, 6, register),
        Load::Out => meta(list, 7, register),
        Load::Protocol => meta(list, 16, register),
        Load::Port => payload(list, Load::TRANSPORT, offset, length, register),
        Load::Source(_) | Load::Destination(_) => payload(list, Load::NETWORK, offset, length, register),
    }
}

fn meta(list: &mut Writer, key: u32, register: u32) {
    expression(list, "meta", |of| {
        number(of, 2, key);
        number(of, 1, register);
    });
}

fn payload(list: &mut Writer, header: u32, offset: u32, length: u32, register: u32) {
    expression(list, "payload", |of| {
        number(of, 1, register);
        number(of, 2, header);
        number(of, 3, offset);
        number(of, 4, length);
    });
}

fn compare(list: &mut Writer, equal: bool, value: &[u8]) {
    expression(list, "cmp", |of| {
        number(of, 1, REGISTER);
        number(of, 2, u32::from(!equal));
        data(of, 3, value);
    });
}

fn to_host(list: &mut Writer) {
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
fn connection(list: &mut Writer, key: u32, mask: u32) {
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

/// Looks a key up; in a map, what is found takes the place of the key.
fn lookup(list: &mut Writer, set: Set, loads: &[Load]) {
    let mut register = REGISTER;
    for what in loads {
        load(list, *what, register);
        register += what.registers();
    }
    expression(list, "lookup", |of| {
        of.text(1, set.shape().name);
        number(of, 2, REGISTER);
        if !set.shape().value.is_empty() {
            number(of, 3, REGISTER);
        }
    });
}

fn translate(list: &mut Writer, family: Family) {
    const DESTINATION: u32 = 1;
    expression(list, "nat", |of| {
        number(of, 1, DESTINATION);
        number(of, 2, family.number().into());
        number(of, 3, REGISTER);
        number(of, 5, REGISTER + Load::Destination(family).registers());
    });
}

/// Writes the register into an address, and mends the checksums.
fn write_address(list: &mut Writer, part: Load) {
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

fn verdict(list: &mut Writer, code: i32) {
    const VERDICT: u16 = 2;
    expression(list, "immediate", |of| {
        number(of, 1, VERDICT_REGISTER);
        of.nest(2, |value| {
            value.nest(VERDICT, |verdict| number(verdict, 1, code.cast_unsigned()));
        });
    });
}

fn expression(list: &mut Writer, name: &str, write: impl FnOnce(&mut Writer)) {
    list.nest(LIST_ITEM, |item| {
        item.text(1, name).nest(2, write);
    });
}

fn data(writer: &mut Writer, kind: u16, value: &[u8]) {
    writer.nest(kind, |data| {
        data.attribute(DATA_VALUE, value);
    });
}

fn number(writer: &mut Writer, kind: u16, value: u32) {
    writer.attribute(kind, &value.to_be_bytes());
}

/// Lengths of fields are below a hundred.
fn small(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Returns a comment as nft keeps it: kind, length, text with its zero.
pub(crate) fn comment(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    [&[0, length], text.as_bytes(), &[0]].concat()
}

fn request(kind: u16, flags: u16, what: String, write: impl FnOnce(&mut Writer)) -> Request {
    Request::new(kind, flags, what, |body| {
        body.raw(&FIXED);
        write(body);
    })
}
