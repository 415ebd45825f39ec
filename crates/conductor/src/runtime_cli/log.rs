//! The log of an OCI runtime: what its caller reads to learn why a command failed.

use std::fs::OpenOptions;
use std::io::Write;

use serde_json::json;

use super::globals::Globals;
use crate::cli::globals::Globals as OurGlobals;
use crate::error::Failure;
use crate::logging::{self, Level};

/// Starts logging to stderr, as far as `--debug` asks for it.
pub(super) fn start(globals: &Globals) {
    let level = if globals.debug { Level::Debug } else { Level::Warn };
    logging::start(&OurGlobals { log_level: Some(level), ..OurGlobals::default() });
}

/// Appends a failure to the file of `--log`; a log that cannot be written stops nothing.
pub(super) fn write(globals: &Globals, failure: &Failure) {
    let Some(path) = &globals.log else { return };
    let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let line = match globals.json {
        true => json!({"level": "error", "msg": failure.to_string(), "time": time}).to_string(),
        false => format!("time={time:?} level=error msg={:?}", failure.to_string()),
    };
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path) {
        let _ = writeln!(file, "{line}");
    }
}
