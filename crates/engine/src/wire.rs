//! What a monitor and its clients say to each other: one message of a socket that keeps bounds is one frame.
//!
//! The first byte tells the kind, the rest is its content. A client begins with [`ToMonitor::Hello`], which carries the
//! version of this protocol: a monitor lives as long as its container, and may be older than the command that meets it.

/// The version of the protocol. From the second on a client may send its input by a pipe; whether it takes its output
/// from pipes is one of its wishes. From the third on a monitor keeps sockets for its container.
pub(crate) const VERSION: u8 = 3;

/// The first version whose monitors take a client's pipe.
pub(crate) const PIPES: u8 = 2;

/// The first version whose monitors keep sockets.
pub(crate) const SOCKETS: u8 = 3;

/// The most bytes of a stream that one frame carries.
pub(crate) const CHUNK: usize = 16 * 1024;

/// How much a pipe between a monitor and a client holds, and how much is moved at once. The container's memory is
/// charged for what it writes until that is read, so it is not the most that the kernel grants.
pub(crate) const BULK: usize = 256 * 1024;

/// Room for any frame.
pub(crate) const FRAME: usize = CHUNK + 16;

/// What a client wants to hear and to send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// It sends standard input.
    pub(crate) stdin: bool,
    /// It takes the output.
    pub(crate) output: bool,
    /// It wants to be told when the log has grown.
    pub(crate) news: bool,
    /// It takes output from a pipe, where that comes in bulk.
    pub(crate) pipes: bool,
}

impl Wishes {
    pub(crate) fn bits(self) -> u8 {
        u8::from(self.stdin) | u8::from(self.output) << 1 | u8::from(self.news) << 2 | u8::from(self.pipes) << 3
    }

    pub(crate) fn from_bits(bits: u8) -> Self {
        Self { stdin: bits & 1 != 0, output: bits & 2 != 0, news: bits & 4 != 0, pipes: bits & 8 != 0 }
    }
}

/// A frame from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToMonitor<'a> {
    Hello {
        version: u8,
        wishes: Wishes,
    },
    Stdin(&'a [u8]),
    /// The rest of the input comes by the pipe whose descriptor is beside this frame, and ends with it.
    Pipe,
    EndOfStdin,
    Resize {
        rows: u16,
        columns: u16,
    },
    /// Keep the sockets beside this frame: they take published ports.
    Keep,
    /// Give up the socket that is bound to this address, as text.
    Free(&'a [u8]),
    /// Answer questions about names that come to the two sockets beside this frame, UDP and TCP.
    Answer,
}

/// A frame from a monitor, or from the process that is about to become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToClient<'a> {
    /// The monitor's version.
    Welcome {
        version: u8,
    },
    /// The command runs; the warnings, a line each, tell what could not be enforced.
    Started {
        pid: u32,
        warnings: &'a str,
    },
    /// The command could not be started: the exit code, and the chain of causes.
    Failed {
        code: u8,
        chain: &'a str,
    },
    Stdout(&'a [u8]),
    Stderr(&'a [u8]),
    /// More of a stream comes by the pipe whose descriptor is beside this frame: standard output, or error. Frames of
    /// the stream that follow come after what is in the pipe.
    Pipe {
        error: bool,
    },
    /// So many bytes were left out, since this client was too slow to take them.
    Lost {
        bytes: u64,
    },
    /// The log has grown.
    News,
    /// What was asked for is done.
    Done,
    /// The container has ended, and all of it is cleared away.
    Exited {
        code: u8,
    },
}

impl<'a> ToMonitor<'a> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        match self {
            Self::Hello { version, wishes } => out.extend_from_slice(&[b'H', *version, wishes.bits()]),
            Self::Stdin(bytes) => frame(out, b'I', bytes),
            Self::Pipe => out.push(b'P'),
            Self::EndOfStdin => out.push(b'E'),
            Self::Resize { rows, columns } => {
                frame(out, b'R', &rows.to_le_bytes());
                out.extend_from_slice(&columns.to_le_bytes());
            }
            Self::Keep => out.push(b'K'),
            Self::Free(address) => frame(out, b'F', address),
            Self::Answer => out.push(b'A'),
        }
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        Some(match bytes.split_first()? {
            (b'H', [version, wishes, ..]) => Self::Hello { version: *version, wishes: Wishes::from_bits(*wishes) },
            (b'I', bytes) => Self::Stdin(bytes),
            (b'P', _) => Self::Pipe,
            (b'E', _) => Self::EndOfStdin,
            (b'R', [a, b, c, d]) => {
                Self::Resize { rows: u16::from_le_bytes([*a, *b]), columns: u16::from_le_bytes([*c, *d]) }
            }
            (b'K', _) => Self::Keep,
            (b'F', address) => Self::Free(address),
            (b'A', _) => Self::Answer,
            _ => return None,
        })
    }
}

