//! Images between a registry, the store and archives, beside podman, skopeo and the floor; and a start from a cold disk.
//!
//! All of them share one host of the bench's own with the registry on its loopback. The images are packed by gzip and their
//! archives written by skopeo, so nobody reads its own; a push goes to a registry that is empty. Whatever was written before is on the
//! disk when the clock starts: who waits for the disk would wait for those before it who did not.

use std::path::{Path, PathBuf};

use super::hosts::Host;
use super::registry::{Registry, copy_into};
use super::rows::kib_to_megabytes;
use super::stock::{self, Layer};
use super::stopwatch::{Lap, median, peak};
use super::subjects::{Hierarchies, Workplace, make, text};
use super::table::Figure;
use super::{Rounds, podman};
use crate::{Outcome, shell};

/// What is done with images, and the most that ours may take, as a part of what podman takes, where the aim says so.
const PULL: &str = "pull of Debian";
const PULL_MANY: &str = "pull of 16,000 small files more";
const PUSH: &str = "push of Debian";
const PUSH_NEW: &str = "push of Debian, never packed before";
const SAVE: &str = "save of Debian";
const LOAD: &str = "load of Debian";
const RMI: &str = "rmi of Debian";
const COLD: &str = "run of Debian, caches dropped";
const WORKS: [(&str, Option<f64>); 6] =
    [(PULL, Some(0.35)), (PULL_MANY, Some(0.3)), (PUSH, None), (PUSH_NEW, None), (SAVE, Some(0.3)), (LOAD, None)];

/// The most that `rmi` may take, in milliseconds, and the most memory of anything, in megabytes.
const RMI_BUDGET: f64 = 20.0;
const MEMORY: f64 = 64.0;

/// Into how many layers the same files are put.
const LAYERS: [usize; 3] = [1, 10, 50];

/// Who works, in the order of the turns and of the table.
const WHO: [&str; 5] = ["floor", "skopeo dir", "skopeo oci", "podman", "conductor"];

/// Everything about images.
pub(super) fn images(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    let mut bench = Bench::make(place)?;
    // Each round takes more than a minute, and one of the layers half of one.
    for round in 0..rounds.heavy {
        bench.round(round)?;
    }
    for _ in 0..rounds.heavy.min(2) {
        bench.round_of_layers()?;
    }
    bench.cold_starts(rounds.heavy + 2)?;
    Ok(bench.book.figures())
}

/// What took how long.
#[derive(Debug, Default)]
struct Book(Vec<(String, &'static str, Lap)>);

impl Book {
    fn laps(&self, work: &str, who: &str) -> Vec<Lap> {
        self.0.iter().filter(|(known, by, _)| known == work && *by == who).map(|(_, _, lap)| *lap).collect()
    }

    /// Returns what all who did the work came to.
    fn all(&self, work: &str, figure: impl Fn(&[Lap]) -> f64) -> Vec<(&'static str, f64)> {
        let laps = WHO.iter().map(|who| (*who, self.laps(work, who)));
        laps.filter(|(_, laps)| !laps.is_empty()).map(|(who, laps)| (who, figure(&laps))).collect()
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (work, budget) in WORKS {
            figures.extend(self.beside(work, budget));
        }
        figures.push(Figure::plain(RMI, "ms", &self.all(RMI, median), RMI_BUDGET));
        for count in LAYERS {
            let work = of_layers(count);
            figures.push(Figure::told(&work, "ms", &self.all(&work, median), "podman"));
        }
        figures.extend(self.beside(COLD, Some(1.0)));
        let memory = |laps: &[Lap]| kib_to_megabytes(peak(laps));
        let works = WORKS.iter().map(|(work, _)| (*work).to_owned());
        for work in works.chain([of_layers(LAYERS[LAYERS.len() - 1])]) {
            figures.push(Figure::plain(&format!("peak RSS, {work}"), "MB", &self.all(&work, memory), MEMORY));
        }
        figures
    }

    /// Ours beside podman's, and beside the floor.
    fn beside(&self, work: &str, budget: Option<f64>) -> [Figure; 2] {
        let all = self.all(work, median);
        let few: Vec<_> = all.iter().filter(|(who, _)| matches!(*who, "floor" | "conductor")).copied().collect();
        let podman = Figure::ratio(work, "ms", &all, "podman", budget.unwrap_or(f64::INFINITY));
        [podman, Figure::told(&format!("{work}, floor"), "ms", &few, "floor")]
    }
}

fn of_layers(count: usize) -> String {
    format!("pull of 16,000 files, {count} layer{}", if count == 1 { "" } else { "s" })
}

/// Who keeps images: podman, or the program.
#[derive(Debug, Clone, Copy)]
struct Engine {
    name: &'static str,
    line: fn(&Workplace, &[&str]) -> Vec<String>,
    /// What it needs to be told of a registry without TLS.
    plain: &'static [&'static str],
}

const ENGINES: [Engine; 2] = [
    Engine { name: "podman", line: podman::line, plain: &["--tls-verify=false"] },
    Engine { name: "conductor", line: ours, plain: &[] },
];

/// Makes a command line of ours, on a store that has no other images.
fn ours(place: &Workplace, words: &[&str]) -> Vec<String> {
    let (program, root, state) = (text(&place.conductor), text(&place.path("images/root")), text(&place.path("state")));
    let all = [&[&program, "--root", &root, "--state", &state], words].concat();
    all.into_iter().map(str::to_owned).collect()
}

/// The host, the registry and what is in it.
#[derive(Debug)]
struct Bench<'a> {
    place: &'a Workplace,
    /// It goes before its host does.
    registry: Registry,
    host: Host,
    debian: Layer,
    many: Layer,
    layout: PathBuf,
    archive: PathBuf,
    /// A tar that no registry has in any form.
    new: PathBuf,
    book: Book,
}

