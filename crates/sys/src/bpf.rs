//! eBPF as far as device control needs it: loading a program and attaching it to a cgroup.
//!
//! The program itself is compiled by the `cgroup` crate out of [`Insn`]s; here are bpf(2)'s commands, one wrapper each.

#![allow(unsafe_code, reason = "bpf(2) is called here")]

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::errno::{Error, Result, check};

/// One instruction of eBPF, laid out as the kernel has it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    /// Class, operation and source.
    pub code: u8,
    /// Destination register in the low half, source register in the high half.
    pub registers: u8,
    /// Jump distance or memory offset.
    pub offset: i16,
    /// Immediate operand.
    pub immediate: i32,
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// `union bpf_attr` for `BPF_PROG_LOAD`, as far as Linux 4.15 has it.
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// `union bpf_attr` for `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
#[derive(Default)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// `union bpf_attr` for `BPF_PROG_QUERY`, with all that Linux 6.18 writes back: it does so whatever the length it is given.
#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// `union bpf_attr` for `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
#[derive(Default)]
struct IdAttr {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// Loads a program that decides about a cgroup's access to devices; the kernel verifies it.
pub fn load_device_program(program: &[Insn]) -> Result<OwnedFd> {
    let mut attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).unwrap_or(u32::MAX),
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        prog_name: *b"conductor_dev\0\0\0",
        ..LoadAttr::default()
    };
    let name = || format!("bpf(BPF_PROG_LOAD, {{BPF_PROG_TYPE_CGROUP_DEVICE, insn_cnt={}}})", program.len());
    owned(bpf(BPF_PROG_LOAD, &mut attr, name)?)
}

/// Attaches a device program to `cgroup`: beside what is there, or in one step in the place of `replaced`.
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let mut attr = AttachAttr {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI | if replaced.is_some() { BPF_F_REPLACE } else { 0 },
        replace_bpf_fd: replaced.map_or(0, number),
    };
    bpf(BPF_PROG_ATTACH, &mut attr, || "bpf(BPF_PROG_ATTACH, BPF_CGROUP_DEVICE)").map(drop)
}

/// Detaches a device program from `cgroup`.
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let mut attr = AttachAttr {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: BPF_CGROUP_DEVICE,
        ..AttachAttr::default()
    };
    bpf(BPF_PROG_DETACH, &mut attr, || "bpf(BPF_PROG_DETACH, BPF_CGROUP_DEVICE)").map(drop)
}

/// Returns the ids of the device programs that are attached to `cgroup` itself, up to 64 of them, as the kernel allows.
pub fn attached_device_programs(cgroup: BorrowedFd<'_>) -> Result<Vec<u32>> {
    let mut ids = [0u32; 64];
    let mut attr = QueryAttr {
        target_fd: number(cgroup),
        attach_type: BPF_CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: 64,
        ..QueryAttr::default()
    };
    bpf(BPF_PROG_QUERY, &mut attr, || "bpf(BPF_PROG_QUERY, BPF_CGROUP_DEVICE)")?;
    Ok(ids.iter().copied().take(attr.prog_cnt as usize).collect())
}

/// Opens a loaded program by its id.
pub fn program_by_id(id: u32) -> Result<OwnedFd> {
    let mut attr = IdAttr { id, ..IdAttr::default() };
    owned(bpf(BPF_PROG_GET_FD_BY_ID, &mut attr, || format!("bpf(BPF_PROG_GET_FD_BY_ID, {id})"))?)
}

/// Makes the call. `attr` is one of the structures above, and what its pointers lead to outlives the call.
fn bpf<T, S: Into<std::borrow::Cow<'static, str>>>(
    command: libc::c_int,
    attr: &mut T,
    name: impl FnOnce() -> S,
) -> Result<libc::c_long> {
    // SAFETY: the kernel reads and writes at most `size_of::<T>()` bytes of `attr`, a structure that we hold exclusively;
    // the addresses inside it are of slices and literals that the callers above keep alive until this returns.
    let ret = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    check(ret, name)
}

fn owned(ret: libc::c_long) -> Result<OwnedFd> {
    let raw = i32::try_from(ret).map_err(|_| Error::new("bpf", crate::Errno::BADF))?;
    // SAFETY: bpf(2) has just made this descriptor (close-on-exec, as always for bpf), and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_are_as_long_as_the_kernels() {
        assert_eq!(size_of::<Insn>(), 8);
        assert_eq!(size_of::<LoadAttr>(), 64);
        assert_eq!(size_of::<AttachAttr>(), 20);
        assert_eq!(size_of::<QueryAttr>(), 64);
        assert_eq!(size_of::<IdAttr>(), 12);
    }
}
