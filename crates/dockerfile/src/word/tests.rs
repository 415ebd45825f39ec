use proptest::prelude::*;

use super::*;

fn variables(name: &str) -> Option<String> {
    Some(match name {
        "v" => "value".into(),
        "path" => "/usr/local/lib/libx.so.1.so".into(),
        "empty" => String::new(),
        "spaced" => " two  words ".into(),
        "star" => "a*b".into(),
        "é" => "accent".into(),
        "1" => "first".into(),
        _ => return None,
    })
}

fn word(text: &str) -> String {
    expand_word(text, '\\', &variables).unwrap_or_else(|error| panic!("{text}: {error}")).text
}

#[test]
fn variables_are_put_in() {
    for (text, expected) in [
        ("$v", "value"),
        ("${v}", "value"),
        ("a$v-b", "avalue-b"),
        ("$v$v", "valuevalue"),
        ("$unset.", "."),
        ("$é", "accent"),
        ("$1x", "firstx"),
        ("$", "$"),
        ("$ v", "$ v"),
        ("a$", "a$"),
        ("$/x", "$/x"),
        ("$$v", "v"),
        ("${v:-w}", "value"),
        ("${unset:-w}", "w"),
        ("${unset-w}", "w"),
        ("${empty:-w}", "w"),
        ("${empty-w}", ""),
        ("${v:+w}", "w"),
        ("${empty:+w}", ""),
        ("${empty+w}", "w"),
        ("${unset+w}", ""),
        ("${v:?needed}", "value"),
        ("${empty?needed}", ""),
        ("${unset:-${empty:-$v}}", "value"),
        ("${unset:-a b}", "a b"),
        ("${unset:-'}'}", "}"),
        ("${unset:-\\}}", "}"),
        ("${unset:-\"$v\"}", "value"),
    ] {
        assert_eq!(word(text), expected, "{text}");
    }
}

#[test]
fn quotes_and_escapes_are_taken_off() {
    for (text, expected) in [
        ("'$v'", "$v"),
        ("\"$v\"", "value"),
        ("\\$v", "$v"),
        ("a\\ b", "a b"),
        ("'it'\"'\"'s'", "it's"),
        ("\"a\\\"b\"", "a\"b"),
        ("\"a\\nb\"", "a\\nb"),
        ("a\\nb", "anb"),
        ("\"\\\\\"", "\\"),
        ("\"\\$v\"", "$v"),
        ("''", ""),
        ("end\\", "end"),
    ] {
        assert_eq!(word(text), expected, "{text}");
    }
    assert_eq!(expand_word("C:\\dir`$x", '`', &variables).unwrap().text, "C:\\dir$x");
}

#[test]
fn patterns_cut_and_replace() {
    for (text, expected) in [
        ("${path#*/}", "usr/local/lib/libx.so.1.so"),
        ("${path##*/}", "libx.so.1.so"),
        ("${path%.so}", "/usr/local/lib/libx.so.1"),
        ("${path%.so*}", "/usr/local/lib/libx.so.1"),
        ("${path%%.so*}", "/usr/local/lib/libx"),
        ("${path%/*}", "/usr/local/lib"),
        ("${path%%/*}", ""),
        ("${v#nothing}", "value"),
        ("${v#v?}", "lue"),
        ("${v##*}", ""),
        ("${v#*}", "value"),
        ("${v%??}", "val"),
        ("${star#a\\*}", "b"),
        ("${star%$v}", "a*b"),
        ("${path/lib/LIB}", "/usr/local/LIB/libx.so.1.so"),
        ("${path//lib/LIB}", "/usr/local/LIB/LIBx.so.1.so"),
        ("${path//\\//-}", "-usr-local-lib-libx.so.1.so"),
        ("${path/l*b/X}", "/usr/Xx.so.1.so"),
        ("${v//?/x}", "xxxxx"),
        ("${v//*/x}", "x"),
        ("${v//l?e/}", "va"),
        ("${v/u/$path}", "val/usr/local/lib/libx.so.1.soe"),
        ("${unset/a/b}", ""),
    ] {
        assert_eq!(word(text), expected, "{text}");
    }
}

