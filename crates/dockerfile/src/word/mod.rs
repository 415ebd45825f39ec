//! Words: quotes, escapes and variables, as Docker takes them.
//!
//! It is much like a shell's, and not the same: an unset variable is empty, a pattern knows `*` and `?` only, and a
//! word that a variable brings is split again where several words are asked for. All forms are read from left to right
//! in one pass; what a value holds is never read as a word again, so nothing here can run in circles.

mod pattern;

use std::collections::HashSet;

use pattern::Pattern;

/// How deep `${a:-${b:-...}}` may go.
const DEEPEST: usize = 50;
/// How much values may add to a word. Linux takes no longer variable or argument, and values that double with every
/// `ENV` stay within reason.
const MOST_IN_WORD: usize = 128 << 10;
/// How much they may add to a here-document.
const MOST_IN_DOCUMENT: usize = 16 << 20;

/// A word with its variables put in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The text.
    pub text: String,
    /// The variables it names that had neither a value nor a default.
    pub unset: Vec<String>,
}

/// Why a word could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// A variable that must be set is not: `${name?message}`.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// What the word says about it.
        message: String,
    },
    /// A quote is not closed.
    #[error("a {quote} is not closed in {word:?}")]
    Quote {
        /// The quote.
        quote: char,
        /// The word.
        word: String,
    },
    /// A `${` is not closed, or what stands in it has no meaning.
    #[error("{what} in {word:?}")]
    Substitution {
        /// What is wrong with it.
        what: String,
        /// The word.
        word: String,
    },
    /// The word is nested too deep, or its values are too long.
    #[error("the value of {word:?} is too long or too deeply nested")]
    TooMuch {
        /// The beginning of the word.
        word: String,
    },
    /// What the words stand for makes no such instruction.
    #[error("{instruction}: {what}")]
    Value {
        /// The instruction.
        instruction: &'static str,
        /// What is wrong.
        what: String,
    },
}

/// Expands one word: removes quotes and escapes, and puts the values of variables in.
///
/// ```
/// let home = |name: &str| (name == "HOME").then(|| "/root".to_owned());
/// let word = dockerfile::expand_word(r#""$HOME"/${SHELL:-sh}\$"#, '\\', &home).unwrap();
/// assert_eq!(word.text, "/root/sh$");
/// ```
pub fn expand_word(
    word: &str,
    escape: char,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, ExpandError> {
    let mut lexer = Lexer::new(word, Manner::plain(escape), variables);
    let (text, _) = lexer.run()?;
    let mut seen = HashSet::new();
    let unset = lexer.unset.into_iter().filter(|name| seen.insert(name.clone())).collect();
    Ok(Expanded { text, unset })
}

/// Expands a text that may become several words: they end at spaces outside quotes, also at those of values.
pub fn expand_words(
    text: &str,
    escape: char,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, ExpandError> {
    let (_, words) = Lexer::new(text, Manner::plain(escape), variables).run()?;
    Ok(words)
}

/// How a text is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    escape: char,
    /// Quotes are characters like others, as in a here-document.
    quotes_are_text: bool,
    most_added: usize,
}

impl Manner {
    pub(crate) fn plain(escape: char) -> Self {
        Self { escape, quotes_are_text: false, most_added: MOST_IN_WORD }
    }

    /// The manner of here-documents, whose escape is `\` whatever the file says.
    pub(crate) fn document() -> Self {
        Self { escape: '\\', quotes_are_text: true, most_added: MOST_IN_DOCUMENT }
    }
}

/// Reads a text once.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    rest: &'a str,
    manner: Manner,
    variables: &'a dyn Fn(&str) -> Option<String>,
    unset: Vec<String>,
    /// Every variable that was asked for.
    named: Vec<String>,
    depth: usize,
    added: usize,
}

