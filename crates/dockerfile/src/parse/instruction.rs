//! From a statement to an instruction.

use super::flags::Flags;
use super::lines::{Complaint, Statement, split};
use super::words::{self, Json};
use super::{copy, health, run, stage};
use crate::value::ports;
use crate::{ArgDeclaration, CommandLine, From, Instruction, suggest};

/// What a statement can be.
pub(super) enum Parsed {
    From(From),
    Instruction(Instruction),
}

/// Reads a statement.
pub(super) fn read(statement: &Statement<'_>, escape: char) -> Result<Parsed, Complaint> {
    let (word, flags, rest) = split(&statement.text);
    if word.eq_ignore_ascii_case("FROM") {
        return stage::from(&flags, rest).map(Parsed::From);
    }
    let upper = word.to_ascii_uppercase();
    let Some(name) = Instruction::NAMES.into_iter().find(|name| *name == upper) else { return Err(unknown(word)) };
    let instruction = match name {
        "RUN" => Instruction::Run(run::read(&flags, rest, statement, escape)?),
        "COPY" => Instruction::Copy(copy::read_copy(&flags, rest, statement, escape)?),
        "ADD" => Instruction::Add(copy::read_add(&flags, rest, statement, escape)?),
        "HEALTHCHECK" => Instruction::HealthCheck(health::read(&flags, rest)?),
        "ONBUILD" => Instruction::OnBuild(on_build(&flags, statement, escape)?),
        _ => {
            Flags::new(name, &flags, &[])?;
            simple(name, rest, escape)?
        }
    };
    Ok(Parsed::Instruction(instruction))
}

/// Reads the instruction behind an `ONBUILD`.
pub(super) fn trigger(statement: &Statement<'_>, escape: char) -> Result<Instruction, Complaint> {
    let refused = |name: &str| Complaint::new(format!("ONBUILD cannot hold {name}"));
    match read(statement, escape)? {
        Parsed::From(_) => Err(refused("FROM")),
        Parsed::Instruction(found @ (Instruction::OnBuild(_) | Instruction::Maintainer(_))) => {
            Err(refused(found.name()))
        }
        Parsed::Instruction(found) => Ok(found),
    }
}

fn unknown(word: &str) -> Complaint {
    let names = Instruction::NAMES.into_iter().chain(["FROM"]);
    let is_word = word.bytes().all(|byte| byte.is_ascii_alphabetic());
    // A name in small letters is more often the next line of a RUN than an instruction.
    let lost = || "does the line above want a \\ at its end?".to_owned();
    let hint = suggest::hint(word, names).or_else(|| (!is_word || word.to_ascii_uppercase() != word).then(lost));
    Complaint { hint, ..Complaint::new(format!("unknown instruction: {word}")).about(word) }
}

/// Those whose arguments are read in one go.
fn simple(name: &'static str, rest: &str, escape: char) -> Result<Instruction, Complaint> {
    if rest.is_empty() && !matches!(name, "CMD" | "ENTRYPOINT") {
        return Err(Complaint::new(format!("{name} needs an argument")));
    }
    Ok(match name {
        "ARG" => Instruction::Arg(arguments(rest, escape)?),
        "ENV" => Instruction::Env(pairs(name, rest, escape)?),
        "LABEL" => Instruction::Label(pairs(name, rest, escape)?),
        "CMD" => Instruction::Cmd(command(rest)?),
        "ENTRYPOINT" => Instruction::Entrypoint(command(rest)?),
        "SHELL" => Instruction::Shell(shell(rest)?),
        "VOLUME" => Instruction::Volume(volumes(rest)?),
        "EXPOSE" => Instruction::Expose(exposed(rest, escape)?),
        "WORKDIR" => Instruction::Workdir(rest.to_owned()),
        "USER" => Instruction::User(rest.to_owned()),
        "STOPSIGNAL" => Instruction::StopSignal(rest.to_owned()),
        _ => Instruction::Maintainer(rest.to_owned()),
    })
}

