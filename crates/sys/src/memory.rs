//! What the calling process keeps in memory.

use std::ffi::CStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{Advice, madvise};

use crate::{Calling, Errno, Result};

/// Makes a file in memory that holds these bytes and that nobody can change any more (memfd_create(2), `F_ADD_SEALS`).
pub fn sealed_file(name: &CStr, bytes: &[u8]) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create(name, flags).call(|| format!("memfd_create({name:?})"))?;
    let mut file = File::from(file);
    file.write_all(bytes).call(|| format!("write(memfd, {} bytes)", bytes.len()))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals).call(|| "fcntl(memfd, F_ADD_SEALS)")?;
    Ok(file.into())
}

/// Lets go of the pages of our own program text; what is still needed comes back, by a minor fault, from the page cache.
///
/// The kernel maps program text in generous pieces around each fault, and a process that only waits needs next to none of
/// what it needed to get there.
#[inline]
pub fn release_text() -> Result<()> {
    // Both symbols are made by the linker; their addresses alone are taken, nothing is read.
    let (start, end) = (&raw const __executable_start, &raw const etext);
    let page = rustix::param::page_size();
    let (start, end) = (start.addr().next_multiple_of(page), end.addr() / page * page);
    let length = end.saturating_sub(start);
    // SAFETY: from the start of the program to the end of its text lie only read-only pages that are mapped from the
    // binary. MADV_DONTNEED unmaps them, and the next use maps the same bytes again.
    let done = unsafe { madvise(std::ptr::without_provenance_mut(start), length, Advice::LinuxDontNeed) };
    // Where the linker left a gap between two segments the kernel has passed it over, and says so (madvise(2), ENOMEM).
    let done = if done == Err(Errno::NOMEM) { Ok(()) } else { done };
    done.call(|| format!("madvise({start:#x}, {length}, MADV_DONTNEED)"))
}

/// Lets go of the pages of the heap in which nothing is held any more.
pub fn release_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes a number and touches free memory of the allocator alone, under its own lock.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// Lets go of the pages of the calling thread's stack that deeper calls have used and that are not in use now.
pub fn release_stack() {
    /// Deeper than a thread of ours ever gets; what the stack has not reached is not mapped, and is passed over.
    const DEPTH: usize = 256 * 1024;
    let here = 0_u8;
    let page = rustix::param::page_size();
    // The page that we are in stays, and the one below it, for the call that follows.
    let end = (std::ptr::from_ref(std::hint::black_box(&here)).addr() / page - 1) * page;
    let start = end.saturating_sub(DEPTH);
    // SAFETY: a stack grows down, so below its pointer (and the page that the call itself may use) lies nothing that
    // anybody will read. The kernel keeps other mappings a megabyte away from a main thread's stack (stack_guard_gap), and
    // those of other threads have a guard page and are not meant: only a process with one thread calls this.
    let _ = unsafe { madvise(std::ptr::without_provenance_mut(start), end - start, Advice::LinuxDontNeed) };
}

unsafe extern "C" {
    static __executable_start: u8;
    static etext: u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_that_was_large_goes_on_small() {
        let held: Vec<Vec<u8>> = (0..256).map(|_| vec![1; 4096]).collect();
        let last = vec![7; 16];
        drop(held);
        release_heap();
        assert_eq!(last, [7; 16]);
        assert_eq!(vec![3; 9000].iter().sum::<usize>(), 27_000);
    }

    #[test]
    fn the_program_goes_on_without_its_text() {
        release_text().unwrap();
        assert_eq!("as before".split(' ').count(), 2);
    }
}
