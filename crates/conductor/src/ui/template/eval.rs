//! Writing a template out for a value.

use std::borrow::Cow;

use serde_json::Value;

use super::TemplateError;
use super::functions::print;
use super::parse::{Base, Command, Node, Operand, Pipeline, Template};

impl Template {
    /// Writes the template out for `value`.
    pub(crate) fn render(&self, value: &Value) -> Result<String, TemplateError> {
        let mut scope = Scope { variables: vec![("$".to_owned(), value.clone())], text: String::new() };
        scope.nodes(&self.nodes, value)?;
        Ok(scope.text)
    }
}

pub(super) fn wrong(place: impl Into<String>, reason: impl Into<String>) -> TemplateError {
    TemplateError::Value { place: place.into(), reason: reason.into() }
}

struct Scope {
    variables: Vec<(String, Value)>,
    text: String,
}

impl Scope {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        nodes.iter().try_for_each(|node| self.node(node, dot))
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), TemplateError> {
        match node {
            Node::Text(text) => self.text.push_str(text),
            Node::Print(pipeline) => {
                let printed = print(self.pipeline(pipeline, dot)?.as_ref());
                self.text.push_str(&printed);
            }
            Node::Assign(name, value) => {
                let value = self.pipeline(value, dot)?.into_owned();
                self.variables.push((name.clone(), value));
            }
            Node::If { test, then, otherwise } => {
                let holds = truth(self.pipeline(test, dot)?.as_ref());
                self.inner(if holds { then } else { otherwise }, dot, Vec::new())?;
            }
            Node::With { value, then, otherwise } => {
                let value = self.pipeline(value, dot)?.into_owned();
                match truth(&value) {
                    true => self.inner(then, &value, Vec::new())?,
                    false => self.inner(otherwise, dot, Vec::new())?,
                }
            }
            Node::Range { key, item, over, body, otherwise } => {
                let entries = entries(self.pipeline(over, dot)?.into_owned())?;
                if entries.is_empty() {
                    return self.inner(otherwise, dot, Vec::new());
                }
                for (index, value) in entries {
                    let named = [(key, index), (item, value.clone())];
                    let variables = named.into_iter().filter_map(|(name, value)| Some((name.clone()?, value)));
                    self.inner(body, &value, variables.collect())?;
                }
            }
        }
        Ok(())
    }

    /// Writes nodes out with variables that are forgotten afterwards.
    fn inner(&mut self, nodes: &[Node], dot: &Value, variables: Vec<(String, Value)>) -> Result<(), TemplateError> {
        let known = self.variables.len();
        self.variables.extend(variables);
        let result = self.nodes(nodes, dot);
        self.variables.truncate(known);
        result
    }

    fn pipeline<'a>(&'a self, pipeline: &Pipeline, dot: &'a Value) -> Result<Cow<'a, Value>, TemplateError> {
        let mut piped: Option<Cow<'a, Value>> = None;
        for command in pipeline {
            piped = Some(self.command(command, piped, dot)?);
        }
        Ok(piped.unwrap_or(Cow::Owned(Value::Null)))
    }

    fn command<'a>(
        &'a self,
        command: &Command,
        piped: Option<Cow<'a, Value>>,
        dot: &'a Value,
    ) -> Result<Cow<'a, Value>, TemplateError> {
        let mut arguments = Vec::with_capacity(command.arguments.len() + 1);
        for argument in &command.arguments {
            arguments.push(self.operand(argument, dot)?.into_owned());
        }
        arguments.extend(piped.map(Cow::into_owned));
        match &command.head {
            Operand::Call(function) => function.call(&arguments).map(Cow::Owned),
            head if arguments.is_empty() => self.operand(head, dot),
            // A field with an argument is a method in Go, such as `.Label "key"`: here, a look-up in a map.
            head => match (self.operand(head, dot)?.as_ref(), arguments.as_slice()) {
                (Value::Object(map), [Value::String(key)]) => {
                    Ok(Cow::Owned(map.get(key).cloned().unwrap_or_else(|| "".into())))
                }
                _ => Err(wrong(place(head), "takes no argument")),
            },
        }
    }

    fn operand<'a>(&'a self, operand: &Operand, dot: &'a Value) -> Result<Cow<'a, Value>, TemplateError> {
        match operand {
            Operand::Literal(value) => Ok(Cow::Owned(value.clone())),
            Operand::Call(function) => function.call(&[]).map(Cow::Owned),
            Operand::Path { base, fields } => match base {
                Base::Dot => walk(dot, fields, operand).map(Cow::Borrowed),
                Base::Variable(name) => walk(self.variable(name)?, fields, operand).map(Cow::Borrowed),
                Base::Group(group) => match self.pipeline(group, dot)? {
                    Cow::Borrowed(value) => walk(value, fields, operand).map(Cow::Borrowed),
                    Cow::Owned(value) => walk(&value, fields, operand).map(|value| Cow::Owned(value.clone())),
                },
            },
        }
    }

    fn variable(&self, name: &str) -> Result<&Value, TemplateError> {
        let found = self.variables.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value).ok_or_else(|| wrong(name, "undefined variable"))
    }
}

fn walk<'a>(from: &'a Value, fields: &[String], operand: &Operand) -> Result<&'a Value, TemplateError> {
    fields.iter().try_fold(from, |value, field| match value {
        Value::Object(map) => map.get(field).ok_or_else(|| wrong(place(operand), format!("no such field: {field:?}"))),
        other => Err(wrong(place(operand), format!("{} has no field {field:?}", kind(other)))),
    })
}

fn place(operand: &Operand) -> String {
    match operand {
        Operand::Path { base, fields } => {
            let start = if let Base::Variable(name) = base { name.as_str() } else { "" };
            format!("{start}.{}", fields.join("."))
        }
        Operand::Literal(value) => value.to_string(),
        Operand::Call(function) => function.name().to_owned(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Tells whether a value counts as true: neither zero nor empty.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Returns what `range` goes over: the items of a list by number, those of a map by sorted key.
fn entries(value: Value) -> Result<Vec<(Value, Value)>, TemplateError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => Ok(items.into_iter().enumerate().map(|(at, item)| (at.into(), item)).collect()),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
        }
        other => Err(wrong("range", format!("cannot go over {}", kind(&other)))),
    }
}
