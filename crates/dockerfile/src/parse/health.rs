//! `HEALTHCHECK`.

use std::time::Duration;

use super::flags::Flags;
use super::instruction::command;
use super::lines::Complaint;
use super::words;
use crate::value::duration;
use crate::{CommandLine, HealthCheck};

/// The shortest time that there may be between checks, as with Docker.
const SHORTEST: Duration = Duration::from_millis(1);

pub(super) fn read(flags: &[String], rest: &str) -> Result<HealthCheck, Complaint> {
    let known = ["interval", "timeout", "start-period", "start-interval", "retries"];
    let mut flags = Flags::new("HEALTHCHECK", flags, &known)?;
    let mut time = |name| flags.one(name).and_then(|word| word.map_or(Ok(None), |word| time(name, &word)));
    let (interval, timeout) = (time("interval")?, time("timeout")?);
    let (start_period, start_interval) = (time("start-period")?, time("start-interval")?);
    let retries = flags.one("retries")?.map(|word| retries(&word)).transpose()?.flatten();
    let (word, rest) = words::first(rest);
    match word.to_ascii_uppercase().as_str() {
        "NONE" if rest.is_empty() => Ok(HealthCheck::None),
        "NONE" => Err(Complaint::new("HEALTHCHECK NONE takes no arguments").about(rest)),
        "CMD" => {
            let command = command(rest)?;
            if rest.is_empty() || command == CommandLine::Exec(Vec::new()) {
                return Err(Complaint::new("HEALTHCHECK CMD needs a command"));
            }
            Ok(HealthCheck::Check { command, interval, timeout, start_period, start_interval, retries })
        }
        "" => Err(Complaint::new("HEALTHCHECK needs an argument").hint("CMD and a command, or NONE")),
        _ => Err(Complaint::new(format!("HEALTHCHECK takes CMD or NONE, not {word:?}"))
            .hint(format!("HEALTHCHECK CMD {word} {rest}").trim_end())
            .about(word)),
    }
}

/// Reads a time. Zero leaves it to what is usual.
fn time(flag: &str, word: &str) -> Result<Option<Duration>, Complaint> {
    let wrong = |what: &str| Complaint::new(format!("--{flag} {what}, not {word:?}")).about(word);
    match duration(word).ok_or_else(|| wrong("takes a time such as 30s or 1m30s"))? {
        Duration::ZERO => Ok(None),
        time if time < SHORTEST => Err(wrong("cannot be shorter than 1ms")),
        time => Ok(Some(time)),
    }
}

fn retries(word: &str) -> Result<Option<u32>, Complaint> {
    let retries = word.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok());
    let wrong = || Complaint::new(format!("--retries takes a number, not {word:?}")).about(word);
    retries.map(|number| Some(number).filter(|number| *number > 0)).ok_or_else(wrong)
}
