//! Names of devices: `VENDOR/CLASS=NAME` (SPEC.md, "CDI JSON Specification").

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a device: its kind, and which of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceName {
    /// `VENDOR/CLASS`.
    pub kind: String,
    /// Which of the kind.
    pub name: String,
}

/// Why a word is no name of a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a device: it is written as in vendor.com/class=name")]
pub struct NameError(String);

impl FromStr for DeviceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parts = text.split_once('=').filter(|(kind, name)| is_kind(kind) && is_name(name));
        let (kind, name) = parts.ok_or_else(|| NameError(text.to_owned()))?;
        Ok(Self { kind: kind.to_owned(), name: name.to_owned() })
    }
}

impl TryFrom<String> for DeviceName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.to_string()
    }
}

impl Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.name)
    }
}

/// Tells whether a word is `VENDOR/CLASS`.
pub(crate) fn is_kind(text: &str) -> bool {
    text.split_once('/').is_some_and(|(vendor, class)| {
        let begins = |word: &str| word.starts_with(|first: char| first.is_ascii_alphabetic());
        begins(vendor) && begins(class) && is_word(vendor, "_-.") && is_word(class, "_-.")
    })
}

/// Tells whether a word may name one device of a kind.
pub(crate) fn is_name(text: &str) -> bool {
    is_word(text, "_-.:")
}

/// Tells whether a word is of letters and digits, and of `between` anywhere but at its ends.
fn is_word(text: &str, between: &str) -> bool {
    let is_end = |end: Option<char>| end.is_some_and(|end| end.is_ascii_alphanumeric());
    let fits = |c: char| c.is_ascii_alphanumeric() || between.contains(c);
    is_end(text.chars().next()) && is_end(text.chars().last()) && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_three_parts() {
        for good in ["nvidia.com/gpu=all", "a/b=0", "vendor1.com/my-class.sub_1=x:1.0"] {
            assert_eq!(good.parse::<DeviceName>().unwrap().to_string(), good);
        }
        for bad in ["", "/dev/fuse", "a/b", "a/b=", "a=b", "1a/b=c", "a/1=c", "a/b=-c", "a/b=c:", "a/b=c d", "a/b/c=d"]
        {
            assert_eq!(bad.parse::<DeviceName>(), Err(NameError(bad.to_owned())), "{bad}");
        }
    }
}
