//! Here-documents: which words of a line begin one.

use super::lines::split;
use super::words::{self, Json};
use crate::Heredoc;

/// A word that begins a here-document, such as `3<<-"EOF"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The word as it is written.
    pub(super) word: String,
    pub(crate) name: String,
    pub(super) expand: bool,
    pub(super) chomp: bool,
    pub(super) fd: Option<u32>,
    /// The name stands apart, as in `<< EOF`.
    pub(super) is_spaced: bool,
}

impl Marker {
    pub(super) fn into_document(self, content: String) -> Heredoc {
        Heredoc { name: self.name, content, expand: self.expand, chomp: self.chomp, fd: self.fd }
    }
}

/// Returns the markers of a line, if its instruction can have any.
pub(super) fn markers(line: &str) -> Vec<Marker> {
    if !line.contains("<<") {
        return Vec::new();
    }
    let (name, _, rest) = split(line);
    let (name, rest) = if name.eq_ignore_ascii_case("ONBUILD") {
        let (name, _, rest) = split(rest);
        (name, rest)
    } else {
        (name, rest)
    };
    let is_run = name.eq_ignore_ascii_case("RUN");
    if !(is_run || name.eq_ignore_ascii_case("COPY") || name.eq_ignore_ascii_case("ADD")) {
        return Vec::new();
    }
    if words::json(rest) != Json::Not {
        return Vec::new();
    }
    let words = words::outside_quotes(rest, '\\');
    let mut markers = Vec::new();
    for (word, next) in words.iter().zip(words.iter().skip(1).map(Some).chain([None])) {
        let spaced = || {
            let next =
                next.filter(|next| is_run && word.trim_end_matches('-').ends_with("<<") && !next.contains('<'))?;
            Some(Marker { is_spaced: true, ..marker(&format!("{word}{next}"))? })
        };
        markers.extend(marker(word).or_else(spaced));
    }
    markers
}

/// Reads a word as a marker: digits, `<<`, perhaps a dash, and a name without a `<`.
pub(crate) fn marker(word: &str) -> Option<Marker> {
    let (digits, rest) = word.split_once("<<")?;
    let (chomp, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || rest.contains('<') {
        return None;
    }
    let (name, was_quoted) = unquoted(rest).filter(|(name, _)| !name.is_empty())?;
    Some(Marker { word: word.to_owned(), name, expand: !was_quoted, chomp, fd: digits.parse().ok(), is_spaced: false })
}

/// Takes quotes and escapes off one word. Nothing is returned for what is not one word.
fn unquoted(text: &str) -> Option<(String, bool)> {
    let (mut name, mut quote, mut was_quoted) = (String::new(), None, false);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => name.extend(characters.next()),
            ('\'' | '"', None) => (quote, was_quoted) = (Some(c), true),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => return None,
            (c, _) => name.push(c),
        }
    }
    quote.is_none().then_some((name, was_quoted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Vec<String> {
        markers(line).into_iter().map(|marker| marker.name).collect()
    }

    #[test]
    fn markers_are_words_of_their_own() {
        for (line, expected) in [
            ("RUN <<EOF", &["EOF"][..]),
            ("RUN cat <<A 3<<-B > x", &["A", "B"]),
            ("RUN cat << EOF", &["EOF"]),
            ("run cat <<- EOF", &["EOF"]),
            ("ONBUILD COPY <<EOF /x", &["EOF"]),
            ("COPY <<'a b' /x", &["a b"]),
            ("COPY << EOF /x", &[]),
            ("RUN --mount=target=/x <<EOF", &["EOF"]),
            ("RUN cat <<<word", &[]),
            ("RUN echo '<<EOF'", &[]),
            ("RUN echo a<<b", &[]),
            ("RUN echo \\<<EOF", &[]),
            ("RUN [\"cat\", \"<<EOF\"]", &[]),
            ("CMD <<EOF", &[]),
            ("RUN <<$EOF", &["$EOF"]),
        ] {
            assert_eq!(names(line), expected, "{line}");
        }
    }

    #[test]
    fn a_quoted_name_keeps_variables_from_being_put_in() {
        let read = |word| marker(word).map(|marker| (marker.name, marker.expand, marker.chomp, marker.fd)).unwrap();
        assert_eq!(read("<<EOF"), ("EOF".into(), true, false, None));
        assert_eq!(read("5<<-'E'\"O\"F"), ("EOF".into(), false, true, Some(5)));
        for word in ["<<", "<<-", "<<\"a", "x<<a", "<<''", "<<a b"] {
            assert_eq!(marker(word), None, "{word}");
        }
    }
}
