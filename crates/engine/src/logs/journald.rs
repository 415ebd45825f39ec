//! Output as entries of systemd's journal: datagrams of its native protocol, with the fields that Docker sends.
//!
//! A journal that is behind makes us wait for a moment, as a full pipe would make the container; one that does not go on
//! costs the entries, not the container. How many were lost is told when it goes on.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use sys::event::{EventFlags, Poller};
use sys::{Calling, Errno};

use super::entry::{Stamp, Stream};
use crate::{Container, Engine, Error};

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// How long a journal that is behind is waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// Sends entries to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: &'static Path,
    /// What all entries of the container have in common.
    fields: Vec<u8>,
    socket: Option<UnixDatagram>,
    message: Vec<u8>,
    /// So many entries were lost since the last one that was sent.
    lost: u64,
    /// The journal took the last entry, so it is waited for.
    goes_on: bool,
}

/// Tells whether there is a journal for a container that wants one.
pub(crate) fn check(container: &Container) -> Result<(), Error> {
    let wanted = container.request.log.driver == crate::LogDriver::Journald;
    if wanted && !Path::new(SOCKET).exists() {
        return Err(Error::NoJournal(SOCKET));
    }
    Ok(())
}

/// Decides the fields that all entries of a container have.
pub(super) fn fields(engine: &Engine, container: &Container) -> Vec<(String, String)> {
    let log = &container.request.log;
    let tag = log.tag.clone().unwrap_or_default().of(container);
    let mut fields: Vec<(String, String)> = [
        ("CONTAINER_ID", container.id.short()),
        ("CONTAINER_ID_FULL", container.id.as_str()),
        ("CONTAINER_NAME", container.name.as_str()),
        ("CONTAINER_TAG", &tag),
        ("IMAGE_NAME", &container.request.image),
        ("SYSLOG_IDENTIFIER", &tag),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if log.labels.is_empty() && log.env.is_empty() {
        return fields;
    }
    let image = engine.store().images().load(&container.image_id).ok().and_then(|image| image.config.config().clone());
    let labels = crate::inspect::labels(&container.request, image.as_ref());
    let mut env = image.as_ref().and_then(|image| image.env().clone()).unwrap_or_default();
    crate::spec::merge_environment(&mut env, &container.request.env);
    let env: BTreeMap<_, _> = env.iter().filter_map(|pair| pair.split_once('=')).collect();
    let labels = log.labels.iter().filter_map(|name| Some((name, labels.get(name)?.as_str())));
    let env = log.env.iter().filter_map(|name| Some((name, *env.get(name.as_str())?)));
    fields.extend(labels.chain(env).map(|(name, value)| (field_name(name), value.to_owned())));
    fields.retain(|(name, _)| !name.is_empty());
    fields
}

/// Makes a name that the journal takes: capital letters, digits and underscores, and no underscore in front.
fn field_name(name: &str) -> String {
    let fit = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    name.chars().map(fit).collect::<String>().trim_start_matches('_').to_owned()
}

/// Adds one field in the journal's form.
fn add_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

impl Journal {
    pub(super) fn new(fields: &[(String, String)]) -> Self {
        Self::at(Path::new(SOCKET), fields)
    }

    fn at(path: &'static Path, fields: &[(String, String)]) -> Self {
        let mut encoded = Vec::new();
        fields.iter().for_each(|(name, value)| add_field(&mut encoded, name, value.as_bytes()));
        Self { path, fields: encoded, socket: None, message: Vec::new(), lost: 0, goes_on: true }
    }

    /// Sends one entry.
    pub(super) fn put(&mut self, line: &[u8], stamp: &Stamp) {
        if self.lost > 0 {
            let told = format!("[{} entries were lost: the journal did not take them]", self.lost);
            self.encode(told.as_bytes(), true, Stream::Stderr, &stamp.text);
            self.send();
        }
        let (line, whole) = line.strip_suffix(b"\n").map_or((line, false), |line| (line, true));
        self.encode(line, whole, stamp.stream, &stamp.text);
        self.lost = if self.send() { 0 } else { self.lost + 1 };
    }

    /// Lets go of memory that only much output needs.
    pub(super) fn rest(&mut self) {
        self.message = Vec::new();
    }

    fn encode(&mut self, line: &[u8], whole: bool, stream: Stream, time: &str) {
        self.message.clear();
        self.message.extend_from_slice(&self.fields);
        add_field(&mut self.message, "SYSLOG_TIMESTAMP", time.as_bytes());
        add_field(&mut self.message, "PRIORITY", if stream == Stream::Stdout { b"6" } else { b"3" });
        if !whole {
            add_field(&mut self.message, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        add_field(&mut self.message, "MESSAGE", line);
    }

    /// Sends the message; tells whether the journal has it.
    fn send(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        let mut again = true;
        loop {
            match self.try_send() {
                Ok(()) => {
                    self.goes_on = true;
                    return true;
                }
                Err(error) if error.errno() == Errno::AGAIN => {
                    self.goes_on = self.goes_on && self.wait(until);
                    if !self.goes_on {
                        return false;
                    }
                }
                // It was started anew since the last entry.
                Err(_) if std::mem::take(&mut again) => self.socket = None,
                Err(_) => return false,
            }
        }
    }

    fn try_send(&mut self) -> sys::Result<()> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => self.socket.insert(connect(self.path)?),
        };
        match sys::socket::send(socket, &self.message, &[]) {
            Err(error) if matches!(error.errno(), Errno::MSGSIZE | Errno::NOBUFS) => send_file(socket, &self.message),
            sent => sent.map(drop),
        }
    }

    /// Waits until the journal takes more; tells whether it does.
    fn wait(&self, until: Instant) -> bool {
        let Some(socket) = &self.socket else { return false };
        let left = until.saturating_duration_since(Instant::now());
        let ready = Poller::new()
            .and_then(|poller| poller.add(socket, 0, EventFlags::OUT).map(|()| poller))
            .and_then(|poller| poller.wait(Some(left)));
        !left.is_zero() && ready.is_ok_and(|ready| !ready.is_empty())
    }
}

fn connect(path: &Path) -> sys::Result<UnixDatagram> {
    let call = || format!("connect({path:?})");
    let socket = UnixDatagram::unbound().call(|| "socket(AF_UNIX, SOCK_DGRAM)")?;
    socket.connect(path).call(call)?;
    sys::file::set_nonblocking(&socket, true)?;
    Ok(socket)
}

/// Sends a message that is too large for a datagram: in a file that the journal can trust not to change.
fn send_file(socket: &UnixDatagram, message: &[u8]) -> sys::Result<()> {
    let file = sys::memory::sealed_file(c"journal entry", message)?;
    sys::socket::send(socket, &[], &[std::os::fd::AsFd::as_fd(&file)]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    struct Listener {
        _dir: tempfile::TempDir,
        path: &'static Path,
        socket: UnixDatagram,
    }

    fn listen() -> Listener {
        let dir = tempfile::tempdir().unwrap();
        let path: &'static Path = Box::leak(dir.path().join("socket").into_boxed_path());
        Listener { socket: UnixDatagram::bind(path).unwrap(), path, _dir: dir }
    }

    fn receive(socket: &UnixDatagram) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 20];
        let (length, descriptors) = sys::socket::receive(socket, &mut buffer).unwrap();
        buffer.truncate(length);
        for file in descriptors {
            let file = std::fs::File::from(file);
            // It is sealed: nobody can write to it any more.
            assert!(file.write_at(b"x", 0).is_err());
            buffer = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
            file.read_exact_at(&mut buffer, 0).unwrap();
        }
        buffer
    }

    fn stamp(stream: Stream) -> Stamp {
        Stamp::of(stream, "2024-05-06T07:08:09Z".parse().unwrap())
    }

    #[test]
    fn an_entry_has_docker_s_fields() {
        let listener = listen();
        let mut journal = Journal::at(listener.path, &[("CONTAINER_NAME".into(), "eg".into())]);
        journal.put(b"said\n", &stamp(Stream::Stdout));
        let start = "CONTAINER_NAME=eg\nSYSLOG_TIMESTAMP=2024-05-06T07:08:09Z\n";
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!(text(receive(&listener.socket)), format!("{start}PRIORITY=6\nMESSAGE=said\n"));
        journal.put(b"part", &stamp(Stream::Stderr));
        let partial = "PRIORITY=3\nCONTAINER_PARTIAL_MESSAGE=true\nMESSAGE=part\n";
        assert_eq!(text(receive(&listener.socket)), format!("{start}{partial}"));
        let mut field = Vec::new();
        add_field(&mut field, "X", b"two\nlines");
        assert_eq!(field, b"X\n\x09\0\0\0\0\0\0\0two\nlines\n");
        assert_eq!(field_name("_com.example-Label.1"), "COM_EXAMPLE_LABEL_1");
    }

    #[test]
    fn a_journal_that_does_not_go_on_costs_entries_and_tells_how_many() {
        let listener = listen();
        let mut journal = Journal::at(listener.path, &[]);
        let begun = Instant::now();
        let mut sent = 0;
        while journal.lost == 0 {
            journal.put(format!("{sent}\n").as_bytes(), &stamp(Stream::Stdout));
            sent += 1;
        }
        (0..99).for_each(|_| journal.put(b"lost\n", &stamp(Stream::Stdout)));
        // It was waited for once, not for each entry.
        assert!(begun.elapsed() < PATIENCE * 20);
        for _ in 1..sent {
            assert!(receive(&listener.socket).ends_with(b"\n"));
        }
        journal.put(b"after\n", &stamp(Stream::Stdout));
        let told = String::from_utf8(receive(&listener.socket)).unwrap();
        assert!(told.contains("[100 entries were lost"), "{told}");
        assert!(receive(&listener.socket).ends_with(b"MESSAGE=after\n"));
    }

    #[test]
    fn a_journal_that_was_started_anew_is_found_again() {
        let listener = listen();
        let mut journal = Journal::at(listener.path, &[]);
        journal.put(b"one\n", &stamp(Stream::Stdout));
        std::fs::remove_file(listener.path).unwrap();
        drop(listener.socket);
        journal.put(b"lost\n", &stamp(Stream::Stdout));
        let socket = UnixDatagram::bind(listener.path).unwrap();
        journal.put(b"two\n", &stamp(Stream::Stdout));
        assert!(String::from_utf8(receive(&socket)).unwrap().contains("[1 entries were lost"));
        assert!(receive(&socket).ends_with(b"MESSAGE=two\n"));
    }

    #[test]
    fn an_entry_that_is_too_large_for_a_datagram_comes_in_a_sealed_file() {
        let listener = listen();
        let large = "x".repeat(900_000);
        let mut journal = Journal::at(listener.path, &[("LARGE".into(), large.clone())]);
        journal.put(b"said\n", &stamp(Stream::Stdout));
        let message = String::from_utf8(receive(&listener.socket)).unwrap();
        assert!(message.starts_with(&format!("LARGE={large}\n")) && message.ends_with("MESSAGE=said\n"));
    }
}
