//! `logs`: prints what a container has written.

use std::io::{self, BufWriter};
use std::process::ExitCode;

use clap::Args;
use engine::LogsRequest;
use jiff::Timestamp;

use super::container_args::flag;
use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui::time::parse_instant;

/// Print the output of a container
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Go on as the container writes
    #[arg(short, long)]
    follow: bool,
    /// How many of the last lines, or all
    #[arg(short = 'n', long, value_name = "NUMBER", default_value = "all", allow_hyphen_values = true)]
    tail: String,
    /// Lines from this time on: 2026-01-02T15:04:05Z, or 10m for ten minutes ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Lines before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Put the time before each line
    #[arg(short, long)]
    timestamps: bool,
    /// Accepted for Docker's sake: there are no further details
    #[arg(long, hide = true)]
    details: bool,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Verb for LogsArgs {
    const NAME: &'static str = "logs";
    const ABOUT: &'static str = "Print the output of a container";
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let request = self.request(Timestamp::now())?;
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        // Few writes for much output; the engine flushes whenever it has shown all that there is.
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let mut err = BufWriter::with_capacity(1 << 16, io::stderr().lock());
        engine.logs(&container, &request, &mut out, &mut err)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl LogsArgs {
    fn request(&self, now: Timestamp) -> Result<LogsRequest, Failure> {
        let instant =
            |name, word: &Option<String>| word.as_deref().map(|word| flag(name, parse_instant(word, now))).transpose();
        Ok(LogsRequest {
            follow: self.follow,
            // Docker takes every word that is no number, and every negative number, for "all".
            tail: self.tail.parse().ok(),
            since: instant("since", &self.since)?,
            until: instant("until", &self.until)?,
            timestamps: self.timestamps,
        })
    }
}
