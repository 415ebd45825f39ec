//! What the calling process keeps in memory.

use crate::Result;
use crate::errno::check;

/// Lets go of the pages of our own program text; what is still needed comes back, by a minor fault, from the page cache.
///
/// The kernel maps program text in generous pieces around each fault, and a process that only waits needs next to none of
/// what it needed to get there.
pub fn release_text() -> Result<()> {
    // Both symbols are made by the linker; their addresses alone are taken, nothing is read.
    let (start, end) = (&raw const __executable_start, &raw const etext);
    let page = rustix::param::page_size();
    let (start, end) = (start.addr().next_multiple_of(page), end.addr() / page * page);
    let length = end.saturating_sub(start);
    // SAFETY: from the start of the program to the end of its text lie only read-only pages that are mapped from the
    // binary. MADV_DONTNEED unmaps them, and the next use maps the same bytes again.
    let ret = unsafe { libc::madvise(std::ptr::without_provenance_mut(start), length, libc::MADV_DONTNEED) };
    check(ret.into(), || format!("madvise({start:#x}, {length}, MADV_DONTNEED)")).map(drop)
}

/// Gives memory that was allocated and freed back to the kernel, which the allocator would keep for the next time.
pub fn release_heap() {
    // SAFETY: malloc_trim(3) only unmaps what is free, and takes the allocator's own locks.
    unsafe { libc::malloc_trim(0) };
}

unsafe extern "C" {
    static __executable_start: u8;
    static etext: u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_when_what_is_free_goes() {
        let kept = vec![7_u8; 50_000];
        drop(vec![1_u8; 100_000]);
        release_heap();
        assert!(kept.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn the_program_goes_on_without_its_text() {
        release_text().unwrap();
        assert_eq!("as before".split(' ').count(), 2);
    }
}
