//! From the text of a template to its nodes.

use std::iter::Peekable;
use std::vec::IntoIter;

use serde_json::Value;

use super::TemplateError;
use super::functions::Function;

/// A template, read.
#[derive(Debug)]
pub(crate) struct Template {
    pub(super) nodes: Vec<Node>,
}

/// One piece of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    Assign(String, Pipeline),
    If { test: Pipeline, then: Vec<Self>, otherwise: Vec<Self> },
    With { value: Pipeline, then: Vec<Self>, otherwise: Vec<Self> },
    Range { key: Option<String>, item: Option<String>, over: Pipeline, body: Vec<Self>, otherwise: Vec<Self> },
}

/// Commands of which each takes the value of the one before as its last argument.
pub(super) type Pipeline = Vec<Command>;

/// A function or a value, and its arguments.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) head: Operand,
    pub(super) arguments: Vec<Operand>,
}

/// A value, or how to come by one.
#[derive(Debug)]
pub(super) enum Operand {
    Call(Function),
    Literal(Value),
    Path { base: Base, fields: Vec<String> },
}

/// Where a path of fields begins.
#[derive(Debug)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Group(Pipeline),
}

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parser = Parser { pieces: pieces(text)?.into_iter(), variables: vec!["$".to_owned()] };
        let (nodes, end) = parser.nodes()?;
        match end {
            Ending::Text => Ok(Self { nodes }),
            Ending::Done => Err(syntax("unexpected {{end}}")),
            Ending::Else(_) => Err(syntax("unexpected {{else}}")),
        }
    }
}

pub(super) fn syntax(reason: impl Into<String>) -> TemplateError {
    TemplateError::Syntax(reason.into())
}

enum Piece {
    Text(String),
    Action(Vec<Token>),
}

/// Splits the text at `{{` and `}}`, honouring the trim marks `{{-` and `-}}`.
fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    while let Some(start) = rest.find("{{") {
        let mut before = &rest[..start];
        let mut inside = &rest[start + 2..];
        let trims_before = inside.starts_with("- ");
        if trims_before {
            inside = &inside[2..];
            before = before.trim_end();
        }
        pieces.push(Piece::Text(if trim_next { before.trim_start() } else { before }.to_owned()));
        let (tokens, after, trims_after) = tokens(inside)?;
        if !tokens.is_empty() {
            pieces.push(Piece::Action(tokens));
        }
        trim_next = trims_after;
        rest = after;
    }
    pieces.push(Piece::Text(if trim_next { rest.trim_start() } else { rest }.to_owned()));
    Ok(pieces)
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// `.A.B`, `.`, `$`, `$x.A`: what begins a path.
    Path(String),
    /// Fields right behind a closing parenthesis: `).A`.
    Tail(String),
    Word(String),
    Literal(Value),
    Mark(&'static str),
}

/// Reads the tokens of one action; gives back what follows its `}}`, and whether it trims what follows.
fn tokens(text: &str) -> Result<(Vec<Token>, &str, bool), TemplateError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        let spaced = rest.starts_with(char::is_whitespace);
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("/*") {
            rest = after.split_once("*/").ok_or_else(|| syntax("unclosed comment"))?.1;
        } else if let Some(after) = rest.strip_prefix("}}") {
            return Ok((tokens, after, false));
        } else if let Some(after) = rest.strip_prefix("-}}").filter(|_| spaced) {
            return Ok((tokens, after, true));
        } else if rest.is_empty() {
            return Err(syntax("unclosed action"));
        } else {
            let follows_group = !spaced && tokens.last() == Some(&Token::Mark(")"));
            let (token, after) = token(rest, follows_group)?;
            tokens.push(token);
            rest = after;
        }
    }
}