fn arguments(rest: &str, escape: char) -> Result<Vec<ArgDeclaration>, Complaint> {
    let declaration = |word: String| {
        let (name, default) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            return Err(Complaint::new("ARG needs a name before the =").about(word));
        }
        Ok(ArgDeclaration { name: name.to_owned(), default: default.map(str::to_owned) })
    };
    words::outside_quotes(rest, escape).into_iter().map(declaration).collect()
}

/// `NAME=VALUE ...`, or the old form `NAME VALUE`, in which the value goes to the end of the line.
fn pairs(instruction: &str, rest: &str, escape: char) -> Result<Vec<(String, String)>, Complaint> {
    let words = words::outside_quotes(rest, escape);
    if !words.first().is_some_and(|word| word.contains('=')) {
        let (name, value) = words::first(rest);
        if value.is_empty() {
            return Err(Complaint::new(format!("{instruction} needs a value: {name}=...")).about(name));
        }
        return Ok(vec![(name.to_owned(), value.to_owned())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some(("", _)) => Err(Complaint::new(format!("{instruction} needs a name before the =")).about(word)),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Complaint::new(format!("{word:?} is not of the form NAME=VALUE"))
            .hint("a value with spaces wants quotes")
            .about(word)),
    };
    words.into_iter().map(pair).collect()
}

/// Reads a command: words in JSON, or else a line for the shell.
pub(super) fn command(rest: &str) -> Result<CommandLine, Complaint> {
    match words::json(rest) {
        Json::Words(words) => Ok(CommandLine::Exec(words)),
        Json::Not => Ok(CommandLine::Shell(rest.to_owned())),
        Json::Mixed => Err(mixed()),
    }
}

pub(super) fn mixed() -> Complaint {
    Complaint::new("in its JSON form, a list may hold nothing but words in double quotes")
}

fn shell(rest: &str) -> Result<Vec<String>, Complaint> {
    let example = r#"as in SHELL ["/bin/bash", "-c"]"#;
    match words::json(rest) {
        Json::Words(words) if words.is_empty() => Err(Complaint::new("SHELL needs an argument").hint(example)),
        Json::Words(words) => Ok(words),
        Json::Not => Err(Complaint::new("SHELL takes its words as JSON").hint(example)),
        Json::Mixed => Err(mixed()),
    }
}

fn volumes(rest: &str) -> Result<Vec<String>, Complaint> {
    let words = match words::json(rest) {
        Json::Words(words) => words,
        Json::Not => words::at_spaces(rest).into_iter().map(str::to_owned).collect(),
        Json::Mixed => return Err(mixed()),
    };
    let words: Vec<String> = words.iter().map(|word| word.trim().to_owned()).collect();
    if words.is_empty() || words.iter().any(String::is_empty) {
        return Err(Complaint::new("VOLUME needs a path, and an empty one is none"));
    }
    Ok(words)
}

/// What has no variables is looked at right away.
fn exposed(rest: &str, escape: char) -> Result<Vec<String>, Complaint> {
    let words = words::at_spaces(rest);
    for word in words.iter().filter(|word| !word.contains(['$', '"', '\'', escape])) {
        ports(word).map_err(|message| Complaint::new(message).about(*word))?;
    }
    Ok(words.into_iter().map(str::to_owned).collect())
}

/// Returns the text of the trigger, its here-documents with it, once it is known to be an instruction.
fn on_build(flags: &[String], statement: &Statement<'_>, escape: char) -> Result<String, Complaint> {
    Flags::new("ONBUILD", flags, &[])?;
    let (_, rest) = words::first(&statement.text);
    if rest.is_empty() {
        return Err(Complaint::new("ONBUILD needs an instruction"));
    }
    trigger(&Statement { text: rest.to_owned(), ..statement.clone() }, escape)?;
    let documents = statement.documents.iter().map(|document| format!("\n{}{}", document.content, document.name));
    Ok(std::iter::once(rest.to_owned()).chain(documents).collect())
}
