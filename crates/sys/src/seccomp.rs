//! Seccomp filters: loading one, and asking the kernel what it knows.
//!
//! A filter is a classic BPF program over `struct seccomp_data` (call number, architecture, instruction pointer, six
//! arguments). It is computed elsewhere, from the list in a container's specification; here it only meets the kernel.
//! [`load`] is irrevocable, and it needs `no_new_privs` or `CAP_SYS_ADMIN` in the caller's user namespace.

#![allow(unsafe_code, reason = "seccomp(2) is called here")]

use std::ops::BitOr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::errno::{Errno, Error, Result, check};

/// The longest program that the kernel takes (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// One instruction of classic BPF, as the kernel's `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What to do: class, size or operation, and source of the operand.
    pub code: u16,
    /// How many instructions to skip when the test holds.
    pub jt: u8,
    /// How many instructions to skip when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// How a filter is attached (`SECCOMP_FILTER_FLAG_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Gives the filter to every thread of the process.
    pub const TSYNC: Self = Self(1);
    /// Logs every action but ALLOW.
    pub const LOG: Self = Self(1 << 1);
    /// Leaves speculative store bypass alone.
    pub const SPEC_ALLOW: Self = Self(1 << 2);
    /// Makes a descriptor on which the notifying actions are answered.
    pub const NEW_LISTENER: Self = Self(1 << 3);
    /// Reports a thread that cannot take part in TSYNC as ESRCH, which leaves the return value to the listener.
    pub const TSYNC_ESRCH: Self = Self(1 << 4);
    /// Lets only fatal signals interrupt a call whose notification has been received (since Linux 5.19).
    pub const WAIT_KILLABLE_RECV: Self = Self(1 << 5);

    /// Tells whether all of `other` is in these flags.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the bits as the kernel counts them.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Puts the calling thread under the filter, for good; returns the listener if [`Flags::NEW_LISTENER`] asks for one.
///
/// The listener is close-on-exec. A filter whose process has no listener answers notifying calls with ENOSYS.
pub fn load(program: &[Instruction], flags: Flags) -> Result<Option<OwnedFd>> {
    let name = || format!("seccomp(SECCOMP_SET_MODE_FILTER, {:#x}, {} instructions)", flags.bits(), program.len());
    let Ok(len) = u16::try_from(program.len()) else { return Err(Error::new(name(), Errno::INVAL)) };
    // `Instruction` has the layout of `sock_filter`, and the kernel only reads through the pointer.
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    let flags = if flags.contains(Flags::TSYNC | Flags::NEW_LISTENER) { flags | Flags::TSYNC_ESRCH } else { flags };
    // SAFETY: the third argument points to a sock_fprog that describes `program`; both outlive the call, which copies.
    let ret =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags.bits(), &raw const filter) };
    let ret = check(ret, name)?;
    match RawFd::try_from(ret) {
        Ok(fd) if flags.contains(Flags::NEW_LISTENER) => {
            // SAFETY: with NEW_LISTENER the kernel returns a descriptor that it has just made for the caller.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
        }
        Ok(0) => Ok(None),
        // Without TSYNC_ESRCH a positive value is the thread that could not be brought under the filter.
        _ => Err(Error::new(name(), Errno::SRCH)),
    }
}

/// Returns a filter under which a process can make and fill files below directories that it has open, and end; any other
/// call kills it. `None` on an architecture that this was not written for.
pub fn only_files() -> Option<Vec<Instruction>> {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    const KILL_PROCESS: u32 = 0x8000_0000;
    const ALLOW: u32 = 0x7fff_0000;
    let statement = |code, k| Instruction { code, jt: 0, jf: 0, k };
    // Each test skips one instruction where it fails; those of the numbers follow each other.
    let unless_equal = |k| Instruction { code: JUMP_EQUAL, jt: 0, jf: 1, k };
    let mut program = vec![
        statement(LOAD_WORD, ARCHITECTURE),
        Instruction { code: JUMP_EQUAL, jt: 1, jf: 0, k: AUDIT_ARCHITECTURE? },
        statement(RETURN, KILL_PROCESS),
        statement(LOAD_WORD, NUMBER),
    ];
    for number in FILE_CALLS {
        program.extend([unless_equal(u32::try_from(*number).ok()?), statement(RETURN, ALLOW)]);
    }
    program.push(statement(RETURN, KILL_PROCESS));
    Some(program)
}

