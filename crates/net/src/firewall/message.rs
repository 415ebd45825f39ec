//! The messages about our table, its sets, chains, rules, and elements.

use super::set::{Element, Field, Part, Set, Shape};
use super::table::{CHAINS, LAYOUT, Load, TABLE, Term};
use super::wire::{self, IN_TABLE, INET, LIST_ITEM, REGISTER};
use super::wire::{compare, data, expression, load, meta, number, payload, verdict};
use crate::netlink::{Request, Writer};

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
    let flags = if exclusive { wire::CREATE | wire::EXCLUSIVE } else { wire::CREATE };
    let mut requests = vec![request(wire::NEW_TABLE, flags, format!("NFT_MSG_NEWTABLE({TABLE:?})"), |body| {
        body.text(IN_TABLE, TABLE).attribute(TABLE_USERDATA, &comment(LAYOUT));
    })];
    requests.extend(Set::ALL.iter().zip(1..).map(|(set, id)| make_set(&set.shape(), id)));
    requests.extend(CHAINS.iter().map(|chain| wire::make_chain(INET, TABLE, chain)));
    for chain in CHAINS {
        let make = |rule: &&[Term]| {
            wire::make_rule(INET, TABLE, chain.name, |list| rule.iter().for_each(|term| self::term(list, term)))
        };
        requests.extend(chain.rules.iter().map(make));
    }
    requests
}

/// Removes the table whether it is there or not.
pub(crate) fn remove_table() -> Vec<Request> {
    wire::remove_table(INET, TABLE).into()
}

/// Makes the question for our table.
pub(crate) fn get_table() -> Request {
    wire::about_table(INET, wire::GET_TABLE, 0, TABLE)
}

/// Makes the question for the number of the ruleset, which every change raises.
pub(crate) fn get_generation() -> Request {
    request(wire::GET_GENERATION, 0, "NFT_MSG_GETGEN()".into(), |_| {})
}

/// Makes the question for the elements of a set.
pub(crate) fn get_elements(set: Set) -> Request {
    request(wire::GET_ELEMENT, 0, format!("NFT_MSG_GETSETELEM({set})"), |body| {
        body.text(IN_TABLE, TABLE).text(2, set.shape().name);
    })
}

/// Makes the question for the rules of a chain of ours.
pub(crate) fn get_rules(chain: &super::table::Chain) -> Request {
    request(wire::GET_RULE, 0, format!("NFT_MSG_GETRULE({})", chain.name), |body| {
        body.text(IN_TABLE, TABLE).text(2, chain.name);
    })
}

/// Makes the questions for one element: one, or two for a subnet alone, which is two elements. The kernel finds both by an
/// address between them, and by the last one of the subnet none but those that belong together.
pub(crate) fn get_element(element: &Element) -> Vec<Request> {
    let shape = element.set.shape();
    let alone = shape.subnets && shape.key.len() == 1;
    let question = |flags: u32| {
        request(wire::GET_ELEMENT, 0, format!("NFT_MSG_GETSETELEM({}, {element})", shape.name), |body| {
            body.text(IN_TABLE, TABLE).text(2, shape.name).nest(ELEMENTS, |list| {
                list.nest(LIST_ITEM, |item| {
                    number(item, element::FLAGS, flags);
                    data(item, element::KEY, &joined(&element.key, if alone { Part::last } else { Part::first }));
                    if shape.subnets && !alone {
                        data(item, element::KEY_END, &joined(&element.key, Part::last));
                    }
                });
            });
        })
    };
    let has_end = alone && element.key.iter().any(|part| successor(part.last()).is_some());
    let flags = if has_end { &[0, element::IS_END][..] } else { &[0] };
    flags.iter().map(|flags| question(*flags)).collect()
}

/// Adds an element; one that is there with the same value is left.
pub(crate) fn add_element(element: &Element) -> Request {
    change_element(wire::NEW_ELEMENT, wire::CREATE, "NFT_MSG_NEWSETELEM", element)
}

/// Removes an element.
pub(crate) fn remove_element(element: &Element) -> Request {
    change_element(wire::DELETE_ELEMENT, 0, "NFT_MSG_DELSETELEM", element)
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
    request(wire::NEW_SET, wire::CREATE, format!("NFT_MSG_NEWSET({})", shape.name), |body| {
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
        Term::ToHost => wire::to_host(list),
        Term::Established => wire::connection(list, 0, 2 | 4),
        Term::Translated => wire::connection(list, 2, 0x20),
        Term::In(set, loads) => lookup(list, *set, loads),
        Term::Translate(family, set, loads) => {
            lookup(list, *set, loads);
            wire::translate(list, *family);
        }
        Term::Write(part, set, loads) => {
            lookup(list, *set, loads);
            wire::write_address(list, *part);
        }
        Term::WriteLoopback(part) => {
            wire::immediate(list, REGISTER, part.family().loopback_bytes());
            wire::write_address(list, *part);
        }
        Term::Masquerade => expression(list, "masq", |_| {}),
        Term::Accept => verdict(list, 1),
        Term::Drop => verdict(list, 0),
        Term::Return => verdict(list, -5),
    }
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
    wire::request(INET, kind, flags, what, write)
}
