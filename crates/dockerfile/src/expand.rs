//! Which words of an instruction have variables, and what is made of those that do.

use crate::parse::{MountFault, expanded_mount, needs_directory};
use crate::value::{PortList, ports};
use crate::word::{Lexer, Manner};
use crate::{Add, ArgDeclaration, Copy, Device, ExpandError, FileMode, From, Heredoc, Instruction, Mount, Run, Source};

impl Instruction {
    /// Puts variables into those words in which an instruction has them, takes quotes off, and holds the outcome
    /// against what the instruction can be. `EXPOSE` comes out as single ports with their protocol.
    ///
    /// An `ARG` whose value the builder gives has no use for its default, which may then even be wrong: look first.
    pub fn expand(&self, escape: char, variables: &dyn Fn(&str) -> Option<String>) -> Result<Self, ExpandError> {
        self.expand_with(&mut Expander::new(escape, variables))
    }

    pub(crate) fn expand_with(&self, expander: &mut Expander<'_>) -> Result<Self, ExpandError> {
        Ok(match self {
            Self::Arg(arguments) => {
                Self::Arg(arguments.iter().map(|argument| argument.expand_with(expander)).collect::<Result<_, _>>()?)
            }
            Self::Env(pairs) => Self::Env(expander.pairs(pairs)?),
            Self::Label(pairs) => Self::Label(expander.pairs(pairs)?),
            Self::Run(run) => Self::Run(run.expand_with(expander)?),
            Self::Copy(copy) => Self::Copy(copy.expand_with(expander)?),
            Self::Add(add) => Self::Add(add.expand_with(expander)?),
            Self::Workdir(path) => Self::Workdir(expander.word(path)?),
            Self::User(user) => Self::User(expander.word(user)?),
            Self::StopSignal(signal) => Self::StopSignal(expander.word(signal)?),
            Self::Volume(paths) => Self::Volume(volumes(expander.each(paths)?)?),
            Self::Expose(words) => Self::Expose(exposed(words, expander)?),
            Self::Cmd(_)
            | Self::Entrypoint(_)
            | Self::Shell(_)
            | Self::HealthCheck(_)
            | Self::OnBuild(_)
            | Self::Maintainer(_) => self.clone(),
        })
    }
}

impl From {
    /// Puts variables into the image and the platform; the name has none.
    pub fn expand(&self, escape: char, variables: &dyn Fn(&str) -> Option<String>) -> Result<Self, ExpandError> {
        let mut expander = Expander::new(escape, variables);
        let image = expander.word(&self.image)?;
        let platform = expander.optional(&self.platform)?;
        let empty = |what: String| ExpandError::Value { instruction: "FROM", what };
        if image.is_empty() {
            return Err(empty(format!("{} stands for nothing", self.image)));
        }
        if platform.as_ref().is_some_and(String::is_empty) {
            let written = self.platform.as_deref().unwrap_or_default();
            return Err(empty(format!("{written} stands for nothing")));
        }
        Ok(Self { image, platform, name: self.name.clone() })
    }
}

/// Puts variables into one word after the other, and remembers which had no value.
pub(crate) struct Expander<'a> {
    escape: char,
    variables: &'a dyn Fn(&str) -> Option<String>,
    /// The variables that had neither value nor default.
    pub(crate) unset: Vec<String>,
    /// All that were named.
    pub(crate) named: Vec<String>,
}

impl<'a> Expander<'a> {
    pub(crate) fn new(escape: char, variables: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { escape, variables, unset: Vec::new(), named: Vec::new() }
    }

    pub(crate) fn word(&mut self, word: &str) -> Result<String, ExpandError> {
        Ok(self.read(word, Manner::plain(self.escape))?.0)
    }

    fn read(&mut self, text: &str, manner: Manner) -> Result<(String, Vec<String>), ExpandError> {
        let mut lexer = Lexer::new(text, manner, self.variables);
        let outcome = lexer.run();
        let (unset, named) = lexer.into_names();
        self.unset.extend(unset);
        self.named.extend(named);
        outcome
    }

    fn optional(&mut self, word: &Option<String>) -> Result<Option<String>, ExpandError> {
        word.as_ref().map(|word| self.word(word)).transpose()
    }

    fn each(&mut self, words: &[String]) -> Result<Vec<String>, ExpandError> {
        words.iter().map(|word| self.word(word)).collect()
    }

