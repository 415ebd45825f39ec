//! The torture harness, on the program as the end-to-end tests build it.

use crate::{Outcome, packages, shell};

/// Builds both programs and lets one torture the other.
pub(crate) fn run(words: &[String]) -> Outcome {
    shell::need_root("torture")?;
    packages::ensure("torture")?;
    if words.iter().any(|word| word == "podman") {
        packages::ensure("torture podman")?;
    }
    // As the end-to-end tests have it.
    let conductor = shell::built_beside(&["--test", "cli"], "conductor", "bin", "conductor", "e2e")?;
    let torture = shell::built("torture", "bin", "torture", "dev")?;
    let mut command = shell::program(&torture.to_string_lossy(), words);
    shell::aloud(command.arg("--program").arg(conductor))
}
