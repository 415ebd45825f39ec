//! Attaching to a container: which streams, and the keys that leave it without ending it.

use std::str::FromStr;

/// What a client that attaches wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachOptions {
    /// Sends the caller's standard input.
    pub stdin: bool,
    /// Writes the container's output to the caller's standard output and error.
    pub output: bool,
    /// The keys that leave the container running, on a terminal.
    pub detach_keys: DetachKeys,
    /// Hands signals that the caller receives on to the container's command.
    pub proxy_signals: bool,
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self { stdin: false, output: true, detach_keys: DetachKeys::default(), proxy_signals: true }
    }
}

/// The keys that leave a container running: ctrl-p, ctrl-q where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

/// Why a text names no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid detach keys {0:?}: use single characters and ctrl-KEY, separated by commas, as in ctrl-p,ctrl-q")]
pub struct DetachKeysError(String);

impl Default for DetachKeys {
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

impl FromStr for DetachKeys {
    type Err = DetachKeysError;

    fn from_str(text: &str) -> Result<Self, DetachKeysError> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        keys.map(Self).ok_or_else(|| DetachKeysError(text.to_owned()))
    }
}

fn key(word: &str) -> Option<u8> {
    let single = |text: &str| match text.as_bytes() {
        [byte] => Some(*byte),
        _ => None,
    };
    match word.strip_prefix("ctrl-") {
        // Docker's grammar: the letters, and the four signs that share their codes with control characters.
        Some(control) => match single(control)? {
            byte @ b'a'..=b'z' => Some(byte - b'a' + 1),
            b'@' => Some(0),
            byte @ b'['..=b'_' => Some(byte - b'[' + 27),
            _ => None,
        },
        None => single(word),
    }
}

/// Watches typed bytes for the detach keys.
#[derive(Debug)]
pub(crate) struct DetachWatch {
    keys: Vec<u8>,
    seen: usize,
}

impl DetachWatch {
    pub(crate) fn new(keys: &DetachKeys) -> Self {
        Self { keys: keys.0.clone(), seen: 0 }
    }

    /// Puts what is to be sent on into `out`; tells whether the keys were typed to the end.
    ///
    /// Keys that begin the sequence are held back until it is clear that they do not go on with it.
    pub(crate) fn feed(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            out.extend_from_slice(typed);
            return false;
        }
        for byte in typed {
            if *byte != self.keys[self.seen] {
                out.extend_from_slice(&self.keys[..self.seen]);
                self.seen = 0;
            }
            match *byte == self.keys[self.seen] {
                true => self.seen += 1,
                false => out.push(*byte),
            }
            if self.seen == self.keys.len() {
                self.seen = 0;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(watch: &mut DetachWatch, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let detached = watch.feed(typed, &mut out);
        (out, detached)
    }

    #[test]
    fn keys_are_read_as_docker_reads_them() {
        assert_eq!("ctrl-p,ctrl-q".parse(), Ok(DetachKeys::default()));
        assert_eq!("a,ctrl-@,ctrl-[,ctrl-_".parse(), Ok(DetachKeys(vec![b'a', 0, 27, 31])));
        assert_eq!("".parse(), Ok(DetachKeys(Vec::new())));
        for bad in ["ctrl-", "ctrl-pp", "ab", ",", "ctrl-A", "ctrl-1"] {
            assert!(bad.parse::<DetachKeys>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn the_keys_leave_and_are_not_sent_on() {
        let mut watch = DetachWatch::new(&DetachKeys::default());
        assert_eq!(feed(&mut watch, b"ls\x10\x11rest"), (b"ls".to_vec(), true));
    }

    #[test]
    fn keys_that_begin_the_sequence_and_stop_are_sent_on_in_order() {
        let mut watch = DetachWatch::new(&DetachKeys::default());
        assert_eq!(feed(&mut watch, b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(feed(&mut watch, b"\x10"), (vec![0x10], false));
        assert_eq!(feed(&mut watch, b"b"), (vec![0x10, b'b'], false));
        assert_eq!(feed(&mut watch, b"\x10"), (vec![], false));
        assert_eq!(feed(&mut watch, b"\x11"), (vec![], true));
    }
}
