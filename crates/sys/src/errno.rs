//! The error of a system call: which call, with which arguments, and what the kernel answered.
//!
//! It prints as strace would, so that a user can put the line into a search field and a developer knows where to look:
//! `bind(0.0.0.0:8080): address already in use (EADDRINUSE)`.

use std::borrow::Cow;
use std::fmt;

pub use rustix::io::Errno;

/// What a wrapper of this crate gives back.
pub type Result<T> = std::result::Result<T, Error>;

/// A system call that failed, with its arguments and the kernel's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    call: Cow<'static, str>,
    errno: Errno,
}

impl Error {
    /// Names the call as strace would print it, beside the kernel's answer.
    pub fn new(call: impl Into<Cow<'static, str>>, errno: Errno) -> Self {
        Self { call: call.into(), errno }
    }

    /// Takes the answer out of an [`std::io::Error`]; one that never met the kernel counts as `EIO`.
    pub fn from_io(call: impl Into<Cow<'static, str>>, error: &std::io::Error) -> Self {
        Self::new(call, error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
    }

    /// Returns what the kernel answered.
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// Returns the call with its arguments.
    pub fn call(&self) -> &str {
        &self.call
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, describe(self.errno))
    }
}

impl std::error::Error for Error {}

/// Adds the call to a bare [`Errno`], as in `rustix::fs::open(..).call(|| format!("open({path})"))`.
pub trait Calling<T> {
    /// Names the call; the closure runs only on failure.
    fn call<S: Into<Cow<'static, str>>>(self, name: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Calling<T> for std::result::Result<T, Errno> {
    fn call<S: Into<Cow<'static, str>>>(self, name: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|errno| Error::new(name(), errno))
    }
}

impl<T> Calling<T> for std::io::Result<T> {
    fn call<S: Into<Cow<'static, str>>>(self, name: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| Error::from_io(name(), &error))
    }
}

/// Turns the C convention (-1 and `errno`) into a result that names the call.
pub(crate) fn check<S: Into<Cow<'static, str>>>(ret: libc::c_long, name: impl FnOnce() -> S) -> Result<libc::c_long> {
    if ret != -1 {
        return Ok(ret);
    }
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    Err(Error::new(name(), Errno::from_raw_os_error(errno)))
}

/// Returns the kernel's answer in words and by name: `no such file or directory (ENOENT)`.
pub fn describe(errno: Errno) -> String {
    let raw = errno.raw_os_error();
    match NAMES.iter().find(|(number, ..)| *number == raw) {
        Some((_, name, words)) => format!("{words} ({name})"),
        None => format!("error {raw}"),
    }
}

/// Returns the name of an errno value, such as `ENOENT`.
pub fn name(errno: Errno) -> Option<&'static str> {
    NAMES.iter().find(|(number, ..)| *number == errno.raw_os_error()).map(|(_, name, _)| *name)
}

/// Returns the errno value of a name such as `EPERM`.
pub fn by_name(name: &str) -> Option<Errno> {
    NAMES.iter().find(|(_, known, _)| *known == name).map(|(number, ..)| Errno::from_raw_os_error(*number))
}

macro_rules! names {
    ($($name:ident $words:literal)*) => { &[$((libc::$name, stringify!($name), $words)),*] };
}

/// Number, name and words, as errno(3) has them.
const NAMES: &[(i32, &str, &str)] = names! {
    EPERM "operation not permitted"
    ENOENT "no such file or directory"
    ESRCH "no such process"
    EINTR "interrupted system call"
    EIO "input/output error"
    ENXIO "no such device or address"
    E2BIG "argument list too long"
    ENOEXEC "exec format error"
    EBADF "bad file descriptor"
    ECHILD "no child processes"
    EAGAIN "resource temporarily unavailable"
    ENOMEM "cannot allocate memory"
    EACCES "permission denied"
    EFAULT "bad address"
    ENOTBLK "block device required"
    EBUSY "device or resource busy"
    EEXIST "file exists"
    EXDEV "invalid cross-device link"
    ENODEV "no such device"
    ENOTDIR "not a directory"
    EISDIR "is a directory"
    EINVAL "invalid argument"
    ENFILE "too many open files in system"
    EMFILE "too many open files"
    ENOTTY "inappropriate ioctl for device"
    ETXTBSY "text file busy"
    EFBIG "file too large"
    ENOSPC "no space left on device"
    ESPIPE "illegal seek"
    EROFS "read-only file system"
    EMLINK "too many links"
    EPIPE "broken pipe"
    EDOM "numerical argument out of domain"
    ERANGE "numerical result out of range"
    EDEADLK "resource deadlock avoided"
    ENAMETOOLONG "file name too long"
    ENOLCK "no locks available"
    ENOSYS "function not implemented"
    ENOTEMPTY "directory not empty"
    ELOOP "too many levels of symbolic links"
    ENODATA "no data available"
    ETIME "timer expired"
    ENOLINK "link has been severed"
    EPROTO "protocol error"
    EBADMSG "bad message"
    EOVERFLOW "value too large for defined data type"
    EUSERS "too many users"
    ENOTSOCK "socket operation on non-socket"
    EDESTADDRREQ "destination address required"
    EMSGSIZE "message too long"
    EPROTONOSUPPORT "protocol not supported"
    EOPNOTSUPP "operation not supported"
    EAFNOSUPPORT "address family not supported by protocol"
    EADDRINUSE "address already in use"
    EADDRNOTAVAIL "cannot assign requested address"
    ENETDOWN "network is down"
    ENETUNREACH "network is unreachable"
    ECONNABORTED "connection aborted"
    ECONNRESET "connection reset by peer"
    ENOBUFS "no buffer space available"
    EISCONN "already connected"
    ENOTCONN "not connected"
    ETIMEDOUT "connection timed out"
    ECONNREFUSED "connection refused"
    EHOSTUNREACH "no route to host"
    EALREADY "operation already in progress"
    EINPROGRESS "operation now in progress"
    ESTALE "stale file handle"
    EUCLEAN "structure needs cleaning"
    EDQUOT "disk quota exceeded"
    ENOMEDIUM "no medium found"
    ECANCELED "operation canceled"
    ENOKEY "required key not available"
    EKEYEXPIRED "key has expired"
    EKEYREVOKED "key has been revoked"
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_prints_as_strace_would() {
        let error = Error::new("bind(0.0.0.0:8080)", Errno::ADDRINUSE);
        assert_eq!(error.to_string(), "bind(0.0.0.0:8080): address already in use (EADDRINUSE)");
    }

    #[test]
    fn names_lead_back_to_their_numbers() {
        for (number, name, _) in NAMES {
            assert_eq!(by_name(name).map(Errno::raw_os_error), Some(*number));
        }
    }
}
