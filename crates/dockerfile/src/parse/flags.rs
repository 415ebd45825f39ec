//! Flags of an instruction: which it knows, and what they hold.

use super::lines::Complaint;
use crate::suggest;

/// The flags that were given, to be taken one by one.
pub(super) struct Flags {
    instruction: &'static str,
    given: Vec<(String, Option<String>)>,
}

impl Flags {
    /// Holds flags against those that an instruction knows.
    pub(super) fn new(instruction: &'static str, given: &[String], known: &[&'static str]) -> Result<Self, Complaint> {
        let split = |flag: &String| {
            let flag = flag.strip_prefix("--").unwrap_or(flag);
            match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (flag.to_owned(), None),
            }
        };
        let given: Vec<_> = given.iter().map(split).collect();
        for (name, _) in &given {
            if !known.contains(&name.as_str()) {
                let unknown = Complaint::new(format!("{instruction} has no flag --{name}")).about(format!("--{name}"));
                let hint = suggest::hint(name, known.iter().copied()).map(|hint| hint.replace("mean ", "mean --"));
                return Err(Complaint { hint, ..unknown });
            }
        }
        Ok(Self { instruction, given })
    }

    /// Takes all values of a flag.
    pub(super) fn all(&mut self, name: &str) -> Result<Vec<String>, Complaint> {
        let mut values = Vec::new();
        for (_, value) in self.given.extract_if(.., |(given, _)| given == name) {
            let missing = || Complaint::new(format!("--{name} needs a value: --{name}=...")).about(format!("--{name}"));
            values.push(value.ok_or_else(missing)?);
        }
        Ok(values)
    }

    /// Takes the value of a flag that can be given once; an empty one is none.
    pub(super) fn one(&mut self, name: &str) -> Result<Option<String>, Complaint> {
        Ok(self.last(name)?.filter(|value| !value.is_empty()))
    }

    /// Takes a flag that says yes or no; by itself it says yes.
    pub(super) fn switch(&mut self, name: &str) -> Result<Option<bool>, Complaint> {
        self.given.iter_mut().filter(|(given, _)| given == name).for_each(|(_, value)| {
            value.get_or_insert_with(|| "true".into());
        });
        let Some(value) = self.last(name)? else { return Ok(None) };
        let wrong =
            || Complaint::new(format!("--{name} can be true or false, not {value:?}")).about(format!("--{name}"));
        match value.to_ascii_lowercase().as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(wrong()),
        }
    }

    fn last(&mut self, name: &str) -> Result<Option<String>, Complaint> {
        let mut values = self.all(name)?;
        if values.len() > 1 {
            return Err(Complaint::new(format!("{} takes one --{name}", self.instruction)).about(format!("--{name}")));
        }
        Ok(values.pop())
    }
}

/// What Go takes for yes or no.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
