//! Podman: each image is loaded by itself, all of them are mounted at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testkit::archives::{Case, image};

use super::listing::list;
use super::{Arena, Taken};

/// How many seconds an image may take; most take a tenth of one.
const PATIENCE: &str = "10";
/// What timeout(1) ends with when it had to end the program.
const TIMED_OUT: i32 = 124;

/// More stores than cores: each waits for its disk and its locks now and then.
const STORES: usize = 4;

/// Has podman load the images, in a few stores at a time, and lists what it mounts.
pub(super) fn take(arena: &Arena, cases: &[Case]) -> Vec<Taken> {
    std::thread::scope(|scope| {
        let shares = cases.chunks(cases.len().div_ceil(STORES));
        let stores: Vec<_> = shares.map(|share| scope.spawn(|| Podman::new(arena).take(share))).collect();
        stores.into_iter().flat_map(|store| store.join().unwrap()).collect()
    })
}

struct Podman {
    directory: PathBuf,
}

impl Podman {
    fn new(arena: &Arena) -> Self {
        let directory = arena.directory();
        // Debian's podman wants limits raised that a test may not raise.
        fs::write(directory.join("containers.conf"), "[containers]\ndefault_ulimits = []\n").unwrap();
        Self { directory }
    }

    fn take(&self, cases: &[Case]) -> Vec<Taken> {
        let loaded: Vec<_> = cases.iter().enumerate().map(|(number, case)| self.load(number, case)).collect();
        let mounted = self.run(&["image", "mount", "--all"]);
        let mounted = String::from_utf8_lossy(&mounted.stdout).into_owned();
        let mounts: BTreeMap<&str, &str> =
            mounted.lines().filter_map(|line| line.split_once(char::is_whitespace)).collect();
        let listing = |(number, loaded): (usize, Result<(), String>)| {
            let name = name(number);
            loaded.map(|()| {
                let path = mounts.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not mounted: {mounted}"));
                list(Path::new(path.trim()))
            })
        };
        loaded.into_iter().enumerate().map(listing).collect()
    }

    fn load(&self, number: usize, case: &Case) -> Result<(), String> {
        let archive = self.directory.join("archive.tar");
        fs::write(&archive, image::docker(&name(number), &case.layers)).unwrap();
        let done = self.run(&["load", "--quiet", "--input", &archive.to_string_lossy()]);
        if done.status.code() == Some(TIMED_OUT) {
            return Err(format!("not done after {PATIENCE} seconds"));
        }
        if done.status.success() { Ok(()) } else { Err(reason(&done.stderr)) }
    }

    fn run(&self, words: &[&str]) -> Output {
        let place = |name: &str| self.directory.join(name);
        let mut command = Command::new("timeout");
        command.args([PATIENCE, "podman"]);
        command.env("CONTAINERS_CONF", place("containers.conf")).env("HOME", place("home"));
        command.arg("--root").arg(place("root")).arg("--runroot").arg(place("run"));
        // It locks its networks, whatever it is asked for.
        command.arg("--network-config-dir").arg(place("networks"));
        command.args(["--storage-driver", "overlay"]).args(words).output().unwrap()
    }
}

/// Finds the reason in what it says: it tries all forms of archives, and each fails in its own words.
fn reason(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let begins = ["stderr: ", "(exit status 1): ", "docker-archive: "];
    let found = begins.iter().find_map(|begin| Some(said.rsplit_once(begin)?.1));
    let reason = found.unwrap_or(&said).lines().next().unwrap_or_default();
    reason.trim().trim_end_matches('"').to_owned()
}

fn name(number: usize) -> String {
    format!("localhost/case-{number}:1")
}
