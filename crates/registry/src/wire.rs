//! One request to one server and its answer: connections, TLS, proxies, timeouts, bounds. No retries, redirects or tokens.
//!
//! There is one agent, with its pool of connections, for each server: servers differ in whom they are believed by.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::config::AutoHeaderValue;
use ureq::http::{HeaderMap, Method, Request as HttpRequest};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Proxy, ProxyProtocol, SendBody};

use crate::certificates::{CertificateError, CertificatePaths, Certificates};
use crate::names::{NameError, NameFiles};
use crate::proxy::Proxies;
use crate::url::{Scheme, Url};

/// The most that the head of an answer may have.
const LONGEST_HEAD: usize = 64 << 10;
/// How many connections to one server are kept for the next request.
const IDLE_CONNECTIONS: usize = 8;
/// The longest body that is read only to have the connection back.
const SHORT: u64 = 16 << 10;
/// What is read from a connection at once.
const BUFFER: usize = 128 << 10;

/// How long we wait for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, with TLS.
    pub connect: Duration,
    /// For the next byte, in either direction. A server that is slow and still sends is waited for.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), silence: Duration::from_secs(90) }
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The host was not found.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There are no certificates to check the server by.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The server takes too long.
    #[error("nothing came for {} seconds ({phase})", .after.as_secs())]
    Silence {
        /// What was waited for.
        phase: String,
        /// How long.
        after: Duration,
    },
    /// TLS could not be set up, or was broken.
    #[error("TLS fails")]
    Tls(#[source] rustls::Error),
    /// The connection broke, or was refused.
    #[error(transparent)]
    Io(io::Error),
    /// The proxy will not.
    #[error("the proxy {proxy} cannot be used: {reason}")]
    Proxy {
        /// The proxy, without its password.
        proxy: String,
        /// Why.
        reason: String,
    },
    /// What came is no HTTP, or too much of it.
    #[error("the answer is no HTTP that can be read: {0}")]
    Protocol(String),
}

impl WireError {
    /// Tells whether the same may well go better in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Io(error) => error.kind() != io::ErrorKind::ConnectionRefused,
            Self::Name(error) => matches!(error, NameError::Servers { .. }),
            Self::Silence { .. } => true,
            Self::Tls(_) | Self::Certificate(_) | Self::Proxy { .. } | Self::Protocol(_) => false,
        }
    }

    /// Tells whether the server may be one that speaks no TLS: it did not understand our greeting, or hung up on it.
    pub(crate) fn may_be_plain(&self) -> bool {
        match self {
            Self::Tls(rustls::Error::InvalidMessage(_)) => true,
            Self::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionRefused
            ),
            _ => false,
        }
    }
}

/// What is sent with a request.
pub(crate) enum Body<'b> {
    Nothing,
    Bytes(&'b [u8]),
    /// This many bytes of a stream, which cannot be sent twice.
    Stream(&'b mut (dyn Read + 'b), u64),
}

/// A request, complete.
pub(crate) struct Request<'r> {
    pub(crate) method: &'r Method,
    pub(crate) url: &'r Url,
    pub(crate) headers: &'r [(&'static str, String)],
    pub(crate) authorization: Option<&'r str>,
    /// Whether the server's certificate is checked.
    pub(crate) verified: bool,
}

/// The head of an answer, and its body to be read.
pub(crate) struct Answer {
    pub(crate) url: Url,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: ureq::Body,
}

impl Answer {
    /// Returns a header that is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns all headers of a name that are text.
    pub(crate) fn headers<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the body as it comes.
    pub(crate) fn into_reader(self) -> ureq::BodyReader<'static> {
        self.body.into_reader()
    }

    /// Reads the body whole; nothing if it is longer than `limit`.
    pub(crate) fn read(self, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        self.body.into_reader().take(limit + 1).read_to_end(&mut bytes)?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }

    /// Reads the body away where it is short, so that the connection can be used again.
    pub(crate) fn finish(self) {
        let short = self.body.content_length().is_some_and(|length| length <= SHORT);
        if short {
            self.read_some(SHORT);
        }
    }

    /// Reads as much of the body as there is and is wanted: what else a server says of a failure is of no interest.
    pub(crate) fn read_some(self, limit: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.body.into_reader().take(limit).read_to_end(&mut bytes);
        bytes
    }
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Wire {
    timeouts: Timeouts,
    names: NameFiles,
    proxies: Proxies,
    certificates: Certificates,
    agents: Mutex<HashMap<(String, bool), Agent>>,
}

impl Wire {
    pub(crate) fn new(timeouts: Timeouts, names: NameFiles, proxies: Proxies, certificates: CertificatePaths) -> Self {
        let certificates = Certificates::new(certificates);
        Self { timeouts, names, proxies, certificates, agents: Mutex::default() }
    }

