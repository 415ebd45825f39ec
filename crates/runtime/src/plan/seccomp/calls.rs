//! What becomes of each call number of one architecture: ranges of numbers with the same outcome.

use oci::runtime::LinuxSeccompOperator;

use super::CompileError;
use super::architecture::{Architecture, FIRST_PRIVATE, X32_BIT};
use super::graph::{Graph, NodeId};
use super::rules::{ALLOW, Comparison, ENOSYS, KILL_THREAD, LOG, Rule, Rules};
use super::table::{Row, TABLE, VIA_IPC, VIA_SOCKETCALL};

/// More nodes than any program that fits has; a list that needs them is refused before it costs time and memory.
const MOST_NODES: usize = 1 << 16;

/// Returns the node that decides on the calls for which the kernel gives `audit` as the architecture.
pub(super) fn plan(
    graph: &mut Graph,
    rules: &Rules,
    architectures: &[Architecture],
    audit: u32,
) -> Result<NodeId, CompileError> {
    let sharing = || architectures.iter().filter(|one| one.audit == audit);
    let x32 = sharing().find(|one| one.is_x32());
    let bad = graph.end(KILL_THREAD);
    let mut ranges = Ranges::default();
    match sharing().find(|one| !one.is_x32()) {
        Some(own) => ranges.add_architecture(graph, rules, own, 0)?,
        None => ranges.push(0, bad),
    }
    let mut beyond = None;
    if let Some(x32) = x32 {
        let mut own = Ranges::default();
        own.add_architecture(graph, rules, x32, X32_BIT)?;
        beyond = Some((X32_BIT, graph.search(&own.0, None)));
    } else if audit == oci::runtime::Arch::ScmpArchX86_64 as u32 {
        ranges.push(X32_BIT, bad);
        // A tracer skips a call by making it number -1, which the filter sees; it is a call of no architecture.
        ranges.push(u32::MAX, graph.end(rules.default));
    }
    Ok(graph.search(&ranges.0, beyond))
}

/// Where each range begins, and what becomes of its calls.
#[derive(Debug, Default)]
struct Ranges(Vec<(u32, NodeId)>);

impl Ranges {
    /// Adds all numbers of one architecture, which begin with `first`.
    fn add_architecture(
        &mut self,
        graph: &mut Graph,
        rules: &Rules,
        of: &Architecture,
        first: u32,
    ) -> Result<(), CompileError> {
        let default = graph.end(rules.default);
        let newer = if rules.refuses_by_default() { highest_named(rules, of) } else { None };
        let beyond = newer.map_or(u64::MAX, |highest| u64::from(highest) + 1);
        let enosys = if newer.is_some() { graph.end(ENOSYS) } else { default };
        let mut next = u64::from(first);
        for group in entries(rules, of).chunk_by(|a, b| a.number == b.number) {
            let number = u64::from(group[0].number);
            self.fill(next, number, beyond, default, enosys);
            let node = decide(graph, rules, of, group);
            self.push(group[0].number, node);
            next = number + 1;
            if graph.len() > MOST_NODES {
                return Err(CompileError::TooLong);
            }
        }
        self.fill(next, 1 << 32, beyond, default, enosys);
        if of.parks_unknown_at_zero && newer.is_some() {
            self.replace_zero(enosys);
        }
        Ok(())
    }

    /// Adds the numbers from `from` up to but not `to`, which no rule names.
    fn fill(&mut self, from: u64, to: u64, beyond: u64, default: NodeId, enosys: NodeId) {
        let known = from..to.min(beyond);
        let unknown = from.max(beyond)..to;
        for (range, node) in [(known, default), (unknown, enosys)] {
            if let (false, Ok(start)) = (range.is_empty(), u32::try_from(range.start)) {
                self.push(start, node);
            }
        }
    }

    fn push(&mut self, start: u32, node: NodeId) {
        if self.0.last().is_none_or(|(_, last)| *last != node) {
            self.0.push((start, node));
        }
    }

    /// Gives number 0 an outcome of its own.
    fn replace_zero(&mut self, node: NodeId) {
        let zero = self.0[0].1;
        if self.0.get(1).is_none_or(|(start, _)| *start > 1) {
            self.0.insert(1, (1, zero));
        }
        self.0[0].1 = node;
    }
}

/// One call as one rule names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    number: u32,
    rule: u32,
    /// What the first argument says when the call is one of several behind the number.
    shared: u16,
}

/// Returns the calls that the list names, by number and then in the list's order.
fn entries(rules: &Rules, of: &Architecture) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(rules.named.len());
    for &(row, rule) in &rules.named {
        if let Some(number) = of.number(row) {
            entries.push(Entry { number, rule, shared: 0 });
        }
        if of.multiplexes && row.2 != 0 && reaches_shared(&rules.rules[rule as usize]) {
            let number = entry_point(row.2).and_then(|row| of.number(row));
            entries.extend(number.map(|number| Entry { number, rule, shared: row.2 }));
        }
    }
    entries.sort_unstable();
    entries
}

/// Tells whether a rule for a name holds where its arguments cannot be seen: not if it allows by the arguments.
fn reaches_shared(rule: &Rule) -> bool {
    rule.alternatives.is_empty() || !matches!(rule.action, ALLOW | LOG)
}

/// Returns the call that leads to several.
fn entry_point(shared: u16) -> Option<&'static Row> {
    let name = if shared & VIA_IPC != 0 { "ipc" } else { "socketcall" };
    TABLE.binary_search_by(|row| row.0.cmp(name)).ok().map(|index| &TABLE[index])
}

/// Returns the highest number that the list names, whatever it says of it.
fn highest_named(rules: &Rules, of: &Architecture) -> Option<u32> {
    let named = rules.named.iter().map(|(row, _)| *row).chain(rules.mentioned.iter().copied());
    named.filter_map(|row| of.number(row)).filter(|number| !(FIRST_PRIVATE..X32_BIT).contains(number)).max()
}

/// Returns the node that decides on one call, named by all of these.
fn decide(graph: &mut Graph, rules: &Rules, of: &Architecture, group: &[Entry]) -> NodeId {
    let rule = |entry: &Entry| &rules.rules[entry.rule as usize];
    if let Some(always) = group.iter().find(|entry| entry.shared == 0 && rule(entry).alternatives.is_empty()) {
        return graph.end(rule(always).action);
    }
    group.iter().rev().fold(graph.end(rules.default), |otherwise, entry| {
        let applies = graph.end(rule(entry).action);
        if entry.shared != 0 {
            return graph.compare(of, &behind(entry.shared), applies, otherwise);
        }
        rule(entry).alternatives.iter().rev().fold(otherwise, |otherwise, comparisons| {
            comparisons.iter().rev().fold(applies, |yes, one| graph.compare(of, one, yes, otherwise))
        })
    })
}

/// Returns the comparison that tells a call behind `socketcall` or `ipc` from the others.
fn behind(shared: u16) -> Comparison {
    // The upper half of the first argument of ipc is a version, which changes nothing in what is called.
    let mask = if shared & VIA_SOCKETCALL != 0 { u64::MAX } else { 0xffff };
    let operator = LinuxSeccompOperator::ScmpCmpMaskedEq;
    Comparison { argument: 0, operator, value: u64::from(shared & 0xff), mask }
}
