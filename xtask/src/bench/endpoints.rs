//! Places on a network: joined and left by a container that runs, and taken by one container after the other.

use super::Rounds;
use super::hosts::{Host, Subject, remove_all, take_turns};
use super::podman;
use super::stopwatch::median;
use super::subjects::{IMAGE, Workplace};
use super::table::Figure;
use crate::Outcome;

/// How many containers come onto one network. It has room for them, and no other network is on this host.
const CROWD: usize = 500;
const SUBNET: &str = "10.77.0.0/16";

/// The medians of so many starts stand for the 1st, the 100th and the 500th.
const AROUND: usize = 5;

/// The most that the 500th may take, as a part of what the first takes.
const GROWTH: f64 = 1.2;

/// The most that a change may take, as a part of what podman takes.
const BESIDE_PODMAN: f64 = 1.0 / 10.0;

/// What is done to a container that runs, over and over.
const CHANGES: [&str; 2] = ["connect", "disconnect"];

/// A container that runs is put on a network and taken off; and a network is filled.
pub(super) fn endpoints(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    let mut ours = Subject { host: Host::make(place)?, lines: changes(|words| place.engine(words)) };
    let mut theirs = Subject { host: podman::host(place)?, lines: changes(|words| podman::line(place, words)) };
    // Podman would need another program to answer for names; it is spared that.
    let laps = prepare(place, &ours.host, &[], |words| place.engine(words))
        .and_then(|()| prepare(place, &theirs.host, &["--disable-dns"], |words| podman::line(place, words)))
        .and_then(|()| take_turns(rounds, [&mut theirs, &mut ours]));
    podman::remove_both(place, &ours.host, &theirs.host)?;
    let crowd = crowd(place, &mut ours.host);
    remove_all(place, &ours.host)?;
    ours.host.succeed(place, &place.engine(&["network", "rm", "bench"]))?;
    let [theirs, ours] = laps?;
    let figure = |(at, change): (usize, &&str)| {
        let times = [("podman", median(&theirs[at])), ("conductor", median(&ours[at]))];
        Figure::ratio(&format!("network {change}"), "ms", &times, "podman", BESIDE_PODMAN)
    };
    Ok(CHANGES.iter().enumerate().map(figure).chain([crowd?]).collect())
}

fn changes(line: impl Fn(&[&str]) -> Vec<String>) -> Vec<Vec<String>> {
    CHANGES.map(|change| line(&["network", change, "bench", "bench-runs"])).to_vec()
}

/// Makes the network, and the container that is put on it.
fn prepare(place: &Workplace, host: &Host, more: &[&str], line: impl Fn(&[&str]) -> Vec<String>) -> Outcome {
    host.succeed(place, &line(&[&["network", "create", "--subnet", SUBNET], more, &["bench"]].concat()))?;
    host.succeed(place, &line(&["run", "-d", "--name", "bench-runs", IMAGE, "/wait"])).map(drop)
}

/// Starts one container after the other.
fn crowd(place: &Workplace, host: &mut Host) -> Outcome<Figure> {
    let mut laps = Vec::with_capacity(CROWD);
    // The first of all makes the bridge, and is none of those that are counted.
    for number in 0..=CROWD {
        let name = format!("bench-{number}");
        laps.push(host.time(&place.engine(&["run", "-d", "--network", "bench", "--name", &name, IMAGE, "/wait"]))?);
    }
    let [first, hundredth, last] =
        [0, 100 - AROUND / 2, CROWD - AROUND].map(|from| median(&laps[1 + from..][..AROUND]));
    let times = [("1st", first), ("100th", hundredth), ("conductor", last)];
    Ok(Figure::ratio("the 500th on one network", "ms", &times, "1st", GROWTH))
}
