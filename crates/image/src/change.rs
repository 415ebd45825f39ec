//! Changes to an image's configuration, in the words of a Dockerfile: `--change 'CMD ["/bin/bash"]'`.
//!
//! These are the instructions that need no build: they set, and run nothing.

use std::str::FromStr;

use oci::image::Config;

/// One change to a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The default command or its arguments.
    Cmd(Vec<String>),
    /// The program that always runs.
    Entrypoint(Vec<String>),
    /// Variables of the environment.
    Env(Vec<(String, String)>),
    /// Labels.
    Label(Vec<(String, String)>),
    /// The working directory.
    Workdir(String),
    /// The user, as `user[:group]` by name or number.
    User(String),
    /// Ports that the image listens on, as `port/protocol`.
    Expose(Vec<String>),
    /// Directories that belong on volumes.
    Volume(Vec<String>),
    /// The signal that stops the container.
    StopSignal(String),
}

/// Why a text is not a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The instruction is not one of those that only set.
    #[error(
        "{0:?} cannot be changed here: use CMD, ENTRYPOINT, ENV, LABEL, WORKDIR, USER, EXPOSE, VOLUME or STOPSIGNAL"
    )]
    Instruction(String),
    /// The instruction has no argument.
    #[error("{0} needs an argument")]
    Empty(String),
    /// The argument of ENV or LABEL is not KEY=VALUE.
    #[error("{0:?} is not of the form KEY=VALUE")]
    Pair(String),
    /// A quote is not closed.
    #[error("a quote is not closed in {0:?}")]
    Quote(String),
    /// A port is none.
    #[error("{0:?} is not a port: use a number up to 65535 or a range, with /tcp, /udp or /sctp after it if you like")]
    Port(String),
    /// The working directory is relative.
    #[error("{0:?} is not an absolute path")]
    Relative(String),
}

impl FromStr for Change {
    type Err = ChangeError;

    fn from_str(text: &str) -> Result<Self, ChangeError> {
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let (instruction, rest) = (word.to_ascii_uppercase(), rest.trim());
        if rest.is_empty() && !matches!(instruction.as_str(), "CMD" | "ENTRYPOINT") {
            return Err(ChangeError::Empty(instruction));
        }
        Ok(match instruction.as_str() {
            "CMD" => Self::Cmd(command(rest)),
            "ENTRYPOINT" => Self::Entrypoint(command(rest)),
            "ENV" => Self::Env(pairs(rest)?),
            "LABEL" => Self::Label(pairs(rest)?),
            "WORKDIR" if rest.starts_with('/') => Self::Workdir(rest.to_owned()),
            "WORKDIR" => return Err(ChangeError::Relative(rest.to_owned())),
            "USER" => Self::User(rest.to_owned()),
            "EXPOSE" => Self::Expose(
                rest.split_whitespace().map(ports).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect(),
            ),
            "VOLUME" => Self::Volume(json_list(rest).map_or_else(|| words(rest), Ok)?),
            "STOPSIGNAL" => Self::StopSignal(rest.to_owned()),
            _ => return Err(ChangeError::Instruction(word.to_owned())),
        })
    }
}

/// Applies changes in order: what is set again replaces, variables and labels by their key, ports and volumes add up.
pub fn apply_changes(config: &mut Config, changes: &[Change]) {
    for change in changes {
        match change.clone() {
            Change::Cmd(words) => drop(config.set_cmd(Some(words))),
            // An entry point voids the command of below, as in a Dockerfile; one that follows sets it again.
            Change::Entrypoint(words) => drop(config.set_entrypoint(Some(words)).set_cmd(None)),
            Change::Env(pairs) => pairs.iter().for_each(|(key, value)| set_env(config, key, value)),
            Change::Label(pairs) => {
                let mut labels = config.labels().clone().unwrap_or_default();
                labels.extend(pairs);
                config.set_labels(Some(labels));
            }
            Change::Workdir(path) => drop(config.set_working_dir(Some(path))),
            Change::User(user) => drop(config.set_user(Some(user))),
            Change::Expose(ports) => drop(config.set_exposed_ports(Some(merged(config.exposed_ports(), ports)))),
            Change::Volume(paths) => drop(config.set_volumes(Some(merged(config.volumes(), paths)))),
            Change::StopSignal(signal) => drop(config.set_stop_signal(Some(signal))),
        }
    }
}