impl<'a> ToClient<'a> {
    /// Returns the first byte of the frame.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Welcome { .. } => b'W',
            Self::Started { .. } => b'S',
            Self::Failed { .. } => b'F',
            Self::Stdout(_) => b'O',
            Self::Stderr(_) => b'X',
            Self::Pipe { .. } => b'P',
            Self::Lost { .. } => b'D',
            Self::News => b'L',
            Self::Done => b'K',
            Self::Exited { .. } => b'Q',
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.push(self.kind());
        match self {
            Self::Welcome { version } => out.push(*version),
            Self::Started { pid, warnings } => {
                out.extend_from_slice(&pid.to_le_bytes());
                out.extend_from_slice(&warnings.as_bytes()[..warnings.floor_char_boundary(CHUNK)]);
            }
            Self::Failed { code, chain } => {
                out.push(*code);
                // An error longer than a frame is cut, and said all the same.
                out.extend_from_slice(&chain.as_bytes()[..chain.floor_char_boundary(CHUNK)]);
            }
            Self::Stdout(bytes) | Self::Stderr(bytes) => out.extend_from_slice(bytes),
            Self::Pipe { error } => out.push(u8::from(*error)),
            Self::Lost { bytes } => out.extend_from_slice(&bytes.to_le_bytes()),
            Self::News | Self::Done => {}
            Self::Exited { code } => out.push(*code),
        }
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        Some(match bytes.split_first()? {
            (b'W', [version, ..]) => Self::Welcome { version: *version },
            (b'S', [a, b, c, d, warnings @ ..]) => Self::Started {
                pid: u32::from_le_bytes([*a, *b, *c, *d]),
                warnings: std::str::from_utf8(warnings).ok()?,
            },
            (b'F', [code, chain @ ..]) => Self::Failed { code: *code, chain: std::str::from_utf8(chain).ok()? },
            (b'O', bytes) => Self::Stdout(bytes),
            (b'X', bytes) => Self::Stderr(bytes),
            (b'P', [error, ..]) => Self::Pipe { error: *error != 0 },
            (b'D', bytes) => Self::Lost { bytes: u64::from_le_bytes(bytes.try_into().ok()?) },
            (b'L', _) => Self::News,
            (b'K', _) => Self::Done,
            (b'Q', [code, ..]) => Self::Exited { code: *code },
            _ => return None,
        })
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.push(kind);
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_of_a_client_reads_back() {
        let wishes = Wishes { stdin: true, output: false, news: true, pipes: true };
        let frames = [
            ToMonitor::Hello { version: 1, wishes },
            ToMonitor::Stdin(b"typed"),
            ToMonitor::Pipe,
            ToMonitor::EndOfStdin,
            ToMonitor::Resize { rows: 24, columns: 300 },
            ToMonitor::Keep,
            ToMonitor::Free(b"0.0.0.0:80"),
            ToMonitor::Answer,
        ];
        let mut bytes = Vec::new();
        for frame in frames {
            frame.encode(&mut bytes);
            assert_eq!(ToMonitor::decode(&bytes), Some(frame));
        }
    }

    #[test]
    fn every_frame_of_a_monitor_reads_back() {
        let frames = [
            ToClient::Welcome { version: 1 },
            ToClient::Started { pid: 70_000, warnings: "no swap\nno pids" },
            ToClient::Failed { code: 127, chain: "cannot start\nno such file" },
            ToClient::Stdout(b""),
            ToClient::Stderr(b"\xff"),
            ToClient::Pipe { error: true },
            ToClient::Pipe { error: false },
            ToClient::Lost { bytes: 1 << 40 },
            ToClient::News,
            ToClient::Done,
            ToClient::Exited { code: 137 },
        ];
        let mut bytes = Vec::new();
        for frame in frames {
            frame.encode(&mut bytes);
            assert_eq!(ToClient::decode(&bytes), Some(frame));
        }
    }

    #[test]
    fn nonsense_is_no_frame() {
        for bytes in [&b""[..], b"?", b"H", b"H\x01", b"R\x00", b"S\x00", b"D"] {
            assert_eq!((ToMonitor::decode(bytes), ToClient::decode(bytes)), (None, None), "{bytes:?}");
        }
    }
}
