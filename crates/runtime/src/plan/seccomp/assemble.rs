//! From the decision graph to instructions.
//!
//! A jump goes forward and a short way (255 instructions), so the program is written from its end: when a test is written,
//! the places of both its outcomes are known. What lies too far away is brought near: an end by writing it again, anything
//! else by an unconditional jump, which has no such bound.

use std::collections::HashMap;

use sys::seccomp::{Instruction, MAX_INSTRUCTIONS};

use super::CompileError;
use super::graph::{Graph, Node, NodeId, Test};

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ABOVE: u16 = 0x25;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_ANY_OF: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Returns the program that walks the graph from `root`.
pub(super) fn assemble(graph: &Graph, root: NodeId) -> Result<Vec<Instruction>, CompileError> {
    let mut assembler = Assembler {
        graph,
        needs_load: vec![false; graph.len()],
        places: vec![None; graph.len()],
        nearer: HashMap::new(),
        reversed: Vec::with_capacity(graph.len() * 2),
    };
    let order = assembler.order(root);
    for node in order {
        assembler.write(node);
        if assembler.reversed.len() > MAX_INSTRUCTIONS {
            return Err(CompileError::TooLong);
        }
    }
    assembler.reversed.reverse();
    Ok(assembler.reversed)
}

/// The place of a written node, counted from the program's end.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Where to enter in any case.
    start: usize,
    /// Where to enter when the word is in the register already.
    loaded: usize,
}

struct Assembler<'a> {
    graph: &'a Graph,
    needs_load: Vec<bool>,
    places: Vec<Option<Place>>,
    /// The latest stand-in for a place that is too far away.
    nearer: HashMap<usize, usize>,
    reversed: Vec<Instruction>,
}

impl Assembler<'_> {
    /// Returns the nodes below `root`, each behind all that it leads to, and notes which of them must load their word.
    ///
    /// What follows the answer "yes" comes last, which puts it right behind its test: it is the likelier way through the
    /// tests of architectures.
    fn order(&mut self, root: NodeId) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(self.graph.len());
        let mut seen = vec![false; self.graph.len()];
        let mut stack = vec![(root, false)];
        self.needs_load[root.index()] = true;
        while let Some((id, below_is_done)) = stack.pop() {
            if below_is_done {
                order.push(id);
            } else if !std::mem::replace(&mut seen[id.index()], true) {
                stack.push((id, true));
                if let Node::Test { yes, no, .. } = self.graph.node(id) {
                    for next in [yes, no] {
                        self.needs_load[next.index()] |= !self.carries(id, next);
                        stack.push((next, false));
                    }
                }
            }
        }
        order
    }

    /// Tells whether the word that `next` asks about is in the register after the test of `id`.
    fn carries(&self, id: NodeId, next: NodeId) -> bool {
        match (self.graph.node(id), self.graph.node(next)) {
            (Node::Test { test: Test::Masked { .. }, .. }, _) => false,
            (Node::Test { word, .. }, Node::Test { word: wanted, .. }) => word == wanted,
            _ => false,
        }
    }

    fn write(&mut self, id: NodeId) {
        match self.graph.node(id) {
            Node::Return(action) => {
                let place = self.push(RETURN, action);
                self.places[id.index()] = Some(Place { start: place, loaded: place });
            }
            Node::Test { word, test, yes, no } => {
                let (code, k) = match test {
                    Test::Equal(value) | Test::Masked { value, .. } => (JUMP_EQUAL, value),
                    Test::Above(value) => (JUMP_ABOVE, value),
                    Test::AtLeast(value) => (JUMP_AT_LEAST, value),
                    Test::AnyOf(bits) => (JUMP_ANY_OF, bits),
                };
                let (jt, jf) = self.bring_near(self.entry(id, yes), self.entry(id, no));
                self.reversed.push(Instruction { code, jt, jf, k });
                if let Test::Masked { mask, .. } = test {
                    self.push(AND, mask);
                }
                let loaded = self.reversed.len() - 1;
                let start = if self.needs_load[id.index()] { self.push(LOAD, word.into()) } else { loaded };
                self.places[id.index()] = Some(Place { start, loaded });
            }
        }
    }

    /// Returns where to enter `next` from the test of `id`.
    fn entry(&self, id: NodeId, next: NodeId) -> usize {
        // Written before `id`, by the order.
        let place = self.places[next.index()].unwrap_or(Place { start: 0, loaded: 0 });
        if self.carries(id, next) { place.loaded } else { place.start }
    }

    /// Returns how far both places are from the instruction to be written next, which is as far as a test can jump.
    fn bring_near(&mut self, yes: usize, no: usize) -> (u8, u8) {
        let (mut yes, mut no) = (self.stand_in(yes), self.stand_in(no));
        loop {
            match (self.distance(yes), self.distance(no)) {
                (Some(yes), Some(no)) => return (yes, no),
                (None, _) => yes = self.write_stand_in(yes),
                (_, None) => no = self.write_stand_in(no),
            }
        }
    }

    fn distance(&self, place: usize) -> Option<u8> {
        u8::try_from(self.reversed.len() - 1 - place).ok()
    }

    fn stand_in(&self, place: usize) -> usize {
        match self.nearer.get(&place) {
            Some(&nearer) if self.distance(place).is_none() && self.distance(nearer).is_some() => nearer,
            _ => place,
        }
    }

    fn write_stand_in(&mut self, place: usize) -> usize {
        let target = self.reversed[place];
        let written = if target.code == RETURN {
            self.push(RETURN, target.k)
        } else {
            // At most 4096 instructions lie between.
            let skip = u32::try_from(self.reversed.len() - 1 - place).unwrap_or(u32::MAX);
            self.push(JUMP, skip)
        };
        self.nearer.insert(place, written);
        written
    }

    fn push(&mut self, code: u16, k: u32) -> usize {
        self.reversed.push(Instruction { code, jt: 0, jf: 0, k });
        self.reversed.len() - 1
    }
}