fn set_env(config: &mut Config, key: &str, value: &str) {
    let mut env = config.env().clone().unwrap_or_default();
    let setting = format!("{key}={value}");
    match env.iter_mut().find(|line| line.split('=').next() == Some(key)) {
        Some(line) => *line = setting,
        None => env.push(setting),
    }
    config.set_env(Some(env));
}

fn merged(old: &Option<Vec<String>>, new: Vec<String>) -> Vec<String> {
    let mut all: Vec<_> = old.iter().flatten().cloned().chain(new).collect();
    all.sort();
    all.dedup();
    all
}

/// A JSON list is taken word by word; anything else is a line for the shell.
fn command(text: &str) -> Vec<String> {
    match json_list(text) {
        Some(words) => words,
        None if text.is_empty() => Vec::new(),
        None => vec!["/bin/sh".into(), "-c".into(), text.into()],
    }
}

fn json_list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// `KEY=VALUE ...`, or the old form `KEY VALUE` in which the value goes to the end of the line.
fn pairs(text: &str) -> Result<Vec<(String, String)>, ChangeError> {
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.contains('=')
        && let Some((key, value)) = text.split_once(char::is_whitespace)
    {
        return Ok(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(ChangeError::Pair(word)),
    };
    words(text)?.into_iter().map(pair).collect()
}

/// Splits at spaces outside quotes; a backslash takes the next character as it is, except between single quotes.
fn words(text: &str) -> Result<Vec<String>, ChangeError> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            (' ' | '\t', None) => words.extend(word.take()),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(characters.next()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { Err(ChangeError::Quote(text.to_owned())) } else { Ok(words) }
}

/// `80`, `80/udp` or `8000-8010/tcp`, each port on its own.
fn ports(text: &str) -> Result<Vec<String>, ChangeError> {
    let fault = || ChangeError::Port(text.to_owned());
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let parse = |port: &str| port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(fault);
    let (first, last) = (parse(first)?, parse(last)?);
    if first > last || !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(fault());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(changes: &[&str]) -> Config {
        let mut config = Config::default();
        let changes: Vec<Change> = changes.iter().map(|text| text.parse().unwrap()).collect();
        apply_changes(&mut config, &changes);
        config
    }

    #[test]
    fn commands_are_lists_or_lines_for_the_shell() {
        assert_eq!(config(&["CMD [\"/bin/bash\", \"-l\"]"]).cmd().as_deref().unwrap(), ["/bin/bash", "-l"]);
        assert_eq!(config(&["cmd echo $HOME"]).cmd().as_deref().unwrap(), ["/bin/sh", "-c", "echo $HOME"]);
        assert!(config(&["CMD a", "ENTRYPOINT b"]).cmd().is_none());
    }

    #[test]
    fn variables_replace_by_key_and_keep_their_order() {
        let config = config(&["ENV A=1 B=\"two words\"", "ENV C it's old", "ENV A=3"]);
        assert_eq!(config.env().as_deref().unwrap(), ["A=3", "B=two words", "C=it's old"]);
    }

    #[test]
    fn ports_add_up_one_by_one() {
        let config = config(&["EXPOSE 80 53/udp", "EXPOSE 80/tcp 8000-8002"]);
        let ports = config.exposed_ports().as_deref().unwrap();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]);
    }

    #[test]
    fn the_rest_is_set_as_given() {
        let config = config(&["WORKDIR /srv", "USER 1000:1000", "LABEL a=1", "VOLUME /a /b", "STOPSIGNAL SIGINT"]);
        assert_eq!(config.working_dir().as_deref(), Some("/srv"));
        assert_eq!(config.user().as_deref(), Some("1000:1000"));
        assert_eq!(config.labels().as_ref().unwrap()["a"], "1");
        assert_eq!(config.volumes().as_deref().unwrap(), ["/a", "/b"]);
        assert_eq!(config.stop_signal().as_deref(), Some("SIGINT"));
    }

    #[test]
    fn what_cannot_be_set_is_refused() {
        for text in [
            "",
            "RUN make",
            "COPY a b",
            "ENV",
            "ENV A",
            "ENV =1",
            "ENV A=\"open",
            "EXPOSE 0",
            "EXPOSE 70000",
            "EXPOSE 9-8",
            "EXPOSE 80/icmp",
            "WORKDIR relative",
            "WORKDIR",
        ] {
            assert!(text.parse::<Change>().is_err(), "{text:?}");
        }
    }
}
