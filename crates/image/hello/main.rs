//! `conductor/hello`: the smallest image that shows something, a program without libc, runtime or allocator.
//!
//! This file stands outside the house and its rules: it is no crate of the workspace but a program for the inside of a
//! container, compiled by `crates/image/build.rs` and carried in the binary as data. With nothing below it but the kernel, it
//! makes its system calls itself, so it is `unsafe` throughout; what it does with them is print.

#![no_std]
#![no_main]
#![no_builtins]

use core::arch::asm;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use core::arch::global_asm;

// The kernel starts a program with its stack pointer aligned to 16 and no return address; a function expects one.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "call {start}", "ud2", start = sym start);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, xzr", "bl {start}", "brk 1", start = sym start);

#[cfg(target_arch = "x86_64")]
mod number {
    pub const WRITE: usize = 1;
    pub const GETPID: usize = 39;
    pub const UNAME: usize = 63;
    pub const GETUID: usize = 102;
    pub const GETPPID: usize = 110;
    pub const EXIT: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const WRITE: usize = 64;
    pub const EXIT: usize = 94;
    pub const UNAME: usize = 160;
    pub const GETPID: usize = 172;
    pub const GETPPID: usize = 173;
    pub const GETUID: usize = 174;
}

#[cfg(target_arch = "x86_64")]
fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
    let result;
    // SAFETY: the calls made here write to memory only through the pointers that their callers pass and keep alive.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
    let result;
    // SAFETY: the calls made here write to memory only through the pointers that their callers pass and keep alive.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, options(nostack));
    }
    result
}

/// The kernel's `struct new_utsname`: six texts, each closed by a zero.
#[repr(C)]
struct Names([[u8; 65]; 6]);

static mut NAMES: Names = Names([[0; 65]; 6]);

extern "C" fn start() -> ! {
    let names = &raw mut NAMES;
    call(number::UNAME, names as usize, 0, 0);
    // SAFETY: there is one thread, and the kernel is done writing.
    let [_, host, release, _, machine, _] = unsafe { &(*names).0 };
    let pid = call(number::GETPID, 0, 0, 0);

    say(b"Hello from Conductor!\n\nThis program runs in a container of its own. What it sees from in there:\n");
    say(b"  process ID    ");
    say_number(pid);
    say(if pid == 1 {
        b", the first process of its PID namespace\n"
    } else {
        b", so somebody else is the init here\n"
    });
    say(b"  parent        ");
    say_number(call(number::GETPPID, 0, 0, 0));
    say(b"\n  user ID       ");
    say_number(call(number::GETUID, 0, 0, 0));
    say(b"\n  host name     ");
    say_text(host);
    say(b"\n  kernel        Linux ");
    say_text(release);
    say(b" ");
    say_text(machine);
    say(b", shared with the host\n\nSee how it was made:  conductor explain run conductor/hello\n");
    say(b"Go on with:           conductor build mydebian && conductor run -it mydebian\n");
    loop {
        call(number::EXIT, 0, 0, 0);
    }
}

fn say(text: &[u8]) {
    call(number::WRITE, 1, text.as_ptr() as usize, text.len());
}

fn say_text(text: &[u8; 65]) {
    let mut length = 0;
    while length < text.len() && text[length] != 0 {
        length += 1;
    }
    call(number::WRITE, 1, text.as_ptr() as usize, length);
}

fn say_number(number: isize) {
    if number >= 10 {
        say_number(number / 10);
    }
    if let Some(digit) = b"0123456789".get((number % 10) as usize) {
        call(number::WRITE, 1, core::ptr::from_ref(digit) as usize, 1);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        call(number::EXIT, 101, 0, 0);
    }
}
