//! Man pages, completions and the documentation of the crates.

use crate::{Outcome, shell};

/// Writes man pages and completions, which the program makes from its own commands.
pub(crate) fn man(_: &[String]) -> Outcome {
    let conductor = shell::built("conductor", "bin", "conductor", "dev")?;
    let out = shell::target_directory()?.join("man");
    std::fs::create_dir_all(&out).map_err(|error| format!("cannot make {}: {error}", out.display()))?;
    let conductor = conductor.to_string_lossy().into_owned();
    shell::aloud(&mut shell::program(&conductor, ["man".as_ref(), out.as_os_str()]))?;
    for shell_name in ["bash", "zsh", "fish"] {
        let text = shell::output(&mut shell::program(&conductor, ["completion", shell_name]))?;
        let path = out.join(format!("conductor.{shell_name}"));
        std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    println!("man pages and completions are in {}", out.display());
    Ok(())
}

/// Builds the documentation of all crates, warnings refused.
pub(crate) fn docs(_: &[String]) -> Outcome {
    shell::aloud(&mut rustdoc())
}

/// Makes the command that builds the documentation.
pub(crate) fn rustdoc() -> std::process::Command {
    let mut command = shell::cargo(["doc", "--workspace", "--no-deps", "--locked"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}