fn token(text: &str, follows_group: bool) -> Result<(Token, &str), TemplateError> {
    for mark in [":=", "|", "(", ")", ","] {
        if let Some(after) = text.strip_prefix(mark) {
            return Ok((Token::Mark(mark), after));
        }
    }
    if let Some(body) = text.strip_prefix('`') {
        let (raw, after) = body.split_once('`').ok_or_else(|| syntax("unterminated raw string"))?;
        return Ok((Token::Literal(raw.into()), after));
    }
    if text.starts_with('"') {
        return string(text);
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || "_.$-+".contains(c))).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    let token = match word.chars().next() {
        None => return Err(syntax(format!("unexpected {:?}", text.chars().next().unwrap_or(' ')))),
        Some('.') if follows_group => Token::Tail(word.to_owned()),
        Some('.' | '$') => Token::Path(word.to_owned()),
        Some(c) if c.is_ascii_digit() || c == '-' || c == '+' => {
            let number = word.trim_start_matches('+');
            Token::Literal(number.parse().map_err(|_| syntax(format!("bad number {word:?}")))?)
        }
        Some(_) => Token::Word(word.to_owned()),
    };
    Ok((token, after))
}

/// Reads a quoted string; its escapes are those of JSON, which has all that people type.
fn string(text: &str) -> Result<(Token, &str), TemplateError> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let (quoted, after) = text.split_at(at + 1);
                let value = serde_json::from_str(quoted).map_err(|_| syntax(format!("bad string {quoted}")))?;
                return Ok((Token::Literal(value), after));
            }
            _ => {}
        }
    }
    Err(syntax("unterminated string"))
}

/// What ended a list of nodes.
enum Ending {
    Text,
    Done,
    /// The tokens behind `else`: those of `else if ...`.
    Else(Vec<Token>),
}

struct Parser {
    pieces: IntoIter<Piece>,
    variables: Vec<String>,
}

