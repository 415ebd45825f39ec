//! The host's other firewalls, which would drop what ours lets pass.
//!
//! Every base chain has its say about a packet, and one that drops is enough. Docker, ufw and others set the policy of
//! `FORWARD` to drop, and firewalld's chain ends with a refusal. Such a chain gets two rules at its head, the same that
//! `iptables -I FORWARD -i PREFIX+ -j ACCEPT` and `-o` make, so that `iptables` goes on understanding it. To accept there
//! ends that one chain: who of ours reaches whom is decided in our own table all the same.
//!
//! Chains of `iptables-legacy` are not nf_tables', and neither seen nor changed.

use sys::Errno;
use trace::{Explain, Step, quote};

use super::apply::{Firewall, FirewallError, TRIES, changed_meanwhile, first};
use super::message;
use super::step::FirewallStep;
use super::table::{Hook, Load, TABLE};
use super::wire::{self, FIXED_LENGTH, IN_TABLE, INET, REGISTER};
use crate::netlink::codec::text;
use crate::netlink::{Answer, Request, Writer, attributes};

/// Families of tables whose chains may stand in the way.
const FAMILIES: [(u8, &str); 3] = [(INET, "inet"), (2, "ip"), (10, "ip6")];
/// Both of our rules.
const WAYS: [Load; 2] = [Load::In, Load::Out];

impl Firewall<'_> {
    /// Has the host's other firewalls let pass what comes from and goes to links whose name begins with `prefix`, and tells
    /// whether that was new to one of them. Where nobody stands in the way it costs one question.
    ///
    /// A table that belongs to another process, as firewalld's may, can be changed by that process alone: it is left as it
    /// is, with a warning.
    pub fn admit(&mut self, prefix: &str) -> Result<bool, FirewallError> {
        let mut is_new = false;
        for chain in self.foreign_chains()?.into_iter().filter(|chain| chain.refuses) {
            let missing = |ours: &[Ours]| {
                let missing = WAYS.into_iter().filter(|way| !ours.iter().any(|rule| rule.way == *way));
                ChainStep { chain: &chain, prefix, insert: missing.collect(), delete: Vec::new() }
            };
            is_new |= self.mend(&chain, prefix, missing)?;
        }
        Ok(is_new)
    }

    /// Removes our table, and our rules from the chains of others. It goes on past a failure, and gives the first one back.
    pub fn withdraw(&mut self, prefix: &str) -> Result<(), FirewallError> {
        let removed = self.apply(&FirewallStep::Remove);
        let left = self.leave_foreign(prefix);
        removed.and(left)
    }

    /// Does the same if nothing is in our table, and tells whether it was so. An element that another command adds meanwhile
    /// is not lost: the kernel then refuses to remove the table, and it is looked at anew.
    pub fn withdraw_if_empty(&mut self, prefix: &str) -> Result<bool, FirewallError> {
        for _ in 0..TRIES {
            let (generation, elements) = self.read()?;
            if !elements.is_empty() {
                return Ok(false);
            }
            self.recorder.record(&FirewallStep::Remove);
            match self.socket.transaction(&message::remove_table(), generation).map_err(first) {
                Ok(()) => return self.leave_foreign(prefix).map(|()| true),
                Err(error) if error.errno() == changed_meanwhile() => {}
                Err(source) => return Err(FirewallError::Step { what: FirewallStep::Remove.explain().what, source }),
            }
        }
        Ok(false)
    }

    /// Removes our rules from the chains of others.
    fn leave_foreign(&mut self, prefix: &str) -> Result<(), FirewallError> {
        let mut result = Ok(());
        for chain in self.foreign_chains()? {
            let all = |ours: &[Ours]| ChainStep { chain: &chain, prefix, insert: Vec::new(), delete: ours.to_vec() };
            result = result.and(self.mend(&chain, prefix, all).map(drop));
        }
        result
    }

    /// Changes a chain as `plan` says, given our rules in it, and tells whether that changed anything. What others change
    /// meanwhile makes it plan anew.
    fn mend<'c>(
        &mut self,
        chain: &Chain,
        prefix: &str,
        plan: impl Fn(&[Ours]) -> ChainStep<'c>,
    ) -> Result<bool, FirewallError> {
        let mut last = None;
        for _ in 0..TRIES {
            let generation = self.generation().map_err(FirewallError::Read)?;
            let step = plan(&self.our_rules(chain, prefix)?);
            let requests = step.requests();
            if requests.is_empty() {
                return Ok(false);
            }
            if last.is_none() {
                self.recorder.record(&step);
            }
            match self.socket.transaction(&requests, generation).map_err(first) {
                Ok(()) => return Ok(true),
                // Who has gone stands in nobody's way.
                Err(error) if error.errno() == Errno::NOENT => return Ok(false),
                Err(error) if error.errno() == Errno::PERM => {
                    tracing::warn!("{chain} belongs to another process, which alone can let {prefix}* pass");
                    return Ok(false);
                }
                Err(error) if error.errno() == changed_meanwhile() => {
                    last = Some(FirewallError::Step { what: step.explain().what, source: error });
                }
                Err(source) => return Err(FirewallError::Step { what: step.explain().what, source }),
            }
        }
        last.map_or(Ok(false), Err)
    }

    /// Returns the chains of others that see what is forwarded.
    fn foreign_chains(&mut self) -> Result<Vec<Chain>, FirewallError> {
        let all = wire::request(0, wire::GET_CHAIN, 0, "NFT_MSG_GETCHAIN(NLM_F_DUMP)".into(), |_| {});
        self.socket.dump(&all, Chain::read).map_err(FirewallError::Read)
    }

    fn our_rules(&mut self, chain: &Chain, prefix: &str) -> Result<Vec<Ours>, FirewallError> {
        let all = chain.request(wire::GET_RULE, 0, "NFT_MSG_GETRULE", |_| {});
        match self.socket.dump(&all, |answer| Ours::read(answer, prefix)) {
            Err(error) if error.errno() == Errno::NOENT => Ok(Vec::new()),
            result => result.map_err(FirewallError::Read),
        }
    }
}

