//! One pattern over paths: `*` and `?` within a name, `[...]`, and `**` across directories.
//!
//! A pattern is compiled to a row of tokens, and a path is read once with the set of places in that row at which the
//! match may stand, so that the time is bounded by the product of both lengths whatever they hold. Most patterns never
//! come to that: a text that each match begins with, or must have somewhere, decides.

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Matcher {
    tokens: Vec<Token>,
    /// The pattern, if it is nothing but text.
    plain: Option<String>,
    /// What each match begins with.
    prefix: String,
    /// What each match has somewhere: the longest text of the pattern.
    needle: String,
    /// The letters that each match has.
    letters: Letters,
}

/// Which bytes a text has, as far as their lower seven bits tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letters(u128);

impl Letters {
    pub(crate) fn of(text: &str) -> Self {
        Self(text.bytes().fold(0, |letters, byte| letters | 1 << (byte & 127)))
    }

    fn has(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Is(char),
    /// Any character but a slash.
    One,
    /// One of some characters, a slash among them if they say so.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// Any text without a slash.
    Star,
    /// Nothing, or any text that ends with a slash.
    Directories,
    /// Any text.
    Rest,
}

/// Whose patterns they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Go's `filepath.Match`: `**` is no more than `*`.
    Go,
    /// Those of ignore files.
    Ignore,
}

/// How far a match reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The path matches.
    pub(crate) whole: bool,
    /// A directory above it matches.
    pub(crate) above: bool,
    /// Something below it may match, on top of what `whole` and `above` say.
    pub(crate) below: bool,
}

impl Matcher {
    /// Compiles a pattern.
    pub(crate) fn compile(pattern: &str, dialect: Dialect) -> Result<Self, String> {
        let tokens = tokens(pattern, dialect)?;
        let text = |tokens: &[Token]| {
            tokens.iter().map_while(|token| if let Token::Is(c) = token { Some(*c) } else { None }).collect::<String>()
        };
        let prefix = text(&tokens);
        let runs = (0..tokens.len()).filter(|at| *at == 0 || !matches!(tokens[at - 1], Token::Is(_)));
        let needle = runs.map(|at| text(&tokens[at..])).max_by_key(String::len).unwrap_or_default();
        let plain = tokens.iter().all(|token| matches!(token, Token::Is(_))).then(|| prefix.clone());
        let letters = tokens.iter().filter_map(|token| if let Token::Is(c) = token { Some(*c) } else { None });
        let letters = Letters::of(&letters.collect::<String>());
        Ok(Self { tokens, plain, prefix, needle, letters })
    }

    /// Tells whether a path matches.
    pub(crate) fn matches(&self, path: &str) -> bool {
        match &self.plain {
            Some(plain) => path == plain,
            None => self.may_match(path, Letters::of(path)) && self.run(path, false).whole,
        }
    }

    /// Tells whether a path or a directory above it matches.
    pub(crate) fn matches_or_above(&self, path: &str, letters: Letters) -> bool {
        match &self.plain {
            Some(plain) => path
                .strip_prefix(plain)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') && !plain.is_empty()),
            None if !self.may_match(path, letters) => false,
            None => {
                let outcome = self.run(path, false);
                outcome.whole || outcome.above
            }
        }
    }

    /// Tells whether anything below a directory may match or lie below a match.
    pub(crate) fn may_match_below(&self, directory: &str) -> bool {
        let outcome = self.run(directory, true);
        outcome.whole || outcome.above || outcome.below
    }

    fn may_match(&self, path: &str, letters: Letters) -> bool {
        let has_needle = || self.needle.len() == self.prefix.len() || path.contains(&self.needle);
        letters.has(self.letters) && path.starts_with(&self.prefix) && has_needle()
    }

    fn run(&self, path: &str, look_below: bool) -> Outcome {
        let mut outcome = Outcome { whole: false, above: false, below: false };
        let mut places = Places::new(self.tokens.len() + 1);
        let mut next = places.clone();
        self.enter(&mut places, 0);
        for (at, c) in path.char_indices() {
            if c == '/' && at > 0 && places.has(self.tokens.len()) {
                outcome.above = true;
                return outcome;
            }
            self.step(&places, c, &mut next);
            std::mem::swap(&mut places, &mut next);
            if places.is_empty() {
                return outcome;
            }
        }
        outcome.whole = places.has(self.tokens.len());
        if look_below {
            if !path.is_empty() {
                self.step(&places, '/', &mut next);
                std::mem::swap(&mut places, &mut next);
            }
            // A match that ends with the slash names nothing.
            places.remove(self.tokens.len());
            outcome.below = !places.is_empty();
        }
        outcome
    }

