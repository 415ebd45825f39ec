use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;

use super::writer::{LogTarget, LogWriter};
use super::*;

/// A log with small files of its own.
struct Log {
    _dir: tempfile::TempDir,
    files: LogFiles,
    writer: LogWriter,
}

impl Log {
    fn new(format: Format, max_size: u64, max_file: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let files = LogFiles { format, path, max_size, max_file, compress: false };
        let writer = LogWriter::new(Some(LogTarget::Files(files.clone())));
        Self { _dir: dir, files, writer }
    }

    fn say(&mut self, text: &str) {
        self.writer.take(Stream::Stdout, text.as_bytes());
    }

    fn reader(&self) -> Reader {
        let mut reader = Reader::open(self.files.clone()).unwrap();
        reader.go_on();
        reader
    }
}

fn more(reader: &mut Reader) -> String {
    let mut text = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        text.extend(entry.line);
    }
    String::from_utf8(text).unwrap()
}

fn show(lines: &[&str], request: &LogsRequest) -> String {
    let mut shown = [Format::Json, Format::Local].map(|format| {
        let mut log = Log::new(format, 120, 3);
        lines.iter().for_each(|line| log.say(line));
        log.writer.finish();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut outputs = Outputs { out: &mut out, err: &mut err, timestamps: request.timestamps, last: None };
        replay(&mut log.reader(), request, &mut outputs).unwrap();
        String::from_utf8(out).unwrap()
    });
    if !request.timestamps {
        assert_eq!(shown[0], shown[1]);
    }
    std::mem::take(&mut shown[0])
}

#[test]
fn all_files_are_read_from_the_oldest_on() {
    assert_eq!(show(&["a\n", "b\n", "c\n", "d\n", "e"], &LogsRequest::default()), "a\nb\nc\nd\ne");
}

#[test]
fn a_tail_is_the_last_lines() {
    let tail = |tail| LogsRequest { tail: Some(tail), ..LogsRequest::default() };
    assert_eq!(show(&["a\n", "b\n", "c\n"], &tail(2)), "b\nc\n");
    assert_eq!(show(&["a\n", "b\n", "c"], &tail(2)), "b\nc");
    assert_eq!(show(&["a\n", "b\n"], &tail(0)), "");
    assert_eq!(show(&["a\n"], &tail(9)), "a\n");
}

#[test]
fn times_bound_what_is_shown() {
    let (past, future) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
    let of = |since, until| LogsRequest { since, until, ..LogsRequest::default() };
    assert_eq!(show(&["a\n"], &of(Some(past), Some(future))), "a\n");
    assert_eq!(show(&["a\n"], &of(Some(future), None)), "");
    assert_eq!(show(&["a\n"], &of(None, Some(past))), "");
}

#[test]
fn a_time_has_nine_digits_so_that_lines_stand_below_each_other() {
    let shown = show(&["a\n"], &LogsRequest { timestamps: true, ..LogsRequest::default() });
    let (time, line) = shown.split_once(' ').unwrap();
    assert_eq!((time.len(), line), ("2024-05-06T07:08:09.120000000Z".len(), "a\n"));
}

#[test]
fn a_reader_goes_on_over_the_change_of_files() {
    for format in [Format::Json, Format::Local] {
        for max_file in [1, 2, 3] {
            let mut log = Log::new(format, 100, max_file);
            let mut reader = log.reader();
            let mut seen = String::new();
            for number in 0..20 {
                log.say(&format!("{number}\n"));
                seen += &more(&mut reader);
            }
            assert_eq!(seen, (0..20).map(|number| format!("{number}\n")).collect::<String>(), "{format:?} {max_file}");
        }
    }
}

#[test]
fn a_reading_ends_where_the_log_ended_when_it_began() {
    for format in [Format::Json, Format::Local] {
        let mut log = Log::new(format, 300, 9);
        (0..10).for_each(|number| log.say(&format!("{number}\n")));
        let mut reader = Reader::open(log.files.clone()).unwrap();
        (10..20).for_each(|number| log.say(&format!("{number}\n")));
        assert_eq!(more(&mut reader), (0..10).map(|number| format!("{number}\n")).collect::<String>(), "{format:?}");
        assert_eq!(more(&mut reader), "");
        reader.go_on();
        assert_eq!(more(&mut reader), (10..20).map(|number| format!("{number}\n")).collect::<String>(), "{format:?}");
    }
}

#[test]
fn several_changes_between_two_looks_hide_nothing_that_is_kept() {
    for format in [Format::Json, Format::Local] {
        let mut log = Log::new(format, 1, 4);
        log.say("0\n");
        let mut reader = log.reader();
        assert_eq!(more(&mut reader), "0\n");
        log.say("1\n");
        log.say("2\n");
        log.say("3\n");
        assert_eq!(more(&mut reader), "1\n2\n3\n", "{format:?}");
        // Now its file is gone, and it goes on with the oldest that is there.
        (4..10).for_each(|number| log.say(&format!("{number}\n")));
        assert_eq!(more(&mut reader), "6\n7\n8\n9\n", "{format:?}");
        // What it has opened it has, whatever is removed.
        let mut reader = log.reader();
        (10..20).for_each(|number| log.say(&format!("{number}\n")));
        assert_eq!(more(&mut reader), "6\n7\n8\n9\n16\n17\n18\n19\n", "{format:?}");
    }
}