impl<'a> Bench<'a> {
    fn make(place: &'a Workplace) -> Outcome<Self> {
        let host = podman::host(place)?;
        // What podman notes of blobs at registries stays there, whatever its root is.
        host.script(place, "mkdir -p /var/lib/containers && mount -t tmpfs tmpfs /var/lib/containers")?;
        let registry = Registry::start(place, &host, "stock")?;
        let debian = Layer::pack(place, "debian", &stock::debian()?)?;
        let layout = stock::layout(place, "debian", &[&debian])?;
        registry.take(place, &host, &layout, "debian")?;
        let tree = stock::many(place)?;
        for count in LAYERS {
            let layers = stock::split(place, &tree, count)?;
            let name = format!("layers-{count}");
            let layout = stock::layout(place, &name, &layers.iter().collect::<Vec<_>>())?;
            registry.take(place, &host, &layout, &name)?;
        }
        let many = stock::split(place, &tree, 1)?.remove(0);
        registry.take(place, &host, &stock::layout(place, "more", &[&debian, &many])?, "more")?;
        let archive = place.path("images/debian.tar");
        let to = format!("docker-archive:{}:{}", text(&archive), registry.image("debian"));
        let from = format!("oci:{}:{}", text(&layout), stock::TAG);
        host.succeed(place, &["skopeo", "copy", "--quiet", &from, &to].map(str::to_owned))?;
        unpack(&debian.tar, &place.path("images/tree"))?;
        let new = changed(&debian.tar, &place.path("images"))?;
        Ok(Self { place, registry, host, debian, many, layout, archive, new, book: Book::default() })
    }

    fn time(&mut self, work: &str, who: &'static str, line: &[String]) -> Outcome {
        self.host.script(self.place, "sync")?;
        let lap = self.host.time(line)?;
        self.book.0.push((work.to_owned(), who, lap));
        Ok(())
    }

    fn succeed(&self, engine: Engine, words: &[&str]) -> Outcome {
        self.host.succeed(self.place, &(engine.line)(self.place, words)).map(drop)
    }

    fn round(&mut self, round: usize) -> Outcome {
        self.floors()?;
        self.skopeo(round)?;
        ENGINES.into_iter().try_for_each(|engine| self.engine(engine, round))
    }

    fn floors(&mut self) -> Outcome {
        let out = self.place.path("images/out");
        let (kept, floor, debian) = (text(&out), text(&self.place.floor), text(&self.debian.tar));
        let at = |path: String| format!("{}{path}", self.registry.host());
        let (pulled, more) = (at(self.debian.path("debian")), at(self.many.path("more")));
        let copy = format!("exec '{floor}' copy < '{debian}' > '{kept}'");
        let lines: [(&str, [&str; 4]); 6] = [
            (PULL, [&floor, "keep", &pulled, &kept]),
            (PULL_MANY, [&floor, "keep", &more, &kept]),
            (PUSH, [&floor, "pack", &debian, &kept]),
            (PUSH_NEW, [&floor, "pack", &debian, &kept]),
            (SAVE, ["sh", "-c", &copy, "sh"]),
            (LOAD, [&floor, "keep", &debian, &kept]),
        ];
        for (work, line) in lines {
            self.time(work, "floor", &line.map(str::to_owned))?;
            clear(&out)?;
        }
        Ok(())
    }

    fn skopeo(&mut self, round: usize) -> Outcome {
        let out = self.place.path("images/out");
        for (who, kind) in [("skopeo dir", "dir"), ("skopeo oci", "oci")] {
            let (from, to) = (format!("docker://{}", self.registry.image("debian")), format!("{kind}:{}", text(&out)));
            let line = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", &from, &to].map(str::to_owned);
            self.time(PULL, who, &line)?;
            clear(&out)?;
        }
        let empty = Registry::start(self.place, &self.host, &format!("skopeo-{round}"))?;
        // It has the layer packed already, so this is but the way to the registry.
        self.time(PUSH, "skopeo oci", &copy_into(&self.layout, &empty.image("pushed")))
    }