/// A base chain that sees what is forwarded.
#[derive(Debug)]
struct Chain {
    family: u8,
    table: String,
    name: String,
    /// Whether it refuses what it does not know.
    refuses: bool,
}

impl Chain {
    /// Reads a chain; `None` if it is not of that sort, or ours.
    fn read(answer: &Answer<'_>) -> Option<Self> {
        const NAME: u16 = 3;
        const HOOK: u16 = 4;
        const POLICY: u16 = 5;
        const KIND: u16 = 7;
        const HOOK_NUMBER: u16 = 1;
        const DROP: u32 = 0;
        let held = |kind| held(answer.body.get(FIXED_LENGTH..)?, kind);
        let family = *answer.body.first()?;
        let family_name = FAMILIES.iter().find(|(number, _)| *number == family)?.1;
        let (table, name) = (text(held(IN_TABLE)?), text(held(NAME)?));
        let place = number(self::held(held(HOOK)?, HOOK_NUMBER)?)?;
        if place != Hook::Forward as u32 || text(held(KIND)?) != "filter" || (family, &*table) == (INET, TABLE) {
            return None;
        }
        let is_of_firewalld = (family_name, &*table, &*name) == ("inet", "firewalld", "filter_FORWARD");
        let refuses = is_of_firewalld || held(POLICY).and_then(number) == Some(DROP);
        Some(Self { family, table, name, refuses })
    }

    /// Makes a message about the chain's rules.
    fn request(&self, kind: u16, flags: u16, verb: &str, write: impl FnOnce(&mut Writer)) -> Request {
        const IN_CHAIN: u16 = 2;
        wire::request(self.family, kind, flags, format!("{verb}({self})"), |body| {
            body.text(IN_TABLE, &self.table).text(IN_CHAIN, &self.name);
            write(body);
        })
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let family = FAMILIES.iter().find(|(number, _)| *number == self.family).map_or("", |(_, name)| name);
        write!(f, "{family} {} {}", self.table, self.name)
    }
}

