//! Network interfaces of the calling process's own network namespace (netdevice(7)).

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::errno::check;
use crate::{Calling, Errno, Error, Result};

/// Switches an interface on.
///
/// One ioctl on a socket of any kind: for the loopback interface of a new namespace that is all there is to do, since the
/// kernel gives it its addresses by itself.
pub fn set_up(name: &str) -> Result<()> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .call(|| "socket(AF_UNIX, SOCK_DGRAM)")?;
    let mut request = request_for(name)?;
    control(&socket, libc::SIOCGIFFLAGS, "SIOCGIFFLAGS", name, &mut request)?;
    // SAFETY: SIOCGIFFLAGS has just filled this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let up = libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
    request.ifr_ifru.ifru_flags = flags | up;
    control(&socket, libc::SIOCSIFFLAGS, "SIOCSIFFLAGS", name, &mut request)
}

fn request_for(name: &str) -> Result<libc::ifreq> {
    let mut request =
        libc::ifreq { ifr_name: [0; libc::IFNAMSIZ], ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 } };
    // One byte is left for the NUL that ends the name.
    if name.len() >= libc::IFNAMSIZ {
        return Err(Error::new(format!("ioctl({name:?})"), Errno::NAMETOOLONG));
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    Ok(request)
}

fn control(
    socket: &OwnedFd,
    operation: libc::Ioctl,
    words: &'static str,
    name: &str,
    request: &mut libc::ifreq,
) -> Result<()> {
    // SAFETY: both operations take a pointer to a whole ifreq, which the kernel reads and writes during the call.
    let ret = unsafe { libc::ioctl(socket.as_raw_fd(), operation, std::ptr::from_mut(request)) };
    check(ret.into(), || format!("ioctl({words}, {name:?})")).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_is_an_error() {
        assert_eq!(set_up("conductor-none").unwrap_err().errno(), Errno::NODEV);
        assert_eq!(set_up("a-name-that-is-too-long").unwrap_err().errno(), Errno::NAMETOOLONG);
    }
}
