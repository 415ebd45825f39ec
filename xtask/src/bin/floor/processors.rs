//! Which processors a process may use.

use std::io;

use crate::bare::call;

const WORDS: usize = 128;

/// The processors that this process may use when this was made.
#[derive(Debug)]
pub(crate) struct Processors([u64; WORDS]);

impl Processors {
    pub(crate) fn of_this_process() -> io::Result<Self> {
        let mut mask = [0; WORDS];
        call(libc::SYS_sched_getaffinity, &[0, size_of_val(&mask), mask.as_mut_ptr() as usize])?;
        Ok(Self(mask))
    }

    /// Keeps this process on the last of them.
    pub(crate) fn use_last(&self) -> io::Result<()> {
        let Some(last) = self.0.iter().rposition(|word| *word != 0) else { return Ok(()) };
        let mut mask = [0; WORDS];
        mask[last] = 1 << (63 - self.0[last].leading_zeros());
        set(&mask)
    }

    /// Lets this process use all of them.
    pub(crate) fn use_all(&self) -> io::Result<()> {
        set(&self.0)
    }
}

fn set(mask: &[u64; WORDS]) -> io::Result<()> {
    call(libc::SYS_sched_setaffinity, &[0, size_of_val(mask), mask.as_ptr() as usize]).map(|_| ())
}
