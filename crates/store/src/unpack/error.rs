//! Why a tree could not be unpacked.

use sys::Errno;

use crate::erofs::LayerError;

/// Why a tree could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The layers make no tree.
    #[error(transparent)]
    Layers(#[from] LayerError),
    /// A file could not be made.
    #[error("cannot make {path}")]
    File {
        /// Its path in the image.
        path: String,
        /// The call that failed.
        source: sys::Error,
    },
    /// The worker could not be confined to its directory.
    #[error("cannot confine the process that unpacks")]
    Confine(#[source] sys::Error),
    /// The worker ended and said nothing.
    #[error("the process that unpacks was killed (status {0})")]
    Killed(i32),
    /// What stands around the unpacking failed.
    #[error("cannot {doing}")]
    Around {
        /// What was being done.
        doing: &'static str,
        /// The call that failed.
        source: sys::Error,
    },
}

/// The calls of the worker, so that a failure travels as a number.
macro_rules! calls {
    ($($call:ident $name:literal)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Call {
            $($call),*
        }

        impl Call {
            const ALL: &[Self] = &[$(Self::$call),*];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$call => $name),*
                }
            }
        }
    };
}

calls! {
    Confine "confine"
    MakeDirectory "mkdirat"
    OpenDirectory "openat(O_DIRECTORY|O_NOFOLLOW)"
    GoBack "openat(\"..\")"
    MakeFile "openat(O_CREAT|O_EXCL|O_NOFOLLOW)"
    Truncate "ftruncate"
    Read "pread64(layer)"
    Write "pwrite64"
    MakeLink "symlinkat"
    MakeNode "mknodat"
    Link "linkat"
    Owner "fchownat"
    Mode "fchmod"
    Enter "fchdir"
    Attribute "fsetxattr"
    Times "utimensat"
}

/// What a worker says of its failure: at which step, in which call, with which answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) step: u32,
    pub(super) call: Call,
    pub(super) errno: Errno,
}

impl Failure {
    /// The length of a failure in the pipe.
    pub(super) const SIZE: usize = 12;

    pub(super) fn encode(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let call = Call::ALL.iter().position(|call| *call == self.call).unwrap_or_default();
        bytes[..4].copy_from_slice(&self.step.to_le_bytes());
        bytes[4] = call.to_le_bytes()[0];
        bytes[8..].copy_from_slice(&self.errno.raw_os_error().to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: [u8; Self::SIZE]) -> Option<Self> {
        let [a, b, c, d, call, _, _, _, e, f, g, h] = bytes;
        let errno = i32::from_le_bytes([e, f, g, h]);
        // The kernel's own bound for what is an error.
        let errno = (1..4096).contains(&errno).then(|| Errno::from_raw_os_error(errno))?;
        Some(Self { step: u32::from_le_bytes([a, b, c, d]), call: *Call::ALL.get(usize::from(call))?, errno })
    }

    pub(super) fn into_error(self, path: impl FnOnce(u32) -> String) -> UnpackError {
        let source = sys::Error::new(self.call.name(), self.errno);
        match self.call {
            Call::Confine => UnpackError::Confine(source),
            _ => UnpackError::File { path: path(self.step), source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_comes_through_the_pipe_as_it_was() {
        for call in Call::ALL {
            let failure = Failure { step: 70_000, call: *call, errno: Errno::NOSPC };
            assert_eq!(Failure::decode(failure.encode()), Some(failure));
        }
        assert_eq!(Failure::decode([0xff; Failure::SIZE]), None);
    }
}
