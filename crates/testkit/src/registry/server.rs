//! A small server of HTTP/1.1 that can be told to misbehave.
//!
//! A handler makes a reply of every request. Before it is asked, the faults that were planned are looked through; the
//! first that fits is used up.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Pair;
use crate::PATIENCE;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query; empty when there is none.
    pub query: String,
    /// The headers, with names in small letters.
    pub headers: Vec<(String, String)>,
    /// What was sent with it.
    pub body: Vec<u8>,
    /// Whether only a part of the body was read, by plan.
    pub is_cut: bool,
}

/// What a server answers.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The connection is closed after as many bytes of the body.
    cut: Option<usize>,
    /// A pause after each byte.
    slow: Option<Duration>,
    /// Sent in place of all of the above.
    raw: Option<Vec<u8>>,
}

/// How a server misbehaves, once.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It answers this.
    Answer(Reply),
    /// It closes the connection after as many bytes of the right answer's body.
    Cut(usize),
    /// It closes the connection after as many bytes of the request's body.
    CutRequest(usize),
    /// It closes the connection and says nothing.
    HangUp,
    /// It sends the right answer with a wrong byte in its body.
    Corrupt,
    /// It acts as if no part had been asked for.
    IgnoreRange,
    /// It pauses after each byte.
    Slow(Duration),
}

/// A server on loopback. It ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    tls: Option<Arc<ServerConfig>>,
    planned: Mutex<Vec<Planned>>,
    seen: Mutex<Vec<Request>>,
    stopped: AtomicBool,
}

struct Planned {
    method: String,
    part: String,
    times: usize,
    fault: Fault,
}

impl Request {
    /// Returns a header by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Returns a parameter of the query, as it is written.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').filter_map(|pair| pair.split_once('=')).find(|(own, _)| *own == name).map(|(_, v)| v)
    }
}

impl Reply {
    /// Makes an answer with a status alone.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), cut: None, slow: None, raw: None }
    }

    /// Makes an answer of JSON.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::status(status).header("Content-Type", "application/json").body(value.to_string())
    }

    /// Makes an answer that is sent as it is, HTTP or not.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { raw: Some(bytes.into()), ..Self::status(0) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into();
        self
    }

    /// Closes the connection after as many bytes of the body.
    #[must_use]
    pub fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }
}

impl Server {
    /// Starts a server without TLS.
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(None, Box::new(handler))
    }

    /// Starts a server with TLS.
    pub fn start_tls(pair: &Pair, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(Some(pair.config()), Box::new(handler))
    }

    fn listen(tls: Option<Arc<ServerConfig>>, handler: Box<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("the port's number");
        let (planned, seen, stopped) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { handler, tls, planned, seen, stopped });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// Returns host and port: `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns an address below this server.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Plans a fault for the next request of a method whose path has this part.
    pub fn fail(&self, method: &str, part: &str, fault: Fault) {
        self.fail_often(1, method, part, fault);
    }

    /// Plans a fault for as many requests.
    pub fn fail_often(&self, times: usize, method: &str, part: &str, fault: Fault) {
        let planned = Planned { method: method.to_owned(), part: part.to_owned(), times, fault };
        self.shared.planned.lock().expect("the plans").push(planned);
    }

    /// Drops the plans that were not used up.
    pub fn forgive(&self) {
        self.shared.planned.lock().expect("the plans").clear();
    }

    /// Returns the requests that came so far.
    pub fn seen(&self) -> Vec<Request> {
        self.shared.seen.lock().expect("the list").clone()
    }

    /// Returns the requests that came so far as `METHOD PATH`.
    pub fn heard(&self) -> Vec<String> {
        self.seen().iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.address).finish()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Somebody who knocks wakes the one who waits.
        drop(TcpStream::connect(self.address));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = match &shared.tls {
                None => converse(stream, &shared),
                Some(config) => match ServerConnection::new(Arc::clone(config)) {
                    Ok(connection) => converse(StreamOwned::new(connection, stream), &shared),
                    Err(_) => Ok(()),
                },
            };
        });
    }
}

/// Answers request after request, until a connection ends or is to be cut.
fn converse(stream: impl Read + Write, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let Some(mut request) = read_head(&mut stream)? else { return Ok(()) };
        let fault = shared.fault(&request);
        read_body(&mut stream, &mut request, fault.as_ref())?;
        if matches!(fault, Some(Fault::IgnoreRange)) {
            request.headers.retain(|(name, _)| name != "range");
        }
        shared.seen.lock().expect("the list").push(request.clone());
        let right = || (shared.handler)(&request);
        let reply = match fault {
            Some(Fault::HangUp) => return Ok(()),
            Some(Fault::Answer(reply)) => reply,
            Some(Fault::Cut(after)) => right().cut(after),
            Some(Fault::Slow(pause)) => Reply { slow: Some(pause), ..right() },
            Some(Fault::Corrupt) => corrupted(right()),
            // What came of the body is taken, and nothing said.
            Some(Fault::CutRequest(_)) => {
                right();
                return Ok(());
            }
            _ => right(),
        };
        let cut = write_reply(stream.get_mut(), &reply, request.method == "HEAD")?;
        if cut {
            return Ok(());
        }
    }
}

impl Shared {
    fn fault(&self, request: &Request) -> Option<Fault> {
        let mut planned = self.planned.lock().expect("the plans");
        let fits = |plan: &Planned| plan.method == request.method && request.path.contains(&plan.part);
        let at = planned.iter().position(fits)?;
        planned[at].times -= 1;
        if planned[at].times > 0 {
            return Some(planned[at].fault.clone());
        }
        Some(planned.remove(at).fault)
    }
}

fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(method), Some(target), Some(_)) = (words.next(), words.next(), words.next()) else { return Ok(None) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
    Ok(Some(Request { method, path, query, headers, body: Vec::new(), is_cut: false }))
}

/// Reads what comes with a request, or as much of it as is planned.
fn read_body(stream: &mut impl BufRead, request: &mut Request, fault: Option<&Fault>) -> io::Result<()> {
    if request.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        return read_chunks(stream, &mut request.body);
    }
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let most = match fault {
        Some(Fault::CutRequest(most)) => length.min(*most),
        _ => length,
    };
    request.body = vec![0; most];
    stream.read_exact(&mut request.body)?;
    request.is_cut = matches!(fault, Some(Fault::CutRequest(_)));
    Ok(())
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; length + 2];
        stream.read_exact(&mut chunk)?;
        body.extend(&chunk[..length]);
        if length == 0 {
            return Ok(());
        }
    }
}

fn corrupted(mut reply: Reply) -> Reply {
    if let Some(byte) = reply.body.last_mut() {
        *byte ^= 1;
    }
    reply
}

/// Writes a reply; `true` when the connection is to be closed.
fn write_reply(stream: &mut impl Write, reply: &Reply, head_alone: bool) -> io::Result<bool> {
    if let Some(raw) = &reply.raw {
        stream.write_all(raw)?;
        stream.flush()?;
        return Ok(true);
    }
    let mut head = format!("HTTP/1.1 {} Status\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let says_length = reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if !says_length && reply.status != 204 {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if !head_alone {
        let bytes = &reply.body[..reply.cut.unwrap_or(usize::MAX).min(reply.body.len())];
        match reply.slow {
            None => stream.write_all(bytes)?,
            Some(pause) => {
                for byte in bytes {
                    stream.write_all(&[*byte])?;
                    stream.flush()?;
                    std::thread::park_timeout(pause);
                }
            }
        }
    }
    stream.flush()?;
    Ok(reply.cut.is_some())
}
