//! The log of a container as it is read from systemd's journal, by its own program, journalctl(1).

use std::io::{self, ErrorKind, Read as _};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sys::Calling;
use sys::event::{EventFlags, Poller};

use super::entry::{Entry, Stream};
use super::follow::Follower;
use super::{Outputs, Place, Show, is_read, place};
use crate::error::Doing;
use crate::{Container, Engine, Error, LogsRequest};

/// Shows what a container said, and goes on as it speaks where that is asked for.
pub(super) fn show(
    engine: &Engine,
    container: &Container,
    request: &LogsRequest,
    outputs: &mut Outputs<'_>,
) -> Result<(), Error> {
    let mut follower = request.follow.then(|| Follower::new(engine, container)).transpose()?;
    let mut reading = Reading { container, request, outputs, cursor: None };
    synchronise()?;
    let Some(follower) = follower.as_mut().filter(|follower| follower.monitor().is_some()) else {
        return reading.show_all(reading.call(false)).map(drop);
    };
    match reading.along(follower)? {
        Show::Done => Ok(()),
        // What the journal had not yet taken in when the container ended.
        Show::More => {
            synchronise()?;
            reading.show_all(reading.call(false)).map(drop)
        }
    }
}

/// Has the journal take in all that was sent to it. Without the right to ask for that it does so by itself, a moment later.
fn synchronise() -> Result<(), Error> {
    let mut sync = Command::new("journalctl");
    sync.arg("--sync").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    sync.status().map(drop).map_err(cannot_call)
}

fn cannot_call(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::NoJournalctl,
        _ => Error::Doing { doing: "call journalctl".to_owned(), source: error.into() },
    }
}

/// One reading of a container's part of the journal.
struct Reading<'a, 'b> {
    container: &'a Container,
    request: &'a LogsRequest,
    outputs: &'a mut Outputs<'b>,
    /// The entry that was shown last.
    cursor: Option<String>,
}

/// A journalctl at work; it ends when it is let go.
struct Journalctl {
    child: Child,
    out: ChildStdout,
    /// What it said and is no whole line yet.
    bytes: Vec<u8>,
}

impl Reading<'_, '_> {
    /// Puts the call together: behind the last entry that was shown, or from where the request begins.
    fn call(&self, follow: bool) -> Command {
        let mut call = Command::new("journalctl");
        call.args(["--output=json", "--all", "--no-pager", "--quiet"]);
        match (&self.cursor, self.request.tail) {
            (Some(cursor), _) => drop(call.arg(format!("--after-cursor={cursor}"))),
            (None, Some(tail)) => drop(call.arg(format!("--lines={tail}"))),
            (None, None) => drop(call.arg("--lines=all")),
        }
        // Whole seconds, which all versions take; the entries are looked at in any case.
        if let Some(since) = self.request.since {
            call.arg(format!("--since=@{}", since.as_second()));
        }
        if follow {
            call.arg("--follow");
        }
        call.arg(format!("CONTAINER_ID_FULL={}", self.container.id));
        call
    }

    /// Shows all that is there.
    fn show_all(&mut self, call: Command) -> Result<Show, Error> {
        let mut journalctl = Journalctl::new(call)?;
        while journalctl.read()? > 0 {
            if self.show(&mut journalctl)? == Show::Done {
                return Ok(Show::Done);
            }
        }
        journalctl.end()?;
        is_read(self.outputs.flush()).map(|read| if read { Show::More } else { Show::Done })
    }

    /// Shows what is there and what comes, until the container has ended.
    fn along(&mut self, follower: &mut Follower<'_>) -> Result<Show, Error> {
        const JOURNAL: u64 = 0;
        const MONITOR: u64 = 1;
        let doing = || "follow the log";
        let mut journalctl = Journalctl::new(self.call(true))?;
        let poller = Poller::new().doing(doing)?;
        poller.add(&journalctl.out, JOURNAL, EventFlags::IN).doing(doing)?;
        while let Some(monitor) = follower.monitor() {
            // One that has just gone has left the set by itself.
            let _ = poller.add(monitor, MONITOR, EventFlags::IN);
            for ready in poller.wait(None).doing(doing)? {
                match ready.token {
                    JOURNAL if journalctl.read()? == 0 => return journalctl.end().map(|()| Show::Done),
                    JOURNAL if self.show(&mut journalctl)? == Show::Done => return Ok(Show::Done),
                    JOURNAL if !is_read(self.outputs.flush())? => return Ok(Show::Done),
                    JOURNAL => {}
                    _ if !follower.wait()? => return Ok(Show::More),
                    _ => {}
                }
            }
        }
        Ok(Show::More)
    }

