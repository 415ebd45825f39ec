//! How soon the death of a container is known.

use std::process::Command;

use super::Rounds;
use super::rows::{crun, floor_image, remove_all};
use super::stopwatch::middle;
use super::subjects::{IMAGE, Workplace, text};
use super::table::Figure;
use crate::{Outcome, shell};

/// The most that may pass before a death is known.
const BUDGET: f64 = 5.0;

/// From the kill of a first process to the end of whoever waits for it: of `conductor wait`, of `crun run`, and of the floor,
/// which waits and clears away. And to the record, which is there before anybody is told.
pub(super) fn exit(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    let laps = laps(place, rounds);
    remove_all(place)?;
    let Laps { floor, crun, waited, recorded } = laps?;
    let all = [("floor", middle(&floor)), ("crun", middle(&crun)), ("conductor", middle(&waited))];
    Ok(vec![
        Figure::plain("death to the end of wait", "ms", &all, BUDGET),
        Figure::plain("death to exit.json", "ms", &[("conductor", middle(&recorded))], BUDGET),
    ])
}

/// Milliseconds.
#[derive(Debug, Default)]
struct Laps {
    floor: Vec<f64>,
    crun: Vec<f64>,
    waited: Vec<f64>,
    recorded: Vec<f64>,
}

fn laps(place: &Workplace, rounds: Rounds) -> Outcome<Laps> {
    let floor = floor_image(place, &[], "/wait")?;
    let (bundle, config) = (text(&place.path("bundle")), text(&place.path("bundle/wait.json")));
    let crun = crun(place, &["run", "--bundle", &bundle, "--config", &config, "bench-exit"]);
    let mut laps = Laps::default();
    for round in 0..rounds.warm + rounds.counted {
        let (floor, _) = death(Command::new(&place.floor).arg("death"), "child", "-", &floor)?;
        let (crun, _) = death(place.on_v2().arg("death"), "child", "-", &crun)?;
        let (waited, recorded) = our_death(place)?;
        if round >= rounds.warm {
            laps.floor.push(floor);
            laps.crun.push(crun);
            laps.waited.push(waited);
            laps.recorded.push(recorded);
        }
    }
    Ok(laps)
}

/// Kills a container in the background for which somebody waits.
fn our_death(place: &Workplace) -> Outcome<(f64, f64)> {
    let id = place.succeed(&["run", "-d", "--network", "none", "--name", "bench-exit", IMAGE, "/wait"])?;
    let pid = place.succeed(&["inspect", "--format", "{{.State.Pid}}", "bench-exit"])?;
    let record = text(&place.path("root/containers").join(id.trim()).join("exit.json"));
    let wait = place.engine(&["wait", "bench-exit"]);
    let times = death(Command::new(&place.floor).arg("death"), pid.trim(), &record, &wait)?;
    place.succeed(&["rm", "bench-exit"])?;
    Ok(times)
}

/// Returns the milliseconds from a kill to the end of a program that waits for it, and to a file.
fn death(command: &mut Command, victim: &str, file: &str, waiting: &[String]) -> Outcome<(f64, f64)> {
    let line = shell::output(command.args([victim, file]).args(waiting))?;
    let nanoseconds: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match nanoseconds[..] {
        [ended, told] => Ok((ended / 1e6, told / 1e6)),
        _ => Err(format!("no times of a death: {line}")),
    }
}
