//! Carrying out changes to the table, each in one transaction, and reading what is in it.

use std::os::fd::BorrowedFd;

use ipnet::IpNet;
use sys::netlink::Protocol;
use sys::{Errno, Error};
use trace::{Explain, Recorder};

use super::message::{self, ELEMENTS, TABLE_USERDATA, element};
use super::set::{Element, Field, Part, Set, Shape};
use super::step::FirewallStep;
use super::table::{CHAINS, LAYOUT};
use super::wire::FIXED_LENGTH;
use crate::netlink::{Answer, Refused, Request, Socket, attributes};

/// Why the firewall could not be changed or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FirewallError {
    /// The kernel refused the step, and nothing of it holds.
    #[error("cannot {what}")]
    Step {
        /// The step, as it tells itself.
        what: String,
        /// What the kernel said.
        source: Error,
    },
    /// There is no socket to speak over.
    #[error("cannot speak to the firewall")]
    Socket(#[source] Error),
    /// What there is cannot be read.
    #[error("cannot read the firewall table")]
    Read(#[source] Error),
}

impl FirewallError {
    /// Returns what the kernel answered.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Step { source, .. } | Self::Socket(source) | Self::Read(source) => source.errno(),
        }
    }
}

/// What there is of our table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing: it was never made, or somebody has flushed the ruleset.
    Missing,
    /// The table that this version makes.
    Current,
    /// One that another version has made.
    Other,
}

/// The firewall of a network namespace.
///
/// After something was removed, closing it (and so the end of the process) takes some milliseconds: the kernel first waits
/// until no packet can be on its way past what is gone. Whoever has more to do does it before.
#[derive(Debug)]
pub struct Firewall<'a> {
    pub(super) socket: Socket,
    pub(super) recorder: &'a Recorder,
}

/// How often a transaction is tried again that met another.
pub(super) const TRIES: usize = 8;
/// Room for the refusals of a transaction of many messages.
const ANSWERS: usize = 1 << 20;

impl<'a> Firewall<'a> {
    /// Opens the firewall of the calling thread's namespace, or of the one behind `namespace`.
    pub fn open(namespace: Option<BorrowedFd<'_>>, recorder: &'a Recorder) -> Result<Self, FirewallError> {
        let socket = Socket::open(Protocol::Netfilter, namespace).map_err(FirewallError::Socket)?;
        socket.make_room(ANSWERS).map_err(FirewallError::Socket)?;
        Ok(Self { socket, recorder })
    }

