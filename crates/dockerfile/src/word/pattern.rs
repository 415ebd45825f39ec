//! The patterns of `${name#pattern}` and its kin: `*` is any text, `?` any character, and there is no more.
//!
//! Such a pattern is pieces of fixed length with gaps between them, so matching never has to go back: the first place
//! where a piece fits is as good as any, and for the longest match the last one is.

use std::iter;

/// A pattern, by its pieces: between two neighbours there may be any text.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pieces: Vec<Vec<Unit>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Any,
    Is(char),
}

impl Unit {
    fn fits(self, c: char) -> bool {
        self == Self::Any || self == Self::Is(c)
    }
}

impl Pattern {
    /// Reads a pattern. `\` takes its meaning from `*`, `?` and itself, and stands before `}` and `/` for the sake of
    /// what surrounds the pattern.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = vec![Vec::new()];
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            let unit = match c {
                '*' => {
                    pieces.push(Vec::new());
                    continue;
                }
                '?' => Unit::Any,
                '\\' => match characters.next() {
                    Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Unit::Is(c),
                    Some(c) => return Err(format!("the escape '\\{c}' has no meaning in a pattern")),
                    None => return Err("a pattern ends with '\\'".into()),
                },
                c => Unit::Is(c),
            };
            pieces.last_mut().into_iter().for_each(|piece| piece.push(unit));
        }
        Ok(Self { pieces })
    }

    /// Cuts the shortest or longest beginning off that matches.
    pub(super) fn trim_start(&self, value: &str, longest: bool) -> String {
        let characters: Vec<char> = value.chars().collect();
        let end = self.end(&characters, 0, longest).unwrap_or(0);
        characters[end..].iter().collect()
    }

    /// Cuts the shortest or longest end off that matches.
    pub(super) fn trim_end(&self, value: &str, longest: bool) -> String {
        let mirrored = Self { pieces: self.pieces.iter().rev().map(|piece| mirror(piece)).collect() };
        let characters: Vec<char> = value.chars().rev().collect();
        let end = mirrored.end(&characters, 0, longest).unwrap_or(0);
        characters[end..].iter().rev().collect()
    }

    /// Replaces the first match or all of them, as long as they can be. Nothing is returned if the result grows too
    /// long.
    pub(super) fn replace(&self, value: &str, with: &str, everywhere: bool, most: usize) -> Option<String> {
        let characters: Vec<char> = value.chars().collect();
        let mut text = String::with_capacity(value.len());
        let (mut position, mut copied, mut last_end) = (0, 0, None);
        while let Some((start, end)) = self.find(&characters, position) {
            // An empty match at the end of another one is none.
            if !(start == end && last_end == Some(start)) {
                text.extend(&characters[copied..start]);
                text.push_str(with);
                (copied, last_end) = (end, Some(end));
            }
            position = if end > start { end } else { end + 1 };
            if text.len() > most {
                return None;
            }
            if !everywhere || position > characters.len() {
                break;
            }
        }
        text.extend(&characters[copied..]);
        Some(text)
    }

    /// Returns the leftmost match from a place on.
    fn find(&self, text: &[char], from: usize) -> Option<(usize, usize)> {
        let first = self.pieces.first()?;
        let mut start = from;
        loop {
            start = position(text, first, start)?;
            if let Some(end) = self.end(text, start, true) {
                return Some((start, end));
            }
            if self.pieces.len() > 1 {
                // The first piece fits and a later one is missing. It will be missing from every later place as well.
                return None;
            }
            start += 1;
        }
    }

    /// Returns where the match that begins at `start` ends.
    fn end(&self, text: &[char], start: usize, longest: bool) -> Option<usize> {
        let (first, gaps) = self.pieces.split_first()?;
        let mut end = start.checked_add(first.len()).filter(|end| *end <= text.len())?;
        if !fits(first, &text[start..end]) {
            return None;
        }
        for (index, piece) in gaps.iter().enumerate() {
            let is_last = index + 1 == gaps.len();
            let place = if is_last && longest { last_position(text, piece, end) } else { position(text, piece, end) };
            end = place? + piece.len();
        }
        Some(end)
    }
}

fn mirror(piece: &[Unit]) -> Vec<Unit> {
    piece.iter().rev().copied().collect()
}

fn fits(piece: &[Unit], text: &[char]) -> bool {
    iter::zip(piece, text).all(|(unit, c)| unit.fits(*c))
}

fn position(text: &[char], piece: &[Unit], from: usize) -> Option<usize> {
    let last = text.len().checked_sub(piece.len())?;
    (from..=last).find(|start| fits(piece, &text[*start..start + piece.len()]))
}

fn last_position(text: &[char], piece: &[Unit], from: usize) -> Option<usize> {
    let last = text.len().checked_sub(piece.len())?;
    (from..=last).rev().find(|start| fits(piece, &text[*start..start + piece.len()]))
}
