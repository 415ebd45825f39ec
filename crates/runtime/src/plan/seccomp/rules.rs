//! The list of the specification, brought to the form the compiler works on: actions as the kernel's return values, names
//! as rows of the table, comparisons by argument.

use oci::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall};

use super::CompileError;
use super::table::{Row, TABLE};

pub(super) const ALLOW: u32 = 0x7fff_0000;
pub(super) const LOG: u32 = 0x7ffc_0000;
pub(super) const TRACE: u32 = 0x7ff0_0000;
pub(super) const ERRNO: u32 = 0x0005_0000;
pub(super) const KILL_THREAD: u32 = 0;
pub(super) const ENOSYS: u32 = ERRNO | 38;
const ACTION: u32 = 0xffff_0000;

/// What one entry of the list does.
#[derive(Debug)]
pub(super) struct Rule {
    /// What the filter returns when the rule applies.
    pub(super) action: u32,
    /// The rule applies when all comparisons of one of these hold; without any, always.
    pub(super) alternatives: Vec<Vec<Comparison>>,
}

/// One comparison of a call's argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) argument: u8,
    pub(super) operator: LinuxSeccompOperator,
    /// What is compared with; for MASKED_EQ, what is left of the argument under the mask.
    pub(super) value: u64,
    /// The mask of MASKED_EQ.
    pub(super) mask: u64,
}

/// The whole list.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) default: u32,
    pub(super) rules: Vec<Rule>,
    /// Each call with the rule that names it, in the order of the list.
    pub(super) named: Vec<(&'static Row, u32)>,
    /// Calls that only rules without effect name; they tell how new the list is.
    pub(super) mentioned: Vec<&'static Row>,
}

impl Rules {
    /// Reads a list.
    pub(super) fn read(list: &LinuxSeccomp) -> Result<Self, CompileError> {
        let default = action(list.default_action(), list.default_errno_ret())?;
        let mut rules = Self { default, rules: Vec::new(), named: Vec::new(), mentioned: Vec::new() };
        let mut names = Names::default();
        for entry in list.syscalls().iter().flatten() {
            rules.add(entry, &mut names)?;
        }
        Ok(rules)
    }

    fn add(&mut self, entry: &LinuxSyscall, names: &mut Names) -> Result<(), CompileError> {
        let action = action(entry.action(), entry.errno_ret())?;
        // As everywhere: a rule that says what is said anyway has no effect, not even on the rules beside it.
        if action == self.default {
            self.mentioned.extend(entry.names().iter().filter_map(|name| names.find(name)));
            return Ok(());
        }
        let rule = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        let alternatives = alternatives(entry.args().as_deref().unwrap_or_default())?;
        self.rules.push(Rule { action, alternatives });
        // Names that no kernel has are skipped, as the specification asks: the list may be newer than we are.
        self.named.extend(entry.names().iter().filter_map(|name| names.find(name)).map(|row| (row, rule)));
        Ok(())
    }

    /// Tells whether calls newer than the list are to fail with ENOSYS: where the default is to refuse.
    pub(super) fn refuses_by_default(&self) -> bool {
        !matches!(self.default & ACTION, ALLOW | LOG | TRACE) && self.default != ENOSYS
    }
}

/// Returns the kernel's return value for an action.
fn action(action: LinuxSeccompAction, data: Option<u32>) -> Result<u32, CompileError> {
    use LinuxSeccompAction as Action;
    const EPERM: u32 = 1;
    let takes_data = matches!(action, Action::ScmpActErrno | Action::ScmpActTrace);
    match data {
        Some(errno) if !takes_data => Err(CompileError::UnexpectedErrno { action: action.to_string(), errno }),
        Some(errno) if errno & ACTION != 0 => Err(CompileError::ErrnoTooLarge { errno }),
        Some(errno) => Ok(action.as_u32(Some(errno))),
        None => Ok(action.as_u32(takes_data.then_some(EPERM))),
    }
}