const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const ACCEPT: i32 = 1;

/// A rule of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ours {
    handle: u64,
    way: Load,
}

impl Ours {
    /// Reads a rule; `None` if it is of another form than those that we make for this prefix.
    fn read(answer: &Answer<'_>, prefix: &str) -> Option<Self> {
        let held = |kind| held(answer.body.get(FIXED_LENGTH..)?, kind);
        let handle = u64::from_be_bytes(held(RULE_HANDLE)?.try_into().ok()?);
        let expressions: Vec<_> = attributes(held(RULE_EXPRESSIONS)?).filter_map(|(_, item)| named(item)).collect();
        let [(meta, loaded), (compare, compared), (counter, _), (immediate, verdict)] = &expressions[..] else {
            return None;
        };
        let is_ours = (&**meta, &**compare, &**counter, &**immediate) == ("meta", "cmp", "counter", "immediate")
            && self::held(loaded, 1) == self::held(compared, 1)
            && self::held(compared, 2).and_then(number) == Some(0)
            && self::held(compared, 3).and_then(|data| self::held(data, 1)) == Some(prefix.as_bytes())
            && self::held(verdict, 1).and_then(number) == Some(0)
            && code(verdict) == Some(ACCEPT);
        let way = match self::held(loaded, 2).and_then(number)? {
            6 => Load::In,
            7 => Load::Out,
            _ => return None,
        };
        is_ours.then_some(Self { handle, way })
    }
}

/// Reads an expression: its name and its attributes.
fn named(item: &[u8]) -> Option<(String, &[u8])> {
    Some((text(held(item, 1)?), held(item, 2).unwrap_or_default()))
}

/// Reads the code of a verdict.
fn code(verdict: &[u8]) -> Option<i32> {
    number(held(held(held(verdict, 2)?, 2)?, 1)?).map(u32::cast_signed)
}

fn held(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// A change to the rules of a chain of others.
struct ChainStep<'a> {
    chain: &'a Chain,
    prefix: &'a str,
    /// What is put at its head.
    insert: Vec<Load>,
    /// What goes.
    delete: Vec<Ours>,
}

impl ChainStep<'_> {
    fn requests(&self) -> Vec<Request> {
        let insert = |way: &Load| {
            self.chain.request(wire::NEW_RULE, wire::CREATE, "NFT_MSG_NEWRULE", |body| {
                body.nest(RULE_EXPRESSIONS, |list| {
                    wire::load(list, *way, REGISTER);
                    wire::compare(list, true, self.prefix.as_bytes());
                    wire::counter(list);
                    wire::verdict(list, ACCEPT);
                });
            })
        };
        let delete = |rule: &Ours| {
            self.chain.request(wire::DELETE_RULE, 0, "NFT_MSG_DELRULE", |body| {
                body.attribute(RULE_HANDLE, &rule.handle.to_be_bytes());
            })
        };
        // Each goes before the others, and what is told first stands first in the end.
        self.insert.iter().rev().map(insert).chain(self.delete.iter().map(delete)).collect()
    }
}

impl Explain for ChainStep<'_> {
    fn explain(&self) -> Step {
        let Self { chain, prefix, .. } = self;
        let insert = self
            .insert
            .iter()
            .rev()
            .map(|way| format!("insert rule {chain} {} \"{prefix}*\" counter accept", way.text()));
        let delete = self.delete.iter().map(|rule| format!("delete rule {chain} handle {}", rule.handle));
        let lines: Vec<_> = insert.chain(delete).collect();
        let what = match self.delete.is_empty() {
            true => format!("have the firewall chain {chain} let pass what comes from and goes to links {prefix}*"),
            false => format!("remove from the firewall chain {chain} what lets links {prefix}* pass"),
        };
        Step::host(what, format!("nft {}", quote(&lines.join("\n"))))
    }
}