#[test]
fn a_file_that_came_while_one_was_read_is_read_though_it_was_removed() {
    for format in [Format::Json, Format::Local] {
        let mut log = Log::new(format, 200_000, 2);
        let line = |number: u32| format!("{number} {}\n", "x".repeat(1000));
        log.say(&line(0));
        let mut reader = log.reader();
        let mut seen = String::from_utf8(reader.next().unwrap().unwrap().line).unwrap();
        let mut number = 1;
        let put_aside = |log: &mut Log, number: &mut u32| {
            let newest = log.files.list().unwrap().pop().map(|newest| newest.key);
            while log.files.list().unwrap().pop().map(|newest| newest.key) == newest {
                log.say(&line(*number));
                *number += 1;
            }
        };
        put_aside(&mut log, &mut number);
        seen += &String::from_utf8(reader.next().unwrap().unwrap().line).unwrap();
        put_aside(&mut log, &mut number);
        put_aside(&mut log, &mut number);
        seen += &more(&mut reader);
        let expected: String = (0..number).map(line).collect();
        assert!(seen == expected, "{format:?}: {} of {} bytes", seen.len(), expected.len());
    }
}

#[test]
fn what_is_added_just_before_a_file_is_put_aside_is_read() {
    for format in [Format::Json, Format::Local] {
        let mut log = Log::new(format, 80, 2);
        let mut reader = log.reader();
        log.say("0\n");
        assert_eq!(more(&mut reader), "0\n");
        // The first fills the file up, and the second begins the next one.
        log.say("1\n2\n3\n4\n5\n6\n");
        let seen = more(&mut reader);
        assert!(seen.ends_with("5\n6\n"), "{format:?} {seen:?}");
    }
}

#[test]
fn a_part_of_an_entry_is_read_when_it_is_whole_and_garbage_is_left_out() {
    let log = Log::new(Format::Json, 1 << 20, 2);
    let entry =
        |line: &str| format!("{{\"log\":\"{line}\\n\",\"stream\":\"stdout\",\"time\":\"2024-05-06T07:08:09Z\"}}\n");
    let (one, two) = (entry("one"), entry("two"));
    std::fs::write(&log.files.path, &one[..20]).unwrap();
    let mut reader = log.reader();
    assert_eq!(more(&mut reader), "");
    std::fs::write(&log.files.path, format!("{one}garbage\n{}", &two[..9])).unwrap();
    assert_eq!(more(&mut reader), "one\n");
    // Its writer took the part back and wrote something else.
    let three = entry("three");
    std::fs::write(&log.files.path, format!("{one}garbage\n{three}")).unwrap();
    assert_eq!(more(&mut reader), "three\n");
    // Somebody has emptied the file.
    std::fs::write(&log.files.path, &two).unwrap();
    assert_eq!(more(&mut reader), "");
    assert_eq!(more(&mut reader), "two\n");
}

#[test]
fn a_log_that_cannot_be_read_is_an_error_and_no_end() {
    let log = Log::new(Format::Json, 1 << 20, 2);
    std::fs::create_dir(&log.files.path).unwrap();
    assert!(log.reader().next().is_err());
}

#[test]
fn readers_that_keep_up_see_every_line_once_while_files_change() {
    const LINES: u32 = 5000;
    for (format, packed) in [(Format::Json, false), (Format::Local, false), (Format::Local, true)] {
        let mut log = Log::new(format, 2000, 100);
        let seen = [const { AtomicU32::new(0) }; 3];
        std::thread::scope(|scope| {
            for seen in &seen {
                let mut reader = log.reader();
                scope.spawn(move || {
                    let mut expected = 0;
                    while expected < LINES {
                        while let Some(entry) = reader.next().unwrap() {
                            assert_eq!(
                                String::from_utf8(entry.line).unwrap(),
                                format!("{expected}\n"),
                                "{format:?} {packed}"
                            );
                            expected += 1;
                            seen.store(expected, Ordering::Relaxed);
                        }
                        std::thread::yield_now();
                    }
                });
            }
            let files = log.files.clone();
            scope.spawn(move || {
                while packed && files.list().unwrap().last().is_none_or(|newest| newest.number() < 40) {
                    pack::pack_all(&files).unwrap_or_default();
                }
            });
            for number in 0..LINES {
                log.say(&format!("{number}\n"));
                // The slowest is never further behind than a part of what is kept.
                while seen.iter().any(|seen| number > seen.load(Ordering::Relaxed) + 2000) {
                    std::thread::yield_now();
                }
            }
        });
    }
}
