//! From lines to statements: continuations joined, comments left out, here-documents taken along.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

use super::{heredoc, words};
use crate::{Fault, Heredoc, Span};

/// The lines of a text, each without what ends it.
pub(super) struct Lines<'a>(Vec<Cow<'a, str>>);

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        Self(text.split(|byte| *byte == b'\n').map(String::from_utf8_lossy).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|line| line.trim_end_matches('\r'))
    }

    /// Returns no more than the place of a statement that was read before.
    pub(super) fn statement(&self, span: Span) -> Statement<'_> {
        let source = (1..).zip(self.iter()).filter(|(number, _)| (span.first..=span.last).contains(number)).collect();
        Statement { span, text: String::new(), source, documents: Vec::new(), comments: Vec::new(), gap: None }
    }
}

/// One instruction, before anything is made of it.
#[derive(Debug, Clone)]
pub(super) struct Statement<'a> {
    pub(super) span: Span,
    /// The instruction, in one line.
    pub(super) text: String,
    /// The lines that it was joined from, with their numbers.
    pub(super) source: Vec<(u32, &'a str)>,
    pub(super) documents: Vec<Heredoc>,
    /// The comment lines right above it, without their signs.
    pub(super) comments: Vec<&'a str>,
    /// An empty line that it goes on after.
    pub(super) gap: Option<u32>,
}

/// What is wrong with a statement, and with which word of it.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) about: Option<String>,
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn about(self, word: impl Into<String>) -> Self {
        Self { about: Some(word.into()), ..self }
    }
}

impl Statement<'_> {
    /// Finds the place of what is complained about.
    pub(super) fn fault(&self, complaint: Complaint) -> Fault {
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let place = complaint.about.as_deref().filter(|word| !word.is_empty()).and_then(|word| {
            let found = self.source.iter().find_map(|(number, line)| Some((*number, &line[..line.find(word)?])));
            found.map(|(number, before)| (number, count(before) + 1, count(word)))
        });
        let (line, column, length) = place.unwrap_or_else(|| {
            let (number, line) = self.source.first().copied().unwrap_or((self.span.first, ""));
            let word = line.split_whitespace().next().unwrap_or_default();
            (number, count(line) - count(line.trim_start()) + 1, count(word))
        });
        Fault { line, column, length, message: complaint.message, hint: complaint.hint }
    }
}

