//! What the user sees: tables, times, sizes, templates.
//!
//! Results go to stdout in one write each; remarks, warnings and progress go to stderr. Nothing here decides anything:
//! commands hand over strings and values.

pub(crate) mod archive;
pub(crate) mod list;
pub(crate) mod size;
pub(crate) mod table;
pub(crate) mod template;
pub(crate) mod time;
pub(crate) mod transfer;

use std::io::{self, Write};

use crate::error::Failure;

/// Writes `text` to stdout as it is. A reader that has gone away (`| head`) is not an error; a full disk is.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(error).doing("cannot write to stdout"))
        }
        _ => Ok(()),
    }
}

/// Writes `text` and a newline to stdout.
pub(crate) fn print_line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Writes a remark to stderr, where progress and warnings go; nobody is told when stderr is closed.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes a warning to stderr.
pub(crate) fn warn(text: &str) {
    remark(&format!("warning: {text}"));
}
