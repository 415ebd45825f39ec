//! Where steps go: nowhere, or as lines to a descriptor that several processes share.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::str::FromStr;

use crate::{Explain, Step};

/// How steps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A sentence, and the command indented below it.
    Text,
    /// One JSON object a line: `{"what":...,"shell":...,"place":...}`.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("unknown format {other:?}: use text or json")),
        }
    }
}

/// Takes each step as it is about to be carried out.
///
/// A command, its monitor and the container's first process all act on one container, one after another. They write to
/// one descriptor, a line at a time, so the order on the terminal is the order in which the steps were applied.
#[derive(Debug, Default)]
pub struct Recorder {
    sink: Option<(File, Format)>,
}

impl Recorder {
    /// Makes a recorder that forgets every step, at the cost of one branch.
    pub fn silent() -> Self {
        Self { sink: None }
    }

    /// Makes a recorder that writes each step to `sink`.
    pub fn writing(sink: OwnedFd, format: Format) -> Self {
        Self { sink: Some((File::from(sink), format)) }
    }

    /// Tells whether anybody reads the steps.
    pub fn is_on(&self) -> bool {
        self.sink.is_some()
    }

    /// Returns the descriptor and format that another process needs in order to record to the same place.
    pub fn sink(&self) -> Option<(BorrowedFd<'_>, Format)> {
        self.sink.as_ref().map(|(file, format)| (file.as_fd(), *format))
    }

    /// Returns the number of the descriptor, if there is one, so that it can be kept open over a close of all others.
    pub fn raw_fd(&self) -> Option<RawFd> {
        self.sink.as_ref().map(|(file, _)| file.as_raw_fd())
    }

    /// Records one step. A reader that has gone away stops no work, so a failed write is dropped.
    pub fn record(&self, step: &dyn Explain) {
        let Some((file, format)) = &self.sink else { return };
        let _ = (&mut &*file).write_all(render(&step.explain(), *format).as_bytes());
    }
}

fn render(step: &Step, format: Format) -> String {
    match format {
        Format::Text => format!("{step}\n"),
        // A step is three plain strings, which always serialise.
        Format::Json => format!("{}\n", serde_json::to_string(step).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_in_json_is_one_line() {
        let line = render(&Step::host("make a directory", "mkdir /a\nmkdir /b"), Format::Json);
        assert_eq!(line, "{\"what\":\"make a directory\",\"shell\":\"mkdir /a\\nmkdir /b\",\"place\":\"host\"}\n");
    }
}
