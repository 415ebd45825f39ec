//! What is wrong with a text, and where: told so that an editor finds the place and a person sees it.

/// Why a text was refused, and the place at which it went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}{}", place(*line), hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default())]
pub struct Fault {
    /// The line, from 1; 0 if the text as a whole is at fault.
    pub line: u32,
    /// The character in the line, from 1; 0 if the line as a whole is at fault.
    pub column: u32,
    /// How many characters are at fault.
    pub length: u32,
    /// What is wrong.
    pub message: String,
    /// What may have been meant, or what to do.
    pub hint: Option<String>,
}

fn place(line: u32) -> String {
    if line > 0 { format!("line {line}: ") } else { String::new() }
}

impl Fault {
    /// A fault of a text that has no lines.
    pub(crate) fn plain(message: String) -> Self {
        Self { line: 0, column: 0, length: 0, message, hint: None }
    }

    /// Tells the fault as a compiler would: place and message, then the line with a mark below the words at fault.
    pub fn render(&self, file_name: &str, text: &[u8]) -> String {
        let text = String::from_utf8_lossy(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
        let mut told = match (self.line, self.column) {
            (0, _) => format!("{file_name}: {}", self.message),
            (line, column) => format!("{file_name}:{line}:{}: {}", column.max(1), self.message),
        };
        if let Some(hint) = &self.hint {
            told.push_str(&format!(" ({hint})"));
        }
        let index = usize::try_from(self.line).unwrap_or_default();
        let Some(line) = index.checked_sub(1).and_then(|index| text.lines().nth(index)) else { return told };
        // Escapes could move what the mark stands below, or do worse to a terminal.
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let margin = " ".repeat(self.line.to_string().len());
        told.push_str(&format!("\n  {} | {}", self.line, line.trim_end()));
        if self.column > 0 {
            let before = " ".repeat(usize::try_from(self.column - 1).unwrap_or_default());
            let mark = "^".repeat(usize::try_from(self.length.max(1)).unwrap_or(1));
            told.push_str(&format!("\n  {margin} | {before}{mark}"));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_shown_below_the_message() {
        let fault = Fault {
            line: 3,
            column: 1,
            length: 3,
            message: "unknown instruction: RNU".into(),
            hint: Some("did you mean RUN?".into()),
        };
        assert_eq!(
            fault.render("Dockerfile", b"FROM a\n\nRNU apt-get\tupdate\r\n"),
            "Dockerfile:3:1: unknown instruction: RNU (did you mean RUN?)\n  3 | RNU apt-get update\n    | ^^^"
        );
        assert_eq!(Fault::plain("empty".into()).render("Dockerfile", b"x"), "Dockerfile: empty");
        assert_eq!(fault.to_string(), "line 3: unknown instruction: RNU (did you mean RUN?)");
        assert_eq!(Fault::plain("empty".into()).to_string(), "empty");
    }
}
