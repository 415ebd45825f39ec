//! Which face the binary shows: chosen by the name it is called by and, for `conductor`, by the first word.
//!
//! Internal faces come first and cost nothing but two comparisons: the monitor of a container must start in microseconds.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// A face of the binary: a grammar and who speaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// The small process that watches one container: started by ourselves, never typed.
    Monitor,
    /// The process that starts a container again and becomes its monitor: started by ourselves, never typed.
    Restart,
    /// The process that checks a container's health once: started by its monitor, never typed.
    Probe,
    /// The process that packs files of a log: started by a monitor, never typed.
    Pack,
    /// The first process of a container that asked for a small init: our own binary, executed inside.
    Init,
    /// The OCI runtime command line, under the name it was called by.
    Runtime(&'static str),
    /// The founding documents' grammar.
    Founding,
    /// Docker's grammar and our own verbs.
    Conductor,
    /// Docker's grammar alone, under the name it was called by.
    Docker(&'static str),
}

impl Face {
    /// Returns the name by which messages call the program.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Monitor => "conductor monitor",
            Self::Probe => "conductor monitor-probe",
            Self::Pack => "conductor monitor-pack",
            Self::Restart => "conductor monitor-again",
            Self::Init => "conductor-init",
            Self::Runtime(name) | Self::Docker(name) => name,
            Self::Founding => "conductor.sh",
            Self::Conductor => "conductor",
        }
    }
}

/// Chooses the face, and returns how many of the words it used up.
pub(crate) fn choose(words: &[OsString]) -> (Face, usize) {
    let name = words.first().map_or(&b""[..], |word| base_name(word));
    match name {
        b"conductor-init" => (Face::Init, 1),
        b"conductor.sh" => (Face::Founding, 1),
        b"docker" => (Face::Docker("docker"), 1),
        b"podman" => (Face::Docker("podman"), 1),
        b"runc" => (Face::Runtime("runc"), 1),
        b"crun" => (Face::Runtime("crun"), 1),
        _ => match words.get(1).map(|word| word.as_bytes()) {
            Some(b"monitor") => (Face::Monitor, 2),
            Some(word) if word == engine::monitor::again::FACE.as_bytes() => (Face::Restart, 2),
            Some(word) if word == engine::monitor::probe::FACE.as_bytes() => (Face::Probe, 2),
            Some(word) if word == engine::logs::pack::FACE.as_bytes() => (Face::Pack, 2),
            Some(b"runtime") => (Face::Runtime("conductor runtime"), 2),
            _ => (Face::Conductor, 1),
        },
    }
}

fn base_name(word: &OsStr) -> &[u8] {
    word.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_or_the_first_word_chooses_the_face() {
        for (words, face) in [
            ("conductor run eg", (Face::Conductor, 1)),
            ("/usr/bin/conductor", (Face::Conductor, 1)),
            ("./conductor.sh run a b", (Face::Founding, 1)),
            ("docker monitor", (Face::Docker("docker"), 1)),
            ("/usr/local/bin/podman ps", (Face::Docker("podman"), 1)),
            ("/usr/sbin/runc create", (Face::Runtime("runc"), 1)),
            ("crun", (Face::Runtime("crun"), 1)),
            ("conductor runtime create", (Face::Runtime("conductor runtime"), 2)),
            ("conductor monitor 5", (Face::Monitor, 2)),
            ("conductor monitor-again eg", (Face::Restart, 2)),
            ("conductor monitor-pack log", (Face::Pack, 2)),
            ("conductor-init /bin/sh sh", (Face::Init, 1)),
            ("anything --debug run", (Face::Conductor, 1)),
            ("", (Face::Conductor, 1)),
        ] {
            let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            assert_eq!(choose(&words), face, "{words:?}");
        }
        assert_eq!(choose(&[]), (Face::Conductor, 1));
    }
}
