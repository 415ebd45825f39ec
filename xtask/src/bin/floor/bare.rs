//! System calls, bare.

use std::io;

/// Makes a system call with up to six arguments.
///
/// The callers pass numbers, or addresses of values that live until the call is over.
pub(crate) fn call(number: libc::c_long, arguments: &[usize]) -> io::Result<usize> {
    let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
    let [a, b, c, d, e, f] = std::array::from_fn(argument);
    // SAFETY: every address among the arguments is that of a live value of the caller's, of the kind the call takes.
    let ret = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    usize::try_from(ret).map_err(|_| {
        let error = io::Error::last_os_error();
        io::Error::new(error.kind(), format!("system call {number}: {error}"))
    })
}

/// Makes a system call whose arguments are numbers, and returns what the kernel says: nothing is made of it.
pub(crate) fn answer(number: libc::c_long, [a, b, c]: [usize; 3]) -> libc::c_long {
    // SAFETY: no argument is the address of anything; the kernel refuses a call that takes one for an address.
    unsafe { libc::syscall(number, a, b, c) }
}

/// Makes a structure of plain numbers, all of them zero.
pub(crate) fn zeroed_args<T: Copy>() -> T {
    // SAFETY: asked for the argument structures of libc alone, in which all bits zero is a value.
    unsafe { std::mem::zeroed() }
}
