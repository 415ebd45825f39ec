//! Ways to take a line apart: at spaces, at spaces outside quotes, as JSON, as flags.

/// What separates words where quotes mean nothing.
const SPACES: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// Returns the first word, and what follows the spaces behind it.
pub(super) fn first(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(SPACES).unwrap_or((text, ""));
    (word, rest.trim_start_matches(SPACES))
}

/// Splits at spaces, whatever stands around them.
pub(crate) fn at_spaces(text: &str) -> Vec<&str> {
    text.split(SPACES).filter(|word| !word.is_empty()).collect()
}

/// Splits at spaces outside quotes, and leaves quotes and escapes where they are.
pub(crate) fn outside_quotes(text: &str, escape: char) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match quote {
            None if c.is_whitespace() => words.extend(word.take()),
            // An escape at the very end means nothing.
            _ if c == escape && quote != Some('\'') => {
                if let Some(next) = characters.next() {
                    word.get_or_insert_default().extend([c, next]);
                }
            }
            None => {
                quote = matches!(c, '\'' | '"').then_some(c);
                word.get_or_insert_default().push(c);
            }
            Some(open) => {
                quote = Some(open).filter(|open| *open != c);
                word.get_or_insert_default().push(c);
            }
        }
    }
    words.extend(word);
    words
}

/// Takes the words in front that begin with `--`, without their quotes. A `--` alone ends them.
pub(super) fn flags(text: &str) -> (Vec<String>, &str) {
    let (mut flags, mut rest) = (Vec::new(), text.trim_start());
    while rest.starts_with("--") {
        let (flag, after) = flag(rest);
        rest = after.trim_start();
        if flag == "--" {
            break;
        }
        flags.push(flag);
    }
    (flags, rest)
}

/// Reads one flag. Its escape is `\` in every file.
fn flag(text: &str) -> (String, &str) {
    let (mut flag, mut quote) = (String::new(), None);
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => return (flag, &text[at..]),
            ('\\', _) => flag.extend(characters.next().map(|(_, next)| next)),
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, _) => flag.push(c),
        }
    }
    (flag, "")
}

/// What a text is as JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Json {
    /// No array at all.
    Not,
    /// An array of words.
    Words(Vec<String>),
    /// An array that holds something else.
    Mixed,
}

/// Reads a JSON array of words.
pub(super) fn json(text: &str) -> Json {
    if !text.trim_start().starts_with('[') {
        return Json::Not;
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Json::Not };
    let words = values.into_iter().map(|value| match value {
        serde_json::Value::String(word) => Some(word),
        _ => None,
    });
    words.collect::<Option<_>>().map_or(Json::Mixed, Json::Words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_words_together_and_stay() {
        assert_eq!(outside_quotes(r#"a="b c" d='e f'g h\ i "" \"#, '\\'), [r#"a="b c""#, "d='e f'g", r"h\ i", r#""""#]);
        assert_eq!(outside_quotes(r#""a\" b" 'c\' d"#, '\\'), [r#""a\" b""#, r"'c\'", "d"]);
        assert_eq!(outside_quotes("a` b", '`'), ["a` b"]);
        assert_eq!(outside_quotes("  ", '\\'), [""; 0]);
    }

    #[test]
    fn flags_stand_in_front_and_lose_their_quotes() {
        assert_eq!(
            flags("--a=1  --b='x y'  --c=\"p\\\"q\" rest --d"),
            (vec!["--a=1".into(), "--b=x y".into(), "--c=p\"q".into()], "rest --d")
        );
        assert_eq!(flags("-- --a"), (vec![], "--a"));
        assert_eq!(flags("-x"), (vec![], "-x"));
        assert_eq!(flags("--only"), (vec!["--only".into()], ""));
    }

    #[test]
    fn json_is_an_array_of_words_or_none() {
        assert_eq!(json(r#"["a", "b\n"]"#), Json::Words(vec!["a".into(), "b\n".into()]));
        assert_eq!(json("[]"), Json::Words(vec![]));
        assert_eq!(json("['a']"), Json::Not);
        assert_eq!(json("[ -f a ] && b"), Json::Not);
        assert_eq!(json("[1]"), Json::Mixed);
    }
}
