//! Why a build failed, and where in its file.

use std::fmt;

use dockerfile::Span;
use engine::Chain;
use store::StoreError;

use crate::BaseError;

/// A place in a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as messages call it.
    pub file: String,
    /// Its lines.
    pub first: u32,
    /// The last of them.
    pub last: u32,
    /// The lines' text, with those around them, marked and numbered.
    pub excerpt: String,
}

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The file is not in the language; the text says where and why.
    #[error("{0}")]
    Syntax(String),
    /// An instruction cannot be what it says.
    #[error("{place}: {message}")]
    Instruction {
        /// Where it stands.
        place: Box<Place>,
        /// What is wrong.
        message: String,
    },
    /// An image that the file names cannot be had.
    #[error("{place}: there is no image {name} to be had")]
    Base {
        /// Where it is named.
        place: Box<Place>,
        /// The image.
        name: String,
        /// Why.
        source: BaseError,
    },
    /// What an instruction adds from elsewhere cannot be had.
    #[error("{place}: cannot fetch {address}")]
    Fetch {
        /// Where it is named.
        place: Box<Place>,
        /// Where from.
        address: String,
        /// Why.
        source: BaseError,
    },
    /// A step failed.
    #[error("{place}: {title}")]
    Step {
        /// Where it stands.
        place: Box<Place>,
        /// The step, as lists show it.
        title: String,
        /// What went wrong, as its process told it.
        source: Box<Chain>,
        /// The exit status of its command, if it had one.
        code: Option<u8>,
        /// What it said last.
        output: Vec<String>,
    },
    /// The context cannot be read.
    #[error("cannot read the build context")]
    Context(#[from] ContextError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The processes of the build could not be made, or died.
    #[error("{0}")]
    Worker(String),
    /// The kernel refused.
    #[error("cannot {doing}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The call that failed.
        source: sys::Error,
    },
    /// The image's documents could not be read or composed.
    #[error("cannot compose the image")]
    Document(#[source] BaseError),
}

/// Why files could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// A path could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The path, from the top of the context.
        path: String,
        /// The call that failed.
        source: sys::Error,
    },
    /// A file became another one while it was read.
    #[error("{0} changed while it was read: build again when it is at rest")]
    Changed(String),
    /// The patterns of what is left out are wrong.
    #[error("{0}")]
    Ignore(String),
}

impl Place {
    /// Describes lines of a file.
    pub(crate) fn of(file: &str, text: &[u8], span: Span) -> Box<Self> {
        Box::new(Self { file: file.to_owned(), first: span.first, last: span.last, excerpt: excerpt(text, span) })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.first)
    }
}

impl BuildError {
    /// Returns the lines of the file that the error is about.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Instruction { place, .. }
            | Self::Base { place, .. }
            | Self::Fetch { place, .. }
            | Self::Step { place, .. } => Some(place),
            _ => None,
        }
    }
}

/// How many lines are shown before and after those that are meant.
const AROUND: usize = 2;

fn excerpt(text: &[u8], span: Span) -> String {
    let text = String::from_utf8_lossy(text);
    let (first, last) = (span.first as usize, span.last as usize);
    let width = (last + AROUND).to_string().len();
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
    let shown = lines.filter(|(number, _)| (first.saturating_sub(AROUND)..=last + AROUND).contains(number));
    let mark = |number: usize| if (first..=last).contains(&number) { '>' } else { ' ' };
    shown.map(|(number, line)| format!("{} {number:>width$} | {line}\n", mark(number))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_marks_the_lines_that_are_meant() {
        let text = b"FROM a\nCOPY b c\nRUN d\nCMD e\nUSER f\nEXPOSE 1\n";
        let place = Place::of("Dockerfile", text, Span { first: 3, last: 4 });
        insta::assert_snapshot!(place.excerpt, @r"
          1 | FROM a
          2 | COPY b c
        > 3 | RUN d
        > 4 | CMD e
          5 | USER f
          6 | EXPOSE 1
        ");
        assert_eq!(place.to_string(), "Dockerfile:3");
    }
}
