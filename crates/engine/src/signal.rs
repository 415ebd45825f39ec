//! Signals by name and number, as `kill` and `stop` take them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A signal of Linux, such as SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signal(i32);

/// Why a word is not a signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown signal {0:?}: use a name as in TERM, or a number from 1 to 64")]
pub struct SignalError(String);

/// The first signal of the real-time range as glibc counts for programs.
const RTMIN: i32 = 34;

impl Signal {
    /// The signal that no process can catch.
    pub const KILL: Self = Self(9);
    /// The signal of ctrl-c.
    pub const INT: Self = Self(2);
    /// The signal of ctrl-\.
    pub const QUIT: Self = Self(3);
    /// The signal that asks a process to end.
    pub const TERM: Self = Self(15);

    /// Returns the signal of a number from 1 to 64.
    pub fn from_number(number: i32) -> Option<Self> {
        (1..=64).contains(&number).then_some(Self(number))
    }

    /// Returns the number.
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number if number >= RTMIN => write!(f, "SIGRTMIN+{}", number - RTMIN),
            number @ 32.. => write!(f, "{number}"),
            number => f.write_str(&sys::process::signal_name(number)),
        }
    }
}

impl FromStr for Signal {
    type Err = SignalError;

    fn from_str(word: &str) -> Result<Self, SignalError> {
        sys::process::signal_by_name(word).map(Self).ok_or_else(|| SignalError(word.to_owned()))
    }
}

impl TryFrom<String> for Signal {
    type Error = SignalError;

    fn try_from(word: String) -> Result<Self, SignalError> {
        word.parse()
    }
}

impl From<Signal> for String {
    fn from(signal: Signal) -> Self {
        signal.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_known_by_name_and_by_number() {
        assert_eq!("term".parse(), Ok(Signal::TERM));
        assert_eq!("9".parse(), Ok(Signal::KILL));
        for bad in ["", "0", "65", "-9", "SIGNAL"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn every_signal_prints_a_word_that_leads_back_to_it() {
        for number in 1..=64 {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
    }
}
