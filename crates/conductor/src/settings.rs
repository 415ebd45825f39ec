//! What the host's administrator has chosen, read for every command that opens the engine.
//!
//! The file is [`engine::SETTINGS`], or the one that `CONDUCTOR_CONFIG` names, which must then be there. Under the name
//! `conductor.sh` the founding documents' `DEFAULT_IFC` counts too: the variable, or else the line of `./config.sh`.

use std::io;
use std::path::{Path, PathBuf};

use engine::{SETTINGS, Settings};

use crate::error::Failure;
use crate::personality::Face;

/// The environment variable that names the file.
const FILE: &str = "CONDUCTOR_CONFIG";

/// The founding documents' word for the link that leads outside, and the file in which they set it.
const DEFAULT_LINK: &str = "DEFAULT_IFC";
const FOUNDING_FILE: &str = "config.sh";

/// Reads what is chosen.
pub(crate) fn read(face: Face) -> Result<Settings, Failure> {
    let named = std::env::var_os(FILE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let settings = match &named {
        Some(path) if !path.exists() => {
            return Err(Failure::message(format!("there is no configuration {}", path.display()))
                .hint(format!("the environment variable {FILE} names it: make the file, or unset the variable")));
        }
        Some(path) => Settings::read(path)?,
        None => Settings::read(Path::new(SETTINGS))?,
    };
    if face != Face::Founding {
        return Ok(settings);
    }
    let default_interface = match std::env::var(DEFAULT_LINK).ok().filter(|name| !name.is_empty()) {
        Some(name) => Some(name),
        None => default_link(Path::new(FOUNDING_FILE))?.or(settings.default_interface),
    };
    Ok(Settings { default_interface, ..settings })
}

fn default_link(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read(path) {
        Ok(text) => Ok(assigned(&String::from_utf8_lossy(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(error).doing(format!("cannot read ./{}", path.display()))),
    }
}

/// Returns what a shell script assigns to `DEFAULT_IFC`, as far as that is a plain word: the script is not executed.
fn assigned(script: &str) -> Option<String> {
    let value = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let value = line.strip_prefix(DEFAULT_LINK)?.strip_prefix('=')?;
        let quoted = |mark: char| value.strip_prefix(mark)?.split(mark).next();
        let bare = value.split([' ', '\t', ';', '#']).next();
        quoted('"').or_else(|| quoted('\'')).or(bare).map(str::to_owned)
    };
    script.lines().filter_map(value).next_back().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_plain_assignment_counts() {
        for (script, name) in [
            ("DEFAULT_IFC=\"enp1s0\"\n", Some("enp1s0")),
            ("# DEFAULT_IFC=\"lo\"\nexport DEFAULT_IFC='eth0' # the uplink\n", Some("eth0")),
            ("DEFAULT_IFC=eth0; echo\n  DEFAULT_IFC=eth1\n", Some("eth1")),
            ("DEFAULT_IFC=\"\"\n", None),
            ("DEFAULT_IFCS=eth0\necho DEFAULT_IFC=eth0\n", None),
            ("", None),
        ] {
            assert_eq!(assigned(script).as_deref(), name, "{script}");
        }
    }

    #[test]
    fn a_directory_without_the_file_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(default_link(&directory.path().join(FOUNDING_FILE)).unwrap(), None);
    }
}
