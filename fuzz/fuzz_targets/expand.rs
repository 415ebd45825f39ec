//! Words: one word holds what many hold, and nothing that is put in is read again.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let escape = if text.starts_with('`') { '`' } else { '\\' };
    let variables = |name: &str| match name {
        "a" => Some("$b 'x'".to_owned()),
        "b" => Some(String::new()),
        "c" => Some("c*/\\?".to_owned()),
        _ => None,
    };
    let one = dockerfile::expand_word(text, escape, &variables);
    let many = dockerfile::expand_words(text, escape, &variables);
    assert_eq!(one.is_ok(), many.is_ok(), "{one:?} {many:?}");
    let (Ok(one), Ok(many)) = (one, many) else { return };
    let strip = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    assert_eq!(strip(&one.text), strip(&many.concat()));
    if !text.contains(['$', '\'', '"', escape]) {
        assert_eq!(one.text, text);
    }
});
