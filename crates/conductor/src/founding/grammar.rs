//! The words of `conductor.sh`, and what they mean.

use std::ffi::OsString;

use crate::commands::addnetwork;
use crate::error::Failure;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Intent {
    /// `help [COMMAND]`
    Help(Option<String>),
    /// `build IMAGE [CONDUCTORFILE]`
    Build { image: String, file: Option<String> },
    /// `images`
    Images,
    /// `rmi IMAGE`
    RemoveImage { image: String },
    /// `rmcache`
    RemoveCache,
    /// `run IMAGE NAME [-- COMMAND...]`
    Run { image: String, name: String, command: Vec<String> },
    /// `ps`
    List,
    /// `stop NAME`
    Stop { name: String },
    /// `exec NAME -- COMMAND...`
    Exec { name: String, command: Vec<String> },
    /// `addnetwork NAME [-i] [-e HOST:CONTAINER]`
    AddNetwork { name: String, internet: bool, expose: Vec<(u16, u16)> },
    /// `peer A B`
    Peer { first: String, second: String },
}

/// What runs when no command is given.
const SHELL: &str = "/bin/bash";

/// Reads a command line.
pub(crate) fn parse(words: &[OsString]) -> Result<Intent, Failure> {
    let words: Vec<&str> = words.iter().map(|word| text(word)).collect::<Result<_, _>>()?;
    let Some((&verb, rest)) = words.split_first() else { return Ok(Intent::Help(None)) };
    if rest.iter().take_while(|word| **word != "--").any(|word| *word == "--help" || *word == "-h") {
        return Ok(Intent::Help(Some(verb.to_owned())));
    }
    match (verb, rest) {
        ("help" | "--help" | "-h", []) => Ok(Intent::Help(None)),
        ("help", [command]) => Ok(Intent::Help(Some((*command).to_owned()))),
        ("build", [image]) => Ok(Intent::Build { image: owned(image), file: None }),
        ("build", [image, file]) => Ok(Intent::Build { image: owned(image), file: Some(owned(file)) }),
        ("images", []) => Ok(Intent::Images),
        ("rmi", [image]) => Ok(Intent::RemoveImage { image: owned(image) }),
        ("rmcache", []) => Ok(Intent::RemoveCache),
        ("run", [image, name, rest @ ..]) if *image != "--" && *name != "--" => {
            Ok(Intent::Run { image: owned(image), name: owned(name), command: command(verb, rest)? })
        }
        ("ps", []) => Ok(Intent::List),
        ("stop", [name]) => Ok(Intent::Stop { name: owned(name) }),
        ("exec", [name, rest @ ..]) if *name != "--" => {
            Ok(Intent::Exec { name: owned(name), command: command(verb, rest)? })
        }
        ("addnetwork", [name, options @ ..]) if !name.starts_with('-') => add_network(name, options),
        ("peer", [first, second]) => Ok(Intent::Peer { first: owned(first), second: owned(second) }),
        (verb, _) => Err(wrong(verb)),
    }
}

fn text(word: &OsString) -> Result<&str, Failure> {
    word.to_str().ok_or_else(|| Failure::message(format!("{} is not UTF-8", word.display())))
}

fn owned(word: &str) -> String {
    word.to_owned()
}

/// Reads `[-- COMMAND...]`; a command without `--` is refused, because a forgotten name would become a command.
fn command(verb: &str, words: &[&str]) -> Result<Vec<String>, Failure> {
    match words {
        [] | ["--"] => Ok(vec![SHELL.to_owned()]),
        ["--", command @ ..] => Ok(command.iter().map(|word| owned(word)).collect()),
        [word, ..] => Err(Failure::message(format!("unexpected word {word:?}")).hint(format!(
            "put -- before the command, as in: conductor.sh {}",
            super::help::usage(verb).unwrap_or(verb)
        ))),
    }
}

fn add_network(name: &str, options: &[&str]) -> Result<Intent, Failure> {
    let (mut internet, mut expose) = (false, Vec::new());
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "-i" | "--internet" => internet = true,
            "-e" | "--expose" => {
                let pair =
                    options.next().ok_or_else(|| Failure::message(format!("{option} requires HOST:CONTAINER")))?;
                expose.push(addnetwork::ports(pair)?);
            }
            _ => return Err(wrong("addnetwork")),
        }
    }
    Ok(Intent::AddNetwork { name: owned(name), internet, expose })
}