/// What the kernel calls the architecture that we were compiled for (`AUDIT_ARCH_*`).
const AUDIT_ARCHITECTURE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else if cfg!(target_arch = "riscv64") {
    Some(0xc000_00f3)
} else {
    None
};

/// The calls of [`only_files`]. None of them makes a process, a connection or a mapping, or changes who the caller is.
const FILE_CALLS: &[libc::c_long] = &[
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_pwrite64,
    libc::SYS_copy_file_range,
    libc::SYS_ftruncate,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_fchdir,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_utimensat,
    libc::SYS_fsetxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fremovexattr,
    libc::SYS_fcntl,
    libc::SYS_rt_sigreturn,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Tells whether the kernel knows the action (a `SECCOMP_RET_*` value without data).
pub fn action_available(action: u32) -> Result<bool> {
    // SAFETY: the third argument points to a u32 that outlives the call, which only reads it.
    let ret = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    match check(ret, || format!("seccomp(SECCOMP_GET_ACTION_AVAIL, {action:#x})")) {
        Ok(_) => Ok(true),
        Err(error) if error.errno() == Errno::OPNOTSUPP => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_has_the_layout_of_the_kernels() {
        assert_eq!(size_of::<Instruction>(), size_of::<libc::sock_filter>());
        assert_eq!(align_of::<Instruction>(), align_of::<libc::sock_filter>());
        let instruction = libc::sock_filter { code: 1, jt: 2, jf: 3, k: 4 };
        // SAFETY: both types are four integers of the same sizes in the same order.
        let ours: Instruction = unsafe { std::mem::transmute(instruction) };
        assert_eq!(ours, Instruction { code: 1, jt: 2, jf: 3, k: 4 });
    }

    #[test]
    fn the_kernel_knows_the_old_actions_and_no_invented_one() {
        assert_eq!(action_available(0x7fff_0000), Ok(true));
        assert_eq!(action_available(0x1234_0000), Ok(false));
    }

    #[test]
    fn under_the_filter_for_files_another_call_is_the_end() {
        use crate::process::{ExitStatus, Fork, clone_into, exit, wait};
        let Some(filter) = only_files() else { return };
        let ends = |deed: fn()| match clone_into(&[], None).unwrap() {
            Fork::Parent(child) => wait(&child.pidfd).unwrap(),
            Fork::Child => {
                let loaded = crate::credentials::set_no_new_privileges().and_then(|()| load(&filter, Flags::default()));
                deed();
                exit(i32::from(loaded.is_err()))
            }
        };
        let make = || {
            let _ = rustix::fs::mkdirat(rustix::fs::CWD, c"/proc/x", rustix::fs::Mode::empty());
        };
        let ask = || {
            let _ = rustix::process::getppid();
        };
        assert_eq!(ends(make), ExitStatus::Exited(0));
        assert_eq!(ends(ask), ExitStatus::Signaled(libc::SIGSYS));
        assert_eq!(ends(|| drop(rustix::pipe::pipe())), ExitStatus::Signaled(libc::SIGSYS));
    }

    #[test]
    fn an_empty_program_is_refused_by_name() {
        let error = load(&[], Flags::LOG).unwrap_err();
        assert_eq!(
            error.to_string(),
            "seccomp(SECCOMP_SET_MODE_FILTER, 0x2, 0 instructions): invalid argument (EINVAL)"
        );
    }
}
