//! The device policy as an eBPF program, which is how v2 is told.
//!
//! The kernel hands the program a type, the ways of access that are wanted, and two numbers, and takes a 0 for no. The
//! rules are asked from the last to the first, since the last decides: a denying rule that meets a wanted way ends the
//! matter; an allowing one strikes its ways off what is wanted, and once nothing is left the answer is yes.

use sys::bpf::Insn;

use super::{Access, DevicePolicy, DeviceRule, Devices, Kind};

/// Registers by their use.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_IF_EQUAL: u8 = 0x15;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// Compiles the policy.
pub(crate) fn compile(policy: &DevicePolicy) -> Vec<Insn> {
    let mut program = vec![
        insn(LOAD_WORD, KIND, CONTEXT, 0, 0),
        insn(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        insn(LOAD_WORD, MINOR, CONTEXT, 8, 0),
        insn(MOVE_REGISTER, WANTED, KIND, 0, 0),
        insn(SHIFT_RIGHT, WANTED, 0, 0, 16),
        insn(AND, KIND, 0, 0, 0xffff),
    ];
    policy.rules.iter().rev().for_each(|rule| ask(&mut program, rule));
    answer(&mut program, policy.allow_by_default);
    program
}

fn ask(program: &mut Vec<Insn>, rule: &DeviceRule) {
    let mut verdict = Vec::new();
    match (rule.allow, rule.access == Access::ALL) {
        (allow, true) => answer(&mut verdict, allow),
        (true, false) => {
            verdict.push(insn(AND, WANTED, 0, 0, i32::from(!rule.access.0 & Access::ALL.0)));
            verdict.push(insn(JUMP_UNLESS_EQUAL, WANTED, 0, 2, 0));
            answer(&mut verdict, true);
        }
        (false, false) => {
            verdict.push(insn(MOVE_REGISTER, ANSWER, WANTED, 0, 0));
            verdict.push(insn(AND, ANSWER, 0, 0, i32::from(rule.access.0)));
            verdict.push(insn(JUMP_IF_EQUAL, ANSWER, 0, 2, 0));
            answer(&mut verdict, false);
        }
    }
    let tests = tests(&rule.devices);
    // Each test that fails jumps over the tests that follow it and over the verdict: at most 2 + 5 instructions.
    for (done, (register, value)) in tests.iter().enumerate() {
        let distance = i16::try_from(tests.len() - done - 1 + verdict.len()).unwrap_or(i16::MAX);
        program.push(insn(JUMP_UNLESS_EQUAL, *register, 0, distance, *value));
    }
    program.append(&mut verdict);
}

/// Returns which registers must have which values. There is always the kind, so that no rule makes later code unreachable,
/// which the kernel's verifier would refuse.
fn tests(devices: &Devices) -> Vec<(u8, i32)> {
    let kind = match devices.kind {
        Kind::Block => 1,
        Kind::Char => 2,
    };
    let numbers = [devices.major.map(|major| (MAJOR, major)), devices.minor.map(|minor| (MINOR, minor))];
    std::iter::once((KIND, kind)).chain(numbers.into_iter().flatten()).collect()
}

fn answer(program: &mut Vec<Insn>, allow: bool) {
    program.push(insn(MOVE, ANSWER, 0, 0, i32::from(allow)));
    program.push(insn(EXIT, 0, 0, 0, 0));
}

fn insn(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Insn {
    Insn { code, registers: from << 4 | to, offset, immediate }
}

#[cfg(test)]
mod tests {
    use super::super::tests::policy;
    use super::*;

    /// Runs a program of the instructions above.
    fn run(program: &[Insn], kind: u64, access: u64, major: u64, minor: u64) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0u64; 16];
        let mut at = 0;
        loop {
            let Insn { code, registers: pair, offset, immediate } = program[at];
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            let value = u64::from(immediate.cast_unsigned());
            at += 1;
            match code {
                LOAD_WORD => registers[to] = context[usize::try_from(offset).unwrap() / 4],
                MOVE => registers[to] = value,
                MOVE_REGISTER => registers[to] = registers[from],
                AND => registers[to] &= value,
                SHIFT_RIGHT => registers[to] >>= value,
                JUMP_IF_EQUAL if registers[to] == value => at += usize::try_from(offset).unwrap(),
                JUMP_UNLESS_EQUAL if registers[to] != value => at += usize::try_from(offset).unwrap(),
                JUMP_IF_EQUAL | JUMP_UNLESS_EQUAL => {}
                EXIT => return registers[0] == 1,
                other => panic!("no such instruction: {other:#x}"),
            }
        }
    }

    /// What the rules mean, told the slow way: for each wanted way, the last rule that speaks of it.
    fn allowed(rules: &[&str], kind: u64, access: u64, major: u64, minor: u64) -> bool {
        (0..3).map(|bit| 1 << bit).filter(|way| access & way != 0).all(|way| {
            let mut allow = false;
            for rule in rules {
                let words: Vec<_> = rule.split([' ', ':']).collect();
                let speaks = (words[1] == "a" || (words[1] == "b") == (kind == 1))
                    && (words[2] == "*" || words[2] == major.to_string())
                    && (words[3] == "*" || words[3] == minor.to_string())
                    && words[4].contains([(1, 'm'), (2, 'r'), (4, 'w')].iter().find(|(bit, _)| *bit == way).unwrap().1);
                if speaks {
                    allow = words[0] == "allow";
                }
            }
            allow
        })
    }

    #[test]
    fn the_program_says_what_the_rules_mean() {
        let cases: [&[&str]; 6] = [
            &[],
            &["deny a *:* rwm", "allow c 1:3 rwm", "allow c 5:* rw", "allow b *:* m"],
            &["allow a *:* rwm", "deny c 1:3 w", "deny b 5:* rwm"],
            &["allow c 1:* rwm", "deny c 1:3 w", "allow c *:3 w", "deny c 5:3 rm"],
            &["allow c 1:3 r", "allow c 1:3 w"],
            &["deny a *:* rwm", "allow a *:* m", "allow c 1:3 rwm", "deny c *:* r"],
        ];
        for rules in cases {
            let program = compile(&policy(rules));
            for (kind, access, major, minor) in every_question() {
                assert_eq!(
                    run(&program, kind, access, major, minor),
                    allowed(rules, kind, access, major, minor),
                    "{rules:?}: kind {kind}, access {access}, {major}:{minor}"
                );
            }
        }
    }

    fn every_question() -> impl Iterator<Item = (u64, u64, u64, u64)> {
        (0..2 * 7 * 3 * 2)
            .map(|n| (1 + n % 2, 1 + n / 2 % 7, [1, 5, 8][usize::try_from(n / 14 % 3).unwrap()], 3 + n / 42))
    }
}