    fn engine(&mut self, engine: Engine, round: usize) -> Outcome {
        let Engine { name, line, plain } = engine;
        let (place, out) = (self.place, self.place.path("images/out"));
        let (debian, more) = (self.registry.image("debian"), self.registry.image("more"));
        let pull = |image: &str| line(place, &[&["pull", "--quiet"], plain, &[image]].concat());
        self.time(PULL, name, &pull(&debian))?;
        self.time(PULL_MANY, name, &pull(&more))?;
        self.succeed(engine, &["rmi", &more])?;
        let empty = Registry::start(place, &self.host, &format!("{name}-{round}"))?;
        let pushed = empty.image("pushed");
        self.succeed(engine, &["tag", &debian, &pushed])?;
        self.time(PUSH, name, &line(place, &[&["push", "--quiet"], plain, &[&pushed]].concat()))?;
        self.succeed(engine, &["rmi", &pushed])?;
        let new = empty.image("new");
        self.succeed(engine, &["import", &text(&self.new), &new])?;
        self.time(PUSH_NEW, name, &line(place, &[&["push", "--quiet"], plain, &[&new]].concat()))?;
        self.succeed(engine, &["rmi", &new])?;
        self.time(SAVE, name, &line(place, &["save", "--quiet", "-o", &text(&out), &debian]))?;
        clear(&out)?;
        self.time(RMI, name, &line(place, &["rmi", &debian]))?;
        self.time(LOAD, name, &line(place, &["load", "--quiet", "-i", &text(&self.archive)]))?;
        self.succeed(engine, &["rmi", &debian])
    }

    fn round_of_layers(&mut self) -> Outcome {
        for count in LAYERS {
            let image = self.registry.image(&format!("layers-{count}"));
            for engine in ENGINES {
                let words = [&["pull", "--quiet"], engine.plain, &[&image]].concat();
                self.time(&of_layers(count), engine.name, &(engine.line)(self.place, &words))?;
                self.succeed(engine, &["rmi", &image])?;
            }
        }
        Ok(())
    }

    /// A program of Debian in a container, when nothing of it, of the image and of the engine is in memory. The floor's root and
    /// podman's are unpacked files.
    fn cold_starts(&mut self, rounds: usize) -> Outcome {
        const PROGRAM: &str = "/usr/bin/true";
        let (place, image) = (self.place, self.registry.image("debian"));
        let tree = text(&place.path("images/tree"));
        let floor = place.floor(&["bundle", "--rootfs", &tree], &Hierarchies::of_the_host()?, PROGRAM);
        let mut lines = vec![("floor", floor)];
        for engine in ENGINES {
            self.succeed(engine, &[&["pull", "--quiet"], engine.plain, &[&image]].concat())?;
            let line = (engine.line)(place, &["run", "--rm", "--network", "none", &image, PROGRAM]);
            // What is made once for an image is made.
            self.host.succeed(place, &line)?;
            lines.push((engine.name, line));
        }
        for _ in 0..rounds {
            for (who, line) in &lines {
                self.host.script(place, "sync; echo 3 > /proc/sys/vm/drop_caches")?;
                self.time(COLD, who, line)?;
            }
        }
        Ok(())
    }
}

/// Copies a tar, and adds a file to it.
fn changed(tar: &Path, directory: &Path) -> Outcome<PathBuf> {
    let new = directory.join("new.tar");
    std::fs::copy(tar, &new).map_err(|error| format!("cannot write {}: {error}", new.display()))?;
    super::subjects::write(&directory.join("added"), b"by the bench\n")?;
    let words = ["--append", "-f", &text(&new), "-C", &text(directory), "added"];
    shell::output(&mut shell::program("tar", words)).map(|_| new)
}

fn unpack(tar: &Path, tree: &Path) -> Outcome {
    make(tree)?;
    shell::output(&mut shell::program("tar", ["-C", &text(tree), "-xpf", &text(tar)])).map(drop)
}

/// Removes what was written, a file or a directory.
fn clear(out: &Path) -> Outcome {
    let removed = if out.is_dir() { std::fs::remove_dir_all(out) } else { std::fs::remove_file(out) };
    removed.map_err(|error| format!("cannot remove {}: {error}", out.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_held_against_podmans_and_told_beside_the_floor() {
        let lap = |who, milliseconds| (PULL.to_owned(), who, Lap { milliseconds, peak_kib: 1 });
        let book = Book(vec![lap("conductor", 3.0), lap("podman", 10.0), lap("floor", 2.0), lap("conductor", 3.0)]);
        let [podman, floor] = book.beside(PULL, Some(0.35));
        assert!((podman.measure - 0.3).abs() < 1e-9 && (podman.budget - 0.35).abs() < 1e-9, "{podman:?}");
        assert!((floor.measure - 1.5).abs() < 1e-9 && floor.budget.is_infinite(), "{floor:?}");
        assert_eq!(
            podman.subjects.iter().map(|(who, _)| who.as_str()).collect::<Vec<_>>(),
            ["floor", "podman", "conductor"]
        );
    }
}
