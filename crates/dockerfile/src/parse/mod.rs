//! From a text to a [`Dockerfile`]: [`lines`] makes statements of lines, [`instruction`] makes instructions of
//! statements, and here they become stages that know of one another what they must.

mod copy;
mod directives;
mod flags;
mod health;
mod heredoc;
mod instruction;
mod lines;
mod mount;
mod run;
mod stage;
mod words;

use instruction::Parsed;
use lines::{Complaint, Lines, Reader, Statement};

use crate::file::Remarks;
use crate::{Dockerfile, Fault, Instruction, Located, Span, Stage};

pub(crate) use copy::needs_directory;
pub(crate) use heredoc::marker;
pub(crate) use lines::split;
pub(crate) use mount::{MountFault, expanded as expanded_mount};
pub(crate) use words::{at_spaces, outside_quotes};

/// The largest file that is read, in bytes.
const LARGEST: usize = 8 << 20;
/// The most stages of a file: names are looked up among them time and again.
const MOST_STAGES: usize = 4096;

/// Reads a Dockerfile.
///
/// ```
/// let file = dockerfile::parse(b"FROM alpine AS base\nRUN apk add curl\n").unwrap();
/// assert_eq!(file.stages[0].from.value.name.as_deref(), Some("base"));
/// assert_eq!(file.stages[0].instructions[0].text, "RUN apk add curl");
/// ```
pub fn parse(text: &[u8]) -> Result<Dockerfile, Fault> {
    if text.len() > LARGEST {
        return Err(Fault::plain(format!("the file is larger than {} MiB", LARGEST >> 20)));
    }
    let lines = Lines::of(text);
    let directives = directives::read(&lines)?;
    let mut file = Dockerfile {
        directives,
        globals: Vec::new(),
        stages: Vec::new(),
        source: text.to_vec(),
        remarks: Remarks::default(),
    };
    let mut reader = Reader::new(&lines, file.directives.escape);
    let mut is_empty = true;
    while let Some(statement) = reader.statement()? {
        is_empty = false;
        note(&mut file.remarks, &statement);
        add(&mut file, &statement).map_err(|complaint| statement.fault(complaint))?;
    }
    match (file.stages.is_empty(), is_empty) {
        (true, true) => Err(Fault::plain("the file has no instructions".into())),
        (true, false) => Err(Fault {
            hint: Some("name an image to start from".into()),
            ..Fault::plain("the file has no FROM".into())
        }),
        _ => refuse_later(file, &lines),
    }
}

/// Refuses files that are taken from a stage further down.
fn refuse_later(file: Dockerfile, lines: &Lines<'_>) -> Result<Dockerfile, Fault> {
    let Some((stage, number, complaint)) = stage::later(&file) else { return Ok(file) };
    let span = file.stages[stage].instructions[number].span;
    Err(lines.statement(span).fault(complaint))
}

/// Reads the instruction of an `ONBUILD`, as an image's configuration carries it. Its lines are counted from 1, and its
/// escape is `\`, whatever the file said that it comes from.
pub fn parse_trigger(text: &str) -> Result<Located<Instruction>, Fault> {
    let lines = Lines::of(text.as_bytes());
    let mut reader = Reader::new(&lines, '\\');
    let only = || Fault::plain(format!("{:?} is not one instruction", text.lines().next().unwrap_or_default()));
    let statement = reader.statement()?.ok_or_else(only)?;
    if reader.statement()?.is_some() {
        return Err(only());
    }
    let instruction = instruction::trigger(&statement, '\\').map_err(|complaint| statement.fault(complaint))?;
    Ok(located(&statement, instruction))
}

/// Keeps what only advice is given about.
fn note(remarks: &mut Remarks, statement: &Statement<'_>) {
    if let Some(line) = statement.gap {
        remarks.gaps.push(Span { first: line, last: line });
    }
    let comment = statement.comments.last().filter(|comment| !directives::is_directive(comment));
    remarks.comments.extend(comment.map(|comment| (statement.span.first, (*comment).to_owned())));
}

fn add(file: &mut Dockerfile, statement: &Statement<'_>) -> Result<(), Complaint> {
    match instruction::read(statement, file.directives.escape)? {
        Parsed::From(_) if file.stages.len() == MOST_STAGES => {
            return Err(Complaint::new(format!("a file has at most {MOST_STAGES} stages")));
        }
        Parsed::From(from) => file.stages.push(Stage { from: located(statement, from), instructions: Vec::new() }),
        Parsed::Instruction(Instruction::Arg(arguments)) if file.stages.is_empty() => {
            file.globals.push(located(statement, arguments));
        }
        Parsed::Instruction(instruction) => {
            stage::known_before(file, &instruction)?;
            let message = || format!("{} stands above the first FROM", instruction.name());
            let lost = || Complaint::new(message()).hint("only ARG may; name an image to start from first");
            let stage = file.stages.last_mut().ok_or_else(lost)?;
            stage.instructions.push(located(statement, instruction));
        }
    }
    Ok(())
}

fn located<T>(statement: &Statement<'_>, value: T) -> Located<T> {
    Located { span: statement.span, text: statement.text.clone(), value }
}

#[cfg(test)]
mod tests;
