//! What a registry says when it refuses (distribution-spec, "Error Codes"): text from outside that ends on a terminal, so
//! it is bounded and cleaned. Pure.

use std::fmt;

use serde::Deserialize;

/// How many errors of one answer are shown.
const MOST: usize = 5;
/// How many characters of one text are shown.
const LONGEST: usize = 300;

/// What a registry says about a request that it refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaint {
    /// Each error's code and message: `MANIFEST_UNKNOWN`, `manifest unknown`.
    entries: Vec<(String, String)>,
}

impl Complaint {
    /// Reads an answer's body: the specification's form, some that are near it, or plain text.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let raw = serde_json::from_slice::<Raw>(body).map(Raw::entries).unwrap_or_default();
        if !raw.is_empty() {
            return Self { entries: raw.into_iter().take(MOST).collect() };
        }
        let text = String::from_utf8_lossy(body);
        let is_prose = !text.trim_start().starts_with(['<', '{', '[']);
        let text = clean(&text);
        let entries = if is_prose && !text.is_empty() { vec![(String::new(), text)] } else { Vec::new() };
        Self { entries }
    }

    /// Tells whether one of the errors has this code.
    pub fn has(&self, code: &str) -> bool {
        self.entries.iter().any(|(own, _)| own == code)
    }
}

impl fmt::Display for Complaint {
    /// Begins with a colon, to follow the status.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sign = ": ";
        for (code, message) in &self.entries {
            let text = if message.is_empty() { code } else { message };
            write!(f, "{sign}{text}")?;
            sign = "; ";
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    errors: Vec<RawError>,
    // What token servers say (RFC 6749, 5.2), and what some others do.
    #[serde(default)]
    error: Option<String>,
    #[serde(default, alias = "details")]
    error_description: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
struct RawError {
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    detail: Option<serde_json::Value>,
}

impl Raw {
    fn entries(self) -> Vec<(String, String)> {
        let mut entries: Vec<_> = self.errors.into_iter().map(RawError::entry).collect();
        let said = self.error_description.or(self.message);
        if entries.is_empty() && (self.error.is_some() || said.is_some()) {
            entries.push((clean(&self.error.unwrap_or_default()), clean(&said.unwrap_or_default())));
        }
        entries
    }
}

impl RawError {
    fn entry(self) -> (String, String) {
        let code = match self.code {
            Some(serde_json::Value::String(code)) => clean(&code),
            Some(other) => clean(&other.to_string()),
            None => String::new(),
        };
        let message = clean(&self.message.unwrap_or_default());
        // A detail is often the request itself in another form; where it is a sentence, it is the best of all.
        match self.detail {
            Some(serde_json::Value::String(detail)) if !detail.trim().is_empty() && message != detail => {
                (code, clean(&format!("{message} ({detail})")))
            }
            _ => (code, message),
        }
    }
}

/// Makes one line of a text from outside, without anything that moves a terminal's cursor or changes the order of reading.
pub(crate) fn clean(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let spaced: String = text.chars().take(4 * LONGEST).map(|c| if is_hidden(c) { ' ' } else { c }).collect();
    let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> String {
        Complaint::parse(body.as_bytes()).to_string()
    }

    #[test]
    fn errors_are_read_in_the_specification_s_form_and_near_it() {
        for (body, text) in [
            (r#"{"errors":[{"code":"DENIED","message":"no","detail":{"a":1}}]}"#, ": no"),
            (r#"{"errors":[{"code":"DENIED","message":"no","detail":"not you"},{"code":"X"}]}"#, ": no (not you); X"),
            (r#"{"errors":[{"code":7,"message":null}]}"#, ": 7"),
            (r#"{"details":"incorrect username or password"}"#, ": incorrect username or password"),
            (r#"{"error":"invalid_grant","error_description":"bad"}"#, ": bad"),
            ("upstream is away\n", ": upstream is away"),
            ("<html>...", ""),
            ("{}", ""),
            ("", ""),
        ] {
            assert_eq!(read(body), text, "{body}");
        }
        assert!(Complaint::parse(br#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#).has("NAME_UNKNOWN"));
    }

    #[test]
    fn nothing_from_outside_moves_the_cursor_or_fills_the_terminal() {
        let text = read("{\"errors\":[{\"message\":\"a\\u001b[2Jb\\r\\nc\\u202ed\"}]}");
        assert_eq!(text, ": a [2Jb c d");
        let long = format!("{{\"errors\":[{{\"message\":\"{}\"}}]}}", "x".repeat(100_000));
        assert_eq!(read(&long).len(), 2 + LONGEST + 3);
        let many = format!("{{\"errors\":[{}{{}}]}}", r#"{"code":"A"},"#.repeat(1000));
        assert_eq!(read(&many), ": A; A; A; A; A");
    }
}
