//! One probe of a container's health: a short-lived process that the monitor starts, so that it can stay small.
//!
//! The probe runs the test in the container as `exec` would, takes the beginning of its output, ends it when its time is
//! over, and writes the outcome beside the run. Its own exit status tells the monitor how the container now fares.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sys::event::{EventFlags, Poller};
use sys::file::Durability;
use trace::Recorder;

use crate::error::{Chain, Doing};
use crate::health::{Health, HealthCheck, HealthStatus, Probe};
use crate::{Container, ContainerId, Engine, Error, ExecRequest, records};

/// The word that calls this face.
pub const FACE: &str = "monitor-probe";

/// The most of a probe's output that is kept, as in Docker.
const OUTPUT: usize = 4096;

/// Which container is probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProbeOrder {
    pub(crate) root: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) id: ContainerId,
    /// Whether the run is still in its start period.
    pub(crate) starting: bool,
}

/// Returns the exit status by which a probe tells how the container fares.
fn code(status: HealthStatus) -> u8 {
    match status {
        HealthStatus::Healthy => 0,
        HealthStatus::Unhealthy => 1,
        HealthStatus::Starting => 2,
    }
}

/// Reads the exit status of a probe; one that did not come to its end tells nothing.
pub(crate) fn status_of(code: i32) -> Option<HealthStatus> {
    [HealthStatus::Healthy, HealthStatus::Unhealthy, HealthStatus::Starting].get(usize::try_from(code).ok()?).copied()
}

/// Probes once; `arguments` are those after the face's word: whom, for people, and the order.
#[inline(never)]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let order = arguments.into_iter().nth(1).and_then(|text| serde_json::from_str::<ProbeOrder>(text.to_str()?).ok());
    match order.map(|order| probe(&order)) {
        Some(Ok(status)) => ExitCode::from(code(status)),
        // The container is going, or its files cannot be written: the next probe will tell.
        _ => ExitCode::from(125),
    }
}

fn probe(order: &ProbeOrder) -> Result<HealthStatus, Error> {
    let engine = Engine::open(&order.root, &order.state, Recorder::silent())?;
    let gone = || Error::NoSuchContainer(order.id.to_string());
    let container = records::container(engine.layout(), &order.id)?.ok_or_else(gone)?;
    let check = container.health.as_ref().ok_or_else(gone)?;
    let start = Timestamp::now();
    let (exit_code, output) = match engine.test(&container, check) {
        Ok(outcome) => outcome,
        Err(error) => (-1, Chain::write(&error).replace('\n', ": ")),
    };
    let path = engine.layout().health(&order.id);
    let mut health: Health = records::read(&path).unwrap_or_default().unwrap_or_default();
    health.take(Probe { start, end: Timestamp::now(), exit_code, output }, check.retries, order.starting);
    records::write(&path, &health, Durability::Cached)?;
    Ok(health.status)
}

impl Engine {
    /// Runs a test in a container; returns its exit status and the beginning of its output.
    fn test(&self, container: &Container, check: &HealthCheck) -> Result<(i32, String), Error> {
        let doing = || "run the health check";
        let request = ExecRequest { command: check.command(), ..ExecRequest::default() };
        let (process, streams) = self.start_in(container, &request)?;
        let poller = Poller::new().doing(doing)?;
        poller.add(&process.pidfd, PROCESS, EventFlags::IN).doing(doing)?;
        for (fd, token) in [(&streams.stdout, STDOUT), (&streams.stderr, STDERR)] {
            if let Some(fd) = fd {
                sys::file::set_nonblocking(fd, true).doing(doing)?;
                poller.add(fd, token, EventFlags::IN).doing(doing)?;
            }
        }
        let mut output = Vec::new();
        let mut take = |token: u64| {
            let stream = if token == STDOUT { &streams.stdout } else { &streams.stderr };
            let Some(stream) = stream else { return };
            let mut buffer = [0; OUTPUT];
            while let Ok(length @ 1..) = sys::file::read(stream, &mut buffer) {
                let room = OUTPUT - output.len().min(OUTPUT);
                output.extend_from_slice(&buffer[..length.min(room)]);
            }
        };
        let until = Instant::now() + check.timeout;
        let ended = loop {
            let left = until.saturating_duration_since(Instant::now());
            let ready = poller.wait(Some(left)).doing(doing)?;
            let mut ended = false;
            for event in &ready {
                match event.token {
                    PROCESS => ended = true,
                    token => {
                        take(token);
                        if event.flags.contains(EventFlags::HUP) {
                            let stream = if token == STDOUT { &streams.stdout } else { &streams.stderr };
                            stream.iter().for_each(|fd| drop(poller.remove(fd.as_fd())));
                        }
                    }
                }
            }
            if ended || left.is_zero() {
                break ended;
            }
        };
        if !ended {
            // What it has started in turn is the container's, and ends with it.
            sys::process::pidfd_send_signal(&process.pidfd, 9).doing(doing)?;
        }
        let status = sys::process::wait(&process.pidfd).doing(doing)?;
        take(STDOUT);
        take(STDERR);
        let text = String::from_utf8_lossy(&output).into_owned();
        Ok(if ended { (status.code(), text) } else { (-1, too_long(check.timeout, &text)) })
    }
}

fn too_long(timeout: Duration, output: &str) -> String {
    format!("Health check exceeded timeout ({timeout:?}): {output}")
}

const PROCESS: u64 = 0;
const STDOUT: u64 = 1;
const STDERR: u64 = 2;
