//! What a seccomp filter does, found out in three independent ways: by interpreting the program ([`interpret`]), by reading
//! the list naively ([`Reading`]), and by asking libseccomp for its own program ([`libseccomp`]).

#![allow(clippy::unwrap_used, reason = "called by tests alone, where a panic is the report")]

mod agree;
pub mod libseccomp;
mod list;

use std::fmt;

use sys::seccomp::{Instruction, MAX_INSTRUCTIONS};

pub use agree::{assert_agrees, assert_same, assert_same_as_libseccomp};
pub use list::{Numbers, Reading};

/// One system call as a filter sees it: `struct seccomp_data` without the instruction pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The call's number.
    pub number: u32,
    /// The architecture, as `AUDIT_ARCH_*`.
    pub architecture: u32,
    /// The arguments.
    pub arguments: [u64; 6],
}

impl Call {
    /// Returns the 32 bits at an offset, as they lie in memory on the call's architecture.
    fn word(&self, offset: u32) -> u32 {
        const LITTLE_ENDIAN: u32 = 0x4000_0000;
        match offset {
            0 => self.number,
            4 => self.architecture,
            8 | 12 => 0,
            _ => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                let high = (offset % 8 == 4) == (self.architecture & LITTLE_ENDIAN != 0);
                let word = if high { argument >> 32 } else { argument & 0xffff_ffff };
                u32::try_from(word).unwrap()
            }
        }
    }
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What the program returned: action and data.
    pub action: u32,
    /// How many instructions it took.
    pub instructions: usize,
}

/// Runs a program on a call. Panics where the kernel would have refused the program.
pub fn interpret(program: &[Instruction], call: &Call) -> Verdict {
    let (mut register, mut at, mut instructions) = (0, 0, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        instructions += 1;
        at += 1;
        let holds = match code {
            0x20 => {
                assert!(k % 4 == 0 && k < 64, "load of word {k}");
                register = call.word(k);
                continue;
            }
            0x54 => {
                register &= k;
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            0x06 => return Verdict { action: k, instructions },
            0x15 => register == k,
            0x25 => register > k,
            0x35 => register >= k,
            0x45 => register & k != 0,
            other => panic!("instruction {other:#x} at {}", at - 1),
        };
        at += usize::from(if holds { jt } else { jf });
    }
}

/// Panics unless the kernel's checks pass: the length, jumps inside the program, an end that returns.
pub fn assert_valid(program: &[Instruction]) {
    assert!(!program.is_empty() && program.len() <= MAX_INSTRUCTIONS, "{} instructions", program.len());
    assert_eq!(program.last().map(|last| last.code), Some(0x06), "the last instruction returns");
    for (at, instruction) in program.iter().enumerate() {
        let furthest = match instruction.code {
            0x05 => instruction.k as usize,
            code if code & 0x07 == 0x05 => usize::from(instruction.jt.max(instruction.jf)),
            0x06 => continue,
            _ => 0,
        };
        assert!(at + 1 + furthest < program.len(), "instruction {at} leads out of the program");
    }
}

/// A program as text, one instruction a line.
#[derive(Debug)]
pub struct Listing<'a>(pub &'a [Instruction]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Instruction { code, jt, jf, k }) in self.0.iter().enumerate() {
            let (yes, no) = (at + 1 + usize::from(*jt), at + 1 + usize::from(*jf));
            match code {
                0x20 => writeln!(f, "{at:4} load   [{k}]")?,
                0x54 => writeln!(f, "{at:4} and    {k:#x}")?,
                0x05 => writeln!(f, "{at:4} jump   {}", at + 1 + *k as usize)?,
                0x06 => writeln!(f, "{at:4} return {k:#010x}")?,
                0x15 => writeln!(f, "{at:4} == {k:#x} ? {yes} : {no}")?,
                0x25 => writeln!(f, "{at:4} > {k:#x} ? {yes} : {no}")?,
                0x35 => writeln!(f, "{at:4} >= {k:#x} ? {yes} : {no}")?,
                0x45 => writeln!(f, "{at:4} & {k:#x} ? {yes} : {no}")?,
                other => writeln!(f, "{at:4} {other:#x} {jt} {jf} {k:#x}")?,
            }
        }
        Ok(())
    }
}
