//! What stands before the command of an OCI runtime.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::error::Failure;

/// The global options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Globals {
    /// Where the state of containers is kept.
    pub(super) root: Option<PathBuf>,
    /// Where failures are written beside stderr.
    pub(super) log: Option<PathBuf>,
    /// Whether they are written as JSON.
    pub(super) json: bool,
    /// Log everything.
    pub(super) debug: bool,
    /// Ask systemd for cgroups.
    pub(super) systemd_cgroup: bool,
    /// Print help.
    pub(super) help: bool,
    /// Print the version.
    pub(super) version: bool,
}

/// Reads the options before the command, and returns the words from the command on.
///
/// By hand: an engine calls us several times for each container, and building a grammar would be a good part of each call.
pub(super) fn parse<'w>(program: &str, words: &'w [OsString]) -> Result<(Globals, &'w [OsString]), Failure> {
    let mut globals = Globals::default();
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        let Some(option) = word.to_str().filter(|word| word.starts_with('-') && word.len() > 1) else { break };
        rest = after;
        let (name, inline) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        let mut value = || match (inline, rest.split_first()) {
            (Some(value), _) => Ok(OsString::from(value)),
            (None, Some((value, after))) => {
                rest = after;
                Ok(value.clone())
            }
            (None, None) => Err(Failure::message(format!("{name} requires a value"))),
        };
        // Go's flag package takes one dash for two.
        match name.trim_start_matches('-') {
            "root" => globals.root = Some(value()?.into()),
            "log" => globals.log = Some(value()?.into()),
            "log-format" => globals.json = log_format(&value()?)?,
            "criu" | "rootless" | "log-level" => drop(value()?),
            "cgroup-manager" => globals.systemd_cgroup = value()? == "systemd",
            "debug" => globals.debug = true,
            "systemd-cgroup" => globals.systemd_cgroup = inline != Some("false"),
            "help" | "h" => globals.help = true,
            "version" | "v" => globals.version = true,
            _ => {
                return Err(Failure::message(format!("unknown flag: {option}")).hint(format!("See '{program} --help'")));
            }
        }
    }
    Ok((globals, rest))
}

fn log_format(value: &OsStr) -> Result<bool, Failure> {
    match value.to_str() {
        Some("json") => Ok(true),
        Some("text") => Ok(false),
        _ => Err(Failure::message(format!("unknown log format {}: use text or json", value.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(Globals, Vec<String>), String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let (globals, rest) = parse("runc", &words).map_err(|failure| failure.to_string())?;
        Ok((globals, rest.iter().map(|word| word.to_string_lossy().into_owned()).collect()))
    }

    #[test]
    fn containerd_s_command_line_is_understood() {
        let line = "--root /run/containerd/runc/default --log /x/log.json --log-format json --systemd-cgroup create \
                    --bundle /x --pid-file /x/init.pid id";
        let (globals, rest) = read(line).unwrap();
        assert_eq!(globals.root, Some("/run/containerd/runc/default".into()));
        assert_eq!(globals.log, Some("/x/log.json".into()));
        assert!(globals.json && globals.systemd_cgroup && !globals.debug);
        assert_eq!(rest, ["create", "--bundle", "/x", "--pid-file", "/x/init.pid", "id"]);
    }

    #[test]
    fn a_value_may_stand_behind_an_equals_sign() {
        let (globals, rest) = read("--root=/r --log-format=text --rootless=true --debug state id").unwrap();
        assert_eq!(
            (globals.root, globals.debug, rest),
            (Some("/r".into()), true, vec!["state".to_owned(), "id".to_owned()])
        );
    }

    #[test]
    fn a_wrong_option_is_an_error() {
        assert_eq!(read("--bogus state"), Err("unknown flag: --bogus".to_owned()));
        assert_eq!(read("--root"), Err("--root requires a value".to_owned()));
        assert!(read("--log-format xml state").is_err());
    }
}
