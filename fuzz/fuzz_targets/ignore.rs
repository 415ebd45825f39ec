//! Ignore files, up to a zero byte, and a path behind it: a path that is wanted is reached from above.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (text, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(ignore) = dockerfile::Ignore::parse(text) else { return };
    let Ok(path) = std::str::from_utf8(path) else { return };
    let wanted = !ignore.is_excluded(path);
    let is_path = !path.split('/').any(|name| matches!(name, "" | "." | ".."));
    for (at, _) in path.match_indices('/').filter(|_| is_path) {
        let reached = ignore.may_include_below(&path[..at]);
        assert!(reached || !wanted, "{path:?} is wanted, and {:?} is passed over", &path[..at]);
    }
});
