//! Name servers of the host: a real one, and some that misbehave.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use net::names::message::{Answer, Query};

/// A real dnsmasq in the test's network; it ends when it is dropped.
pub(crate) struct Dnsmasq(Child);

impl Dnsmasq {
    pub(crate) fn start(address: &str, dir: &Path, words: &[&str]) -> Self {
        let mut command = Command::new("dnsmasq");
        command.args([
            "--no-daemon",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--user=root",
            "--conf-file=/dev/null",
        ]);
        command.arg(format!("--listen-address={address}")).arg(format!("--pid-file={}", dir.join("pid").display()));
        let child = command.args(words).stderr(Stdio::null()).spawn().unwrap();
        crate::place::wait_for_server(SocketAddr::new(address.parse().unwrap(), 53));
        Self(child)
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// What a server of ours sends for a question: datagrams, each from its own socket or from a stranger's.
pub(crate) type Behaviour = fn(&Query<'_>) -> Vec<(bool, Vec<u8>)>;

/// A server that does as it is told, over UDP alone; it counts what it is asked.
pub(crate) struct Misbehaving {
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Misbehaving {
    pub(crate) fn start(address: &str, behaviour: Behaviour) -> Self {
        let socket = UdpSocket::bind((address, 53)).unwrap();
        let stranger = UdpSocket::bind((address, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (asked, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (asked, stop) = (Arc::clone(&asked), Arc::clone(&stop));
            move || {
                let mut bytes = [0; 4096];
                while !stop.load(Ordering::Relaxed) {
                    let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
                    asked.fetch_add(1, Ordering::Relaxed);
                    for (is_own, reply) in behaviour(&Query::read(&bytes[..length]).unwrap()) {
                        let from_whom = if is_own { &socket } else { &stranger };
                        from_whom.send_to(&reply, from).unwrap();
                    }
                }
            }
        });
        Self { asked, stop, thread: Some(thread) }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Misbehaving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// Says nothing at all.
pub(crate) fn silent(_: &Query<'_>) -> Vec<(bool, Vec<u8>)> {
    Vec::new()
}

/// Answers 192.0.2.1 to everything.
pub(crate) fn honest(query: &Query<'_>) -> Vec<(bool, Vec<u8>)> {
    vec![(true, reply(query, "192.0.2.1"))]
}

/// Cannot answer.
pub(crate) fn failing(query: &Query<'_>) -> Vec<(bool, Vec<u8>)> {
    vec![(true, query.reply(&Answer::Failure, 512))]
}

/// Sends what must not be believed before the answer 192.0.2.1.
pub(crate) fn spoofed(query: &Query<'_>) -> Vec<(bool, Vec<u8>)> {
    let lie = reply(query, "203.0.113.66");
    let mut other_id = lie.clone();
    other_id[0] ^= 1;
    let mut other_name = lie.clone();
    other_name[13] ^= 1;
    let mut not_an_answer = lie.clone();
    not_an_answer[2] &= 0x7f;
    let cut = lie[..14].to_vec();
    let mut sent = vec![(false, lie)];
    sent.extend([other_id, other_name, not_an_answer, cut, Vec::new()].map(|bytes| (true, bytes)));
    sent.extend(honest(query));
    sent
}

fn reply(query: &Query<'_>, address: &str) -> Vec<u8> {
    query.reply(&Answer::Addresses(vec![address.parse().unwrap()]), 512)
}
