//! Pipes, and moving what is in them without a copy (pipe(7), splice(2), tee(2)).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::FileType;
use rustix::pipe::{PipeFlags, SpliceFlags};

use crate::{Calling, Errno, Result};

/// What a pipe takes in one piece: where it takes anything at all it takes as much, so that such a write never waits.
pub const ATOMIC: usize = rustix::pipe::PIPE_BUF;

/// Makes a pipe; reading and writing do not wait. Returns the end to read from and the end to write to.
pub fn open() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).call(|| "pipe2(O_CLOEXEC|O_NONBLOCK)")
}

/// Makes room in a pipe, or takes it away; refused beyond what the host grants a user.
pub fn set_size(pipe: impl AsFd, bytes: usize) -> Result<()> {
    rustix::pipe::fcntl_setpipe_size(pipe.as_fd(), bytes)
        .map(drop)
        .call(|| format!("fcntl({}, F_SETPIPE_SZ, {bytes})", pipe.as_fd().as_raw_fd()))
}

/// Returns how much is in a pipe.
pub fn held(pipe: impl AsFd) -> Result<u64> {
    rustix::io::ioctl_fionread(pipe.as_fd()).call(|| format!("ioctl({}, FIONREAD)", pipe.as_fd().as_raw_fd()))
}

/// Tells whether a descriptor is a pipe.
pub fn is_pipe(fd: impl AsFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Moves up to `most` bytes without a copy, to or from a pipe; none are the end of `from`.
///
/// Pipes are not waited for: `EAGAIN` where there is nothing to move, or no room for it. A reader that is gone is
/// `EPIPE` (with SIGPIPE), and what cannot be moved so is `EINVAL`.
pub fn splice(from: impl AsFd, to: impl AsFd, most: usize) -> Result<usize> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    let (from, to) = (from.as_fd(), to.as_fd());
    rustix::io::retry_on_intr(|| rustix::pipe::splice(from, None, to, None, most, flags))
        .call(|| format!("splice({}, {}, {most})", from.as_raw_fd(), to.as_raw_fd()))
}

/// Moves up to `most` bytes to a second pipe and leaves them in the first one as well; otherwise as [`splice`].
pub fn tee(from: impl AsFd, to: impl AsFd, most: usize) -> Result<usize> {
    let (from, to) = (from.as_fd(), to.as_fd());
    rustix::io::retry_on_intr(|| rustix::pipe::tee(from, to, most, SpliceFlags::NONBLOCK))
        .call(|| format!("tee({}, {}, {most})", from.as_raw_fd(), to.as_raw_fd()))
}

/// Tells whether a failure says that the two descriptors cannot be spliced at all.
pub fn is_refused(errno: Errno) -> bool {
    // A file that is only appended to, a device that knows no splice, a file system without it.
    matches!(errno, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spliced_leaves_the_pipe_and_what_is_teed_stays() {
        let ((a, into_a), (b, into_b), (c, into_c)) = (open().unwrap(), open().unwrap(), open().unwrap());
        crate::file::write(&into_a, b"twice").unwrap();
        assert_eq!(tee(&a, &into_b, 100).unwrap(), 5);
        assert_eq!((held(&a).unwrap(), held(&b).unwrap()), (5, 5));
        assert_eq!(splice(&a, &into_c, 3).unwrap(), 3);
        assert_eq!((held(&a).unwrap(), held(&c).unwrap()), (2, 3));
        assert_eq!(splice(&a, &into_c, 100).unwrap(), 2);
        assert_eq!(splice(&a, &into_c, 100).unwrap_err().errno(), Errno::AGAIN);
        drop(into_a);
        assert_eq!(splice(&a, &into_c, 100).unwrap(), 0);
    }

    #[test]
    fn a_full_pipe_and_one_without_a_reader_are_told_apart() {
        let ((a, into_a), (b, into_b)) = (open().unwrap(), open().unwrap());
        set_size(&b, 4096).unwrap();
        crate::file::write(&into_a, &[7; 8192]).unwrap();
        assert_eq!(splice(&a, &into_b, 1 << 20).unwrap(), 4096);
        assert_eq!(splice(&a, &into_b, 1 << 20).unwrap_err().errno(), Errno::AGAIN);
        drop(b);
        assert_eq!(splice(&a, &into_b, 1 << 20).unwrap_err().errno(), Errno::PIPE);
    }

    #[test]
    fn a_pipe_is_known() {
        assert!(is_pipe(open().unwrap().0));
        assert!(!is_pipe(std::fs::File::open("/dev/null").unwrap()));
    }
}