    fn pairs(&mut self, pairs: &[(String, String)]) -> Result<Vec<(String, String)>, ExpandError> {
        pairs.iter().map(|(name, value)| Ok((self.word(name)?, self.word(value)?))).collect()
    }

    fn sources(&mut self, sources: &[Source]) -> Result<Vec<Source>, ExpandError> {
        let source = |source: &Source| match source {
            Source::Path(path) => self.word(path).map(Source::Path),
            Source::Heredoc(document) if document.expand => {
                let (content, _) = self.read(&document.content, Manner::document())?;
                Ok(Source::Heredoc(Heredoc { content, ..document.clone() }))
            }
            Source::Heredoc(document) => Ok(Source::Heredoc(document.clone())),
        };
        sources.iter().map(source).collect()
    }

    /// An owner and permissions that come to nothing are as good as none.
    fn owner_and_mode(
        &mut self,
        instruction: &'static str,
        chown: &Option<String>,
        chmod: &Option<String>,
    ) -> Result<(Option<String>, Option<String>), ExpandError> {
        let is_something = |word: &String| !word.is_empty();
        let chown = self.optional(chown)?.filter(is_something);
        let chmod = self.optional(chmod)?.filter(is_something);
        if let Some(mode) = &chmod {
            FileMode::parse(mode).map_err(|fault| ExpandError::Value { instruction, what: fault.message })?;
        }
        Ok((chown, chmod))
    }
}

impl ArgDeclaration {
    fn expand_with(&self, expander: &mut Expander<'_>) -> Result<Self, ExpandError> {
        Ok(Self { name: self.name.clone(), default: expander.optional(&self.default)? })
    }
}

impl Run {
    fn expand_with(&self, expander: &mut Expander<'_>) -> Result<Self, ExpandError> {
        let mount = |mount: &Mount| {
            expanded_mount(&mount.written, &mut |value| expander.word(value)).map_err(|fault| match fault {
                MountFault::Complaint(what, _) => ExpandError::Value { instruction: "RUN", what },
                MountFault::Expand(error) => error,
            })
        };
        let mounts = self.mounts.iter().map(mount).collect::<Result<_, _>>()?;
        let device = |device: &Device| Ok(Device { name: expander.word(&device.name)?, ..device.clone() });
        let devices = self.devices.iter().map(device).collect::<Result<_, _>>()?;
        Ok(Self { mounts, devices, ..self.clone() })
    }
}

impl Copy {
    fn expand_with(&self, expander: &mut Expander<'_>) -> Result<Self, ExpandError> {
        let (chown, chmod) = expander.owner_and_mode("COPY", &self.chown, &self.chmod)?;
        let sources = expander.sources(&self.sources)?;
        let destination = destination("COPY", sources.len(), expander.word(&self.destination)?)?;
        Ok(Self { sources, destination, chown, chmod, exclude: expander.each(&self.exclude)?, ..self.clone() })
    }
}

impl Add {
    fn expand_with(&self, expander: &mut Expander<'_>) -> Result<Self, ExpandError> {
        let (chown, chmod) = expander.owner_and_mode("ADD", &self.chown, &self.chmod)?;
        let sources = expander.sources(&self.sources)?;
        let destination = destination("ADD", sources.len(), expander.word(&self.destination)?)?;
        let checksum = expander.optional(&self.checksum)?.filter(|checksum| !checksum.is_empty());
        let exclude = expander.each(&self.exclude)?;
        Ok(Self { sources, destination, chown, chmod, checksum, exclude, ..self.clone() })
    }
}

fn destination(instruction: &'static str, sources: usize, destination: String) -> Result<String, ExpandError> {
    if needs_directory(sources, &destination) {
        let what = format!("several sources need a directory to put them into, as in {destination}/");
        return Err(ExpandError::Value { instruction, what });
    }
    Ok(destination)
}

fn volumes(paths: Vec<String>) -> Result<Vec<String>, ExpandError> {
    if paths.iter().any(String::is_empty) {
        return Err(ExpandError::Value { instruction: "VOLUME", what: "a path is empty".into() });
    }
    Ok(paths)
}