/// Returns the comparisons of an entry, each group of which suffices.
///
/// All comparisons of an entry must hold, unless two of them look at the same argument: then any of them does. That is
/// how other runtimes have read such lists since before arguments could be combined, and lists rely on it.
fn alternatives(arguments: &[LinuxSeccompArg]) -> Result<Vec<Vec<Comparison>>, CompileError> {
    let comparisons = arguments.iter().map(comparison).collect::<Result<Vec<_>, _>>()?;
    let mut seen = [false; 6];
    let repeated = comparisons.iter().any(|one| std::mem::replace(&mut seen[usize::from(one.argument)], true));
    Ok(match comparisons {
        none if none.is_empty() => Vec::new(),
        several if repeated => several.into_iter().map(|one| vec![one]).collect(),
        all => vec![all],
    })
}

fn comparison(argument: &LinuxSeccompArg) -> Result<Comparison, CompileError> {
    let Ok(index @ 0..=5) = u8::try_from(argument.index()) else {
        return Err(CompileError::NoSuchArgument { index: argument.index() });
    };
    let operator = argument.op();
    let (value, mask) = match operator {
        LinuxSeccompOperator::ScmpCmpMaskedEq => (argument.value_two().unwrap_or(0), argument.value()),
        _ => (argument.value(), u64::MAX),
    };
    Ok(Comparison { argument: index, operator, value, mask })
}

/// Finds names in the table. Lists are mostly sorted, so it looks first just behind the name it found last.
#[derive(Debug, Default)]
struct Names {
    next: usize,
}

impl Names {
    fn find(&mut self, name: &str) -> Option<&'static Row> {
        const NEAR: usize = 4;
        let near = TABLE.iter().enumerate().skip(self.next).take(NEAR).find(|(_, row)| row.0 == name);
        let index = match near {
            Some((index, _)) => index,
            None => TABLE.binary_search_by(|row| row.0.cmp(name)).ok()?,
        };
        self.next = index + 1;
        Some(&TABLE[index])
    }
}

/// Returns the number of a call by name, or nothing where the architecture lacks it.
pub fn number(name: &str, arch: oci::runtime::Arch) -> Option<u32> {
    let index = TABLE.binary_search_by(|row| row.0.cmp(name)).ok()?;
    super::architecture::Architecture::of(arch, super::native()).number(&TABLE[index])
}

/// Returns the names of all calls that some architecture has, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_names_are_found() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        let mut found = Names::default();
        for row in TABLE.iter().rev().chain(TABLE.iter()) {
            assert_eq!(found.find(row.0).map(|row| row.0), Some(row.0));
        }
        assert!(found.find("no_such_call").is_none());
    }

    #[test]
    fn comparisons_of_one_argument_are_alternatives_and_of_several_all_hold() {
        let argument = |index: usize, value: u64| {
            oci::runtime::LinuxSeccompArgBuilder::default().index(index).value(value).build().unwrap()
        };
        assert_eq!(alternatives(&[]).unwrap().len(), 0);
        assert_eq!(alternatives(&[argument(0, 1), argument(1, 2)]).unwrap().len(), 1);
        assert_eq!(alternatives(&[argument(0, 1), argument(1, 2), argument(0, 3)]).unwrap().len(), 3);
        assert!(matches!(alternatives(&[argument(6, 0)]), Err(CompileError::NoSuchArgument { index: 6 })));
    }

    #[test]
    fn an_errno_is_taken_where_the_action_has_one_and_refused_elsewhere() {
        assert_eq!(action(LinuxSeccompAction::ScmpActErrno, None).unwrap(), ERRNO | 1);
        assert_eq!(action(LinuxSeccompAction::ScmpActTrace, Some(7)).unwrap(), TRACE | 7);
        assert!(action(LinuxSeccompAction::ScmpActErrno, Some(0x1_0000)).is_err());
        assert!(action(LinuxSeccompAction::ScmpActAllow, Some(1)).is_err());
    }
}
