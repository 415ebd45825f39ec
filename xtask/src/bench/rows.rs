//! The rows of the table: what is done, by whom, and what is held against which budget.

use std::path::Path;
use std::time::Duration;

use super::Rounds;
use super::stopwatch::{Stopwatch, median, peak};
use super::subjects::{Hierarchies, IMAGE, Workplace, make, text, write};
use super::table::Figure;
use crate::{Outcome, shell};

/// A row: its name on the command line, and how it is measured.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) measure: fn(&Workplace, Rounds) -> Outcome<Vec<Figure>>,
}

/// All rows, in the order of the table.
pub(super) const ROWS: &[Row] = &[
    Row { name: "run", measure: run },
    Row { name: "bridge", measure: super::bridge::bridge },
    Row { name: "port", measure: super::port::port },
    Row { name: "endpoints", measure: super::endpoints::endpoints },
    Row { name: "oci", measure: oci },
    Row { name: "exec", measure: exec },
    Row { name: "exit", measure: super::exit::exit },
    Row { name: "log", measure: super::output::log },
    Row { name: "pipe", measure: super::output::pipe },
    Row { name: "ps", measure: ps },
    Row { name: "idle", measure: idle },
    Row { name: "scale", measure: super::scale::scale },
    Row { name: "index", measure: index },
    Row { name: "images", measure: super::images::images },
    Row { name: "build", measure: super::build::build },
    Row { name: "size", measure: size },
    Row { name: "seccomp", measure: super::filter::seccomp },
];

/// A container from an image, from nothing to nothing.
fn run(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    let floor = floor_image(place, &[], "/noop")?;
    let ours = place.engine(&["run", "--rm", "--network", "none", IMAGE, "/noop"]);
    let laps = place.stopwatch()?.take_turns(rounds, &[floor, ours])?;
    let subjects = [("floor", median(&laps[0])), ("conductor", median(&laps[1]))];
    let mebibytes = kib_to_megabytes(peak(&laps[1]));
    Ok(vec![
        Figure::ratio("run --rm --network none", "ms", &subjects, "floor", 1.7),
        Figure::plain("peak RSS of run", "MB", &[("conductor", mebibytes)], 3.0),
    ])
}

/// A container from a bundle, all three on the same cgroup v2.
fn oci(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    let (tree, bundle) = (text(&place.path("tree")), text(&place.path("bundle")));
    let floor = place.floor(&["bundle", "--rootfs", &tree], &Hierarchies::v2_alone(), "/noop");
    let ours = runtime(place, &["run", "--bundle", &bundle, "bench"]);
    let crun = crun(place, &["run", "--bundle", &bundle, "bench"]);
    let laps = place.stopwatch_on_v2()?.take_turns(rounds, &[floor, crun, ours])?;
    let times = [("floor", median(&laps[0])), ("crun", median(&laps[1])), ("conductor", median(&laps[2]))];
    let memory = |at: usize| kib_to_megabytes(peak(&laps[at]));
    Ok(vec![
        Figure::ratio("OCI run of one bundle", "ms", &times, "crun", 0.65),
        Figure::plain("peak RSS of OCI run", "MB", &[("crun", memory(1)), ("conductor", memory(2))], 3.0),
    ])
}

/// A no-op in a container that runs. Ours is the engine's exec, crun's the runtime's.
fn exec(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    place.succeed(&["run", "-d", "--network", "none", "--name", "bench-exec", IMAGE, "/wait"])?;
    let mut stopwatch = place.stopwatch_on_v2()?;
    let (bundle, config) = (text(&place.path("bundle")), text(&place.path("bundle/wait.json")));
    stopwatch.time(&crun(place, &["run", "--detach", "--bundle", &bundle, "--config", &config, "bench-exec"]))?;
    let laps = exec_laps(place, rounds, &mut stopwatch);
    // Whatever came of it, no container is left.
    stopwatch.time(&crun(place, &["delete", "--force", "bench-exec"]))?;
    place.succeed(&["rm", "-f", "bench-exec"])?;
    let (theirs, ours) = laps?;
    Ok(vec![Figure::ratio("exec of a no-op", "ms", &[("crun", theirs), ("conductor", ours)], "crun", 1.0)])
}

/// Each on the host on which its container runs, taking turns.
fn exec_laps(place: &Workplace, rounds: Rounds, on_v2: &mut Stopwatch) -> Outcome<(f64, f64)> {
    let mut here = place.stopwatch()?;
    let (ours, theirs) =
        (place.engine(&["exec", "bench-exec", "/noop"]), crun(place, &["exec", "bench-exec", "/noop"]));
    let (mut our_laps, mut their_laps) = (Vec::new(), Vec::new());
    for round in 0..rounds.warm + rounds.counted {
        let laps = (on_v2.time(&theirs)?, here.time(&ours)?);
        if round >= rounds.warm {
            their_laps.push(laps.0);
            our_laps.push(laps.1);
        }
    }
    Ok((median(&their_laps), median(&our_laps)))
}

/// The list of a hundred running containers.
fn ps(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    const COUNT: usize = 100;
    for number in 0..COUNT {
        place.succeed(&["run", "-d", "--network", "none", "--name", &format!("bench-{number}"), IMAGE, "/wait"])?;
    }
    let laps = place.stopwatch()?.take_turns(rounds, &[place.engine(&["ps"])]);
    let listed = place.succeed(&["ps", "-q"]).map(|list| list.lines().count());
    remove_all(place)?;
    if listed? != COUNT {
        return Err(format!("ps does not list {COUNT} containers"));
    }
    Ok(vec![Figure::plain("ps with 100 containers", "ms", &[("conductor", median(&laps?[0]))], 3.0)])
}

