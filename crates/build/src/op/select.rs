//! What a `COPY` names: from patterns to the files that are meant. It reads no data.

use dockerfile::{Glob, Patterns};

use crate::files::{Files, resolve};
use crate::graph::Copy;
use crate::paths::{file_name, join, parent, relative};

/// One thing that a pattern has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selected {
    /// Where it is in its tree, links followed.
    pub(crate) path: Vec<u8>,
    /// What it is called, by the name that was asked for.
    pub(crate) name: Vec<u8>,
    pub(crate) is_directory: bool,
    /// For a directory, what is in it: paths from `path` on.
    pub(crate) below: Vec<Vec<u8>>,
    /// With `--parents`, the directories that it is put in: the path that they have in their tree, and how much of it is kept.
    pub(crate) parents: Option<Parents>,
}

/// The directories above a file that are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parents {
    /// The whole path of the file, in its tree.
    pub(crate) path: Vec<u8>,
    /// The part of it that is not kept: up to `/./`.
    pub(crate) dropped: usize,
}

/// Why nothing can be copied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectError {
    #[error("there is no {0}")]
    NotFound(String),
    #[error("{0} is no pattern: {1}")]
    Pattern(String, String),
}

/// Finds what one source word means.
pub(crate) fn select(copy: &Copy, word: &str, files: &dyn Files) -> Result<Vec<Selected>, SelectError> {
    let excluded =
        Patterns::new(&copy.exclude).map_err(|fault| SelectError::Pattern(copy.exclude.join(" "), fault.message))?;
    let (head, tail) = pivot(word, copy.parents);
    let whole = relative(&format!("{head}/{tail}"));
    let dropped = relative(head).len();
    let matches = if Glob::is_plain(&whole) {
        vec![plain(&whole).into_bytes()]
    } else {
        let fault = |fault: dockerfile::Fault| SelectError::Pattern(word.to_owned(), fault.message);
        let read = if copy.parents { dockerfile::glob_parents(&whole) } else { dockerfile::glob(&whole) };
        let pattern = read.map_err(fault)?;
        let base =
            whole[..whole.find(['*', '?', '[', '\\']).unwrap_or(0)].rfind('/').map_or("", |slash| &whole[..slash]);
        let is_meant = |path: &Vec<u8>| pattern.matches(&String::from_utf8_lossy(path));
        files.below(base.as_bytes()).into_iter().filter(is_meant).collect()
    };
    let is_pattern = !Glob::is_plain(&whole);
    let mut found = Vec::new();
    for path in matches {
        let Some(at) = resolve(files, &path) else {
            // A link that a pattern has met, and that leads nowhere, is copied as the link it is.
            if is_pattern {
                continue;
            }
            return Err(SelectError::NotFound(word.to_owned()));
        };
        let is_directory = files.info(&at).is_some_and(|info| info.is_directory());
        if !is_directory && is_excluded(&excluded, &path) {
            continue;
        }
        let below = if is_directory { files.below(&at) } else { Vec::new() };
        let skip = if at.is_empty() { 0 } else { at.len() + 1 };
        let below = below.into_iter().map(|path| path[skip..].to_vec());
        let below = below.filter(|path| !is_excluded(&excluded, path)).collect();
        let parents = copy.parents.then(|| Parents { path: path.clone(), dropped });
        found.push(Selected { name: file_name(&path).to_vec(), path: at, is_directory, below, parents });
    }
    Ok(found)
}

/// A pattern takes away what it names, and all below; it may also name a file alone, wherever that is.
fn is_excluded(patterns: &Patterns, path: &[u8]) -> bool {
    if patterns.is_empty() {
        return false;
    }
    let text = String::from_utf8_lossy(path);
    patterns.matches(&text)
}

/// Splits a word at `/./`, which says where the kept part begins (Dockerfile reference, "COPY --parents").
fn pivot(word: &str, parents: bool) -> (&str, &str) {
    match word.find("/./").filter(|_| parents) {
        Some(at) => (&word[..at], &word[at + 3..]),
        None => ("", word),
    }
}

/// Takes the backslashes out of a word that is no pattern.
fn plain(word: &str) -> String {
    word.replace('\\', "")
}

impl Selected {
    /// Returns the directories above it that are kept, outermost first: where they are in the tree, and what they are called
    /// in the image.
    pub(crate) fn kept_parents(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(Parents { path, dropped }) = &self.parents else { return Vec::new() };
        let skip = if *dropped == 0 { 0 } else { dropped + 1 };
        let mut found = Vec::new();
        let mut at = if self.is_directory { path.as_slice() } else { parent(path) };
        while at.len() > *dropped && !at.is_empty() {
            found.push((at.to_vec(), at[skip..].to_vec()));
            at = parent(at);
        }
        found.reverse();
        found
    }
}

/// Returns where something below a selected directory is in its tree.
pub(crate) fn within(selected: &Selected, path: &[u8]) -> Vec<u8> {
    join(&selected.path, path)
}