    /// Tells what there is of our table.
    pub fn state(&mut self) -> Result<State, FirewallError> {
        let comment = message::comment(LAYOUT);
        let ours = |answer: &Answer<'_>| {
            let mut held = answer.attributes(FIXED_LENGTH);
            Some(held.any(|(kind, value)| kind == TABLE_USERDATA && value == comment))
        };
        let found = self.socket.get(&message::get_table(), ours).map_err(FirewallError::Read)?;
        Ok(match found {
            None => State::Missing,
            Some(true) => State::Current,
            Some(false) => State::Other,
        })
    }

    /// Carries out a step: all of it, or nothing.
    ///
    /// `ENOENT` on a change that adds means that the table is gone.
    pub fn apply(&mut self, step: &FirewallStep) -> Result<(), FirewallError> {
        let failed = |source| FirewallError::Step { what: step.explain().what, source };
        match step {
            FirewallStep::Make => {
                if self.state()? != State::Missing {
                    return Ok(());
                }
                self.recorder.record(step);
                match self.transaction(&message::make_table(true)) {
                    // Another command was first.
                    Err(refused) if refused[0].source.errno() == Errno::EXIST => Ok(()),
                    result => result.map_err(first).map_err(failed),
                }
            }
            FirewallStep::Rebuild(elements) => {
                self.recorder.record(step);
                let mut requests = message::remove_table();
                requests.extend(message::make_table(false));
                requests.extend(elements.iter().map(message::add_element));
                self.transaction(&requests).map_err(first).map_err(failed)
            }
            FirewallStep::Change { remove, add, .. } => {
                self.recorder.record(step);
                self.change(remove, add).map_err(failed)
            }
            FirewallStep::Remove => {
                self.recorder.record(step);
                self.transaction(&message::remove_table()).map_err(first).map_err(failed)
            }
        }
    }

    /// Removes and adds elements. One that cannot be removed because it is gone makes the kernel refuse all, so those are
    /// left out and the rest is tried again.
    fn change(&mut self, remove: &[Element], add: &[Element]) -> sys::Result<()> {
        let mut requests: Vec<_> = remove.iter().map(message::remove_element).collect();
        let mut removing = requests.len();
        requests.extend(add.iter().map(message::add_element));
        loop {
            let Err(refused) = self.transaction(&requests) else { return Ok(()) };
            let gone = |refused: &Refused| refused.index < removing && refused.source.errno() == Errno::NOENT;
            if !refused.iter().all(gone) {
                return Err(first(refused.into_iter().filter(|refused| !gone(refused)).collect()));
            }
            let mut indices: Vec<_> = refused.iter().map(|refused| refused.index).collect();
            indices.sort_unstable();
            indices.dedup();
            for index in indices.iter().rev() {
                requests.remove(*index);
            }
            removing -= indices.len();
        }
    }

    /// Makes the table hold these elements and no others, and tells whether it did not before.
    ///
    /// It puts back what a flush took, and removes what nobody owns any more. If another command changes the ruleset
    /// between the look and the change, the kernel refuses the change, and it is planned anew: so an element that has just
    /// been replaced under its key is never removed in the place of the old one.
    pub fn settle(&mut self, what: &str, wanted: &[Element]) -> Result<bool, FirewallError> {
        if self.state()? != State::Current {
            return self.apply(&FirewallStep::Rebuild(wanted.to_vec())).map(|()| true);
        }
        for _ in 0..TRIES {
            let (generation, found) = self.read()?;
            let lacks = |among: &[Element], element: &&Element| !among.contains(element);
            let remove: Vec<_> = found.iter().filter(|element| lacks(wanted, element)).cloned().collect();
            let add: Vec<_> = wanted.iter().filter(|element| lacks(&found, element)).cloned().collect();
            if remove.is_empty() && add.is_empty() {
                return Ok(false);
            }
            let mut requests: Vec<_> = remove.iter().map(message::remove_element).collect();
            requests.extend(add.iter().map(message::add_element));
            self.recorder.record(&FirewallStep::Change { what: what.to_owned(), remove, add });
            match self.socket.transaction(&requests, generation).map_err(first) {
                Ok(()) => return Ok(true),
                Err(error) if error.errno() == changed_meanwhile() => {}
                Err(source) => return Err(FirewallError::Step { what: what.to_owned(), source }),
            }
        }
        let source = Error::new("NFNL_MSG_BATCH_BEGIN(NFNL_BATCH_GENID)", changed_meanwhile());
        Err(FirewallError::Step { what: what.to_owned(), source })
    }

    /// Tells whether an element is in our table, with its value: a question that costs the same however many there are.
    pub fn holds(&mut self, element: &Element) -> Result<bool, FirewallError> {
        let read = |answer: &Answer<'_>| {
            let mut lists = answer.attributes(FIXED_LENGTH).filter(|(kind, _)| *kind == ELEMENTS);
            attributes(lists.next()?.1).next().map(|(_, item)| Raw::read(item))
        };
        let mut found = Vec::new();
        for question in message::get_element(element) {
            // No element, no set or no table: it is the same answer.
            match self.socket.get(&question, read).map_err(FirewallError::Read)? {
                Some(raw) => found.push(raw),
                None => return Ok(false),
            }
        }
        Ok(into_elements(element.set, &element.set.shape(), found) == [element.clone()])
    }

    /// Tells whether the chains of our table have their rules, as far as their number goes: `nft flush table` takes the rules
    /// and leaves the elements.
    pub fn has_rules(&mut self) -> Result<bool, FirewallError> {
        for chain in CHAINS {
            match self.socket.dump(&message::get_rules(chain), |_| Some(())) {
                Ok(rules) if rules.len() == chain.rules.len() => {}
                Ok(_) => return Ok(false),
                Err(error) if error.errno() == Errno::NOENT => return Ok(false),
                Err(error) => return Err(FirewallError::Read(error)),
            }
        }
        Ok(true)
    }

    fn transaction(&mut self, requests: &[Request]) -> Result<(), Vec<Refused>> {
        let mut tries = 0;
        loop {
            match self.socket.transaction(requests, None) {
                Err(refused) if tries < TRIES && refused.iter().all(met_another) => tries += 1,
                result => return result,
            }
        }
    }

    /// Reads the elements of all sets and maps, in order; none if the table is not there.
    ///
    /// The sets are read one after another. If the ruleset changed meanwhile, they are read anew.
    pub fn elements(&mut self) -> Result<Vec<Element>, FirewallError> {
        self.read().map(|(_, elements)| elements)
    }

    /// Reads the elements, and the number of the ruleset in which they are.
    pub(super) fn read(&mut self) -> Result<(Option<u32>, Vec<Element>), FirewallError> {
        for _ in 0..TRIES {
            let before = self.generation().map_err(FirewallError::Read)?;
            let read: sys::Result<Vec<_>> = Set::ALL.into_iter().map(|set| self.elements_of(set)).collect();
            if self.generation().map_err(FirewallError::Read)? == before {
                let mut elements = read.map_err(FirewallError::Read)?.concat();
                elements.sort();
                return Ok((before, elements));
            }
        }
        Err(FirewallError::Read(Error::new("NFT_MSG_GETSETELEM()", Errno::INTR)))
    }

    fn elements_of(&mut self, set: Set) -> sys::Result<Vec<Element>> {
        let shape = set.shape();
        let read = |answer: &Answer<'_>| {
            let lists = answer.attributes(FIXED_LENGTH).filter(|(kind, _)| *kind == ELEMENTS);
            Some(lists.flat_map(|(_, list)| attributes(list)).map(|(_, item)| Raw::read(item)).collect::<Vec<_>>())
        };
        match self.socket.dump(&message::get_elements(set), read) {
            Ok(found) => Ok(into_elements(set, &shape, found.into_iter().flatten().collect())),
            Err(error) if error.errno() == Errno::NOENT => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns the number of the ruleset, which every change by anybody raises.
    pub(super) fn generation(&mut self) -> sys::Result<Option<u32>> {
        const NUMBER: u16 = 1;
        let read = |answer: &Answer<'_>| {
            let number = answer.attributes(FIXED_LENGTH).find(|(kind, _)| *kind == NUMBER)?.1;
            Some(u32::from_be_bytes(number.try_into().ok()?))
        };
        self.socket.get(&message::get_generation(), read)
    }
}

