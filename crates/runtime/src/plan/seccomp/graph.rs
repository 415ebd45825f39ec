//! The decision graph: tests of words of `seccomp_data` that lead to return values, equal parts made once.
//!
//! Nodes are made from the leaves up, so a test is made when both its outcomes are known; that is when it can be seen to
//! be needless ([`Graph::test`]) or already answered by the tests above it ([`Graph::assume`]).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use oci::runtime::LinuxSeccompOperator as Operator;

use super::architecture::Architecture;
use super::rules::Comparison;

/// The offsets of the words in `struct seccomp_data`.
pub(super) const NUMBER: u8 = 0;
pub(super) const ARCHITECTURE: u8 = 4;
const ARGUMENTS: u8 = 16;

/// A node of the graph, by its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeId(u32);

/// A node: the end, or a test and where its answers lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Return(u32),
    Test { word: u8, test: Test, yes: NodeId, no: NodeId },
}

/// A question about one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Test {
    Equal(u32),
    Above(u32),
    AtLeast(u32),
    /// Whether any of these bits is set.
    AnyOf(u32),
    /// Whether the bits under the mask are these.
    Masked {
        mask: u32,
        value: u32,
    },
}

/// What is known of one word: that it lies in a range, and is not one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    low: u32,
    high: u32,
    not: Option<u32>,
}

/// All nodes made so far.
#[derive(Debug)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    known: HashMap<Node, NodeId, BuildHasherDefault<Mixer>>,
    /// How many nodes below a new test [`Graph::assume`] looks at. Paths may be many more than nodes, so it must end.
    reach: u32,
}

impl Graph {
    /// Makes an empty graph; with a `reach` of zero nothing is copied in order to save tests.
    pub(super) fn new(reach: u32) -> Self {
        Self {
            nodes: Vec::with_capacity(512),
            known: HashMap::with_capacity_and_hasher(512, BuildHasherDefault::default()),
            reach,
        }
    }

