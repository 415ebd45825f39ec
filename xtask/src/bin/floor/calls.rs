//! What system calls cost under a filter: one process, one filter, each call many times.
//!
//! The kernel answers a call without running the filter where the filter allows it whatever its arguments, so what shows
//! a filter's cost are calls whose arguments decide, and refused ones. Those here do next to nothing else: the kernel
//! refuses them at the first look, whether the filter has let them through or not, or only reads a word.

use std::io::{self, BufRead, Write};
use std::time::Instant;

use crate::bare::{answer, call, zeroed_args};
use crate::processors::Processors;

/// A call to be timed.
struct Timed {
    name: &'static str,
    number: libc::c_long,
    arguments: [usize; 3],
}

const ASK: usize = 0xffff_ffff;
const UNIX: usize = libc::AF_UNIX as usize;
const ALG: usize = libc::AF_ALG as usize;
/// A flag that no socket has.
const NO_TYPE: usize = 0x10;
/// A thread that does not share its handlers of signals, which there is not.
const NO_THREAD: usize = libc::CLONE_THREAD as usize;

/// The first shows what the kernel remembers; all others run the filter.
const TIMED: &[Timed] = &[
    Timed { name: "getppid", number: libc::SYS_getppid, arguments: [0; 3] },
    Timed { name: "personality", number: libc::SYS_personality, arguments: [ASK, 0, 0] },
    Timed { name: "clone", number: libc::SYS_clone, arguments: [NO_THREAD, 0, 0] },
    Timed { name: "socket-unix", number: libc::SYS_socket, arguments: [UNIX, NO_TYPE, 0] },
    Timed { name: "socket-alg", number: libc::SYS_socket, arguments: [ALG, NO_TYPE, 0] },
    Timed { name: "clone3", number: libc::SYS_clone3, arguments: [0; 3] },
];

/// How many times a call is made for one figure: few enough that processes which take turns meet the same machine.
const CALLS: u32 = 5_000;

/// Puts itself under the filter in a file (`struct sock_filter`, one after the other), or under none. Then, for each line on
/// stdin, it times every call and prints one line: name and nanoseconds, name and nanoseconds.
pub(crate) fn serve(filter: Option<&String>) -> io::Result<()> {
    // A cache that is left costs more than any filter.
    Processors::of_this_process()?.use_last()?;
    if let Some(path) = filter {
        load(&std::fs::read(path)?)?;
    }
    let mut answers = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        line?;
        for Timed { name, number, arguments } in TIMED {
            write!(answers, "{name} {} ", time(*number, *arguments))?;
        }
        writeln!(answers)?;
        answers.flush()?;
    }
    Ok(())
}

fn time(number: libc::c_long, arguments: [usize; 3]) -> f64 {
    let make = |count| {
        for _ in 0..count {
            std::hint::black_box(answer(number, arguments));
        }
    };
    // Another process has had the processor, and its caches.
    make(CALLS / 10);
    let start = Instant::now();
    make(CALLS);
    start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn load(bytes: &[u8]) -> io::Result<()> {
    let instruction = |bytes: &[u8]| libc::sock_filter {
        code: u16::from_ne_bytes([bytes[0], bytes[1]]),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    };
    let program: Vec<_> = bytes.chunks_exact(8).map(instruction).collect();
    let mut wrapped: libc::sock_fprog = zeroed_args();
    wrapped.len = u16::try_from(program.len()).map_err(io::Error::other)?;
    wrapped.filter = program.as_ptr().cast_mut();
    let (set, flags) = (libc::SECCOMP_SET_MODE_FILTER as usize, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as usize);
    call(libc::SYS_seccomp, &[set, flags, &raw const wrapped as usize]).map(|_| ())
}
