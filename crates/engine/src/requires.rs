//! What a container needs of others before it starts, and what a caller can wait for.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::records::Exit;
use crate::{Container, Engine, Error, HealthStatus, StartMode, State, Status, records};

/// A container that must run before another one starts: `NAME`, or `NAME:healthy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Requirement {
    name: String,
    healthy: bool,
}

/// Why a word is no requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown requirement {0:?}: use NAME or NAME:healthy")]
pub struct RequirementError(String);

impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(word: &str) -> Result<Self, RequirementError> {
        let (name, healthy) = match word.split_once(':') {
            None => (word, false),
            Some((name, "healthy")) => (name, true),
            Some(_) => return Err(RequirementError(word.to_owned())),
        };
        if name.is_empty() {
            return Err(RequirementError(word.to_owned()));
        }
        Ok(Self { name: name.to_owned(), healthy })
    }
}

impl TryFrom<String> for Requirement {
    type Error = RequirementError;

    fn try_from(word: String) -> Result<Self, RequirementError> {
        word.parse()
    }
}

impl From<Requirement> for String {
    fn from(requirement: Requirement) -> Self {
        let Requirement { name, healthy } = requirement;
        if healthy { name + ":healthy" } else { name }
    }
}

/// What a caller waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// It does not run.
    #[default]
    NotRunning,
    /// It ends after this moment.
    NextExit,
    /// It is gone.
    Removed,
    /// It runs.
    Running,
    /// It runs, and its health check succeeds.
    Healthy,
    /// Its health check fails.
    Unhealthy,
}

/// Why a word is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown condition {0:?}: use not-running, next-exit, removed, running, healthy or unhealthy")]
pub struct WaitConditionError(String);

impl FromStr for WaitCondition {
    type Err = WaitConditionError;

    fn from_str(word: &str) -> Result<Self, WaitConditionError> {
        Ok(match word {
            // Podman's words beside those of Docker's API.
            "not-running" | "stopped" | "exited" => Self::NotRunning,
            "next-exit" => Self::NextExit,
            "removed" => Self::Removed,
            "running" => Self::Running,
            "healthy" => Self::Healthy,
            "unhealthy" => Self::Unhealthy,
            other => return Err(WaitConditionError(other.to_owned())),
        })
    }
}

/// How often a condition is looked at for which no monitor can be asked.
const GLANCE: Duration = Duration::from_millis(20);

impl Engine {
    /// Starts the containers that another one requires, and waits for those that are to be healthy.
    pub(crate) fn meet_requirements(&self, required: &[Requirement], waiting: &mut Vec<String>) -> Result<(), Error> {
        for Requirement { name, healthy } in required {
            let container = self.find(name)?;
            let id = container.id.to_string();
            if waiting.contains(&id) {
                return Err(Error::Requirement { name: name.clone(), why: "requires this one in turn" });
            }
            if !matches!(self.state(&container)?.status, Status::Running | Status::Restarting) {
                waiting.push(id);
                self.meet_requirements(&container.request.requires, waiting)?;
                waiting.pop();
                match self.start_alone(&container, StartMode::Detached) {
                    Ok(_) | Err(Error::AlreadyRunning(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            if *healthy {
                self.await_health(&container)?;
            }
        }
        Ok(())
    }

    /// Waits until a running container is healthy; content when it has no health check. Fails when it has become
    /// unhealthy, or has ended.
    pub fn await_health(&self, container: &Container) -> Result<(), Error> {
        let failed = |why| Err(Error::Requirement { name: container.name.to_string(), why });
        loop {
            let state = self.state(container)?;
            match (state.status, state.health.map(|health| health.status)) {
                (Status::Running, Some(HealthStatus::Healthy)) => return Ok(()),
                (Status::Running, None) if container.health.is_none() => return Ok(()),
                (Status::Running, Some(HealthStatus::Unhealthy)) => return failed("is unhealthy"),
                (Status::Running | Status::Restarting, _) => std::thread::sleep(GLANCE),
                _ => return failed("has ended"),
            }
        }
    }

    /// Waits for a condition; returns the exit status for those that an end fulfils.
    pub fn wait_for(&self, container: &Container, condition: WaitCondition) -> Result<Option<u8>, Error> {
        match condition {
            WaitCondition::NotRunning => self.wait(container).map(Some),
            WaitCondition::NextExit => self.wait_for_next_exit(container).map(Some),
            WaitCondition::Removed => self.glance(container, |state| state.is_none()).map(|_| None),
            WaitCondition::Running => {
                let running = |state: Option<&State>| state.is_some_and(|state| state.status == Status::Running);
                self.glance(container, running).map(|_| None)
            }
            WaitCondition::Healthy | WaitCondition::Unhealthy => {
                let wanted = match condition {
                    WaitCondition::Healthy => HealthStatus::Healthy,
                    _ => HealthStatus::Unhealthy,
                };
                if container.health.is_none() {
                    let name = container.name.to_string();
                    return Err(Error::Requirement { name, why: "has no health check" });
                }
                let is = |state: Option<&State>| {
                    state.and_then(|state| state.health.as_ref()).is_some_and(|health| health.status == wanted)
                };
                self.glance(container, is).map(|_| None)
            }
        }
    }

    /// Waits for an end that is not the last one already on record.
    fn wait_for_next_exit(&self, container: &Container) -> Result<u8, Error> {
        let end =
            || records::read::<Exit>(&self.layout().exit(&container.id)).map(|exit| exit.map(|exit| exit.finished_at));
        let before = end()?;
        loop {
            if self.state(container)?.status == Status::Running {
                return self.wait(container);
            }
            if let Some(exit) = records::read::<Exit>(&self.layout().exit(&container.id))?
                && Some(exit.finished_at) != before
            {
                return Ok(exit.exit_code);
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Looks at a container again and again until it is as wanted. One that is gone is so for good.
    fn glance(&self, container: &Container, mut wanted: impl FnMut(Option<&State>) -> bool) -> Result<(), Error> {
        loop {
            let there = records::exists(&self.layout().record(&container.id))?;
            let state = if there { Some(self.state(container)?) } else { None };
            if wanted(state.as_ref()) {
                return Ok(());
            }
            if !there {
                return Err(Error::NoSuchContainer(container.name.to_string()));
            }
            std::thread::sleep(GLANCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_a_name_and_may_ask_for_health() {
        for word in ["db", "db:healthy"] {
            assert_eq!(String::from(word.parse::<Requirement>().unwrap()), word);
        }
        for bad in ["", ":healthy", "db:happy", "db:"] {
            assert!(bad.parse::<Requirement>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn conditions_are_docker_s_and_podman_s_words() {
        assert_eq!("stopped".parse(), Ok(WaitCondition::NotRunning));
        assert_eq!("healthy".parse(), Ok(WaitCondition::Healthy));
        assert!("happy".parse::<WaitCondition>().is_err());
    }
}