/// What one idle container costs in memory, its own program left out: the proportional share of each of ten monitors.
fn idle(place: &Workplace, _: Rounds) -> Outcome<Vec<Figure>> {
    const COUNT: u32 = 10;
    for number in 0..COUNT {
        place.succeed(&["run", "-d", "--network", "none", "--name", &format!("bench-{number}"), IMAGE, "/wait"])?;
    }
    // The last of them is still the fork of a command for some milliseconds, which is thirty times as large.
    std::thread::sleep(Duration::from_secs(1));
    let kib = monitors(place)?.iter().map(|pid| proportional_kib(*pid)).sum::<Outcome<f64>>();
    remove_all(place)?;
    Ok(vec![Figure::plain("PSS of an idle container", "KiB", &[("conductor", kib? / f64::from(COUNT))], 100.0)])
}

/// An archive with many files, made an image of, beside GNU tar unpacking it.
fn index(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    let (tree, tar) = (place.path("many"), text(&place.path("many.tar")));
    for directory in 0..200 {
        let directory = tree.join(format!("d{directory}"));
        make(&directory)?;
        for file in 0..100 {
            write(&directory.join(format!("f{file}")), format!("{directory:?} {file}").repeat(20).as_bytes())?;
        }
    }
    shell::output(&mut shell::program("tar", ["-C", &text(&tree), "-cf", &tar, "."]))?;
    let unpacked = text(&place.path("unpacked"));
    let unpack = ["sh", "-c", "mkdir $1 && tar -C $1 -xf $2", "sh", &unpacked, &tar].map(str::to_owned).to_vec();
    let import = place.engine(&["import", &tar, "bench/many"]);
    let mut stopwatch = place.stopwatch()?;
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..rounds.counted.min(7) {
        theirs.push(stopwatch.time(&unpack)?);
        ours.push(stopwatch.time(&import)?);
        std::fs::remove_dir_all(&unpacked).map_err(|error| format!("cannot remove {unpacked}: {error}"))?;
        place.succeed(&["rmi", "bench/many"])?;
    }
    let subjects = [("tar", median(&theirs)), ("conductor", median(&ours))];
    Ok(vec![Figure::ratio("import of 20,000 files", "ms", &subjects, "tar", 1.0)])
}

/// The whole installation.
fn size(place: &Workplace, _: Rounds) -> Outcome<Vec<Figure>> {
    let bytes = std::fs::metadata(&place.conductor).map_err(|error| error.to_string())?.len();
    Ok(vec![Figure::plain("the whole installation", "MB", &[("conductor", kib_to_megabytes(bytes / 1024))], 8.0)])
}

/// Makes a command line of the floor that runs a program from the bench's image, with further words for the floor.
pub(super) fn floor_image(place: &Workplace, more: &[&str], program: &str) -> Outcome<Vec<String>> {
    let index = only_file(&place.path("root/indexes"))?;
    let layer = only_file(&place.path("root/layers/sha256"))?;
    let scratch = text(&place.path("floor-scratch"));
    let words = ["image", "--erofs", &index, "--device", &layer, "--scratch", &scratch];
    Ok(place.floor(&[&words, more].concat(), &Hierarchies::of_the_host()?, program))
}

fn runtime(place: &Workplace, words: &[&str]) -> Vec<String> {
    let (program, root) = (text(&place.conductor), text(&place.path("runtime")));
    let all = [&[&program, "runtime", "--root", &root], words].concat();
    all.into_iter().map(str::to_owned).collect()
}

pub(super) fn crun(place: &Workplace, words: &[&str]) -> Vec<String> {
    let root = text(&place.path("crun"));
    [&["crun", "--root", &root], words].concat().into_iter().map(str::to_owned).collect()
}

/// Leaves no container, whatever came of the row.
pub(super) fn remove_all(place: &Workplace) -> Outcome {
    let ids = place.succeed(&["ps", "-aq"])?;
    let words: Vec<_> = ["rm", "-f"].into_iter().chain(ids.lines()).collect();
    if ids.is_empty() { Ok(()) } else { place.succeed(&words).map(drop) }
}

/// Finds the monitors of the bench's containers: the parents of their first processes.
pub(super) fn monitors(place: &Workplace) -> Outcome<Vec<u32>> {
    let ids = place.succeed(&["ps", "-q"])?;
    let words = ["inspect", "--format", "{{.State.Pid}}"].into_iter().chain(ids.lines()).collect::<Vec<_>>();
    let parent = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|error| error.to_string())?;
        let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
        after_name.split(' ').nth(1).and_then(|pid| pid.parse().ok()).ok_or_else(|| format!("{pid} has no monitor"))
    };
    place.succeed(&words)?.lines().map(parent).collect()
}

pub(super) fn proportional_kib(pid: u32) -> Outcome<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let value = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| format!("{path} has no Pss"))
}

fn only_file(directory: &Path) -> Outcome<String> {
    let failed = |error: std::io::Error| format!("cannot list {}: {error}", directory.display());
    let mut files = std::fs::read_dir(directory).map_err(failed)?.flatten().map(|entry| entry.path());
    match (files.next(), files.next()) {
        (Some(file), None) => Ok(text(&file)),
        _ => Err(format!("{} does not hold one file", directory.display())),
    }
}

pub(super) fn kib_to_megabytes(kib: u64) -> f64 {
    u32::try_from(kib).map_or(f64::NAN, |kib| f64::from(kib) * 1024.0 / 1e6)
}
