//! The options of `run` and `create` that are about health: how it is checked, and what is done when it is bad.

use clap::Args;
use engine::{HealthOnFailure, HealthRequest};

use super::container_args::flag;
use crate::error::Failure;
use crate::ui::time::parse_duration;

/// How the container's health is checked.
#[derive(Debug, Default, Args)]
pub(crate) struct HealthArgs {
    /// Check the container's health by this command, in a shell
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between two checks (default 30s)
    #[arg(long, value_name = "DURATION")]
    health_interval: Option<String>,
    /// Time after which a check has failed (default 30s)
    #[arg(long, value_name = "DURATION")]
    health_timeout: Option<String>,
    /// How many failures in a row make the container unhealthy (default 3)
    #[arg(long, value_name = "NUMBER")]
    health_retries: Option<u32>,
    /// Time in which failures do not count
    #[arg(long, value_name = "DURATION")]
    health_start_period: Option<String>,
    /// Time between two checks within the start period (default 5s)
    #[arg(long, value_name = "DURATION")]
    health_start_interval: Option<String>,
    /// What to do with an unhealthy container: none, kill, restart or stop
    #[arg(long, value_name = "ACTION")]
    health_on_failure: Option<String>,
    /// Leave the image's health check out
    #[arg(long)]
    no_healthcheck: bool,
}

impl HealthArgs {
    /// Turns the words into what they mean.
    pub(crate) fn into_request(self) -> Result<HealthRequest, Failure> {
        let time =
            |name, word: &Option<String>| word.as_deref().map(|word| flag(name, parse_duration(word))).transpose();
        let on_failure = self.health_on_failure.as_deref().map(str::parse::<HealthOnFailure>);
        if self.no_healthcheck && self.health_cmd.is_some() {
            return Err(Failure::message("conflicting options: --no-healthcheck and --health-cmd"));
        }
        Ok(HealthRequest {
            interval: time("health-interval", &self.health_interval)?,
            timeout: time("health-timeout", &self.health_timeout)?,
            start_period: time("health-start-period", &self.health_start_period)?,
            start_interval: time("health-start-interval", &self.health_start_interval)?,
            retries: self.health_retries,
            on_failure: flag("health-on-failure", on_failure.transpose())?.unwrap_or_default(),
            command: self.health_cmd,
            disabled: self.no_healthcheck,
        })
    }
}
