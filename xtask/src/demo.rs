//! From a fresh machine to the main job done, aloud.

use crate::{Outcome, packages, shell};

/// The walk: what is said, and the words for `conductor`.
const WALK: &[(&str, &[&str])] = &[
    ("the image that every binary carries", &["run", "--rm", "--network", "none", "conductor/hello"]),
    ("a Debian image, made by debootstrap", &["build", "mydebian"]),
    ("the images there are", &["images"]),
    (
        "a container from it, in the background",
        &["run", "-d", "--network", "none", "--name", "eg", "mydebian", "sleep", "infinity"],
    ),
    ("what runs", &["ps"]),
    ("inside, it is alone: its first process has the number 1", &["exec", "eg", "ps", "-ef"]),
    ("it has a name of its own", &["exec", "eg", "hostname"]),
    ("it is a Debian", &["exec", "eg", "cat", "/etc/os-release"]),
    ("its root is an overlay over the image", &["exec", "eg", "df", "-h", "/"]),
    (
        "what is done to the host for one, step by step",
        &["explain", "run", "--rm", "--network", "none", "mydebian", "true"],
    ),
    ("the end of it", &["stop", "eg"]),
    ("nothing stays behind", &["rm", "eg"]),
    ("the image goes", &["rmi", "mydebian"]),
    ("no containers", &["ps", "-a"]),
];

/// Installs, builds, makes a Debian image, runs a container from it, shows that it is one.
pub(crate) fn run(_: &[String]) -> Outcome {
    shell::need_root("the demo")?;
    packages::ensure("demo")?;
    let conductor = shell::built("conductor", "bin", "conductor", "release")?;
    let scratch = shell::target_directory()?.join("demo");
    let (root, state) = (scratch.join("root"), scratch.join("state"));
    for (what, words) in WALK {
        println!("\n# {what}");
        println!("$ conductor {}", words.join(" "));
        let mut command = shell::program(&conductor.to_string_lossy(), ["--root"]);
        command.arg(&root).arg("--state").arg(&state).args(*words);
        let status = command.status().map_err(|error| format!("cannot start conductor: {error}"))?;
        if !status.success() {
            return Err(format!(
                "conductor {} ended with {status}; what there is stays in {}",
                words.join(" "),
                scratch.display()
            ));
        }
    }
    std::fs::remove_dir_all(&scratch).map_err(|error| format!("cannot remove {}: {error}", scratch.display()))?;
    println!("\nThat was it. The program is {}", conductor.display());
    Ok(())
}