#[test]
fn what_has_no_meaning_is_refused() {
    for text in [
        "'open",
        "\"open",
        "${v",
        "${",
        "${}",
        "${:-x}",
        "${{v}}",
        "${v:x}",
        "${v!}",
        "${unset?}",
        "${unset:?no}",
        "${empty:?}",
        "${v/a}",
        "${v/a/b",
        "${v#\\n}",
        "${v:",
        "${v:-",
    ] {
        assert!(expand_word(text, '\\', &variables).is_err(), "{text}");
    }
    assert_eq!(expand_word("${unset:?give one}", '\\', &variables).unwrap_err().to_string(), "unset: give one");
}

#[test]
fn names_without_value_and_default_are_told() {
    let unset = |text| expand_word(text, '\\', &variables).unwrap().unset;
    assert_eq!(unset("$a ${b} ${c%x} ${d:-x} ${e:+x} $v $a"), ["a", "b", "c"]);
    assert_eq!(unset("${v:-$a} ${d:-$b} ${e:+$c}"), ["b"]);
    assert_eq!(unset("'$a' \\$b"), [""; 0]);
}

#[test]
fn values_are_split_and_quotes_are_not() {
    let words = |text| expand_words(text, '\\', &variables).unwrap();
    assert_eq!(words("a $spaced b"), ["a", "two", "words", "b"]);
    assert_eq!(words("a\"$spaced\"b"), ["a two  words b"]);
    assert_eq!(words("x\\ y z"), ["x y", "z"]);
    assert_eq!(words("$unset $empty"), [""; 0]);
    assert_eq!(words("80/${unset:-tcp} 8${v}"), ["80/tcp", "8value"]);
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = "${a:-".repeat(200_000);
    assert!(matches!(expand_word(&deep, '\\', &variables), Err(ExpandError::TooMuch { .. })));
    let nested = format!("{}x{}", "${a:-".repeat(DEEPEST), "}".repeat(DEEPEST));
    assert_eq!(word(&nested), "x");
    let long = |_: &str| Some("x".repeat(MOST_IN_WORD / 2));
    assert!(matches!(expand_word("$a$a$a", '\\', &long), Err(ExpandError::TooMuch { .. })));
    let with = format!("${{a//x/{}}}", "y".repeat(1000));
    assert!(matches!(expand_word(&with, '\\', &long), Err(ExpandError::TooMuch { .. })));
}

proptest! {
    #[test]
    fn text_without_signs_is_itself(text in "[^$'\"\\\\]*") {
        prop_assert_eq!(expand_word(&text, '\\', &variables).unwrap().text, text);
    }

    #[test]
    fn nothing_panics_and_one_word_holds_what_many_hold(text in "[ab ${}:\\-+?#%/*'\"\\\\é1]{0,30}") {
        let one = expand_word(&text, '\\', &variables);
        let many = expand_words(&text, '\\', &variables);
        prop_assert_eq!(one.is_ok(), many.is_ok());
        if let (Ok(one), Ok(many)) = (one, many) {
            let strip = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(strip(&one.text), strip(&many.concat()));
        }
    }

    #[test]
    fn a_cut_agrees_with_trying_every_place(pattern in "[ab*?]{0,6}", value in "[ab]{0,10}", longest in any::<bool>()) {
        let parsed = Pattern::parse(&pattern).unwrap();
        let (p, v) = (pattern.as_bytes(), value.as_bytes());
        let places: Vec<usize> = (0..=v.len()).filter(|end| slow(p, &v[..*end])).collect();
        let end = if longest { places.last() } else { places.first() };
        prop_assert_eq!(parsed.trim_start(&value, longest), &value[*end.unwrap_or(&0)..]);
        let places: Vec<usize> = (0..=v.len()).filter(|start| slow(p, &v[*start..])).collect();
        let start = if longest { places.first() } else { places.last() };
        prop_assert_eq!(parsed.trim_end(&value, longest), &value[..*start.unwrap_or(&value.len())]);
    }
}

fn slow(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, _) => text.is_empty(),
        (Some((b'*', rest)), _) => (0..=text.len()).any(|at| slow(rest, &text[at..])),
        (Some((b'?', rest)), Some((_, text))) => slow(rest, text),
        (Some((c, rest)), Some((d, text))) => c == d && slow(rest, text),
        (Some(_), None) => false,
    }
}
