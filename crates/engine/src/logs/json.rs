//! An entry as a line of JSON with Docker's field names, which other programs read as well.

use std::io::Write as _;

use jiff::Timestamp;
use serde::Deserialize;

use super::entry::{Entry, Stamp, Stream, first};

/// Writes one entry: `{"log":"...","stream":"stdout","time":"..."}`.
pub(super) fn encode(out: &mut Vec<u8>, line: &[u8], stamp: &Stamp) {
    out.extend_from_slice(b"{\"log\":\"");
    escape(out, line);
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(stamp.stream.name().as_bytes());
    out.extend_from_slice(b"\",\"time\":\"");
    out.extend_from_slice(stamp.text.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// Reads one entry; a line that is none says nothing.
pub(super) fn decode(line: &[u8]) -> Option<Entry> {
    #[derive(Deserialize)]
    struct Fields {
        log: String,
        stream: Stream,
        time: Timestamp,
    }
    let Fields { log, stream, time } = serde_json::from_slice(line).ok()?;
    Some(Entry { stream, time, line: log.into_bytes() })
}

/// Bytes that are no UTF-8 become U+FFFD, as in Docker.
fn escape(out: &mut Vec<u8>, line: &[u8]) {
    if let Ok(text) = std::str::from_utf8(line) {
        return escape_text(out, text.as_bytes());
    }
    for chunk in line.utf8_chunks() {
        escape_text(out, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn escape_text(out: &mut Vec<u8>, mut text: &[u8]) {
    while let Some(at) = first(text, |byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.extend_from_slice(&text[..at]);
        let short = match text[at] {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            byte @ (b'"' | b'\\') => byte,
            byte => {
                // Writing to a Vec cannot fail.
                let _ = write!(out, "\\u{byte:04x}");
                text = &text[at + 1..];
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
        text = &text[at + 1..];
    }
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(line: &[u8]) -> String {
        let mut out = Vec::new();
        let time = "2024-05-06T07:08:09.120000000Z".parse().unwrap();
        encode(&mut out, line, &Stamp::of(Stream::Stdout, time));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_entry_is_a_line_with_docker_s_field_names() {
        assert_eq!(
            encoded(b"say \"hi\"\xff\n"),
            "{\"log\":\"say \\\"hi\\\"\u{fffd}\\n\",\"stream\":\"stdout\",\"time\":\"2024-05-06T07:08:09.12Z\"}\n"
        );
    }

    #[test]
    fn whatever_is_written_reads_back() {
        let all: Vec<u8> = (0..=0x7f).collect();
        let text = "grüße, \u{1f980} \u{7f}\u{2028}".repeat(9);
        for line in [&all[..], text.as_bytes(), b"\x1b[1mbold\x1b[0m\r\n", b"\\\\\"\"", b"\n"] {
            let entry = decode(encoded(line).as_bytes()).unwrap();
            assert_eq!((entry.stream, entry.line.as_slice()), (Stream::Stdout, line));
            assert_eq!(entry.time.to_string(), "2024-05-06T07:08:09.12Z");
        }
    }

    #[test]
    fn bytes_that_are_no_text_become_the_sign_for_it() {
        let entry = decode(encoded(b"a\xffb\xe2\x82c\x80").as_bytes()).unwrap();
        assert_eq!(String::from_utf8(entry.line).unwrap(), "a\u{fffd}b\u{fffd}c\u{fffd}");
    }
}