/// The kernel's answer to a transaction that was planned for another ruleset (`ERESTART`).
pub(super) fn changed_meanwhile() -> Errno {
    Errno::from_raw_os_error(85)
}

fn met_another(refused: &Refused) -> bool {
    matches!(refused.source.errno(), Errno::INTR | Errno::AGAIN)
}

/// Returns the first refusal; the others mostly follow from it.
pub(super) fn first(refused: Vec<Refused>) -> Error {
    let first = refused.into_iter().next();
    first.map_or_else(|| Error::new("NFNL_MSG_BATCH()", Errno::IO), |refused| refused.source)
}

/// An element as the kernel tells it.
#[derive(Debug, Default)]
struct Raw {
    key: Vec<u8>,
    key_end: Option<Vec<u8>>,
    value: Vec<u8>,
    is_end: bool,
}

impl Raw {
    fn read(item: &[u8]) -> Self {
        let mut raw = Self::default();
        let bytes = |value| attributes(value).next().map(|(_, bytes)| bytes.to_vec());
        for (kind, value) in attributes(item) {
            match kind {
                element::KEY => raw.key = bytes(value).unwrap_or_default(),
                element::KEY_END => raw.key_end = bytes(value),
                element::VALUE => raw.value = bytes(value).unwrap_or_default(),
                element::FLAGS => raw.is_end = value == element::IS_END.to_be_bytes(),
                _ => {}
            }
        }
        raw
    }
}