impl Parser {
    fn nodes(&mut self) -> Result<(Vec<Node>, Ending), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) if text.is_empty() => continue,
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            match &tokens[0] {
                Token::Word(word) if word == "end" => return Ok((nodes, Ending::Done)),
                Token::Word(word) if word == "else" => return Ok((nodes, Ending::Else(tokens[1..].to_vec()))),
                Token::Word(word) if ["if", "with", "range"].contains(&word.as_str()) => {
                    let word = word.clone();
                    nodes.push(self.block(&word, tokens[1..].to_vec())?);
                }
                _ => nodes.push(self.action(tokens)?),
            }
        }
        Ok((nodes, Ending::Text))
    }

    fn action(&mut self, tokens: Vec<Token>) -> Result<Node, TemplateError> {
        if let [Token::Path(name), Token::Mark(":="), value @ ..] = tokens.as_slice() {
            let value = self.whole_pipeline(value.to_vec())?;
            self.variables.push(name.clone());
            return Ok(Node::Assign(name.clone(), value));
        }
        self.whole_pipeline(tokens).map(Node::Print)
    }

    fn block(&mut self, word: &str, tokens: Vec<Token>) -> Result<Node, TemplateError> {
        let known = self.variables.len();
        let (names, tokens) = declared(tokens);
        let head = self.whole_pipeline(tokens)?;
        self.variables.extend(names.iter().cloned());
        let (then, end) = self.nodes()?;
        let otherwise = match end {
            Ending::Done => Vec::new(),
            Ending::Else(tokens) => self.otherwise(word, tokens)?,
            Ending::Text => return Err(syntax(format!("{word:?} without {{{{end}}}}"))),
        };
        self.variables.truncate(known);
        Ok(match word {
            "if" => Node::If { test: head, then, otherwise },
            "with" => Node::With { value: head, then, otherwise },
            _ => {
                let mut names = names.into_iter().rev();
                Node::Range { item: names.next(), key: names.next(), over: head, body: then, otherwise }
            }
        })
    }

    fn otherwise(&mut self, word: &str, tokens: Vec<Token>) -> Result<Vec<Node>, TemplateError> {
        if let Some(Token::Word(next)) = tokens.first() {
            return Ok(vec![self.block(&next.clone(), tokens[1..].to_vec())?]);
        }
        match self.nodes()? {
            (nodes, Ending::Done) => Ok(nodes),
            _ => Err(syntax(format!("{word:?} without {{{{end}}}}"))),
        }
    }

    fn whole_pipeline(&self, tokens: Vec<Token>) -> Result<Pipeline, TemplateError> {
        let mut tokens = tokens.into_iter().peekable();
        let pipeline = self.pipeline(&mut tokens)?;
        match tokens.next() {
            None => Ok(pipeline),
            Some(token) => Err(syntax(format!("unexpected {}", describe(&token)))),
        }
    }

    fn pipeline(&self, tokens: &mut Peekable<IntoIter<Token>>) -> Result<Pipeline, TemplateError> {
        let mut pipeline = Vec::new();
        loop {
            let head = self.operand(tokens)?.ok_or_else(|| syntax("missing value for command"))?;
            let mut arguments = Vec::new();
            while let Some(argument) = self.operand(tokens)? {
                arguments.push(argument);
            }
            pipeline.push(Command { head, arguments });
            if tokens.next_if_eq(&Token::Mark("|")).is_none() {
                return Ok(pipeline);
            }
        }
    }

    fn operand(&self, tokens: &mut Peekable<IntoIter<Token>>) -> Result<Option<Operand>, TemplateError> {
        let ends = |token: &Token| matches!(token, Token::Mark(mark) if *mark != "(");
        let Some(token) = tokens.next_if(|token| !ends(token)) else { return Ok(None) };
        Ok(Some(match token {
            Token::Literal(value) => Operand::Literal(value),
            Token::Word(word) => match word.as_str() {
                "true" => Operand::Literal(true.into()),
                "false" => Operand::Literal(false.into()),
                "nil" => Operand::Literal(Value::Null),
                _ => Operand::Call(
                    Function::named(&word).ok_or_else(|| syntax(format!("function {word:?} not defined")))?,
                ),
            },
            Token::Path(path) => self.path(&path)?,
            Token::Mark(_) => {
                let group = self.pipeline(tokens)?;
                tokens.next_if_eq(&Token::Mark(")")).ok_or_else(|| syntax("unclosed parenthesis"))?;
                let tail = tokens.next_if(|token| matches!(token, Token::Tail(_)));
                let fields = match tail {
                    Some(Token::Tail(tail)) => fields(&tail),
                    _ => Vec::new(),
                };
                Operand::Path { base: Base::Group(group), fields }
            }
            Token::Tail(tail) => return Err(syntax(format!("unexpected {tail:?}"))),
        }))
    }

    fn path(&self, path: &str) -> Result<Operand, TemplateError> {
        let Some(rest) = path.strip_prefix('$') else {
            return Ok(Operand::Path { base: Base::Dot, fields: fields(path) });
        };
        let name = format!("${}", rest.split('.').next().unwrap_or_default());
        if !self.variables.contains(&name) {
            return Err(syntax(format!("undefined variable {name:?}")));
        }
        let fields = fields(&path[name.len()..]);
        Ok(Operand::Path { base: Base::Variable(name), fields })
    }
}

/// Takes `$x :=` or `$k, $v :=` off the front of the head of a block.
fn declared(tokens: Vec<Token>) -> (Vec<String>, Vec<Token>) {
    let (names, rest): (Vec<_>, _) = match tokens.as_slice() {
        [Token::Path(a), Token::Mark(":="), rest @ ..] => (vec![a.clone()], rest),
        [Token::Path(a), Token::Mark(","), Token::Path(b), Token::Mark(":="), rest @ ..] => {
            (vec![a.clone(), b.clone()], rest)
        }
        rest => (Vec::new(), rest),
    };
    (names, rest.to_vec())
}

fn fields(path: &str) -> Vec<String> {
    path.split('.').filter(|field| !field.is_empty()).map(str::to_owned).collect()
}

fn describe(token: &Token) -> String {
    match token {
        Token::Path(word) | Token::Tail(word) | Token::Word(word) => format!("{word:?}"),
        Token::Literal(value) => value.to_string(),
        Token::Mark(mark) => format!("{mark:?}"),
    }
}
