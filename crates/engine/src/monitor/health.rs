//! The monitor's part of a health check: when to probe, and what to do with a container that has become unhealthy.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sys::event::EventFlags;
use sys::process::ExitStatus;

use super::begin::spawn_face;
use super::probe::{FACE, ProbeOrder, status_of};
use super::{Monitor, PROBE};
use crate::health::{HealthCheck, HealthOnFailure, HealthStatus};
use crate::{Signal, stop};

/// The health check of a run, and how a container is stopped that has become unhealthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HealthOrder {
    pub(crate) check: HealthCheck,
    pub(crate) stop_signal: Signal,
    /// Seconds until SIGKILL.
    pub(crate) grace: u32,
}

/// A health check at work.
#[derive(Debug)]
pub(super) struct HealthWatch {
    order: HealthOrder,
    begun: Instant,
    next: Instant,
    status: HealthStatus,
    probe: Option<OwnedFd>,
    /// When the container is killed that was asked to stop.
    kill_at: Option<Instant>,
    /// It is started again after its end, whatever its policy says.
    pub(super) restarts: bool,
}

impl HealthWatch {
    pub(super) fn new(order: HealthOrder) -> Self {
        let begun = Instant::now();
        let next = begun + order.check.next_probe(Duration::ZERO, HealthStatus::Starting);
        let status = HealthStatus::Starting;
        Self { order, begun, next, status, probe: None, kill_at: None, restarts: false }
    }

    /// Returns when there is something to do.
    fn due(&self) -> Option<Instant> {
        let next = self.probe.is_none().then_some(self.next);
        next.into_iter().chain(self.kill_at).min()
    }
}

impl Monitor {
    /// Returns how long the monitor may sleep; for ever where there is no health check.
    pub(super) fn health_patience(&self) -> Option<Duration> {
        let due = self.health.as_ref()?.due()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Does what is due.
    pub(super) fn tend_health(&mut self) {
        let now = Instant::now();
        let Some(health) = &mut self.health else { return };
        if health.kill_at.is_some_and(|at| at <= now) {
            health.kill_at = None;
            // It may have ended just now.
            let _ = sys::process::pidfd_send_signal(&self.process, Signal::KILL.number());
        }
        if health.probe.is_some() || health.next > now {
            return;
        }
        let order = ProbeOrder {
            root: self.order.root.clone(),
            state: self.order.state.clone(),
            id: self.order.id.clone(),
            starting: health.begun.elapsed() < health.order.check.start_period,
        };
        // Where no process can be had now, the next probe is tried in its time.
        health.next = now + health.order.check.next_probe(health.begun.elapsed(), health.status);
        let text = serde_json::to_string(&order).unwrap_or_default();
        if let Ok(probe) = spawn_face(FACE, self.order.name.as_str(), &text) {
            health.probe = self.poller.add(&probe, PROBE, EventFlags::IN).ok().map(|()| probe);
        }
    }

    /// Takes the outcome of a probe.
    pub(super) fn take_probe(&mut self) {
        let Some(health) = &mut self.health else { return };
        let Some(probe) = health.probe.take() else { return };
        let _ = self.poller.remove(std::os::fd::AsFd::as_fd(&probe));
        let age = health.begun.elapsed();
        let before = health.status;
        if let Ok(ExitStatus::Exited(code)) = sys::process::wait(&probe) {
            health.status = status_of(code).unwrap_or(before);
        }
        health.next = Instant::now() + health.order.check.next_probe(age, health.status);
        if health.status == HealthStatus::Unhealthy && before != HealthStatus::Unhealthy {
            self.act_on_failure();
        }
    }

    fn act_on_failure(&mut self) {
        let Some(health) = &mut self.health else { return };
        let (stop_signal, grace) = (health.order.stop_signal, health.order.grace);
        let signal = match health.order.check.on_failure {
            HealthOnFailure::None => return,
            HealthOnFailure::Kill => Signal::KILL,
            HealthOnFailure::Restart => {
                health.restarts = true;
                stop_signal
            }
            HealthOnFailure::Stop => {
                // Without the mark (a full state directory) its policy would start it again: worse, but told.
                let _ = stop::mark(&self.layout, &self.order.id);
                stop_signal
            }
        };
        health.kill_at = Instant::now().checked_add(Duration::from_secs(grace.into()));
        let _ = sys::process::pidfd_send_signal(&self.process, signal.number());
    }

    /// Ends a probe that is at work: the container has ended.
    pub(super) fn end_probe(&mut self) {
        if let Some(probe) = self.health.as_mut().and_then(|health| health.probe.take()) {
            let _ = sys::process::pidfd_send_signal(&probe, Signal::KILL.number());
            let _ = sys::process::wait(&probe);
        }
    }
}