fn wrong(verb: &str) -> Failure {
    match super::help::usage(verb) {
        Some(usage) => {
            Failure::message(format!("usage: conductor.sh {usage}")).hint("conductor.sh help lists all commands")
        }
        None => Failure::message(format!("{verb:?} is not a conductor.sh command"))
            .hint("conductor.sh help lists all commands"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Intent, String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&words).map_err(|failure| failure.to_string())
    }

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn every_line_of_the_founding_documents_is_understood() {
        let image = |image: &str| image.to_owned();
        let run = |name: &str, command: &str| Intent::Run {
            image: image("mydebian"),
            name: name.into(),
            command: words(command),
        };
        let exec = |name: &str, command: &str| Intent::Exec { name: name.into(), command: words(command) };
        let network =
            |internet, expose: &[(u16, u16)]| Intent::AddNetwork { name: "eg".into(), internet, expose: expose.into() };
        for (line, intent) in [
            ("build mydebian", Intent::Build { image: image("mydebian"), file: None }),
            (
                "build myimage Conductorfile",
                Intent::Build { image: image("myimage"), file: Some("Conductorfile".into()) },
            ),
            ("images", Intent::Images),
            ("rmi mydebian", Intent::RemoveImage { image: image("mydebian") }),
            ("rmcache", Intent::RemoveCache),
            ("run mydebian eg", run("eg", "/bin/bash")),
            ("run mydebian eg --", run("eg", "/bin/bash")),
            ("run mydebian c1 -- sleep infinity", run("c1", "sleep infinity")),
            ("run mydebian c1 -- sh -c -- --help", run("c1", "sh -c -- --help")),
            ("ps", Intent::List),
            ("stop eg", Intent::Stop { name: "eg".into() }),
            ("exec eg -- /bin/bash", exec("eg", "/bin/bash")),
            ("exec eg", exec("eg", "/bin/bash")),
            ("exec c2 -- ip route get 1", exec("c2", "ip route get 1")),
            ("exec eg -- dmesg", exec("eg", "dmesg")),
            ("addnetwork eg", network(false, &[])),
            ("addnetwork eg -i", network(true, &[])),
            ("addnetwork eg -e 8080-80", network(false, &[(8080, 80)])),
            ("addnetwork eg -i -e 3000-8080", network(true, &[(3000, 8080)])),
            ("addnetwork eg --internet --expose 3000:8080", network(true, &[(3000, 8080)])),
            ("peer c1 c2", Intent::Peer { first: "c1".into(), second: "c2".into() }),
            ("help", Intent::Help(None)),
            ("", Intent::Help(None)),
            ("run --help", Intent::Help(Some("run".into()))),
            ("help run", Intent::Help(Some("run".into()))),
        ] {
            assert_eq!(parse_line(line), Ok(intent), "{line}");
        }
    }

    #[test]
    fn a_wrong_line_says_how_it_is_meant() {
        for (line, error) in [
            ("run mydebian", "usage: conductor.sh run IMAGE NAME [-- COMMAND...]"),
            ("run mydebian -- bash", "usage: conductor.sh run IMAGE NAME [-- COMMAND...]"),
            ("run mydebian eg bash", "unexpected word \"bash\""),
            ("stop", "usage: conductor.sh stop NAME"),
            ("stop a b", "usage: conductor.sh stop NAME"),
            ("build", "usage: conductor.sh build IMAGE [CONDUCTORFILE]"),
            ("fly", "\"fly\" is not a conductor.sh command"),
            ("addnetwork eg -e 0:80", "invalid ports \"0:80\": use HOST:CONTAINER, as in 3000:8080"),
            ("addnetwork eg -e", "-e requires HOST:CONTAINER"),
            ("addnetwork eg -x", "usage: conductor.sh addnetwork NAME [-i|--internet] [-e|--expose HOST:CONTAINER]"),
        ] {
            assert_eq!(parse_line(line), Err(error.to_owned()), "{line}");
        }
    }
}
