//! Permissions: octal as in `0755`, or symbolic as in `u=rwX,go-w`.

use crate::Fault;

/// What `--chmod` asks for.
///
/// ```
/// let mode = dockerfile::FileMode::parse("u+x,go=u-w").unwrap();
/// assert_eq!(mode.apply(0o644, false), 0o755);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMode(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Octal(u32),
    Symbolic(Vec<Step>),
}

/// One sign with what stands around it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// Whose bits are changed: a mask of whole triples.
    who: u32,
    sign: char,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// Letters of `rwxXst`.
    Letters(String),
    /// The bits of `u`, `g` or `o`.
    CopyOf(char),
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHERS: u32 = 0o1007;

impl FileMode {
    /// Reads permissions.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = || Fault {
            hint: Some("use octal digits as in 0755, or symbols as in u=rwX,go=rX".into()),
            ..Fault::plain(format!("{text:?} is no mode of a file"))
        };
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(|mode| Self(Kind::Octal(mode))).ok_or_else(wrong);
        }
        let clauses: Option<Vec<Vec<Step>>> = text.split(',').map(clause).collect();
        clauses.map(|clauses| Self(Kind::Symbolic(clauses.concat()))).ok_or_else(wrong)
    }

    /// Returns the permissions of a file that had `current` ones.
    pub fn apply(&self, current: u32, is_directory: bool) -> u32 {
        match &self.0 {
            Kind::Octal(mode) => *mode,
            Kind::Symbolic(steps) => steps.iter().fold(current & 0o7777, |mode, step| step.apply(mode, is_directory)),
        }
    }
}

/// Reads `who` and the signs that follow it, such as `go=u-w`. Without a `who` it is everybody.
fn clause(text: &str) -> Option<Vec<Step>> {
    let signs = text.find(['+', '-', '='])?;
    let who = text[..signs].chars().try_fold(0, |who, c| {
        Some(
            who | match c {
                'u' => USER,
                'g' => GROUP,
                'o' => OTHERS,
                'a' => 0o7777,
                _ => return None,
            },
        )
    })?;
    let who = if who == 0 { 0o7777 } else { who };
    let mut steps = Vec::new();
    let mut rest = &text[signs..];
    while let Some(sign) = rest.chars().next() {
        let after = &rest[1..];
        let end = after.find(['+', '-', '=']).unwrap_or(after.len());
        let what = match &after[..end] {
            "u" | "g" | "o" => What::CopyOf(after.chars().next()?),
            letters if letters.chars().all(|c| "rwxXst".contains(c)) => What::Letters(letters.to_owned()),
            _ => return None,
        };
        steps.push(Step { who, sign, what });
        rest = &after[end..];
    }
    Some(steps)
}

impl Step {
    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let bits = match &self.what {
            What::CopyOf(whose) => {
                let shift = match whose {
                    'u' => 6,
                    'g' => 3,
                    _ => 0,
                };
                ((mode >> shift) & 0o7) * 0o111
            }
            What::Letters(letters) => letters.chars().fold(0, |bits, c| bits | letter(c, mode, is_directory)),
        };
        match self.sign {
            '+' => mode | bits & self.who,
            '-' => mode & !(bits & self.who),
            // What is set for good on a directory stays, as chmod(1) has it.
            _ if is_directory => mode & !(self.who & 0o1777) | bits & self.who,
            _ => mode & !self.who | bits & self.who,
        }
    }
}

fn letter(c: char, mode: u32, is_directory: bool) -> u32 {
    match c {
        'r' => 0o444,
        'w' => 0o222,
        'x' => 0o111,
        'X' if is_directory || mode & 0o111 != 0 => 0o111,
        's' => 0o6000,
        't' => 0o1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_applied_as_chmod_does() {
        for (text, current, is_directory, expected) in [
            ("755", 0o600, false, 0o755),
            ("0644", 0o777, true, 0o644),
            ("4755", 0, false, 0o4755),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("go=", 0o777, false, 0o700),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("g=u", 0o640, false, 0o660),
            ("go=u-w", 0o744, false, 0o755),
            ("u+s,g+s,+t", 0o755, false, 0o7755),
            ("o+s", 0o755, false, 0o755),
            ("g=rx", 0o2777, true, 0o2757),
        ] {
            let mode = FileMode::parse(text).unwrap();
            assert_eq!(mode.apply(current, is_directory), expected, "{text}");
        }
        for text in ["", "8", "10000", "0o755", "rwx", "u", "u+q", "z+x", "u+x,", "u+gx", "+é"] {
            assert!(FileMode::parse(text).is_err(), "{text}");
        }
    }
}
