//! Debian's podman, on a host of its own.

use super::hosts::{Host, configuration, remove_all};
use super::subjects::{IMAGE, Workplace, make, text, write};
use crate::{Outcome, shell};

/// What it needs to be told on hosts without systemd, with lowered limits and cgroups of both versions.
const CONFIGURATION: &str = "[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = \"cgroupfs\"\n\
    runtime = \"runc\"\nevents_logger = \"file\"\n[network]\nnetwork_backend = \"netavark\"\n";

/// Where it keeps what does not outlive a start of its host: in a directory that every [`Host`] has for itself.
const STATE: &str = "/run/podman";

/// Makes a host on which podman has the bench's image and nothing else.
pub(super) fn host(place: &Workplace) -> Outcome<Host> {
    if !shell::has("podman") {
        return Err("there is no podman".to_owned());
    }
    // It would write its networks down in `/etc`.
    let networks = place.path("podman-networks");
    for old in [&place.path("podman"), &networks] {
        let _ = std::fs::remove_dir_all(old);
    }
    make(&networks)?;
    let lines = format!("{CONFIGURATION}network_config_dir = {:?}\n", text(&networks));
    write(&configuration(place), lines.as_bytes())?;
    let host = Host::make(place)?;
    host.succeed(place, &line(place, &["import", "--quiet", &text(&place.path("tree.tar")), IMAGE]))?;
    Ok(host)
}

/// Makes a command line of podman.
pub(super) fn line(place: &Workplace, words: &[&str]) -> Vec<String> {
    let root = text(&place.path("podman"));
    let all = [&["podman", "--root", &root, "--runroot", STATE], words].concat();
    all.into_iter().map(str::to_owned).collect()
}

/// Leaves no container of ours on the one host and none of podman's on the other, whatever came of the row.
pub(super) fn remove_both(place: &Workplace, ours: &Host, theirs: &Host) -> Outcome {
    let removed = theirs.succeed(place, &line(place, &["rm", "--all", "--force", "--time", "0"]));
    remove_all(place, ours).and(removed.map(drop))
}
