//! Where the builders differ, and why that is right.

/// A difference that is known.
#[derive(Debug)]
pub(crate) struct Explained {
    /// The case, or `*` for all.
    pub(crate) case: &'static str,
    /// What differs: a path, a member of the configuration, or `build` where only one of them builds it. A `*` at the end
    /// stands for all that begins so.
    pub(crate) at: &'static str,
    /// The reason.
    pub(crate) why: &'static str,
}

impl Explained {
    /// Tells whether it explains that.
    pub(crate) fn fits(&self, case: &str, at: &str) -> bool {
        let fits_at = match self.at.strip_suffix('*') {
            Some(start) => at.starts_with(start),
            None => at == self.at,
        };
        fits_at && (self.case == "*" || self.case == case)
    }
}

const fn because(case: &'static str, at: &'static str, why: &'static str) -> Explained {
    Explained { case, at, why }
}

const EMPTY: &str = "it leaves an empty file where it has mounted its own; what RUN mounts is no part of the image";
const MOUNT_POINT: &str = "it leaves the directories that it made to mount on; BuildKit takes them away again";
const WORKDIR_LAYER: &str = "it takes WORKDIR for a mere setting; with BuildKit it is a step that makes the directory";
const WORKDIR_MADE: &str =
    "it makes the directory only for a later step; the reference: it is made even if nothing uses it";
const CMD_FORGOTTEN: &str = "the reference: ENTRYPOINT resets a CMD that comes from the base image";
const COMMAND_SHELL: &str =
    "the reference: SHELL is for the shell form of RUN, CMD and ENTRYPOINT; it uses it for RUN alone";
const TOP_DIRECTORY: &str = "it makes the directory anew; with BuildKit a directory comes with its mode and its owner";
const ESCAPE: &str = "it takes a backslash for the escape in words, whatever the directive says";

/// The table. Where a reason names the reference, that is the Dockerfile reference of BuildKit.
pub(crate) const EXPLAINED: &[Explained] = &[
    // All cases.
    because("*", "/etc/hostname", EMPTY),
    because("*", "/etc/hosts", EMPTY),
    because("*", "/etc/resolv.conf", EMPTY),
    // What only one of them builds.
    because(
        "stage-names-know-no-case",
        "build",
        "it tells names of stages apart by upper and lower case; BuildKit does not",
    ),
    because("defaults-without-colon", "build", "it wants a colon; BuildKit reads these forms as POSIX has them"),
    because(
        "copy-several-into-no-directory",
        "build",
        "the reference: with several sources the destination ends with a slash",
    ),
    because("copy-wildcard-without-match", "build", "it wants a match; with BuildKit a pattern may mean no file"),
    because("expose-nonsense", "build", "it takes any word for a port; BuildKit refuses what is none"),
    // Files.
    because(
        "arg-goes-on-in-stages-made-of-its-own",
        "/y",
        "Docker's manual: a stage inherits the arguments of the stage it is made of",
    ),
    because("bind-is-the-usual-type", "/m", MOUNT_POINT),
    because("secret", "/run/secrets", MOUNT_POINT),
    because("secret", "/s", MOUNT_POINT),
    because("mount-points-do-not-stay", "/made*", MOUNT_POINT),
    because("copy-from-with-owners", "/kept", TOP_DIRECTORY),
    because("copy-from-with-owners", "/changed", TOP_DIRECTORY),
    because(
        "ignore-for-mounts",
        "/x",
        "it mounts the whole directory; with BuildKit what is ignored is no part of the context",
    ),
    because("escape", "/y", ESCAPE),
    because("escape", "config.Env", ESCAPE),
    because(
        "add-tar-chown",
        "/to*",
        "it leaves owners as the archive has them; with BuildKit --chown is for what is unpacked too",
    ),
    // WORKDIR.
    because("all-of-it", "/w", WORKDIR_MADE),
    because("configuration-goes-along", "/srv", WORKDIR_MADE),
    because("expanded-everywhere", "/dir/work", WORKDIR_MADE),
    because("workdir-is-made", "/made*", WORKDIR_MADE),
    because("workdir-with-slash", "/a", WORKDIR_MADE),
    because("all-of-it", "history", WORKDIR_LAYER),
    because("bind-below-the-working-directory", "history", WORKDIR_LAYER),
    because("configuration-goes-along", "history", WORKDIR_LAYER),
    because("copy-below-the-working-directory", "history", WORKDIR_LAYER),
    because("expanded-everywhere", "history", WORKDIR_LAYER),
    because("run-as-a-user", "history", WORKDIR_LAYER),
    because("workdir", "history", WORKDIR_LAYER),
    because("workdir-is-made", "history", WORKDIR_LAYER),
    because("workdir-is-there", "history", WORKDIR_LAYER),
    because("workdir-with-slash", "history", WORKDIR_LAYER),
    // Configuration.
    because("entrypoint-forgets-the-cmd-of-a-stage", "config.Cmd", CMD_FORGOTTEN),
    because("entrypoint-forgets-the-cmd-of-the-parent", "config.Cmd", CMD_FORGOTTEN),
    because("shell-for-commands", "config.Cmd", COMMAND_SHELL),
    because("shell-for-commands", "config.Entrypoint", COMMAND_SHELL),
    because(
        "env-replaces",
        "config.Env",
        "it lets the search path come last; with BuildKit it is there from the start, and stays in its place",
    ),
    because(
        "expose",
        "config.ExposedPorts",
        "it keeps a range as it is written; with BuildKit each port of it is told",
    ),
    because("labels-given", "history", "it counts the command line's labels as a step"),
];
