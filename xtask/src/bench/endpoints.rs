//! Places on a network: joined and left by a container that runs, and taken by one container after the other.

use super::Rounds;
use super::hosts::{Host, Subject, remove_all, take_turns};
use super::podman;
use super::rows::floor_image;
use super::stopwatch::median;
use super::subjects::{IMAGE, Workplace};
use super::table::Figure;
use crate::Outcome;

/// How many containers come onto one network, which has room for them.
const CROWD: usize = 500;
const SUBNET: &str = "10.78.0.0/16";

/// How often the 1st, the 100th and the 500th come.
const LAPS: usize = 25;

/// A place for the floor on the network that is filled.
const FLOOR: &[&str] = &["--bridge", "crowd0", "--address", "10.78.255.2/16", "--gateway", "10.78.0.1"];

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
    ours.host.succeed(place, &place.engine(&["network", "prune", "--force"]))?;
    let [theirs, ours] = laps?;
    let figure = |(at, change): (usize, &&str)| {
        let times = [("podman", median(&theirs[at])), ("conductor", median(&ours[at]))];
        Figure::ratio(&format!("network {change}"), "ms", &times, "podman", BESIDE_PODMAN)
    };
    Ok(CHANGES.iter().enumerate().map(figure).chain(crowd?).collect())
}

fn changes(line: impl Fn(&[&str]) -> Vec<String>) -> Vec<Vec<String>> {
    CHANGES.map(|change| line(&["network", change, "bench", "bench-runs"])).to_vec()
}

/// Makes the network, and the container that is put on it.
fn prepare(place: &Workplace, host: &Host, more: &[&str], line: impl Fn(&[&str]) -> Vec<String>) -> Outcome {
    host.succeed(place, &line(&[&["network", "create", "--subnet", "10.77.0.0/16"], more, &["bench"]].concat()))?;
    host.succeed(place, &line(&["run", "-d", "--name", "bench-runs", IMAGE, "/wait"])).map(drop)
}

/// What a start takes beside so many others.
struct Beside {
    floor: f64,
    ours: f64,
}

/// A network is filled, and one more comes while few and while many are on it. Much of what a start takes grows with all that
/// runs on a machine (the kernel looks at each process when a root is changed, at each sysfs when one is mounted), so what the
/// floor takes is measured beside as many.
fn crowd(place: &Workplace, host: &mut Host) -> Outcome<Vec<Figure>> {
    let words = ["network", "create", "--subnet", SUBNET, "-o", "com.docker.network.bridge.name=crowd0", "crowd"];
    host.succeed(place, &place.engine(&words))?;
    // The first of all makes the bridge, and is none of those that are counted.
    host.succeed(place, &place.engine(&["run", "--rm", "--network", "crowd", IMAGE, "/noop"]))?;
    let floor = floor_image(place, FLOOR, "/noop")?;
    let mut there = 0;
    let mut measured = Vec::with_capacity(3);
    for number in [1, CROWD / 5, CROWD] {
        for other in there + 1..number {
            host.succeed(place, &start(place, &format!("other-{other}")))?;
        }
        there = number - 1;
        measured.push(one_more(place, host, &floor)?);
    }
    let [first, hundredth, last] = &measured[..] else { return Ok(Vec::new()) };
    let times = [("1st", first.ours), ("100th", hundredth.ours), ("conductor", last.ours)];
    let growth = [("floor", last.floor / first.floor), ("conductor", last.ours / first.ours)];
    Ok(vec![
        Figure::ratio("the 500th on one network", "ms", &times, "1st", GROWTH),
        Figure::ratio("how much longer than the 1st", "x", &growth, "floor", GROWTH),
    ])
}

fn start(place: &Workplace, name: &str) -> Vec<String> {
    place.engine(&["run", "-d", "--network", "crowd", "--name", name, IMAGE, "/wait"])
}

fn one_more(place: &Workplace, host: &mut Host, floor: &[String]) -> Outcome<Beside> {
    let (mut floors, mut ours) = (Vec::with_capacity(LAPS), Vec::with_capacity(LAPS));
    for _ in 0..LAPS {
        floors.push(host.time(floor)?);
        ours.push(host.time(&start(place, "more"))?);
        host.succeed(place, &place.engine(&["rm", "-f", "more"]))?;
    }
    Ok(Beside { floor: median(&floors), ours: median(&ours) })
}