/// What ends the part that is read.
type Stop = Option<char>;

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str, manner: Manner, variables: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { text, rest: text, manner, variables, unset: Vec::new(), named: Vec::new(), depth: 0, added: 0 }
    }

    /// Returns the text as one word and as many.
    pub(crate) fn run(&mut self) -> Result<(String, Vec<String>), ExpandError> {
        self.until(None, false)
    }

    /// Returns the variables that had neither value nor default, and all that were named.
    pub(crate) fn into_names(self) -> (Vec<String>, Vec<String>) {
        (self.unset, self.named)
    }

    /// Reads up to what ends the part. In a raw part, escapes are kept: they mean something to a pattern.
    fn until(&mut self, stop: Stop, raw: bool) -> Result<(String, Vec<String>), ExpandError> {
        let (mut text, mut words) = (String::new(), Words::default());
        while let Some(c) = self.peek() {
            match c {
                _ if Some(c) == stop => {
                    self.next();
                    return Ok((text, words.finish()));
                }
                '\'' if !self.manner.quotes_are_text => words.add_quoted(self.single_quoted()?, &mut text),
                '"' if !self.manner.quotes_are_text => words.add_quoted(self.double_quoted(raw)?, &mut text),
                '$' => words.add_value(&self.dollar()?, &mut text),
                c if c == self.manner.escape => {
                    self.next();
                    let kept = raw.then_some(c);
                    words.add_escaped(kept.into_iter().chain(self.next()), &mut text);
                }
                c => {
                    self.next();
                    words.add(c, &mut text);
                }
            }
        }
        match stop {
            None => Ok((text, words.finish())),
            Some(stop) => Err(self.substitution(format!("a '{stop}' is missing"))),
        }
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        self.next();
        let (inside, rest) = self.rest.split_once('\'').ok_or_else(|| self.open_quote('\''))?;
        self.rest = rest;
        Ok(inside.to_owned())
    }

    /// Between double quotes an escape is one before `"`, `$` and itself, and a character like others elsewhere.
    fn double_quoted(&mut self, raw: bool) -> Result<String, ExpandError> {
        self.next();
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(self.open_quote('"')),
                Some('"') => {
                    self.next();
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) if c == self.manner.escape => {
                    self.next();
                    text.extend(raw.then_some(c));
                    match self.peek() {
                        None => {}
                        Some(after) if after == '"' || after == '$' || after == c => text.extend(self.next()),
                        Some(_) => text.push(c),
                    }
                }
                Some(c) => {
                    self.next();
                    text.push(c);
                }
            }
        }
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            return if name.is_empty() { Ok("$".into()) } else { self.plain_value(&name) };
        }
        self.next();
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.too_much());
        }
        let value = self.braced();
        self.depth -= 1;
        value
    }

    fn braced(&mut self) -> Result<String, ExpandError> {
        match self.peek() {
            None => return Err(self.substitution("a '}' is missing")),
            Some('{' | '}' | ':') => return Err(self.substitution("a variable has no name")),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            Some('}') => self.plain_value(&name),
            Some(':') => match self.next() {
                Some(c @ ('-' | '+' | '?')) => self.modified(&name, c, true),
                // A colon before these says nothing, and is allowed.
                Some(c @ ('#' | '%')) => self.trimmed(&name, c),
                Some(c) => Err(self.substitution(format!("${{{name}:{c} has no meaning"))),
                None => Err(self.substitution("a '}' is missing")),
            },
            Some(c @ ('-' | '+' | '?')) => self.modified(&name, c, false),
            Some(c @ ('#' | '%')) => self.trimmed(&name, c),
            Some('/') => self.replaced(&name),
            Some(c) => Err(self.substitution(format!("${{{name}{c} has no meaning"))),
            None => Err(self.substitution("a '}' is missing")),
        }
    }

    /// `${name-word}`, `${name+word}`, `${name?word}`; with a colon, an empty value is none.
    fn modified(&mut self, name: &str, modifier: char, with_colon: bool) -> Result<String, ExpandError> {
        let known = self.unset.len();
        let (word, _) = self.until(Some('}'), false)?;
        let value = self.value(name)?.filter(|value| !(with_colon && value.is_empty()));
        match (modifier, value) {
            ('-', Some(value)) => {
                // What only the default would have needed is not missed.
                self.unset.truncate(known);
                Ok(value)
            }
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('+', None) => {
                self.unset.truncate(known);
                Ok(String::new())
            }
            (_, Some(value)) => Ok(value),
            (_, None) if word.is_empty() => {
                let message = if with_colon { "must be set, and not empty" } else { "must be set" };
                Err(ExpandError::Required { name: name.to_owned(), message: message.into() })
            }
            (_, None) => Err(ExpandError::Required { name: name.to_owned(), message: word }),
        }
    }

    /// `${name#pattern}` and `${name%pattern}`; the doubled ones take as much as they can.
    fn trimmed(&mut self, name: &str, side: char) -> Result<String, ExpandError> {
        let (word, _) = self.until(Some('}'), true)?;
        let (word, longest) = word.strip_prefix(side).map_or((word.as_str(), false), |rest| (rest, true));
        let pattern = self.pattern(word)?;
        let value = self.plain_value(name)?;
        Ok(if side == '#' { pattern.trim_start(&value, longest) } else { pattern.trim_end(&value, longest) })
    }

    /// `${name/pattern/word}` once, `${name//pattern/word}` everywhere.
    fn replaced(&mut self, name: &str) -> Result<String, ExpandError> {
        let everywhere = self.peek() == Some('/');
        if everywhere {
            self.next();
        }
        let (pattern, _) = self.until(Some('/'), true)?;
        let (replacement, _) = self.until(Some('}'), true)?;
        let pattern = self.pattern(&pattern)?;
        let value = self.plain_value(name)?;
        let replaced = pattern.replace(&value, &replacement, everywhere, self.manner.most_added);
        replaced.ok_or_else(|| self.too_much())
    }

    fn pattern(&self, text: &str) -> Result<Pattern, ExpandError> {
        Pattern::parse(text).map_err(|what| self.substitution(what))
    }

    /// Returns a variable's value, or nothing, which is remembered.
    fn plain_value(&mut self, name: &str) -> Result<String, ExpandError> {
        let value = self.value(name)?;
        if value.is_none() {
            self.unset.push(name.to_owned());
        }
        Ok(value.unwrap_or_default())
    }

    fn value(&mut self, name: &str) -> Result<Option<String>, ExpandError> {
        self.named.push(name.to_owned());
        let value = (self.variables)(name);
        self.added += value.as_ref().map_or(0, String::len);
        if self.added > self.manner.most_added { Err(self.too_much()) } else { Ok(value) }
    }

    /// Reads letters, digits and `_`; a name that begins with a digit ends with its digits, and a special one is one
    /// character.
    fn name(&mut self) -> String {
        let first = self.peek();
        let length = match first {
            Some(c) if c.is_numeric() => self.rest.find(|c: char| !c.is_numeric()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => Some(1),
            _ => self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')),
        };
        let (name, rest) = self.rest.split_at(length.unwrap_or(self.rest.len()));
        self.rest = rest;
        name.to_owned()
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let c = characters.next();
        self.rest = characters.as_str();
        c
    }

    /// The beginning of the text, for a message.
    fn shown(&self) -> String {
        let end = self.text.char_indices().nth(200).map_or(self.text.len(), |(end, _)| end);
        self.text[..end].to_owned()
    }

    fn open_quote(&self, quote: char) -> ExpandError {
        ExpandError::Quote { quote, word: self.shown() }
    }

    fn substitution(&self, what: impl Into<String>) -> ExpandError {
        ExpandError::Substitution { what: what.into(), word: self.shown() }
    }

    fn too_much(&self) -> ExpandError {
        ExpandError::TooMuch { word: self.shown() }
    }
}

/// The same text, word by word: spaces end words unless they are quoted or escaped.
#[derive(Default)]
struct Words {
    word: String,
    words: Vec<String>,
}

impl Words {
    fn add(&mut self, c: char, text: &mut String) {
        text.push(c);
        self.split(c);
    }

    fn add_value(&mut self, value: &str, text: &mut String) {
        text.push_str(value);
        value.chars().for_each(|c| self.split(c));
    }

    fn add_quoted(&mut self, quoted: String, text: &mut String) {
        text.push_str(&quoted);
        self.word.push_str(&quoted);
    }

    fn add_escaped(&mut self, characters: impl Iterator<Item = char>, text: &mut String) {
        for c in characters {
            text.push(c);
            self.word.push(c);
        }
    }

    fn split(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

#[cfg(test)]
mod tests;
