//! `build` from a Dockerfile: its words, its cache, its secrets, and what becomes of it when things go wrong.

mod emulated;
mod founding;
mod invocation;
mod layouts;
mod outputs;
mod registries;
mod repeats;
mod secrets;
mod steps;
mod troubles;

use std::path::PathBuf;

use testkit::{Conductor, Sandbox};

/// Writes files below the sandbox's working directory; returns the directory.
pub(crate) fn context(sandbox: &Sandbox, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let directory = sandbox.work().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    for (path, text) in files {
        let path = directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

/// Calls `build` for a directory, without a network.
pub(crate) fn build(sandbox: &Sandbox, directory: &std::path::Path, words: &[&str]) -> Conductor {
    sandbox.conductor(["build", "--network", "none", "--progress", "plain"]).args(words).arg(directory)
}

/// Builds, and returns what was told on the way.
pub(crate) fn told(sandbox: &Sandbox, directory: &std::path::Path, words: &[&str]) -> String {
    build(sandbox, directory, words).run().success().stderr
}

/// Returns the ID of an image.
fn id(sandbox: &Sandbox, image: &str) -> String {
    sandbox.conductor(["image", "inspect", "--format", "{{.Id}}", image]).ok().trim().to_owned()
}

/// Runs a script in a container of an image, and returns what it prints.
pub(crate) fn in_image(sandbox: &Sandbox, image: &str, script: &str) -> String {
    sandbox.conductor(["run", "--rm", "--network", "none", image, "sh", "-ec", script]).ok() + "\n"
}
