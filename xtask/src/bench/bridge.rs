//! A container on a bridge, from nothing to nothing.

use super::Rounds;
use super::hosts::{Host, Subject, take_turns};
use super::podman;
use super::rows::floor_image;
use super::stopwatch::median;
use super::subjects::{IMAGE, Workplace};
use super::table::Figure;
use crate::Outcome;

/// The most that ours may take, as a part of what the floor and podman take.
const BESIDE_FLOOR: f64 = 2.5;
const BESIDE_PODMAN: f64 = 1.0 / 20.0;

/// A bridge for the floor's links, as it is there for the others' after their first run.
const BRIDGE: &str = "ip link add floor0 type bridge; ip address add 198.51.100.1/24 dev floor0; ip link set floor0 up";
const FLOOR: &[&str] = &["--bridge", "floor0", "--address", "198.51.100.2/24", "--gateway", "198.51.100.1"];

/// On the default network, without a published port and with one. Podman leaves the 0 out that means any port of the host.
const OURS: [&[&str]; 2] = [&["run", "--rm", IMAGE, "/noop"], &["run", "--rm", "-p", "0:80", IMAGE, "/noop"]];
const THEIRS: [&[&str]; 2] = [&["run", "--rm", IMAGE, "/noop"], &["run", "--rm", "-p", "80", IMAGE, "/noop"]];

/// `run --rm` of a no-op, beside a floor that has a link too, and beside podman.
pub(super) fn bridge(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    let (floor, ours, theirs) = (Host::make(place)?, Host::make(place)?, podman::host(place)?);
    floor.script(place, BRIDGE)?;
    let mut floor = Subject { host: floor, lines: vec![floor_image(place, FLOOR, "/noop")?] };
    let mut ours = Subject { host: ours, lines: OURS.map(|words| place.engine(words)).to_vec() };
    let mut theirs = Subject { host: theirs, lines: THEIRS.map(|words| podman::line(place, words)).to_vec() };
    let laps = take_turns(rounds, [&mut floor, &mut ours, &mut theirs]);
    podman::remove_both(place, &ours.host, &theirs.host)?;
    let [floor, ours, theirs] = laps?.map(|laps| laps.iter().map(|laps| median(laps)).collect::<Vec<_>>());
    let plain = figures("run --rm on a bridge", floor[0], ours[0], theirs[0]);
    Ok([plain, figures("run --rm -p 0:80", floor[0], ours[1], theirs[1])].concat())
}

fn figures(what: &str, floor: f64, ours: f64, theirs: f64) -> Vec<Figure> {
    let beside = |name, value| [(name, value), ("conductor", ours)];
    vec![
        Figure::ratio(what, "ms", &beside("floor", floor), "floor", BESIDE_FLOOR),
        Figure::ratio(&format!("{what}, podman"), "ms", &beside("podman", theirs), "podman", BESIDE_PODMAN),
    ]
}