    pub(super) fn node(&self, id: NodeId) -> Node {
        self.nodes[id.index()]
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the end that gives `action`.
    pub(super) fn end(&mut self, action: u32) -> NodeId {
        self.make(Node::Return(action))
    }

    /// Returns the node that asks `test` of `word`, or what stands for it when the answer does not matter.
    pub(super) fn test(&mut self, word: u8, test: Test, yes: NodeId, no: NodeId) -> NodeId {
        match test {
            _ if yes == no => yes,
            Test::AtLeast(0) => yes,
            Test::Above(u32::MAX) | Test::AnyOf(0) => no,
            Test::Masked { mask, value } if value & !mask != 0 => no,
            Test::Masked { mask: u32::MAX, value } => self.test(word, Test::Equal(value), yes, no),
            // AnyOf needs no masked copy of the word, which leaves the word in the register for the next test.
            Test::Masked { mask, value: 0 } => self.test(word, Test::AnyOf(mask), no, yes),
            Test::Masked { mask, value } if mask == value && mask.is_power_of_two() => {
                self.test(word, Test::AnyOf(mask), yes, no)
            }
            _ => {
                let yes = self.assume(yes, word, Known::after(test, true), &mut self.reach.clone());
                let no = self.assume(no, word, Known::after(test, false), &mut self.reach.clone());
                self.ask(word, test, yes, no)
            }
        }
    }

    /// Returns the node that leads to `yes` when an argument compares as asked, and to `no` otherwise.
    pub(super) fn compare(&mut self, of: &Architecture, comparison: &Comparison, yes: NodeId, no: NodeId) -> NodeId {
        let first = ARGUMENTS + 8 * comparison.argument;
        let (low_word, high_word) = if of.little_endian { (first, first + 4) } else { (first + 4, first) };
        let (value, value_high) = words(comparison.value);
        let (mask, mask_high) = words(comparison.mask);
        // NE, LT and LE are the others with the answers exchanged.
        let (operator, yes, no) = match comparison.operator {
            Operator::ScmpCmpNe => (Operator::ScmpCmpEq, no, yes),
            Operator::ScmpCmpLt => (Operator::ScmpCmpGe, no, yes),
            Operator::ScmpCmpLe => (Operator::ScmpCmpGt, no, yes),
            same => (same, yes, no),
        };
        let (low, high) = match operator {
            Operator::ScmpCmpGe => (Test::AtLeast(value), Test::Equal(value_high)),
            Operator::ScmpCmpGt => (Test::Above(value), Test::Equal(value_high)),
            Operator::ScmpCmpMaskedEq => {
                (Test::Masked { mask, value }, Test::Masked { mask: mask_high, value: value_high })
            }
            _ => (Test::Equal(value), Test::Equal(value_high)),
        };
        let below = self.test(low_word, low, yes, no);
        if !of.wide {
            return below;
        }
        let ordered = matches!(operator, Operator::ScmpCmpGe | Operator::ScmpCmpGt);
        let unequal = if ordered { self.test(high_word, Test::Above(value_high), yes, no) } else { no };
        self.test(high_word, high, below, unequal)
    }

    /// Returns the node that finds the range in which the call's number lies. Each range is given by its first number.
    ///
    /// The kernel remembers which calls are allowed whatever their arguments, and runs no filter for those. So the calls
    /// whose arguments decide come first: one or two of them are asked for by name, more are first halved. What is left is a
    /// tree over groups of ranges. Numbers from `beyond` on have a search of their own, which hangs some way down the
    /// right edge: so the few calls there cost not much more, and the many calls here little.
    pub(super) fn search(&mut self, ranges: &[(u32, NodeId)], beyond: Option<(u32, NodeId)>) -> NodeId {
        const DEPTH: u32 = 2;
        let (mut early, mut rest) = (Vec::new(), Vec::with_capacity(ranges.len()));
        for (index, &(start, node)) in ranges.iter().enumerate() {
            let single = ranges.get(index + 1).is_some_and(|(next, _)| next - start == 1);
            if single && self.looks_at_arguments(node) {
                early.push((start, node));
                // Nobody will ask for this number again, so it may as well lie in the range before it.
                if index > 0 {
                    continue;
                }
            }
            if rest.last().is_none_or(|(_, last)| *last != node) {
                rest.push((start, node));
            }
        }
        self.search_early(&early, &rest, beyond, DEPTH)
    }

    fn looks_at_arguments(&self, node: NodeId) -> bool {
        matches!(self.node(node), Node::Test { word: ARGUMENTS.., .. })
    }

    fn search_early(
        &mut self,
        early: &[(u32, NodeId)],
        rest: &[(u32, NodeId)],
        beyond: Option<(u32, NodeId)>,
        depth: u32,
    ) -> NodeId {
        match (early, beyond) {
            (_, Some((start, node))) if depth == 0 => {
                let here = self.search_early(early, rest, None, 0);
                self.ask(NUMBER, Test::AtLeast(start), node, here)
            }
            ([], _) => {
                let groups = self.grouped(rest);
                self.halve(&groups, beyond, depth)
            }
            (&[(number, node)] | &[(number, node), _], _) => {
                let others = self.search_early(&early[1..], rest, beyond, depth.saturating_sub(1));
                self.ask(NUMBER, Test::Equal(number), node, others)
            }
            _ => {
                let (left, right) = early.split_at(early.len().div_ceil(2));
                let middle = right[0].0;
                let at = rest.partition_point(|(start, _)| *start < middle);
                // The range in which the middle lies goes on to its right.
                let mut above = vec![(middle, rest[at - 1].1)];
                above.extend_from_slice(&rest[at..]);
                let yes = self.search_early(right, &above, beyond, depth.saturating_sub(1));
                let no = self.search_early(left, &rest[..at], None, 0);
                self.ask(NUMBER, Test::AtLeast(middle), yes, no)
            }
        }
    }

    /// Joins neighbours to groups, each of which needs one test: a pair of ranges, or a single number between two ranges with
    /// the same outcome, as lists are full of.
    fn grouped(&mut self, ranges: &[(u32, NodeId)]) -> Vec<(u32, NodeId)> {
        let mut groups = Vec::with_capacity(ranges.len() / 2 + 1);
        let mut rest = ranges;
        while let Some(&(start, first)) = rest.first() {
            let (size, node) = match rest {
                [_, (number, between), (next, last), ..] if *last == first && *next == number + 1 => {
                    (3, self.ask(NUMBER, Test::Equal(*number), *between, first))
                }
                [_, (next, second), ..] => (2, self.ask(NUMBER, Test::AtLeast(*next), *second, first)),
                _ => (1, first),
            };
            groups.push((start, node));
            rest = &rest[size..];
        }
        groups
    }

    fn halve(&mut self, groups: &[(u32, NodeId)], beyond: Option<(u32, NodeId)>, depth: u32) -> NodeId {
        match (groups, beyond) {
            (groups, Some((start, node))) if depth == 0 || groups.len() == 1 => {
                let here = self.halve(groups, None, 0);
                return self.ask(NUMBER, Test::AtLeast(start), node, here);
            }
            ([(_, only)], _) => return *only,
            _ => {}
        }
        let (left, right) = groups.split_at(groups.len() / 2);
        let (yes, no) = (self.halve(right, beyond, depth.saturating_sub(1)), self.halve(left, None, 0));
        self.ask(NUMBER, Test::AtLeast(right[0].0), yes, no)
    }

    /// Makes a test as it is, for places where no question can have been asked before.
    pub(super) fn ask(&mut self, word: u8, test: Test, yes: NodeId, no: NodeId) -> NodeId {
        if yes == no { yes } else { self.make(Node::Test { word, test, yes, no }) }
    }

    /// Returns what is left to do from `node` on when this is known of `word`; `node` itself when that is out of reach.
    fn assume(&mut self, node: NodeId, word: u8, known: Known, reach: &mut u32) -> NodeId {
        let Node::Test { word: asked, test, yes, no } = self.node(node) else { return node };
        let Some(rest) = reach.checked_sub(1) else { return node };
        *reach = rest;
        if asked == word {
            match known.answers(test) {
                Some(true) => return self.assume(yes, word, known, reach),
                Some(false) => return self.assume(no, word, known, reach),
                None => {}
            }
        }
        let (then, otherwise) = (self.assume(yes, word, known, reach), self.assume(no, word, known, reach));
        match (then == yes, otherwise == no) {
            (true, true) => node,
            _ => self.ask(asked, test, then, otherwise),
        }
    }

    fn make(&mut self, node: Node) -> NodeId {
        *self.known.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            NodeId(u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX))
        })
    }
}

