//! What is measured, and what it works on: programs, an image, a bundle, directories.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::programs;
use super::stopwatch::Stopwatch;
use crate::{Outcome, shell};

/// The directories and programs of one bench.
///
/// ```text
/// target/bench/
///   figures.json       what was measured last
///   work/root state    the engine's directories
///   work/tree          the root of the containers: three programs and the places for mounts
///   work/tree.tar      the same as an archive
///   work/bundle        a bundle over the tree
/// ```
#[derive(Debug)]
pub(super) struct Workplace {
    pub(super) out: PathBuf,
    work: PathBuf,
    pub(super) conductor: PathBuf,
    pub(super) floor: PathBuf,
}

/// The bundle that all runtimes run: Docker's defaults. It is the tests' own.
const BUNDLE: &str = include_str!("../../../crates/testkit/src/bundle.json");

/// The image in the bench's store.
pub(super) const IMAGE: &str = "bench/noop";

impl Workplace {
    /// Builds the programs and lays everything out.
    pub(super) fn make() -> Outcome<Self> {
        let conductor = shell::built("conductor", "bin", "conductor", "release")?;
        let floor = shell::built("xtask", "bin", "floor", "release")?;
        let out = shell::target_directory()?.join("bench");
        let work = out.join("work");
        let _ = std::fs::remove_dir_all(&work);
        make(&work)?;
        let place = Self { out, work, conductor, floor };
        place.make_tree()?;
        place.make_bundle()?;
        let tar = text(&place.path("tree.tar"));
        shell::output(&mut shell::program("tar", ["-C", &text(&place.path("tree")), "-cf", &tar, "."]))?;
        place.succeed(&["import", &tar, IMAGE])?;
        Ok(place)
    }

    /// Removes all but the figures.
    pub(super) fn remove(&self) -> Outcome {
        std::fs::remove_dir_all(&self.work).map_err(|error| format!("cannot remove {}: {error}", text(&self.work)))
    }

    /// Returns a path in the work directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    fn make_tree(&self) -> Outcome {
        let tree = self.path("tree");
        for directory in ["dev", "etc", "proc", "sys", "tmp"] {
            make(&tree.join(directory))?;
        }
        compile(programs::NOOP, &tree.join("noop"))?;
        compile(programs::WAIT, &tree.join("wait"))?;
        // What writes and copies in containers is what does so beside them.
        std::fs::copy(&self.floor, tree.join("floor")).map(drop).map_err(|error| format!("cannot copy: {error}"))
    }

    fn make_bundle(&self) -> Outcome {
        let bundle = self.path("bundle");
        make(&bundle)?;
        for (name, program) in [("config.json", "/noop"), ("wait.json", "/wait")] {
            let mut spec: Value = serde_json::from_str(BUNDLE).map_err(|error| error.to_string())?;
            spec["process"]["args"] = json!([program]);
            spec["root"]["path"] = json!(self.path("tree"));
            write(&bundle.join(name), spec.to_string().as_bytes())?;
        }
        Ok(())
    }

    /// Makes a command line of the engine.
    pub(super) fn engine(&self, words: &[&str]) -> Vec<String> {
        let (program, root, state) = (text(&self.conductor), text(&self.path("root")), text(&self.path("state")));
        let all = [&[&program, "--root", &root, "--state", &state], words].concat();
        all.into_iter().map(str::to_owned).collect()
    }

    /// Runs a command line of the engine and returns what it prints.
    pub(super) fn succeed(&self, words: &[&str]) -> Outcome<String> {
        let line = self.engine(words);
        shell::output(Command::new(&line[0]).args(&line[1..]).stdin(Stdio::null()))
    }

    /// Makes a command line of the floor, with the host's cgroup hierarchies.
    pub(super) fn floor(&self, words: &[&str], hierarchies: &Hierarchies, program: &str) -> Vec<String> {
        let mut line: Vec<String> =
            [&[text(&self.floor).as_str()], words].concat().into_iter().map(str::to_owned).collect();
        line.extend(["--cgroup".into(), "conductor-bench-floor".into()]);
        line.extend(hierarchies.v1.iter().flat_map(|mount| ["--v1".into(), text(mount)]));
        line.extend(hierarchies.v2.iter().flat_map(|mount| ["--v2".into(), text(mount)]));
        line.push(program.into());
        line
    }

    /// Starts a stopwatch on the host as it is.
    pub(super) fn stopwatch(&self) -> Outcome<Stopwatch> {
        Stopwatch::start(Command::new(&self.floor).arg("stopwatch"))
    }

    /// Starts a stopwatch where [`Self::on_v2`] is.
    pub(super) fn stopwatch_on_v2(&self) -> Outcome<Stopwatch> {
        Stopwatch::start(self.on_v2().arg("stopwatch"))
    }

    /// Makes a call of the floor in a mount namespace in which the host has cgroup v2 and nothing else: crun takes no other.
    pub(super) fn on_v2(&self) -> Command {
        const SCRIPT: &str = "umount -R -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", SCRIPT, "sh"]).arg(&self.floor);
        command
    }
}

/// Where the host's cgroup hierarchies are mounted.
#[derive(Debug, Default)]
pub(super) struct Hierarchies {
    v1: Vec<PathBuf>,
    v2: Option<PathBuf>,
}

impl Hierarchies {
    /// Reads the mount table. systemd's tree has no controller, so the floor leaves it out.
    pub(super) fn of_the_host() -> Outcome<Self> {
        let table = std::fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
        let mut found = Self::default();
        for line in table.lines() {
            let Some((place, kind)) = line.split_once(" - ") else { continue };
            let Some(mount) = place.split(' ').nth(4).map(PathBuf::from) else { continue };
            match kind.split(' ').next() {
                Some("cgroup") if !kind.contains("name=systemd") => found.v1.push(mount),
                Some("cgroup2") => found.v2 = Some(mount),
                _ => {}
            }
        }
        Ok(found)
    }

    /// The one that [`Workplace::stopwatch_on_v2`] mounts.
    pub(super) fn v2_alone() -> Self {
        Self { v1: Vec::new(), v2: Some("/sys/fs/cgroup".into()) }
    }
}

fn compile(source: &str, to: &Path) -> Outcome {
    let from = to.with_extension("c");
    write(&from, source.as_bytes())?;
    let words = ["-O2", "-static", "-nostdlib", "-o", &text(to), &text(&from)];
    shell::output(&mut shell::program("cc", words))?;
    std::fs::remove_file(&from).map_err(|error| format!("cannot remove {}: {error}", from.display()))
}

/// Returns a path as text; those of the bench are.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(super) fn make(path: &Path) -> Outcome {
    std::fs::create_dir_all(path).map_err(|error| format!("cannot make {}: {error}", path.display()))
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Outcome {
    std::fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
