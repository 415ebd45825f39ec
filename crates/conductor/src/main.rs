//! The binary: which face it shows, the commands, and what the user sees of them.
//!
//! [`personality`] chooses the face by the name of the program and its first word; [`cli`] reads Docker's grammar and calls
//! one of the [`commands`]; [`founding`] is the grammar of `conductor.sh`; [`runtime_cli`] that of an OCI runtime. What is
//! done to containers is done by the `engine`, what is done to images by `image`.

mod cli;
mod commands;
mod context;
mod error;
mod founding;
mod logging;
mod personality;
//mod runtime_cli;
mod ui;

use std::ffi::OsString;
use std::process::ExitCode;

use personality::Face;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let (face, used) = personality::choose(&words);
    let rest = words.get(used..).unwrap_or_default();
    match face {
        Face::Monitor => ExitCode::FAILURE,
        Face::Runtime(_) => ExitCode::FAILURE,
        Face::Founding => founding::main(rest),
        Face::Conductor | Face::Docker(_) => cli::main(face, rest),
    }
}
