//! `COPY` and `ADD`.

use super::flags::Flags;
use super::heredoc::marker;
use super::instruction::mixed;
use super::lines::{Complaint, Statement};
use super::words::{self, Json};
use crate::{Add, Copy, ExpandError, FileMode, Heredoc, Patterns, Source, expand_word};

pub(super) fn read_copy(
    flags: &[String],
    rest: &str,
    statement: &Statement<'_>,
    escape: char,
) -> Result<Copy, Complaint> {
    let known = ["from", "chown", "chmod", "link", "parents", "exclude"];
    let mut flags = Flags::new("COPY", flags, &known)?;
    let from = flags.one("from")?.map(|from| fixed(from, escape)).transpose()?;
    let common = Common::of(&mut flags, escape)?;
    let parents = flags.switch("parents")?.unwrap_or_default();
    let (sources, destination) = sources("COPY", rest, statement, escape)?;
    let Common { chown, chmod, link, exclude } = common;
    Ok(Copy { sources, destination, from, chown, chmod, link, parents, exclude })
}

pub(super) fn read_add(
    flags: &[String],
    rest: &str,
    statement: &Statement<'_>,
    escape: char,
) -> Result<Add, Complaint> {
    let known = ["chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"];
    let mut flags = Flags::new("ADD", flags, &known)?;
    let common = Common::of(&mut flags, escape)?;
    let checksum = flags.one("checksum")?;
    let keep_git_dir = flags.switch("keep-git-dir")?.unwrap_or_default();
    let unpack = flags.switch("unpack")?;
    let (sources, destination) = sources("ADD", rest, statement, escape)?;
    let Common { chown, chmod, link, exclude } = common;
    Ok(Add { sources, destination, chown, chmod, link, exclude, checksum, keep_git_dir, unpack })
}

/// The flags that both have.
struct Common {
    chown: Option<String>,
    chmod: Option<String>,
    link: bool,
    exclude: Vec<String>,
}

impl Common {
    fn of(flags: &mut Flags, escape: char) -> Result<Self, Complaint> {
        let is_fixed = |word: &&String| !word.contains(['$', '"', '\'', escape]);
        let chmod = flags.one("chmod")?;
        if let Some(word) = chmod.as_ref().filter(is_fixed) {
            FileMode::parse(word).map_err(|fault| Complaint {
                message: fault.message,
                hint: fault.hint,
                about: Some(word.clone()),
            })?;
        }
        let exclude = flags.all("exclude")?;
        for word in exclude.iter().filter(is_fixed) {
            Patterns::new(&[word]).map_err(|fault| Complaint::new(fault.message).about(word))?;
        }
        let link = flags.switch("link")?.unwrap_or_default();
        Ok(Self { chown: flags.one("chown")?, chmod, link, exclude })
    }
}

/// Which stage is meant must be known before anything is built.
fn fixed(from: String, escape: char) -> Result<String, Complaint> {
    if from.contains(['$', '"', '\'', escape]) {
        return Err(Complaint::new("--from has no variables")
            .hint("name a stage: FROM $IMAGE AS name, and --from=name")
            .about(from));
    }
    Ok(from)
}

fn sources(
    instruction: &str,
    rest: &str,
    statement: &Statement<'_>,
    escape: char,
) -> Result<(Vec<Source>, String), Complaint> {
    let (mut words, is_json) = match words::json(rest) {
        Json::Words(words) => (words, true),
        Json::Not => (words::at_spaces(rest).into_iter().map(str::to_owned).collect(), false),
        Json::Mixed => return Err(mixed()),
    };
    let Some(destination) = words.pop().filter(|_| !words.is_empty()) else {
        return Err(Complaint::new(format!("{instruction} needs a source and a destination")));
    };
    if !is_json && marker(&destination).is_some() {
        return Err(Complaint::new("a here-document is no destination").about(destination));
    }
    if !is_json {
        refuse_split_quotes(instruction, words.iter().chain([&destination]), escape)?;
    }
    let mut documents = statement.documents.iter();
    let mut source = |word: String| match (is_json, marker(&word)) {
        (false, Some(_)) => documents.next().map(document).transpose().map(|found| found.unwrap_or(Source::Path(word))),
        _ => Ok(Source::Path(word)),
    };
    let sources = words.into_iter().map(&mut source).collect::<Result<Vec<_>, _>>()?;
    if !destination.contains(['$', '"', '\'', escape]) && needs_directory(sources.len(), &destination) {
        return Err(Complaint::new(format!("{instruction} of several sources needs a directory to put them into"))
            .hint(format!("write {destination}/"))
            .about(destination));
    }
    Ok((sources, destination))
}

/// Quotes hold nothing together here; what stands between them has just been taken apart.
fn refuse_split_quotes<'a>(
    instruction: &str,
    mut words: impl Iterator<Item = &'a String>,
    escape: char,
) -> Result<(), Complaint> {
    let is_split =
        |word: &&String| matches!(expand_word(word, escape, &|_| Some(String::new())), Err(ExpandError::Quote { .. }));
    words.find(is_split).map_or(Ok(()), |word| {
        Err(Complaint::new(format!("a quote is not closed in {word}"))
            .hint(format!(r#"write paths with spaces as JSON: {instruction} ["a b", "c"]"#))
            .about(word))
    })
}

fn document(document: &Heredoc) -> Result<Source, Complaint> {
    // The name becomes that of a file.
    if document.name.contains('/') || matches!(document.name.as_str(), "." | "..") {
        return Err(Complaint::new(format!("{:?} cannot be the name of a file", document.name)).about(&document.name));
    }
    Ok(Source::Heredoc(Heredoc { content: document.chomped(), ..document.clone() }))
}

/// Tells whether a destination would have to be a directory, and does not say that it is one.
pub(crate) fn needs_directory(sources: usize, destination: &str) -> bool {
    let last = destination.rsplit('/').next().unwrap_or_default();
    sources > 1 && !matches!(last, "" | "." | "..")
}