/// Reads one statement after the other.
pub(super) struct Reader<'a> {
    lines: &'a Lines<'a>,
    next: usize,
    escape: char,
    /// Where each line stands for the last time, as it is and without the tabs in front. Made for the first marker that
    /// may be none: looking through all that follows for each of them would take too long.
    ends: OnceCell<[HashMap<&'a str, usize>; 2]>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lines: &'a Lines<'a>, escape: char) -> Self {
        Self { lines, next: 0, escape, ends: OnceCell::new() }
    }

    /// Returns the next statement, or nothing at the end.
    pub(super) fn statement(&mut self) -> Result<Option<Statement<'a>>, Fault> {
        let mut comments = Vec::new();
        while let Some((number, line)) = self.line() {
            let line = line.trim_start();
            match line.strip_prefix('#').map(str::trim) {
                Some("") => comments.clear(),
                Some(comment) => comments.push(comment),
                None if line.is_empty() => comments.clear(),
                None => {
                    let mut statement = self.joined(number);
                    if statement.text.is_empty() {
                        continue;
                    }
                    statement.comments = comments;
                    self.take_documents(&mut statement)?;
                    self.refuse_other_encodings(&statement)?;
                    return Ok(Some(statement));
                }
            }
        }
        Ok(None)
    }

    fn line(&mut self) -> Option<(u32, &'a str)> {
        let line = self.lines.0.get(self.next)?.trim_end_matches('\r');
        self.next += 1;
        Some((u32::try_from(self.next).unwrap_or(u32::MAX), line))
    }

    /// Joins the line that was just read with those that continue it. Comments and empty lines between them do not end
    /// it.
    fn joined(&mut self, first: u32) -> Statement<'a> {
        self.next -= 1;
        let (mut text, mut source, mut gap) = (String::new(), Vec::new(), None);
        while let Some((number, line)) = self.line() {
            let bare = line.trim_start();
            if bare.starts_with('#') {
                continue;
            }
            if bare.is_empty() {
                gap.get_or_insert(number);
                continue;
            }
            source.push((number, line));
            let (part, continues) = self.without_continuation(line);
            text.push_str(part);
            if !continues {
                break;
            }
        }
        let last = u32::try_from(self.next).unwrap_or(u32::MAX);
        let span = Span { first, last };
        Statement { span, text: text.trim().to_owned(), source, documents: Vec::new(), comments: Vec::new(), gap }
    }

    /// A line goes on when it ends with the escape, unless that is escaped itself; spaces after it do not matter.
    fn without_continuation<'l>(&self, line: &'l str) -> (&'l str, bool) {
        match line.trim_end_matches([' ', '\t']).strip_suffix(self.escape) {
            Some(before) if !before.ends_with(self.escape) => (before, true),
            _ => (line, false),
        }
    }

    /// What had to be mended to be text is refused, but for comments.
    fn refuse_other_encodings(&self, statement: &Statement<'_>) -> Result<(), Fault> {
        let joined = statement.source.last().map_or(0, |(number, _)| *number);
        let counts = |number: u32| number > joined || statement.source.iter().any(|(own, _)| *own == number);
        let lines = (statement.span.first..).zip(&self.lines.0[index(statement.span.first)..self.next]);
        let mut wrong = lines.filter(|(number, line)| matches!(line, Cow::Owned(_)) && counts(*number));
        wrong.next().map_or(Ok(()), |(line, _)| {
            Err(Fault { line, column: 0, length: 0, message: "the line is not UTF-8".into(), hint: None })
        })
    }

    fn take_documents(&mut self, statement: &mut Statement<'a>) -> Result<(), Fault> {
        for marker in heredoc::markers(&statement.text) {
            // As in 1 << 2, where nobody meant a document.
            if marker.is_spaced && !self.ends_below(&marker) {
                continue;
            }
            match self.document(&marker) {
                Some(content) => statement.documents.push(marker.into_document(content)),
                None => {
                    let complaint = Complaint::new(format!("the here-document {} does not end", marker.name))
                        .hint(format!("a line must hold {:?} and nothing else", marker.name))
                        .about(marker.word);
                    return Err(statement.fault(complaint));
                }
            }
        }
        statement.span.last = u32::try_from(self.next).unwrap_or(u32::MAX);
        Ok(())
    }

    fn ends_below(&self, marker: &heredoc::Marker) -> bool {
        let ends = self.ends.get_or_init(|| {
            let numbered = || self.lines.iter().enumerate().map(|(number, line)| (line, number));
            [numbered().collect(), numbered().map(|(line, number)| (line.trim_start_matches('\t'), number)).collect()]
        });
        ends[usize::from(marker.chomp)].get(marker.name.as_str()).is_some_and(|last| *last >= self.next)
    }

    fn document(&mut self, marker: &heredoc::Marker) -> Option<String> {
        let mut content = String::new();
        while let Some(line) = self.lines.0.get(self.next) {
            self.next += 1;
            let bare = line.trim_end_matches('\r');
            let bare = if marker.chomp { bare.trim_start_matches('\t') } else { bare };
            if bare == marker.name {
                return Some(content);
            }
            content.push_str(line);
            content.push('\n');
        }
        None
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or_default().saturating_sub(1)
}

/// Takes an instruction apart: its name, its flags, and the rest.
pub(crate) fn split(text: &str) -> (&str, Vec<String>, &str) {
    let (name, rest) = words::first(text);
    let (flags, rest) = words::flags(rest);
    (name, flags, rest.trim())
}