    /// Shows the whole lines that have come.
    fn show(&mut self, journalctl: &mut Journalctl) -> Result<Show, Error> {
        let whole = journalctl.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = journalctl.bytes.drain(..whole).collect();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let Some((entry, cursor)) = decode(line) else { continue };
            self.cursor = Some(cursor);
            match place(&entry, self.request) {
                Place::Before => {}
                Place::Behind => return is_read(self.outputs.flush()).map(|_| Show::Done),
                Place::Within => {
                    if !is_read(self.outputs.write(&entry))? {
                        return Ok(Show::Done);
                    }
                }
            }
        }
        Ok(Show::More)
    }
}

impl Journalctl {
    fn new(mut call: Command) -> Result<Self, Error> {
        call.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = call.spawn().map_err(cannot_call)?;
        let out = child.stdout.take().ok_or(ErrorKind::BrokenPipe).map_err(|kind| cannot_call(kind.into()))?;
        Ok(Self { child, out, bytes: Vec::new() })
    }

    /// Waits for what it says; tells how much that was, 0 at its end.
    fn read(&mut self) -> Result<usize, Error> {
        let held = self.bytes.len();
        self.bytes.resize(held + (1 << 16), 0);
        let read = sys::file::read(self.out.as_fd(), &mut self.bytes[held..]);
        self.bytes.truncate(held + *read.as_ref().unwrap_or(&0));
        read.doing(|| "read the journal")
    }

    /// Waits for its end, and says what it complained of.
    fn end(&mut self) -> Result<(), Error> {
        let doing = || "read the journal";
        let status = self.child.wait().call(|| "wait(journalctl)").doing(doing)?;
        let mut told = String::new();
        if let Some(err) = &mut self.child.stderr {
            // What it does not say we cannot show.
            let _ = err.read_to_string(&mut told);
        }
        // Some versions end with 1 where no entry fits.
        match status.success() || told.trim().is_empty() {
            true => Ok(()),
            false => Err(Error::Doing { doing: doing().to_owned(), source: told.trim().into() }),
        }
    }
}

impl Drop for Journalctl {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads one entry as journalctl prints it, and its place in the journal.
fn decode(line: &[u8]) -> Option<(Entry, String)> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(rename = "MESSAGE")]
        message: Value,
        #[serde(rename = "PRIORITY", default)]
        priority: Value,
        #[serde(rename = "CONTAINER_PARTIAL_MESSAGE", default)]
        partial: Value,
        #[serde(rename = "SYSLOG_TIMESTAMP", default)]
        time: Value,
        #[serde(rename = "__REALTIME_TIMESTAMP")]
        received: String,
        #[serde(rename = "__CURSOR")]
        cursor: String,
    }
    let fields: Fields = serde_json::from_slice(line).ok()?;
    let mut line = match fields.message {
        Value::String(text) => text.into_bytes(),
        // What is no text comes as numbers.
        Value::Array(bytes) => bytes.iter().map(|byte| byte.as_u64()?.try_into().ok()).collect::<Option<_>>()?,
        _ => return None,
    };
    if fields.partial != "true" {
        line.push(b'\n');
    }
    let told = fields.time.as_str().and_then(|time| time.parse().ok());
    let time = match told {
        Some(time) => time,
        None => Timestamp::from_microsecond(fields.received.parse().ok()?).ok()?,
    };
    let stream = if fields.priority == "3" { Stream::Stderr } else { Stream::Stdout };
    Some((Entry { stream, time, line }, fields.cursor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_journal_is_read() {
        let line =
            |more: &str| format!("{{\"__REALTIME_TIMESTAMP\":\"1700000000000001\",\"__CURSOR\":\"s=1\"{more}}}\n");
        let (entry, cursor) = decode(line(",\"MESSAGE\":\"said\",\"PRIORITY\":\"6\"").as_bytes()).unwrap();
        assert_eq!((entry.stream, entry.line.as_slice(), cursor.as_str()), (Stream::Stdout, &b"said\n"[..], "s=1"));
        assert_eq!(entry.time.as_microsecond(), 1_700_000_000_000_001);
        let bytes = ",\"MESSAGE\":[255,10,0],\"PRIORITY\":\"3\",\"CONTAINER_PARTIAL_MESSAGE\":\"true\",\
                     \"SYSLOG_TIMESTAMP\":\"2024-05-06T07:08:09.12Z\"";
        let (entry, _) = decode(line(bytes).as_bytes()).unwrap();
        assert_eq!((entry.stream, entry.line.as_slice()), (Stream::Stderr, &b"\xff\n\0"[..]));
        assert_eq!(entry.time.to_string(), "2024-05-06T07:08:09.12Z");
        assert_eq!(decode(b"{}\n"), None);
        assert_eq!(decode(line(",\"MESSAGE\":null").as_bytes()), None);
    }
}
