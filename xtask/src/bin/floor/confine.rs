//! What takes power away from the program: devices, capabilities, the filter.

use std::io;
use std::path::Path;

use crate::bare::{call, zeroed_args};
use crate::write;

/// What a container may do with devices, as Docker's default has it.
const DEVICE_RULES: &[&str] = &[
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// The eight capabilities that stay: chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind_service.
const KEPT: u64 = 1 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10;
const LAST_CAPABILITY: usize = 40;

/// Writes the device rules of a v1 cgroup.
pub(crate) fn devices(cgroup: &Path) -> io::Result<()> {
    write(&cgroup.join("devices.deny"), "a")?;
    DEVICE_RULES.iter().try_for_each(|rule| write(&cgroup.join("devices.allow"), rule))
}

/// Brings the loopback link up.
pub(crate) fn up_loopback() -> io::Result<()> {
    let socket = call(libc::SYS_socket, &[libc::AF_INET as usize, libc::SOCK_DGRAM as usize, 0])?;
    // struct ifreq: sixteen bytes of name, then the flags.
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16] = 1; // IFF_UP
    call(libc::SYS_ioctl, &[socket, libc::SIOCSIFFLAGS as usize, request.as_ptr() as usize])?;
    call(libc::SYS_close, &[socket])?;
    Ok(())
}

/// Drops all capabilities but the kept ones, from all sets.
pub(crate) fn capabilities() -> io::Result<()> {
    const DROP: usize = libc::PR_CAPBSET_DROP as usize;
    for capability in (0..=LAST_CAPABILITY).filter(|capability| KEPT & (1 << capability) == 0) {
        call(libc::SYS_prctl, &[DROP, capability, 0, 0, 0])?;
    }
    let header = [0x2008_0522u32, 0];
    let low = u32::try_from(KEPT).map_err(io::Error::other)?;
    let data = [low, low, 0, 0, 0, 0];
    call(libc::SYS_capset, &[header.as_ptr() as usize, data.as_ptr() as usize]).map(|_| ())
}

/// Gives up gaining privileges by executing a file.
pub(crate) fn no_new_privileges() -> io::Result<()> {
    call(libc::SYS_prctl, &[libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0]).map(|_| ())
}

/// Loads a filter of the size and shape that ours has: a search tree over the numbers of the calls.
pub(crate) fn filter() -> io::Result<()> {
    let program = program();
    let mut wrapped: libc::sock_fprog = zeroed_args();
    wrapped.len = u16::try_from(program.len()).map_err(io::Error::other)?;
    wrapped.filter = program.as_ptr().cast_mut();
    call(libc::SYS_seccomp, &[libc::SECCOMP_SET_MODE_FILTER as usize, 0, &raw const wrapped as usize]).map(|_| ())
}

const ALLOW: u32 = 0x7fff_0000;
const REFUSE: u32 = 0x0005_0001;

/// The numbers at which allowed and refused calls change places. It begins with allowed ones.
const CHANGES: &[u32] = &[
    101, 102, 134, 135, 136, 137, 139, 140, 153, 157, 159, 160, 161, 186, 203, 206, 212, 213, 237, 240, 246, 247, 248,
    251, 256, 257, 272, 273, 279, 280, 298, 299, 303, 305, 308, 309, 312, 314, 320, 322, 323, 324, 425, 434, 438, 439,
];

fn program() -> Vec<libc::sock_filter> {
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const NATIVE: u32 = 0xc000_003e;
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = vec![op(LOAD, 0, 0, 4), op(EQUAL, 1, 0, NATIVE), op(RETURN, 0, 0, REFUSE), op(LOAD, 0, 0, 0)];
    program.extend(tree(CHANGES, ALLOW));
    program
}

/// Makes the search tree: below the middle number one half, from it on the other.
fn tree(changes: &[u32], first: u32) -> Vec<libc::sock_filter> {
    const AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    if changes.is_empty() {
        return vec![op(RETURN, 0, 0, first)];
    }
    let middle = changes.len() / 2;
    let other = |after: usize| if after.is_multiple_of(2) { first } else { ALLOW ^ REFUSE ^ first };
    let low = tree(&changes[..middle], first);
    let high = tree(&changes[middle + 1..], other(middle + 1));
    let over = u8::try_from(low.len()).unwrap_or(u8::MAX);
    [vec![op(AT_LEAST, over, 0, changes[middle])], low, high].concat()
}
