//! The binary: which face it shows, the commands, and what the user sees of them.
//!
//! [`personality`] chooses the face by the name of the program and its first word; [`cli`] reads Docker's grammar and calls
//! one of the [`commands`]; [`founding`] is the grammar of `conductor.sh`; [`runtime_cli`] that of an OCI runtime. What is
//! done to containers is done by the `engine`, what is done to images by `image`.

// The doc comments of arguments are help texts, whose brackets are no links.
#![allow(rustdoc::broken_intra_doc_links)]

mod cli;
mod commands;
mod context;
mod error;
mod founding;
mod logging;
mod personality;
mod runtime_cli;
mod settings;
mod ui;

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use personality::Face;

/// None of the faces is inlined, since a monitor stays for as long as its container, and with it the frame of this function.
fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let (face, used) = personality::choose(&words);
    let rest = words.get(used..).unwrap_or_default();
    match face {
        Face::Init => runtime::reaper::main(&c_strings(rest)),
        Face::Monitor => engine::monitor::main(rest.iter().cloned()),
        Face::Probe => engine::monitor::probe::main(rest.iter().cloned()),
        Face::Pack => engine::logs::pack::main(rest.iter().cloned()),
        Face::Restart => engine::monitor::again::main(rest.iter().cloned()),
        Face::Runtime(name) => runtime_cli::main(name, rest),
        Face::Founding => founding::main(rest),
        Face::Conductor | Face::Docker(_) => cli::main(face, rest),
    }
}

/// The small init hands its words to execve, which takes C strings; a word of an argv never holds a zero byte.
fn c_strings(words: &[OsString]) -> Vec<CString> {
    words.iter().filter_map(|word| CString::new(word.as_bytes()).ok()).collect()
}