/// Turns what the kernel tells into elements. What is not of our making, and so cannot be read, is left out.
fn into_elements(set: Set, shape: &Shape, mut raw: Vec<Raw>) -> Vec<Element> {
    let alone = shape.subnets && shape.key.len() == 1;
    if alone {
        // Each subnet begins with one element and ends before another, and the kernel tells them backwards.
        raw.sort_by(|one, other| (&one.key, !one.is_end).cmp(&(&other.key, !other.is_end)));
    }
    let read = |index: usize| {
        let Raw { key, key_end, value, is_end } = &raw[index];
        let mut key = parts(shape.key, key)?;
        if *is_end {
            return None;
        }
        if shape.subnets {
            let last = match (alone, key_end) {
                (true, _) => before(raw.get(index + 1).map(|next| next.key.clone()), shape.key[0]),
                (false, Some(end)) => parts(shape.key, end)?.swap_remove(0),
                (false, None) => key[0].clone(),
            };
            key[0] = Part::Subnet(subnet(&key[0], &last)?);
        }
        Some(Element { set, key, value: parts(shape.value, value)? })
    };
    (0..raw.len()).filter_map(read).collect()
}

fn parts(fields: &[Field], bytes: &[u8]) -> Option<Vec<Part>> {
    let mut at = 0;
    let mut read = |field: &Field| {
        let value = bytes.get(at..at + field.length())?;
        at += field.length().next_multiple_of(4);
        Part::read(*field, value)
    };
    fields.iter().map(&mut read).collect()
}

/// Returns the address before the one that begins at `next`; the last of all if nothing follows.
fn before(next: Option<Vec<u8>>, field: Field) -> Part {
    let mut bytes = next.unwrap_or_else(|| vec![0; field.length()]);
    for byte in bytes.iter_mut().rev() {
        *byte = byte.wrapping_sub(1);
        if *byte != 0xff {
            break;
        }
    }
    Part::read(field, &bytes).unwrap_or(Part::Port(0))
}

/// Returns the subnet that goes from the first address to the last.
fn subnet(first: &Part, last: &Part) -> Option<IpNet> {
    let (Part::Address(first), Part::Address(last)) = (first, last) else { return None };
    let longest = if first.is_ipv4() { 32 } else { 128 };
    (0..=longest)
        .filter_map(|length| IpNet::new(*first, length).ok())
        .find(|subnet| subnet.network() == *first && subnet.broadcast() == *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_alone_are_read_from_their_bounds() {
        let raw = |key: [u8; 4], is_end| Raw { key: key.to_vec(), is_end, ..Raw::default() };
        let told = vec![
            raw([255, 255, 255, 0], false),
            raw([10, 89, 2, 0], true),
            raw([10, 89, 1, 0], false),
            raw([10, 89, 1, 0], true),
            raw([10, 89, 0, 0], false),
            raw([0, 0, 0, 0], true),
        ];
        let read = into_elements(Set::Masquerade4, &Set::Masquerade4.shape(), told);
        let read: Vec<_> = read.iter().map(ToString::to_string).collect();
        assert_eq!(read, ["10.89.0.0/24", "10.89.1.0/24", "255.255.255.0/24"]);
    }
}