impl NodeId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Known {
    /// Returns what an answer tells.
    fn after(test: Test, answer: bool) -> Self {
        let all = Self { low: 0, high: u32::MAX, not: None };
        match (test, answer) {
            (Test::Equal(value), true) => Self { low: value, high: value, not: None },
            (Test::Equal(0), false) => Self { low: 1, ..all },
            (Test::Equal(u32::MAX), false) => Self { high: u32::MAX - 1, ..all },
            (Test::Equal(value), false) => Self { not: Some(value), ..all },
            (Test::Above(value), true) => Self { low: value.saturating_add(1), ..all },
            (Test::Above(value), false) => Self { high: value, ..all },
            (Test::AtLeast(value), true) => Self { low: value, ..all },
            (Test::AtLeast(value), false) => Self { high: value.saturating_sub(1), ..all },
            (Test::AnyOf(_) | Test::Masked { .. }, _) => all,
        }
    }

    /// Returns the answer to a test, if this is enough to know it.
    fn answers(self, test: Test) -> Option<bool> {
        let exact = self.low == self.high;
        match test {
            Test::Equal(value) if value < self.low || value > self.high || self.not == Some(value) => Some(false),
            Test::Equal(_) if exact => Some(true),
            Test::Above(value) if self.low > value => Some(true),
            Test::Above(value) if self.high <= value => Some(false),
            Test::AtLeast(value) if self.low >= value => Some(true),
            Test::AtLeast(value) if self.high < value => Some(false),
            Test::AnyOf(bits) if exact => Some(self.low & bits != 0),
            Test::Masked { mask, value } if exact => Some(self.low & mask == value),
            _ => None,
        }
    }
}

/// A hash for a handful of small integers. The standard one withstands chosen keys, at a cost that a start would feel;
/// here the worst that a list can choose is a slow start of its own container.
#[derive(Debug, Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the two halves are what is asked for")]
fn words(value: u64) -> (u32, u32) {
    (value as u32, (value >> 32) as u32)
}
