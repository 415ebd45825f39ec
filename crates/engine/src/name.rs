//! What a container is called: its id and its name, each made by one parser.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name we take: a directory entry on every file system, with room for a suffix.
const LONGEST_NAME: usize = 128;

/// The 64 hexadecimal digits that name a container for its whole life.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// Why a text is not a container's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a container id: it takes 64 hexadecimal digits")]
pub struct IdError(String);

impl ContainerId {
    /// Makes the id that 32 random bytes spell.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
        Self(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
    }

    /// Returns the 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first twelve digits, as Docker shows them.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ContainerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.len() == 64 && text.bytes().all(hexadecimal) {
            true => Ok(Self(text.to_owned())),
            false => Err(IdError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for ContainerId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

/// The name that people call a container by: Docker's `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, at most 128 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

/// Why a text is not a container's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It holds something besides the characters we take.
    #[error("invalid container name {0:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, two of them at least")]
    Characters(String),
    /// It is longer than a file system likes.
    #[error("invalid container name: {0} characters are too many, {LONGEST_NAME} are allowed")]
    TooLong(usize),
}

impl ContainerName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ContainerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > LONGEST_NAME {
            return Err(NameError::TooLong(text.chars().count()));
        }
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let fits = text.len() >= 2 && text.as_bytes()[0].is_ascii_alphanumeric() && text.bytes().all(rest);
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::Characters(text.to_owned())) }
    }
}

impl TryFrom<String> for ContainerName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> Self {
        name.0
    }
}

/// Makes up a name from random bytes, for a container that was given none.
pub(crate) fn invent(random: [u8; 4]) -> ContainerName {
    const MANNERS: [&str; 32] = [
        "able", "agile", "ample", "brave", "bright", "calm", "clear", "clever", "crisp", "eager", "fair", "fond",
        "gentle", "glad", "keen", "kind", "lively", "merry", "mild", "neat", "noble", "patient", "proud", "quick",
        "quiet", "ready", "sound", "steady", "sunny", "swift", "warm", "wise",
    ];
    const PLAYERS: [&str; 32] = [
        "alto", "bass", "bassoon", "bugle", "cello", "chime", "clarinet", "cornet", "cymbal", "drum", "fiddle",
        "flute", "gong", "harp", "horn", "lute", "lyre", "oboe", "organ", "piano", "piccolo", "recorder", "reed",
        "sitar", "soprano", "tenor", "timpani", "trombone", "trumpet", "tuba", "viola", "violin",
    ];
    let [manner, player, high, low] = random;
    let number = u16::from_be_bytes([high, low]) % 1000;
    let (manner, player) = (MANNERS[usize::from(manner % 32)], PLAYERS[usize::from(player % 32)]);
    ContainerName(format!("{manner}_{player}{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_takes_docker_s_characters_only() {
        for good in ["eg", "web-1", "a.b_c", "0x"] {
            assert_eq!(good.parse::<ContainerName>().unwrap().as_str(), good);
        }
        for bad in ["", "a", "..", ".a", "-a", "a/b", "../up", "a\nb", "a b", "ä1", "a\0"] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_name_of_300_characters_is_too_long() {
        let error = "x".repeat(300).parse::<ContainerName>().unwrap_err();
        assert_eq!(error.to_string(), "invalid container name: 300 characters are too many, 128 are allowed");
    }

    #[test]
    fn an_id_is_64_digits_and_nothing_else() {
        let id = ContainerId::from_bytes([0xab; 32]);
        assert_eq!(id.short(), "abababababab");
        assert_eq!(id.as_str().parse::<ContainerId>().unwrap(), id);
        assert!("../../etc".parse::<ContainerId>().is_err());
        assert!("A".repeat(64).parse::<ContainerId>().is_err());
    }

    #[test]
    fn an_invented_name_is_a_name() {
        for byte in 0..=255 {
            let name = invent([byte, byte.wrapping_mul(7), byte, 255 - byte]);
            assert!(name.as_str().parse::<ContainerName>().is_ok());
        }
    }
}
