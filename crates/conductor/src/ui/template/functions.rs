//! The functions that a template may call: Go's own, and those that Docker adds.

use std::cmp::Ordering;
use std::fmt::Write;

use serde_json::Value;

use super::TemplateError;
use super::eval::{truth, wrong};

type Body = fn(&[Value]) -> Result<Value, String>;

/// A function by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function(&'static (&'static str, Body));

impl Function {
    /// Finds a function.
    pub(super) fn named(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|(known, _)| *known == name).map(Self)
    }

    pub(super) fn name(self) -> &'static str {
        self.0.0
    }

    pub(super) fn call(self, arguments: &[Value]) -> Result<Value, TemplateError> {
        (self.0.1)(arguments).map_err(|reason| wrong(self.name(), reason))
    }
}

const FUNCTIONS: &[(&str, Body)] = &[
    ("and", |a| Ok(a.iter().find(|v| !truth(v)).or(a.last()).cloned().unwrap_or(Value::Null))),
    ("or", |a| Ok(a.iter().find(|v| truth(v)).or(a.last()).cloned().unwrap_or(Value::Null))),
    ("not", |a| one(a).map(|v| (!truth(v)).into())),
    ("eq", |a| two_or_more(a).map(|(first, rest)| rest.contains(first).into())),
    ("ne", |a| compare(a, |order| order != Ordering::Equal)),
    ("lt", |a| compare(a, |order| order == Ordering::Less)),
    ("le", |a| compare(a, |order| order != Ordering::Greater)),
    ("gt", |a| compare(a, |order| order == Ordering::Greater)),
    ("ge", |a| compare(a, |order| order != Ordering::Less)),
    ("index", index),
    ("json", |a| one(a).map(|v| v.to_string().into())),
    ("join", |a| match a {
        [Value::Array(items), separator] => {
            Ok(items.iter().map(print).collect::<Vec<_>>().join(&print(separator)).into())
        }
        [Value::Null, _] => Ok("".into()),
        _ => Err("takes a list and a separator".to_owned()),
    }),
    ("len", |a| match one(a)? {
        Value::String(text) => Ok(text.len().into()),
        Value::Array(items) => Ok(items.len().into()),
        Value::Object(map) => Ok(map.len().into()),
        Value::Null => Ok(0.into()),
        _ => Err("takes a string, a list or a map".to_owned()),
    }),
    ("lower", |a| one(a).map(|v| print(v).to_lowercase().into())),
    ("upper", |a| one(a).map(|v| print(v).to_uppercase().into())),
    ("title", |a| one(a).map(|v| title(&print(v)).into())),
    ("split", |a| match a {
        [text, separator] => {
            let (text, separator) = (print(text), print(separator));
            Ok(text.split(separator.as_str()).map(Value::from).collect())
        }
        _ => Err("takes a string and a separator".to_owned()),
    }),
    ("print", |a| Ok(a.iter().map(print).collect::<String>().into())),
    ("println", |a| Ok((a.iter().map(print).collect::<Vec<_>>().join(" ") + "\n").into())),
    ("printf", printf),
    ("truncate", |a| match a {
        [text, length] => Ok(print(text).chars().take(count(length)).collect::<String>().into()),
        _ => Err("takes a string and a length".to_owned()),
    }),
    ("pad", |a| match a {
        [text, before, after] => {
            Ok(format!("{}{}{}", " ".repeat(count(before)), print(text), " ".repeat(count(after))).into())
        }
        _ => Err("takes a string and two numbers of spaces".to_owned()),
    }),
];

/// Prints a value as Go's `%v` does.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, value)| format!("{key}:{}", print(value))).collect();
            entries.sort();
            format!("map[{}]", entries.join(" "))
        }
    }
}

fn one(arguments: &[Value]) -> Result<&Value, String> {
    match arguments {
        [value] => Ok(value),
        _ => Err("takes one argument".to_owned()),
    }
}

fn two_or_more(arguments: &[Value]) -> Result<(&Value, &[Value]), String> {
    match arguments {
        [first, rest @ ..] if !rest.is_empty() => Ok((first, rest)),
        _ => Err("takes two arguments or more".to_owned()),
    }
}

fn compare(arguments: &[Value], holds: fn(Ordering) -> bool) -> Result<Value, String> {
    let order = match arguments {
        [Value::Number(a), Value::Number(b)] => a.as_f64().partial_cmp(&b.as_f64()),
        [Value::String(a), Value::String(b)] => Some(a.cmp(b)),
        [Value::Bool(a), Value::Bool(b)] => Some(a.cmp(b)),
        _ => None,
    };
    order.map(|order| holds(order).into()).ok_or_else(|| "takes two values of the same kind".to_owned())
}

/// A key that a map lacks gives nothing, as a map of strings does in Go; a place that a list lacks is an error.
fn index(arguments: &[Value]) -> Result<Value, String> {
    let (first, keys) = two_or_more(arguments)?;
    keys.iter().try_fold(first.clone(), |value, key| match (&value, key) {
        (Value::Object(map), Value::String(key)) => Ok(map.get(key).cloned().unwrap_or_else(|| "".into())),
        (Value::Null, Value::String(_)) => Ok("".into()),
        (Value::Array(items), Value::Number(_)) => {
            items.get(count(key)).cloned().ok_or_else(|| format!("index out of range: {key}"))
        }
        _ => Err("takes a list and numbers, or a map and keys".to_owned()),
    })
}

fn count(value: &Value) -> usize {
    value.as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0).min(1 << 16)
}

fn title(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn printf(arguments: &[Value]) -> Result<Value, String> {
    let [Value::String(format), values @ ..] = arguments else {
        return Err("takes a format and values".to_owned());
    };
    let mut values = values.iter();
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let spec: String = chars.clone().take_while(|c| c.is_ascii_digit() || *c == '-' || *c == '.').collect();
        let verb = chars.nth(spec.len()).ok_or("the format ends in the middle of a verb")?;
        if verb == '%' {
            text.push('%');
            continue;
        }
        let value = values.next().ok_or("has fewer values than verbs")?;
        let word = match verb {
            'q' => format!("{:?}", print(value)),
            's' | 'v' | 'd' | 't' => print(value),
            _ => return Err(format!("knows no verb %{verb}")),
        };
        pad(&mut text, &word, &spec);
    }
    Ok(text.into())
}

fn pad(text: &mut String, word: &str, spec: &str) {
    let width = spec.trim_start_matches('-').parse().unwrap_or(0).min(1 << 12);
    let _ = match spec.starts_with('-') {
        true => write!(text, "{word:<width$}"),
        false => write!(text, "{word:>width$}"),
    };
}
