//! `--chmod`: permissions as chmod(1) takes them, as a number or in letters. Pure.

/// What becomes of permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chmod {
    /// They become these.
    Exactly(u32),
    /// They change, clause by clause.
    Clauses(Vec<Clause>),
}

/// `u+x`: for whom, what is done, with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clause {
    who: u32,
    sign: char,
    bits: u32,
    /// `X`: execution, for directories and for what somebody may execute already.
    search: bool,
}

impl Chmod {
    /// Reads the word; `None` when it is none.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
            return u32::from_str_radix(word, 8).ok().filter(|mode| *mode <= 0o7777).map(Self::Exactly);
        }
        word.split(',').map(clauses).collect::<Option<Vec<_>>>().map(|clauses| Self::Clauses(clauses.concat()))
    }

    /// Returns what permissions become.
    pub(crate) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Self::Exactly(mode) => *mode,
            Self::Clauses(clauses) => clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_directory)),
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let search = self.search && (is_directory || mode & 0o111 != 0);
        let bits = (self.bits | if search { 0o111 } else { 0 }) & self.who;
        match self.sign {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => (mode & !(self.who & 0o777)) | bits,
        }
    }
}

/// One part between commas: `ug+rw-x`.
fn clauses(word: &str) -> Option<Vec<Clause>> {
    let signs = |c: char| matches!(c, '+' | '-' | '=');
    let (who, mut rest) = word.split_at(word.find(signs)?);
    let mut mask = 0;
    for letter in who.chars() {
        mask |= match letter {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => return None,
        };
    }
    let mask = if who.is_empty() { 0o7777 } else { mask };
    let mut found = Vec::new();
    while let Some(sign) = rest.chars().next() {
        let end = rest[1..].find(signs).map_or(rest.len(), |at| at + 1);
        let mut clause = Clause { who: mask, sign, bits: 0, search: false };
        for letter in rest[1..end].chars() {
            match letter {
                'r' => clause.bits |= 0o444,
                'w' => clause.bits |= 0o222,
                'x' => clause.bits |= 0o111,
                's' => clause.bits |= 0o6000,
                't' => clause.bits |= 0o1000,
                'X' => clause.search = true,
                _ => return None,
            }
        }
        found.push(clause);
        rest = &rest[end..];
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_change_as_chmod_changes_them() {
        for (word, before, is_directory, after) in [
            ("644", 0o755, false, 0o644),
            ("1777", 0o755, true, 0o1777),
            ("u+x", 0o644, false, 0o744),
            ("go-w", 0o666, false, 0o644),
            ("a=rX", 0o644, false, 0o444),
            ("a=rX", 0o755, true, 0o555),
            ("+x", 0o600, false, 0o711),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("g+s", 0o755, true, 0o2755),
            ("ug+rw-x", 0o711, false, 0o661),
        ] {
            assert_eq!(Chmod::parse(word).unwrap().apply(before, is_directory), after, "{word} on {before:o}");
        }
        for wrong in ["", "8", "99999", "u", "z+x", "u+q", "rwx"] {
            assert_eq!(Chmod::parse(wrong), None, "{wrong}");
        }
    }
}