    fn step(&self, places: &Places, c: char, next: &mut Places) {
        next.clear();
        places.each(|place| match self.tokens.get(place) {
            None => {}
            Some(Token::Star) if c != '/' => self.enter(next, place),
            Some(Token::Star) => {}
            Some(Token::Rest) => self.enter(next, place),
            Some(Token::Directories) if c == '/' => self.enter(next, place),
            // What follows may only come after a slash.
            Some(Token::Directories) => next.add(place),
            Some(token) if token.fits(c) => self.enter(next, place + 1),
            Some(_) => {}
        });
    }

    /// Adds a place, and those that are reached from it by nothing.
    fn enter(&self, places: &mut Places, mut place: usize) {
        places.add(place);
        while matches!(self.tokens.get(place), Some(Token::Star | Token::Rest | Token::Directories)) {
            place += 1;
            places.add(place);
        }
    }
}

impl Token {
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Is(own) => *own == c,
            Self::One => c != '/',
            Self::Class { negated, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated,
            Self::Star | Self::Directories | Self::Rest => false,
        }
    }
}

fn tokens(pattern: &str, dialect: Dialect) -> Result<Vec<Token>, String> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let token = match c {
            '*' if dialect == Dialect::Ignore && rest.starts_with('*') => {
                let (token, after) = doubled(&rest[1..], tokens.is_empty());
                rest = after;
                token
            }
            '*' => Token::Star,
            '?' => Token::One,
            '[' => {
                let (class, after) =
                    class(rest).ok_or_else(|| format!("{pattern:?}: the [ is not closed, or is empty"))?;
                rest = after;
                class
            }
            '\\' => {
                let c = rest.chars().next().ok_or_else(|| format!("{pattern:?} ends with a \\"))?;
                rest = &rest[c.len_utf8()..];
                Token::Is(c)
            }
            c => Token::Is(c),
        };
        // Two in a row say no more than one, and a row of thousands would be slow.
        let repeats = matches!(token, Token::Star | Token::Directories | Token::Rest) && tokens.last() == Some(&token);
        if !repeats {
            tokens.push(token);
        }
    }
    Ok(tokens)
}

/// What `**` stands for, by what follows it.
fn doubled(rest: &str, is_first: bool) -> (Token, &str) {
    let after = rest.strip_prefix('/').unwrap_or(rest);
    // `**` at the front of plain text is met in ignore files as "ends with", without regard to slashes.
    let ends_with = is_first && after.len() == rest.len() && !rest.contains(['*', '?', '[', ']', '\\']);
    (if after.is_empty() || ends_with { Token::Rest } else { Token::Directories }, after)
}

/// Reads what follows a `[`, up to its `]`.
fn class(rest: &str) -> Option<(Token, &str)> {
    let negated = rest.starts_with('^');
    let mut rest = rest.strip_prefix('^').unwrap_or(rest);
    let mut ranges = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(']')
            && !ranges.is_empty()
        {
            return Some((Token::Class { negated, ranges }, after));
        }
        let (low, after) = class_member(rest)?;
        let (high, after) = match after.strip_prefix('-') {
            Some(after) => class_member(after)?,
            None => (low, after),
        };
        if low > high {
            return None;
        }
        ranges.push((low, high));
        rest = after;
    }
}

fn class_member(rest: &str) -> Option<(char, &str)> {
    let escaped = rest.strip_prefix('\\');
    let c = escaped.unwrap_or(rest).chars().next().filter(|c| escaped.is_some() || !matches!(c, '-' | ']'))?;
    Some((c, &escaped.unwrap_or(rest)[c.len_utf8()..]))
}

/// A set of places.
#[derive(Debug, Clone)]
struct Places(Vec<u64>);

impl Places {
    fn new(most: usize) -> Self {
        Self(vec![0; most.div_ceil(64)])
    }

    fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn remove(&mut self, place: usize) {
        self.0[place / 64] &= !(1 << (place % 64));
    }

    fn has(&self, place: usize) -> bool {
        self.0[place / 64] & (1 << (place % 64)) != 0
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }

    fn each(&self, mut visit: impl FnMut(usize)) {
        for (index, word) in self.0.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                visit(index * 64 + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
    }
}
