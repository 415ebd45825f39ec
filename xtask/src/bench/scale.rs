//! Many containers at once, and many one after the other.
//!
//! The crowd of 200 is made once, and everything that is to be known of it is measured on it, idle things first. What a
//! run takes alone is measured before the crowd comes and after it has gone.

use std::time::Duration;

use super::Rounds;
use super::leaks::Leaks;
use super::rows::{crun, monitors, proportional_kib, remove_all};
use super::stopwatch::{Lap, Stopwatch, median, middle};
use super::subjects::{IMAGE, Workplace, text};
use super::table::Figure;
use crate::Outcome;

/// How many make a crowd, in two halves that are stopped one after the other.
const CROWD: usize = 200;
const HALVES: [&str; 2] = ["bench-first", "bench-second"];

/// How long idle monitors are watched.
const WATCHED: Duration = Duration::from_secs(5);

/// How many containers come and go, and how many of them are the first and the last.
const CYCLES: usize = 1000;
const FEW: usize = 100;

/// The most that a run may take beside others, and late, as a part of what it takes alone, and early: noise alone.
const NOISE: f64 = 1.1;

/// Everything about many containers.
pub(super) fn scale(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    let peers = crun_crowd(place, rounds)?;
    let mut alone = run_laps(place, rounds)?;
    let crowd = make_crowd(place).and_then(|()| Crowd::measure(place, rounds));
    remove_all(place)?;
    alone.extend(run_laps(place, rounds)?);
    let mut figures = crowd?.figures(&peers, median(&alone));
    figures.extend(cycles(place)?);
    Ok(figures)
}

/// What crun takes for its list and for the removal of a half, in milliseconds.
#[derive(Debug)]
struct Peers {
    list: f64,
    delete: f64,
}

fn crun_crowd(place: &Workplace, rounds: Rounds) -> Outcome<Peers> {
    let mut stopwatch = place.stopwatch_on_v2()?;
    let list = crun_crowd_list(place, rounds, &mut stopwatch);
    let delete = |half: &&str| stopwatch.time(&crun(place, &["delete", "--force", "--regex", &format!("{half}-.*")]));
    // Whatever came of it, no container is left.
    let deleted: Vec<_> = HALVES.iter().map(delete).collect();
    let deleted = deleted.into_iter().collect::<Outcome<Vec<_>>>()?;
    Ok(Peers { list: list?, delete: median(&deleted) })
}

fn crun_crowd_list(place: &Workplace, rounds: Rounds, stopwatch: &mut Stopwatch) -> Outcome<f64> {
    let (bundle, config) = (text(&place.path("bundle")), text(&place.path("bundle/wait.json")));
    for name in HALVES.iter().flat_map(|half| names(half)) {
        stopwatch.time(&crun(place, &["run", "--detach", "--bundle", &bundle, "--config", &config, &name]))?;
    }
    Ok(median(&stopwatch.take_turns(rounds, &[crun(place, &["list"])])?[0]))
}

fn names(half: &str) -> impl Iterator<Item = String> {
    (0..CROWD / HALVES.len()).map(move |number| format!("{half}-{number}"))
}

fn make_crowd(place: &Workplace) -> Outcome {
    for name in HALVES.iter().flat_map(|half| names(half)) {
        place.succeed(&["run", "-d", "--network", "none", "--name", &name, IMAGE, "/wait"])?;
    }
    match place.succeed(&["ps", "-q"])?.lines().count() {
        CROWD => Ok(()),
        count => Err(format!("ps lists {count} containers and not {CROWD}")),
    }
}

