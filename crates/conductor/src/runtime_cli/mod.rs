//! The face of an OCI runtime: runc's command line, for engines that call us instead of it.
//!
//! [`globals`] reads what stands before the command; [`table`] holds the commands, each an `Args` struct beside what it does;
//! what is done to containers is done by [`runtime::Runtime`]. Like runc we end with 1 on every failure of our own, and
//! write it to `--log` too, where containerd looks for it.

mod describe;
mod exec;
mod globals;
mod lifecycle;
mod list;
mod log;
mod make;
mod stats;
mod table;
mod update;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::error::{Failure, Outcome};
use crate::ui;
use globals::Globals;

/// Runs one command line (without the program's name), and reports its failure.
#[inline(never)]
pub(crate) fn main(program: &'static str, words: &[OsString]) -> ExitCode {
    let (globals, rest) = match globals::parse(program, words) {
        Ok(parsed) => parsed,
        Err(failure) => return crate::cli::report(Err(failure)),
    };
    let outcome = run(program, &globals, rest).inspect_err(|failure| log::write(&globals, failure));
    crate::cli::report(outcome)
}

fn run(program: &'static str, globals: &Globals, words: &[OsString]) -> Outcome {
    if globals.version {
        return ui::print(&version(program)).map(|()| ExitCode::SUCCESS);
    }
    let Some((verb, rest)) = words.split_first().filter(|_| !globals.help) else {
        return ui::print(&table::overview(program)).map(|()| ExitCode::SUCCESS);
    };
    let verb = verb.to_string_lossy();
    if verb == "help" {
        let text = rest.first().and_then(|verb| table::help(program, &verb.to_string_lossy()));
        return ui::print(&text.unwrap_or_else(|| table::overview(program))).map(|()| ExitCode::SUCCESS);
    }
    let entry = table::named(&verb).ok_or_else(|| {
        Failure::message(format!("{verb:?} is not a {program} command"))
            .hint(format!("'{program} --help' lists the commands"))
    })?;
    log::start(globals);
    (entry.run)(&table::Call { program, globals }, rest)
}

/// The lines that callers parse: the first names the program, `spec` the version of the specification.
fn version(program: &str) -> String {
    format!("{program} version {}\nspec: {}\n", crate::commands::version::VERSION, runtime::SPEC_VERSION)
}
