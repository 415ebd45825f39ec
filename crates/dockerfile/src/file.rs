//! The nouns of a whole file: directives, stages, and where in the text each thing stands.

use std::collections::BTreeMap;

use crate::{ArgDeclaration, Fault, Instruction, suggest};

/// A file that was read: what it says, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// The directives in the comments at the top.
    pub directives: Directives,
    /// The `ARG`s above the first `FROM`: the only values that a `FROM` can name.
    pub globals: Vec<Located<Vec<ArgDeclaration>>>,
    /// The stages; there is at least one.
    pub stages: Vec<Stage>,
    /// The text, as it was given.
    pub source: Vec<u8>,
    pub(crate) remarks: Remarks,
}

/// What changes nothing, and is kept for advice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remarks {
    /// Empty lines that an instruction goes on after.
    pub(crate) gaps: Vec<Span>,
    /// The comment right above an instruction, by the instruction's first line.
    pub(crate) comments: BTreeMap<u32, String>,
}

/// Comments of the form `# name=value` at the top of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// `syntax`: the front end that the file was written for.
    pub syntax: Option<String>,
    /// `escape`: what continues a line and takes a character's meaning away, `\` or a backtick.
    pub escape: char,
    /// `check`: what is asked of [`crate::check()`].
    pub check: Checks,
}

/// The directive `check`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    /// Which rules stay silent.
    pub skip: Skip,
    /// Whether a warning ends the build.
    pub error: bool,
    /// Which experimental rules speak as well.
    pub experimental: Skip,
}

/// Some of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// Every rule.
    All,
    /// The rules of these names.
    Rules(Vec<String>),
}

/// One stage: a `FROM` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What the stage starts from.
    pub from: Located<From>,
    /// Its instructions.
    pub instructions: Vec<Located<Instruction>>,
}

/// `FROM [--platform=P] IMAGE [AS NAME]`, with its variables not yet put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// The image, an earlier stage, or `scratch`.
    pub image: String,
    /// The platform asked for.
    pub platform: Option<String>,
    /// The stage's name, in lower case.
    pub name: Option<String>,
}

/// Something with the lines it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The lines, those of here-documents and continuations among them.
    pub span: Span,
    /// The instruction as written, its continued lines joined, without comments and here-documents.
    pub text: String,
    /// What it says.
    pub value: T,
}

/// Lines of the text, from 1, the last one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first line.
    pub first: u32,
    /// The last line.
    pub last: u32,
}

impl Default for Skip {
    fn default() -> Self {
        Self::Rules(Vec::new())
    }
}

impl Dockerfile {
    /// Returns the number of the stage that is called `name`, or whose number `name` is. Of two stages of one name it
    /// is the later one.
    pub fn stage(&self, name: &str) -> Option<usize> {
        let lower = name.to_ascii_lowercase();
        let named = self.stages.iter().rposition(|stage| stage.from.value.name.as_deref() == Some(lower.as_str()));
        named.or_else(|| name.parse().ok().filter(|number| *number < self.stages.len()))
    }

    /// Returns the number of the stage that `name` or a number means to stage `current`: an earlier one, and of two the
    /// nearer.
    pub fn stage_before(&self, name: &str, current: usize) -> Option<usize> {
        let earlier = &self.stages[..current.min(self.stages.len())];
        let is_named =
            |stage: &Stage| stage.from.value.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name));
        let number = || name.parse().ok().filter(|number| *number < earlier.len());
        earlier.iter().rposition(is_named).or_else(number)
    }

    /// Returns the number of the stage that stage `current` starts from, if its expanded image is the name of one.
    pub fn base(&self, image: &str, current: usize) -> Option<usize> {
        self.stage_before(image, current).filter(|_| !image.starts_with(|c: char| c.is_ascii_digit()))
    }

    /// Returns the number of the stage that a build makes: the named one, or the last.
    pub fn target(&self, name: Option<&str>) -> Result<usize, Fault> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(self.stages.len() - 1) };
        let names = || self.stages.iter().filter_map(|stage| stage.from.value.name.as_deref());
        self.stage(name).ok_or_else(|| Fault {
            hint: suggest::hint(name, names()),
            ..Fault::plain(format!("there is no stage {name}"))
        })
    }
}
