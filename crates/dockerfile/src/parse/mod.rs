//! From a text to a [`Dockerfile`].

use crate::{Dockerfile, Fault, Instruction, Located};

fn unread() -> Fault {
    Fault { line: 0, column: 0, length: 0, message: "not read yet".into(), hint: None }
}

/// Reads a Dockerfile.
pub fn parse(text: &[u8]) -> Result<Dockerfile, Fault> {
    let _ = text;
    Err(unread())
}

/// Reads the instruction of an `ONBUILD`, as an image's configuration carries it.
pub fn parse_trigger(text: &str) -> Result<Located<Instruction>, Fault> {
    let _ = text;
    Err(unread())
}