    /// Sends a request and returns the head of the answer, whatever its status.
    pub(crate) fn send(&self, request: &Request<'_>, body: Body<'_>) -> Result<Answer, WireError> {
        let agent = self.agent(request.url, request.verified)?;
        let mut builder = HttpRequest::builder().method(request.method).uri(request.url.to_string());
        for (name, value) in request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(authorization) = request.authorization {
            builder = builder.header("Authorization", authorization);
        }
        let told = |error| self.understand(error, request.url);
        let answer = match body {
            Body::Nothing if takes_body(request.method) => agent.run(finish(builder, Some(0), SendBody::none())?),
            Body::Nothing => agent.run(finish(builder, None, SendBody::none())?),
            Body::Bytes(mut bytes) => {
                let length = bytes.len() as u64;
                agent.run(finish(builder, Some(length), SendBody::from_reader(&mut bytes))?)
            }
            Body::Stream(mut stream, length) => {
                agent.run(finish(builder, Some(length), SendBody::from_reader(&mut stream))?)
            }
        };
        let (head, body) = answer.map_err(told)?.into_parts();
        Ok(Answer { url: request.url.clone(), status: head.status.as_u16(), headers: head.headers, body })
    }

    fn agent(&self, url: &Url, verified: bool) -> Result<Agent, WireError> {
        let key = (url.origin(), verified);
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let agent = self.new_agent(url, verified)?;
        agents.insert(key, agent.clone());
        Ok(agent)
    }

    fn new_agent(&self, url: &Url, verified: bool) -> Result<Agent, WireError> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(self.timeouts.connect))
            .timeout_per_read(Some(self.timeouts.silence))
            .timeout_per_write(Some(self.timeouts.silence))
            .max_response_header_size(LONGEST_HEAD)
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .user_agent(concat!("conductor/", env!("CARGO_PKG_VERSION")))
            // What is transferred is what is hashed.
            .accept_encoding(AutoHeaderValue::None)
            .proxy(self.proxy(url)?)
            .tls_config(self.tls(url, verified)?)
            .build();
        Ok(agent(config, self.names.clone()))
    }

    fn proxy(&self, url: &Url) -> Result<Option<Proxy>, WireError> {
        let Some(text) = self.proxies.choose(url) else { return Ok(None) };
        let refused = |reason: &str| WireError::Proxy { proxy: without_user(text), reason: reason.to_owned() };
        let proxy = Proxy::new(text).map_err(|error| refused(&error.to_string()))?;
        if !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
            return Err(refused("only proxies of HTTP are known"));
        }
        Ok(Some(proxy))
    }

    /// What is not needed is not read: a machine without certificates can still use registries that need none.
    fn tls(&self, url: &Url, verified: bool) -> Result<TlsConfig, WireError> {
        let tls =
            TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let nobody = || RootCerts::Specific(Arc::new(Vec::new()));
        if url.scheme() == Scheme::Http {
            // A proxy may be spoken to in TLS, where it is believed as any server is.
            let roots = if self.proxies.choose(url).is_some_and(|proxy| proxy.starts_with("https")) {
                self.certificates.roots("")?
            } else {
                nobody()
            };
            return Ok(tls.root_certs(roots).build());
        }
        let roots = if verified { self.certificates.roots(url.authority())? } else { nobody() };
        let client = self.certificates.client(url.authority())?;
        Ok(tls.root_certs(roots).client_cert(client).disable_verification(!verified).build())
    }

    fn understand(&self, error: ureq::Error, url: &Url) -> WireError {
        match error {
            ureq::Error::Io(error) => understand_io(error),
            ureq::Error::Rustls(error) => WireError::Tls(error),
            ureq::Error::Timeout(phase) => {
                let after = match phase {
                    ureq::Timeout::Connect => self.timeouts.connect,
                    _ => self.timeouts.silence,
                };
                WireError::Silence { phase: phase.to_string(), after }
            }
            ureq::Error::Other(error) => match error.downcast::<NameError>() {
                Ok(error) => WireError::Name(*error),
                Err(error) => WireError::Protocol(error.to_string()),
            },
            ureq::Error::ConnectProxyFailed(reason) => {
                WireError::Proxy { proxy: self.proxies.choose(url).map(without_user).unwrap_or_default(), reason }
            }
            other => WireError::Protocol(other.to_string()),
        }
    }
}

#[cfg(fuzzing)]
use crate::fuzzing::agent;

#[cfg(not(fuzzing))]
fn agent(config: ureq::config::Config, names: NameFiles) -> Agent {
    Agent::with_parts(config, ureq::unversioned::transport::DefaultConnector::new(), names)
}

/// Only these have a body, and say so when it is empty.
fn takes_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn finish<'b>(
    builder: ureq::http::request::Builder,
    length: Option<u64>,
    body: SendBody<'b>,
) -> Result<HttpRequest<SendBody<'b>>, WireError> {
    let builder = match length {
        Some(length) => builder.header("Content-Length", length),
        None => builder,
    };
    builder.body(body).map_err(|error| WireError::Protocol(error.to_string()))
}

/// An error of TLS comes wrapped in one of a stream.
pub(crate) fn understand_io(error: io::Error) -> WireError {
    match error.downcast::<rustls::Error>() {
        Ok(tls) => WireError::Tls(tls),
        Err(error) => WireError::Io(error),
    }
}

fn without_user(proxy: &str) -> String {
    match (proxy.split_once("://"), proxy.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        (None, Some((_, rest))) => rest.to_owned(),
        (_, None) => proxy.to_owned(),
    }
}
