//! Hosts of the bench's own: network namespaces in which engines make links and rules, so that the machine's are left alone.
//!
//! ```text
//! outside: eth0 192.0.2.2 ---- 192.0.2.1 uplink : the host : bridges and containers of whoever is measured
//! ```
//!
//! Each who is measured has a host for itself, since the rules of one are felt by all others. A host has a mount namespace
//! too, in which everything below `/run` and the engine's state are its own, as they are after a start of a machine.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::Rounds;
use super::stopwatch::{Dialogue, Lap, Stopwatch};
use super::subjects::{Workplace, make, text};
use crate::{Outcome, shell};

/// What makes a host of a new namespace, and stays in it as the stopwatch. `$1` is where our engine keeps its state.
const HOST: &str = "ip link set lo up && echo 1 > /proc/sys/net/ipv4/ip_forward && mount -t tmpfs tmpfs /run \
    && mount -t tmpfs tmpfs \"$1\" && shift && exec \"$@\"";

/// What makes a client of a new namespace.
const OUTSIDE: &str = "ip link set lo up && exec \"$@\"";

/// Leads from the host to the client and back. `$1` is the client's process.
const UPLINK: &str = "ip link add uplink type veth peer name eth0 netns \"$1\" && ip address add 192.0.2.1/24 dev uplink \
    && ip link set uplink up && ip route add default via 192.0.2.2 && nsenter --target \"$1\" --net sh -c \
    'ip address add 192.0.2.2/24 dev eth0 && ip link set eth0 up && ip route add default via 192.0.2.1'";

/// A host of the bench's own.
#[derive(Debug)]
pub(super) struct Host {
    /// It holds the namespaces, and times programs in them.
    stopwatch: Stopwatch,
    /// Asks for connections from another host.
    outside: Dialogue,
    /// Asks for connections from this one.
    inside: Dialogue,
}

/// Who asks for connections: on another host, or on this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Outside,
    Inside,
}

/// The host's address for those outside.
pub(super) const OUTER: &str = "192.0.2.1";

impl Host {
    /// Makes one.
    pub(super) fn make(place: &Workplace) -> Outcome<Self> {
        let mut unshare = Command::new("unshare");
        make(&place.path("state"))?;
        unshare.args(["--net", "--mount", "sh", "-c", HOST, "sh"]);
        unshare.arg(place.path("state")).arg(&place.floor).arg("stopwatch");
        // Only podman reads this.
        unshare.env("CONTAINERS_CONF", configuration(place));
        let mut stopwatch = Stopwatch::start(&mut unshare)?;
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "sh", "-c", OUTSIDE, "sh"]).arg(&place.floor).arg("ask");
        let mut outside = Dialogue::start(&mut unshare)?;
        // Whoever answers has come where it has to be.
        stopwatch.time(&["true".to_owned()])?;
        outside.ask("")?;
        let (host, client) = (stopwatch.process(), outside.process().to_string());
        shell::output(enter(place, host).args(["sh", "-c", UPLINK, "sh", &client]))?;
        let inside = Dialogue::start(enter(place, host).arg(&place.floor).arg("ask"))?;
        Ok(Self { stopwatch, outside, inside })
    }

    /// Makes a command in it, of which the words are still to come.
    pub(super) fn enter(&self, place: &Workplace) -> Command {
        enter(place, self.stopwatch.process())
    }

    /// Runs a program in it and returns what it prints.
    pub(super) fn succeed(&self, place: &Workplace, words: &[String]) -> Outcome<String> {
        shell::output(self.enter(place).args(words).stdin(Stdio::null()))
    }

    /// Runs a script of the shell in it.
    pub(super) fn script(&self, place: &Workplace, script: &str) -> Outcome {
        self.succeed(place, &["sh", "-ec", script].map(str::to_owned)).map(drop)
    }

    /// Starts a stopwatch that has its mounts, and the machine's own network.
    pub(super) fn stopwatch_outside(&self, place: &Workplace) -> Outcome<Stopwatch> {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.stopwatch.process().to_string(), "--mount", "--"]);
        nsenter.arg(&place.floor).arg("stopwatch").env("CONTAINERS_CONF", configuration(place));
        Stopwatch::start(&mut nsenter)
    }

    /// Times a program in it.
    pub(super) fn time(&mut self, words: &[String]) -> Outcome<Lap> {
        self.stopwatch.time(words)
    }

    /// Asks for connections and returns nanoseconds. See `floor ask`.
    pub(super) fn ask(&mut self, client: Client, request: &str) -> Outcome<f64> {
        let asked = match client {
            Client::Outside => &mut self.outside,
            Client::Inside => &mut self.inside,
        };
        let answer = asked.ask(request)?;
        answer.trim().parse().map_err(|_| format!("{request} asked {client:?}: {}", answer.trim()))
    }
}

/// Returns the file in which podman is configured.
pub(super) fn configuration(place: &Workplace) -> PathBuf {
    place.path("containers.conf")
}

fn enter(place: &Workplace, process: u32) -> Command {
    let mut nsenter = Command::new("nsenter");
    nsenter.args(["--target", &process.to_string(), "--net", "--mount", "--"]);
    nsenter.env("CONTAINERS_CONF", text(&configuration(place)));
    nsenter
}

/// Somebody's host, and what is timed on it.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) host: Host,
    pub(super) lines: Vec<Vec<String>>,
}

/// Lets each do each of its lines in turn, and returns the laps of each line of each.
pub(super) fn take_turns<const N: usize>(
    rounds: Rounds,
    mut subjects: [&mut Subject; N],
) -> Outcome<[Vec<Vec<Lap>>; N]> {
    let mut laps = std::array::from_fn(|at| vec![Vec::new(); subjects[at].lines.len()]);
    for round in 0..rounds.warm + rounds.counted {
        for (subject, laps) in subjects.iter_mut().zip(&mut laps) {
            for (line, laps) in subject.lines.iter().zip(laps) {
                let lap = subject.host.time(line)?;
                if round >= rounds.warm {
                    laps.push(lap);
                }
            }
        }
    }
    Ok(laps)
}

/// Leaves no container of ours on a host, whatever came of the row.
pub(super) fn remove_all(place: &Workplace, host: &Host) -> Outcome {
    let ids = host.succeed(place, &place.engine(&["ps", "-aq"]))?;
    let words: Vec<_> = ["rm", "-f"].into_iter().chain(ids.lines()).collect();
    if ids.is_empty() { Ok(()) } else { host.succeed(place, &place.engine(&words)).map(drop) }
}