fn run_laps(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Lap>> {
    let run = place.engine(&["run", "--rm", "--network", "none", IMAGE, "/noop"]);
    Ok(place.stopwatch()?.take_turns(rounds, &[run])?.remove(0))
}

/// What was measured on the crowd.
#[derive(Debug)]
struct Crowd {
    /// How often monitors were switched to, all together, in all the time watched.
    switches: f64,
    /// The mean of a monitor's own part of memory.
    kib: f64,
    /// Milliseconds.
    ps: f64,
    run: f64,
    stop: f64,
}

impl Crowd {
    fn measure(place: &Workplace, rounds: Rounds) -> Outcome<Self> {
        let monitors = monitors(place)?;
        let switches = switches_in_a_while(&monitors)?;
        let memory = monitors.iter().map(|pid| proportional_kib(*pid)).collect::<Outcome<Vec<_>>>()?;
        let kib = memory.iter().sum::<f64>() / f64::from(u16::try_from(memory.len()).unwrap_or(u16::MAX));
        let ps = median(&place.stopwatch()?.take_turns(rounds, &[place.engine(&["ps"])])?[0]);
        let run = median(&run_laps(place, rounds)?);
        let stop = median(&HALVES.iter().map(|half| stop_half(place, half)).collect::<Outcome<Vec<_>>>()?);
        match place.succeed(&["ps", "-q"])?.lines().count() {
            0 => Ok(Self { switches, kib, ps, run, stop }),
            count => Err(format!("ps lists {count} containers that were stopped")),
        }
    }

    fn figures(&self, peers: &Peers, alone: f64) -> Vec<Figure> {
        let Self { switches, kib, ps, run, stop } = *self;
        vec![
            Figure::plain("ps with 200 containers", "ms", &[("crun list", peers.list), ("conductor", ps)], 6.0),
            Figure::ratio("run --rm beside 200", "ms", &[("alone", alone), ("conductor", run)], "alone", NOISE),
            Figure::plain("stop -t 0 of 100", "ms", &[("crun delete", peers.delete), ("conductor", stop)], 500.0),
            Figure::plain("PSS of a monitor, one of 200", "KiB", &[("conductor", kib)], 100.0),
            Figure::plain("200 idle monitors, 5 s", "switches", &[("conductor", switches)], 0.0),
        ]
    }
}

fn stop_half(place: &Workplace, half: &str) -> Outcome<Lap> {
    let names: Vec<_> = names(half).collect();
    let words: Vec<_> = ["stop", "-t", "0"].into_iter().chain(names.iter().map(String::as_str)).collect();
    place.stopwatch()?.time(&place.engine(&words))
}

/// Counts how often processes are switched to, all together, while nobody asks anything of them.
fn switches_in_a_while(pids: &[u32]) -> Outcome<f64> {
    // The last of them may still be settling down.
    std::thread::sleep(Duration::from_secs(1));
    let count = || pids.iter().map(|pid| switches(*pid)).collect::<Outcome<Vec<_>>>();
    let before = count()?;
    std::thread::sleep(WATCHED);
    let woken = count()?.iter().zip(&before).map(|(after, before)| after - before).sum::<u32>();
    Ok(f64::from(woken))
}

fn switches(pid: u32) -> Outcome<u32> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let counts: Vec<u32> = text
        .lines()
        .filter_map(|line| line.split_once("voluntary_ctxt_switches:"))
        .filter_map(|(_, count)| count.trim().parse().ok())
        .collect();
    // Those of its own will, and those against it.
    if counts.len() == 2 { Ok(counts.iter().sum()) } else { Err(format!("{path} counts no switches")) }
}

/// Containers that come, run, are looked back at and go, one after the other: the last as soon as the first, and nothing is
/// left of any.
fn cycles(place: &Workplace) -> Outcome<Vec<Figure>> {
    let run = place.engine(&["run", "--network", "none", "--name", "bench-cycle", IMAGE, "/noop"]);
    let rm = place.engine(&["rm", "bench-cycle"]);
    let mut stopwatch = place.stopwatch()?;
    let before = Leaks::count(place);
    let mut laps = Vec::with_capacity(CYCLES);
    for _ in 0..CYCLES {
        laps.push(stopwatch.time(&run)?.milliseconds + stopwatch.time(&rm)?.milliseconds);
    }
    let left = Leaks::left(place, &before);
    left.iter().for_each(|line| println!("  left: {line}"));
    let left = f64::from(u32::try_from(left.len()).unwrap_or(u32::MAX));
    let (first, last) = (middle(&laps[..FEW]), middle(&laps[CYCLES - FEW..]));
    let times = [("first", first), ("conductor", last)];
    Ok(vec![
        Figure::ratio("run and rm, last 100 of 1,000", "ms", &times, "first", NOISE),
        Figure::plain("left after 1,000 cycles", "things", &[("conductor", left)], 0.0),
    ])
}
