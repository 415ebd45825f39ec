//! Builds from Dockerfiles, beside podman and buildah: on an empty store, with nothing changed, with one file changed, with
//! eight stages at once, and one that installs packages.
//!
//! All three build the same contexts over the same base, which each has imported from one archive into stores of its own. They
//! share a host of the bench's own ([`super::hosts`]); only what installs packages is given the machine's network.
//! [`builders`] says how each is called, [`contexts`] what is built.

mod builders;
mod contexts;

use super::hosts::Host;
use super::stopwatch::{Lap, Stopwatch, median};
use super::subjects::{Workplace, text};
use super::table::Figure;
use super::{Rounds, podman, stock};
use crate::{Outcome, shell};
use builders::{BUILDERS, Builder};
use contexts::{BASE, Context, DEBIAN};

const COLD: &str = "build of 9 steps, 5,000 files";
const CACHED: &str = "the same, nothing changed";
const CHANGED: &str = "the same, one file changed";
const WIDE: &str = "build of 8 stages at once";
const IN_A_ROW: &str = "the same 8 steps in a row";
const REAL: &str = "build with python3-flask and gcc";

/// How often a build is given again in a round when nothing has changed.
const AGAIN: usize = 3;

/// Everything about builds.
pub(super) fn build(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    let mut bench = Bench::make(place)?;
    for round in 0..rounds.heavy {
        for builder in BUILDERS {
            bench.round(builder, &format!("{}-{round}", builder.name()))?;
        }
    }
    bench.real()?;
    Ok(bench.book.figures())
}

/// What took how long.
#[derive(Debug, Default)]
struct Book(Vec<(&'static str, Builder, Lap)>);

impl Book {
    /// Returns the median of all who did the work.
    fn all(&self, work: &str) -> Vec<(&'static str, f64)> {
        let laps = |builder: Builder| {
            let laps = self.0.iter().filter(|(known, by, _)| *known == work && *by == builder);
            laps.map(|(_, _, lap)| *lap).collect::<Vec<_>>()
        };
        let all = BUILDERS.iter().map(|builder| (builder.name(), laps(*builder)));
        all.filter(|(_, laps)| !laps.is_empty()).map(|(name, laps)| (name, median(&laps))).collect()
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![
            Figure::ratio(COLD, "ms", &self.all(COLD), "podman", 0.25),
            Figure::plain(CACHED, "ms", &self.all(CACHED), 100.0),
            Figure::ratio(CHANGED, "ms", &self.all(CHANGED), "podman", 0.2),
            Figure::told(WIDE, "ms", &self.all(WIDE), "podman"),
            Figure::told(IN_A_ROW, "ms", &self.all(IN_A_ROW), "podman"),
        ];
        let ours = |work| self.all(work).into_iter().filter(|(name, _)| *name == "conductor").map(|(_, time)| time);
        let subjects = [("in a row", ours(IN_A_ROW)), ("conductor", ours(WIDE))];
        let subjects: Vec<_> =
            subjects.into_iter().flat_map(|(name, times)| times.map(move |time| (name, time))).collect();
        figures.push(Figure::gain("8 stages, how much quicker at once", "ms", &subjects, "in a row", 1.7));
        let real = self.all(REAL);
        figures.extend((!real.is_empty()).then(|| Figure::told(REAL, "ms", &real, "podman")));
        figures
    }
}

/// The host, what is built on it, and what it took.
#[derive(Debug)]
struct Bench<'a> {
    place: &'a Workplace,
    host: Host,
    files: Context,
    wide: Context,
    in_a_row: Context,
    book: Book,
}

impl<'a> Bench<'a> {
    fn make(place: &'a Workplace) -> Outcome<Self> {
        if !shell::has("buildah") {
            return Err("there is no buildah".to_owned());
        }
        let host = podman::host(place)?;
        // What podman and buildah note of blobs stays there, whatever their root is.
        host.script(place, "mkdir -p /var/lib/containers && mount -t tmpfs tmpfs /var/lib/containers")?;
        contexts::base(place)?;
        let (wide, in_a_row) = contexts::computations(place)?;
        Ok(Self { place, host, files: contexts::files(place)?, wide, in_a_row, book: Book::default() })
    }

    /// Lets one builder do everything once, on a store that has the base and nothing else.
    fn round(&mut self, builder: Builder, store: &str) -> Outcome {
        let archive = text(&contexts::archive(self.place));
        self.host.succeed(self.place, &builder.import(self.place, store, &archive, BASE))?;
        let files = self.files.clone();
        files.change("before")?;
        self.time(COLD, builder, builder.build(self.place, store, &files))?;
        for _ in 0..AGAIN {
            self.time(CACHED, builder, builder.build(self.place, store, &files))?;
        }
        files.change("after")?;
        self.time(CHANGED, builder, builder.build(self.place, store, &files))?;
        for (work, context) in [(WIDE, self.wide.clone()), (IN_A_ROW, self.in_a_row.clone())] {
            self.time(work, builder, builder.build(self.place, store, &context))?;
        }
        if builder == Builder::Conductor { self.look_into(store) } else { Ok(()) }
    }

    fn time(&mut self, work: &'static str, builder: Builder, line: Vec<String>) -> Outcome {
        self.host.script(self.place, "sync")?;
        self.book.0.push((work, builder, self.host.time(&line)?));
        Ok(())
    }

    /// A build that is quick because it has left something out is none.
    fn look_into(&self, store: &str) -> Outcome {
        let words = ["run", "--rm", "--network", "none", self.files.image(), "cat", "/changed", "/count"];
        let seen = self.host.succeed(self.place, &Builder::Conductor.line(self.place, store, &words))?;
        let wanted = format!("after\n{}\n", contexts::FILES);
        if seen == wanted { Ok(()) } else { Err(format!("the image that was built has {seen:?}, and not {wanted:?}")) }
    }

    /// Installs packages from Debian's archive, once each: most of it is the archive and dpkg.
    fn real(&mut self) -> Outcome {
        let (reach, real) = contexts::packages(self.place)?;
        let archive = text(&stock::debian()?);
        let mut outside = self.host.stopwatch_outside(self.place)?;
        for builder in BUILDERS {
            let store = format!("{}-real", builder.name());
            outside.time(&builder.import(self.place, &store, &archive, DEBIAN))?;
            if builder == BUILDERS[0] && !is_reached(&mut outside, &builder.build(self.place, &store, &reach)) {
                println!("Debian's archive cannot be reached, so no packages are installed: that row is left out");
                return Ok(());
            }
            self.host.script(self.place, "sync")?;
            let lap = outside.time(&builder.build(self.place, &store, &real))?;
            self.book.0.push((REAL, builder, lap));
        }
        Ok(())
    }
}

fn is_reached(outside: &mut Stopwatch, line: &[String]) -> bool {
    outside.time(line).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_at_once_are_held_against_the_same_steps_in_a_row() {
        let lap = |work, milliseconds| (work, Builder::Conductor, Lap { milliseconds, peak_kib: 1 });
        let figures = Book(vec![lap(WIDE, 5.0), lap(IN_A_ROW, 9.0)]).figures();
        let gain = figures.iter().find(|figure| figure.budget.total_cmp(&1.7).is_eq()).unwrap();
        assert!((gain.measure - 1.8).abs() < 1e-9, "{gain:?}");
        assert!(!figures.iter().any(|figure| figure.what == REAL), "what was not measured has no row");
    }
}
