//! The door for the fuzz target of what servers answer (`fuzz/`), which is there in its build alone.
//!
//! There is no network: a connection is a [`Line`] to a script, and every request gets the script's next answer, byte by byte
//! as the target has made it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use oci::{Digest, Reference};
use tempfile::TempDir;
use trace::Recorder;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

use crate::{
    CertificatePaths, Client, CredentialPaths, Error, LONGEST_MANIFEST, NameFiles, Patience, Repository, Secret,
    Settings, Version,
};

/// What separates two answers of a script.
const BREAK: &[u8] = b"\n~~\n";
/// Whom we speak with, as what, and what only it may hear of us.
const HOST: &str = "127.0.0.1:5000";
const USER: &str = "somebody";
const PASSWORD: &str = "known-to-two";
/// A blob, as it should come and as it is sent.
const BLOB: &[u8] = b"these are the bytes of a blob, and a few more of them, so that it comes in parts";

thread_local! {
    /// The answers that are left.
    static SCRIPT: RefCell<Script> = RefCell::default();
    /// Where credentials are kept, and the certificates that nobody is checked by.
    static HOME: TempDir = tempfile::tempdir().expect("a directory");
}

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<Vec<u8>>,
    /// How much is read at once at most.
    piece: usize,
}

/// Speaks with a registry that answers so: a byte for what is asked, one for how much comes at once, and then the answers.
pub fn answers(bytes: &[u8]) {
    let [task, piece, answers @ ..] = bytes else { return };
    let answers = split(answers).map(<[u8]>::to_vec).collect();
    SCRIPT.set(Script { answers, piece: if *piece == 0 { usize::MAX } else { usize::from(*piece) } });
    let settings = HOME.with(|home| settings(home.path()));
    let recorder = Recorder::silent();
    let client = Client::new(settings, &recorder);
    let done = match task % 10 {
        9 => client.login(HOST, USER, &Secret::new(PASSWORD)).map(drop),
        8 => client.catalog(HOST, 100).map(|names| assert!(names.len() <= 100)),
        task => {
            let reference: Reference = format!("{HOST}/team/box:1").parse().expect("a reference");
            ask(task, &client.repository(&reference).expect("a registry that no rule forbids"))
        }
    };
    if let Err(error) = done {
        check(&error);
    }
}

/// Nothing of one conversation is left for the next, no system is asked, and nobody is waited for.
fn settings(home: &Path) -> Settings {
    let (kept, bundle) = (home.join("config.json"), home.join("bundle.pem"));
    // There is none unless the last one was about logging in.
    let _ = std::fs::remove_file(&kept);
    if !bundle.exists() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&bundle, pem).expect("a file of certificates");
    }
    Settings {
        credentials: CredentialPaths { docker: Some(kept), ..CredentialPaths::default() },
        certificates: CertificatePaths { bundle: Some(bundle), ..CertificatePaths::default() },
        patience: Patience {
            attempts: 3,
            first_pause: Duration::ZERO,
            longest_pause: Duration::ZERO,
            total: Duration::from_secs(9),
        },
        ..Settings::default()
    }
}

fn ask(task: u8, repository: &Repository<'_>) -> Result<(), Error> {
    let (digest, tag) = (Digest::of(BLOB), Version::Tag("1".to_owned()));
    match task {
        0 => {
            let manifest = repository.manifest(&tag)?;
            assert_eq!(manifest.digest, Digest::of(&manifest.bytes));
            assert!(manifest.bytes.len() as u64 <= LONGEST_MANIFEST);
        }
        1 => {
            let manifest = repository.manifest(&Version::Digest(digest))?;
            assert_eq!(manifest.bytes, BLOB);
        }
        2 => drop(repository.manifest_head(&tag)?),
        3 => drop(repository.tags()?),
        4 => drop(repository.referrers(&digest, None)?),
        5 => {
            let mut reader = repository.blob(&digest, BLOB.len() as u64)?;
            let mut bytes = Vec::new();
            if std::io::Read::read_to_end(&mut reader, &mut bytes).is_ok() {
                assert_eq!(bytes, BLOB);
            }
        }
        6 => repository.upload(&digest, BLOB.len() as u64, |from| {
            Ok(BLOB.get(usize::try_from(from).unwrap_or(usize::MAX)..).unwrap_or_default())
        })?,
        _ => {
            let streamed = repository.upload_stream(BLOB)?;
            assert_eq!(streamed.digest, digest);
            let put = repository.put_manifest(&tag, "application/vnd.oci.image.manifest.v1+json", BLOB)?;
            assert_eq!(put, digest);
        }
    }
    Ok(())
}

/// What is said of a failure moves no cursor, and fills no terminal.
fn check(error: &dyn std::error::Error) {
    let text = crate::repository::chain(error);
    assert!(!text.is_empty() && text.len() < 64 << 10, "{} bytes", text.len());
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert!(!text.contains(PASSWORD));
}

fn split(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let at = bytes.windows(BREAK.len()).position(|window| window == BREAK);
        done = at.is_none();
        let (answer, rest) = bytes.split_at(at.unwrap_or(bytes.len()));
        bytes = rest.get(BREAK.len()..).unwrap_or_default();
        Some(answer)
    })
}

/// Makes the agent that follows the script.
pub(crate) fn agent(config: Config, _: NameFiles) -> Agent {
    Agent::with_parts(config, Lines, Nowhere)
}

/// Every name is an address, which nobody connects to.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from(([127, 0, 0, 1], 1)));
        Ok(addresses)
    }
}

#[derive(Debug)]
struct Lines;

impl Connector for Lines {
    type Out = Line;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Line>, ureq::Error> {
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let own = details.uri.authority().is_some_and(|authority| authority.as_str() == HOST);
        Ok(Some(Line { buffers, own, asked: false, answer: Vec::new(), read: 0 }))
    }
}

/// A connection.
#[derive(Debug)]
struct Line {
    buffers: LazyBuffers,
    /// Whether the registry is at the other end.
    own: bool,
    /// Whether something was sent since the last answer began.
    asked: bool,
    answer: Vec<u8>,
    read: usize,
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let sent = String::from_utf8_lossy(&self.buffers.output()[..amount]).to_ascii_lowercase();
        // A token is the registry's alone, whoever it sends us to. (Passwords go where the registry says that tokens are given.)
        assert!(self.own || !sent.contains("authorization: bearer"), "{sent}");
        self.asked = true;
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        SCRIPT.with_borrow_mut(|script| {
            if std::mem::take(&mut self.asked) {
                self.answer = script.answers.pop_front().unwrap_or_default();
                self.read = 0;
            }
            let left = self.answer.get(self.read..).unwrap_or_default();
            let room = self.buffers.input_append_buf();
            let amount = left.len().min(room.len()).min(script.piece);
            room[..amount].copy_from_slice(&left[..amount]);
            self.buffers.input_appended(amount);
            self.read += amount;
            Ok(amount > 0)
        })
    }

    fn is_tls(&self) -> bool {
        true
    }

    fn is_open(&mut self) -> bool {
        SCRIPT.with_borrow(|script| !script.answers.is_empty())
    }
}
