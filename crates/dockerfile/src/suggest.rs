//! What a misspelt word was meant to be.

/// Returns the word of some that is nearest to another, if it is near enough to have been meant.
pub(crate) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    if lower.chars().count() > 40 {
        return None;
    }
    let allowed = if lower.chars().count() < 4 { 2 } else { 3 };
    let near = words.into_iter().map(|other| (distance(&lower, &other.to_ascii_lowercase()), other));
    let (distance, other) = near.min_by_key(|(distance, _)| *distance)?;
    // Half of a word's letters wrong is another word.
    (distance < allowed && distance * 2 <= other.chars().count()).then_some(other)
}

/// Returns the question that goes with it.
pub(crate) fn hint<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, words).map(|other| format!("did you mean {other}?"))
}

/// Counts the letters to insert, remove, change or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let changed = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(above[j - 2] + 1);
            }
            next.push(best);
        }
        above = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let names = ["RUN", "COPY", "ENTRYPOINT", "FROM"];
        for (word, expected) in [
            ("RNU", Some("RUN")),
            ("cpy", Some("COPY")),
            ("ENTRPOINT", Some("ENTRYPOINT")),
            ("FORM", Some("FROM")),
            ("apt-get", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