/// A word may bring several ports, and each is named once.
fn exposed(words: &[String], expander: &mut Expander<'_>) -> Result<Vec<String>, ExpandError> {
    let mut list = PortList::default();
    for word in words {
        let (_, words) = expander.read(word, Manner::plain(expander.escape))?;
        for word in words {
            list.add(ports(&word).map_err(|what| ExpandError::Value { instruction: "EXPOSE", what })?);
        }
    }
    Ok(list.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn variables(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".into()),
            "DIR" => Some("/srv".into()),
            "PORTS" => Some("80 443/UDP".into()),
            "MODE" => Some("u=rwX".into()),
            _ => None,
        }
    }

    fn expanded(text: &str) -> Result<Instruction, ExpandError> {
        let file = parse(format!("FROM x\n{text}").as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        file.stages[0].instructions[0].value.expand('\\', &variables)
    }

    #[test]
    fn words_with_variables_get_their_values() {
        for (text, expected) in [
            ("WORKDIR $DIR/x", Instruction::Workdir("/srv/x".into())),
            ("USER ${U:-nobody}", Instruction::User("nobody".into())),
            ("STOPSIGNAL ${S-SIGINT}", Instruction::StopSignal("SIGINT".into())),
            (
                "ENV a=\"$A b\" $A='$A'",
                Instruction::Env(vec![("a".into(), "one b".into()), ("one".into(), "$A".into())]),
            ),
            ("ENV a \"$A\"  b", Instruction::Env(vec![("a".into(), "one  b".into())])),
            ("LABEL a.b=\\$A", Instruction::Label(vec![("a.b".into(), "$A".into())])),
            (
                "ARG x=$A y",
                Instruction::Arg(vec![
                    ArgDeclaration { name: "x".into(), default: Some("one".into()) },
                    ArgDeclaration { name: "y".into(), default: None },
                ]),
            ),
            (
                "EXPOSE $PORTS 80/tcp 90-91",
                Instruction::Expose(vec!["80/tcp".into(), "443/udp".into(), "90/tcp".into(), "91/tcp".into()]),
            ),
            ("VOLUME $DIR [x", Instruction::Volume(vec!["/srv".into(), "[x".into()])),
            ("ONBUILD USER $A", Instruction::OnBuild("USER $A".into())),
        ] {
            assert_eq!(expanded(text).unwrap(), expected, "{text}");
        }
        let line = crate::CommandLine::Shell("echo $A".into());
        assert_eq!(expanded("CMD echo $A").unwrap(), Instruction::Cmd(line));
    }

    #[test]
    fn copies_are_expanded_in_all_their_words() {
        let Instruction::Copy(copy) =
            expanded("COPY --chown=$A:$A --chmod=$MODE --exclude=$A/* $A <<EOF <<'RAW' $DIR/\n'$A' \\$A\nEOF\n$A\nRAW")
                .unwrap()
        else {
            panic!("no copy")
        };
        assert_eq!((copy.chown.as_deref(), copy.chmod.as_deref()), (Some("one:one"), Some("u=rwX")));
        assert_eq!((copy.destination.as_str(), copy.exclude), ("/srv/", vec!["one/*".into()]));
        let text = |source: &Source| match source {
            Source::Path(path) => path.clone(),
            Source::Heredoc(document) => document.content.clone(),
        };
        assert_eq!(copy.sources.iter().map(text).collect::<Vec<_>>(), ["one", "'one' $A\n", "$A\n"]);
        let Instruction::Run(run) = expanded("RUN --mount=type=cache,target=$DIR,id=$A echo $A").unwrap() else {
            panic!("no run")
        };
        assert_eq!((run.mounts[0].target.as_deref(), run.mounts[0].id.as_deref()), (Some("/srv"), Some("one")));
        assert_eq!(run.command, crate::CommandLine::Shell("echo $A".into()));
    }

    #[test]
    fn what_comes_to_nothing_sensible_is_refused() {
        for text in [
            "EXPOSE $A",
            "VOLUME $NONE",
            "COPY --chmod=$A a b",
            "COPY $A b $DIR",
            "RUN --mount=type=$A,target=/x true",
            "RUN --mount=type=tmpfs,target=/x,size=$A true",
            "USER ${NONE?who}",
        ] {
            assert!(expanded(text).is_err(), "{text}");
        }
        let from = |text: &str| parse(text.as_bytes()).unwrap().stages[0].from.value.expand('\\', &variables);
        assert_eq!(from("FROM --platform=$A $A:1 AS x").unwrap().image, "one:1");
        assert!(from("FROM $NONE").is_err() && from("FROM --platform=$NONE x").is_err());
    }
}
