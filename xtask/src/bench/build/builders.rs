//! Who builds, and how each is told to: over the host's network, with a cache of layers, without a word.

use super::super::subjects::{Workplace, text};
use super::contexts::Context;

/// A builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builder {
    Podman,
    Buildah,
    Conductor,
}

/// All of them, in the order of the turns and of the table.
pub(super) const BUILDERS: [Builder; 3] = [Builder::Podman, Builder::Buildah, Builder::Conductor];

/// What the other two need to be told: to keep layers, to do without a runtime, and to build stages at once.
const THEIRS: [&str; 6] = ["--layers", "--isolation", "chroot", "--format", "docker", "--jobs=8"];

impl Builder {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Buildah => "buildah",
            Self::Conductor => "conductor",
        }
    }

    /// Makes a command line on one of its stores.
    pub(super) fn line(self, place: &Workplace, store: &str, words: &[&str]) -> Vec<String> {
        let program = if self == Self::Conductor { text(&place.conductor) } else { self.name().to_owned() };
        self.called(place, &program, store, words)
    }

    /// Makes the line that imports an archive. Buildah has no word for that, but podman writes stores as it has them.
    pub(super) fn import(self, place: &Workplace, store: &str, archive: &str, image: &str) -> Vec<String> {
        match self {
            Self::Buildah => self.called(place, "podman", store, &["import", "--quiet", archive, image]),
            Self::Podman => self.line(place, store, &["import", "--quiet", archive, image]),
            Self::Conductor => self.line(place, store, &["import", archive, image]),
        }
    }

    /// Makes the line that builds.
    pub(super) fn build(self, place: &Workplace, store: &str, context: &Context) -> Vec<String> {
        let (file, directory) = (text(context.file()), text(context.directory()));
        let verb = if self == Self::Buildah { "bud" } else { "build" };
        let mut words = vec![verb, "-q", "--network", "host", "-t", context.image(), "-f", &file];
        if self != Self::Conductor {
            words.extend(THEIRS);
        }
        if context.is_anew() {
            words.push("--no-cache");
        }
        words.push(&directory);
        self.line(place, store, &words)
    }

    fn called(self, place: &Workplace, program: &str, store: &str, words: &[&str]) -> Vec<String> {
        let root = text(&place.path("build/stores").join(store));
        // What does not outlive a start of the host is in directories that every host has for itself.
        let (option, state) = match self {
            Self::Conductor => ("--state", text(&place.path("state").join(store))),
            _ => ("--runroot", format!("/run/{store}")),
        };
        let all = [&[program, "--root", &root, option, &state], words].concat();
        all.into_iter().map(str::to_owned).collect()
    }
}
