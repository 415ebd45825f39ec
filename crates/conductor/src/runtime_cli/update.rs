//! `update`: new limits for a container that runs.

use std::io::Read;
use std::process::ExitCode;

use clap::Args;
use oci::runtime::LinuxResources;
use runtime::Status;
use serde_json::{Map, Value, json};

use super::lifecycle::standing;
use super::table::{Call, Operation};
use crate::error::{Failure, Outcome};
use crate::ui;

/// Change the limits of a container
#[derive(Debug, Default, Args)]
pub(super) struct UpdateArgs {
    /// Read the limits from this file (- for standard input), in the form of the specification
    #[arg(short, long, value_name = "FILE")]
    resources: Option<String>,
    /// Weight of block devices (10 to 1000)
    #[arg(long, value_name = "NUMBER")]
    blkio_weight: Option<u16>,
    /// Period of the CPU quota, in microseconds
    #[arg(long, value_name = "NUMBER")]
    cpu_period: Option<u64>,
    /// CPU quota, in microseconds a period
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// CPU quota that may be saved up, in microseconds
    #[arg(long, value_name = "NUMBER")]
    cpu_burst: Option<u64>,
    /// Share of the processors
    #[arg(long, value_name = "NUMBER")]
    cpu_share: Option<u64>,
    /// Processors to run on
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Memory limit, in bytes
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<String>,
    /// Memory that the kernel tries to leave, in bytes
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_reservation: Option<String>,
    /// Limit of memory and swap together, in bytes; -1 for none
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Limit of processes and threads; -1 for none
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// The container's ID
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for UpdateArgs {
    const NAME: &'static str = "update";
    const ABOUT: &'static str = "Change the limits of a container";
    const USAGE: &'static str = "[OPTIONS] ID";

    fn run(self, call: &Call<'_>) -> Outcome {
        let resources = match self.resources.as_deref() {
            Some(file) => serde_json::from_str(&read(file)?)
                .map_err(|error| Failure::new(error).doing(format!("cannot read the limits in {file}")))?,
            None => self.limits()?,
        };
        let runtime = call.runtime()?;
        let record = standing(&runtime, &self.id, "update", &[Status::Created, Status::Running, Status::Paused])?;
        for warning in runtime.cgroup(&record)?.update(&resources, &call.recorder())? {
            ui::warn(&warning.to_string());
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn read(file: &str) -> Result<String, Failure> {
    if file == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(|error| Failure::new(error).doing(format!("cannot read {file}")))
}

impl UpdateArgs {
    fn limits(&self) -> Result<LinuxResources, Failure> {
        let size = |word: &Option<String>| word.as_deref().map(bytes).transpose();
        let memory = [
            ("limit", json!(size(&self.memory)?)),
            ("reservation", json!(size(&self.memory_reservation)?)),
            ("swap", json!(size(&self.memory_swap)?)),
        ];
        let cpu = [
            ("period", json!(self.cpu_period)),
            ("quota", json!(self.cpu_quota)),
            ("burst", json!(self.cpu_burst)),
            ("shares", json!(self.cpu_share)),
            ("cpus", json!(self.cpuset_cpus)),
            ("mems", json!(self.cpuset_mems)),
        ];
        let parts = [
            ("memory", section(memory)),
            ("cpu", section(cpu)),
            ("pids", section([("limit", json!(self.pids_limit))])),
            ("blockIO", section([("weight", json!(self.blkio_weight))])),
        ];
        Ok(serde_json::from_value(Value::Object(given(parts)))?)
    }
}

/// Makes an object of the fields that say something; nothing when none does.
fn section<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = given(fields);
    if fields.is_empty() { Value::Null } else { Value::Object(fields) }
}

fn given<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let said = fields.into_iter().filter(|(_, value)| !value.is_null());
    said.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn bytes(word: &str) -> Result<i64, Failure> {
    match word {
        "-1" => Ok(-1),
        _ => Ok(i64::try_from(engine::parse_size(word)?).unwrap_or(i64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_not_named_stay() {
        let args = UpdateArgs { memory: Some("64m".into()), pids_limit: Some(-1), ..UpdateArgs::default() };
        let limits = args.limits().unwrap();
        assert_eq!(limits.memory().as_ref().unwrap().limit(), Some(64 << 20));
        assert_eq!(limits.memory().as_ref().unwrap().swap(), None);
        assert!(limits.cpu().is_none() && limits.pids().is_some());
        assert!(UpdateArgs { memory: Some("x".into()), ..UpdateArgs::default() }.limits().is_err());
        assert!(UpdateArgs::default().limits().unwrap().memory().is_none());
    }
}
