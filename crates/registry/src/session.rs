//! One server and what is asked of it: the scheme is found out, tokens are had, redirects are followed, failures that
//! pass are waited for.
//!
//! Start reading at [`Session::send`]. What proves who we are is [`crate::auth`]; the bytes on the line are [`crate::wire`].

use std::sync::{OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use trace::Step;
use ureq::http::Method;

use crate::client::Client;
use crate::complaint::Complaint;
use crate::credentials::Credential;
use crate::error::Fault;
use crate::hosts::{Site, Trust};
use crate::retry::{chance, is_passing, parse_retry_after};
use crate::scope::Scope;
use crate::step::{PauseStep, Proof, RequestStep};
use crate::url::{Scheme, Url};
use crate::wire::{Answer, Body, Request, WireError};

/// How often an address may lead to another one.
const MOST_REDIRECTS: u32 = 10;
/// How much of what a server says about a failure is read.
const LONGEST_COMPLAINT: u64 = 64 << 10;

/// A server, and who we are to it.
#[derive(Debug)]
pub(crate) struct Session<'c> {
    pub(crate) client: &'c Client<'c>,
    pub(crate) site: Site,
    pub(crate) credential: OnceLock<Credential>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// What for, in the imperative.
    pub(crate) what: String,
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) scopes: Vec<Scope>,
}

/// Where something is asked.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// At a path of the server, which we have composed.
    Own(String),
    /// At an address that the server gave.
    Given(Url),
}

impl Ask {
    pub(crate) fn new(method: Method, target: Target, scope: Scope, what: impl Into<String>) -> Self {
        Self { what: what.into(), method, target, headers: Vec::new(), scopes: vec![scope] }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl<'c> Session<'c> {
    pub(crate) fn new(client: &'c Client<'c>, site: Site) -> Self {
        Self { client, site, credential: OnceLock::new() }
    }

    /// Returns the server as people know it.
    pub(crate) fn name(&self) -> &str {
        &self.site.host
    }

    /// Asks without a body, and again while a failure may pass. The answer's status is whatever it is, but none that passes.
    pub(crate) fn send(&self, ask: &Ask) -> Result<Answer, Fault> {
        self.send_bytes(ask, None)
    }

    /// Asks with a body that can be sent again.
    pub(crate) fn send_bytes(&self, ask: &Ask, bytes: Option<&[u8]>) -> Result<Answer, Fault> {
        self.patiently(|| {
            let base = self.base()?;
            let proof = self.proof(&base, &ask.scopes)?;
            let answer = self.follow(ask, &base, proof.as_deref(), bytes)?;
            if answer.status != 401 || !answer.url.same_origin(&base) {
                return Ok(answer);
            }
            let Some(proof) = self.answer_challenge(&base, &answer, &ask.scopes, proof.as_deref())? else {
                return Ok(answer);
            };
            answer.finish();
            self.follow(ask, &base, Some(&proof), bytes)
        })
    }

    /// Sends a request once. A token that is refused is forgotten, so that the next request gets a new one.
    pub(crate) fn send_once(&self, ask: &Ask, body: Body<'_>) -> Result<Answer, Fault> {
        let base = self.base()?;
        let proof = self.proof(&base, &ask.scopes)?;
        let url = ask.url(&base)?;
        let answer = self.once(ask, &base, &url, proof.as_deref(), body)?;
        if answer.status == 401 && answer.url.same_origin(&base) {
            self.answer_challenge(&base, &answer, &ask.scopes, proof.as_deref())?;
        }
        Ok(answer)
    }

    /// Does something again and again while it fails in ways that pass.
    pub(crate) fn patiently(&self, mut attempt: impl FnMut() -> Result<Answer, Fault>) -> Result<Answer, Fault> {
        let start = Instant::now();
        let mut failed = 0;
        loop {
            failed += 1;
            match attempt() {
                Ok(answer) if is_passing(answer.status) => {
                    let asked = answer.header("Retry-After").and_then(|text| parse_retry_after(text, Timestamp::now()));
                    let why = format!("{} answers {}", self.name(), answer.status);
                    if !self.pause(failed, start, asked, &why) {
                        return Err(self.busy(answer, asked));
                    }
                    answer.finish();
                }
                Err(fault) if fault.is_passing() => {
                    if !self.pause(failed, start, None, &fault.to_string()) {
                        return Err(fault);
                    }
                }
                other => return other,
            }
        }
    }

    /// Waits before the next attempt; `false` when there is to be none.
    pub(crate) fn pause(&self, failed: u32, start: Instant, asked: Option<Duration>, why: &str) -> bool {
        let patience = &self.client.patience;
        let pause = patience.pause(failed, asked, chance());
        let Some(pause) = pause.filter(|pause| start.elapsed() + *pause <= patience.total) else { return false };
        tracing::debug!(server = self.name(), why, ?pause, "trying again");
        self.client.recorder.record(&PauseStep { pause, why });
        std::thread::sleep(pause);
        true
    }

    /// Returns how the server is spoken to. One that need not speak TLS is asked which it does.
    pub(crate) fn base(&self) -> Result<Url, Fault> {
        let authority = self.site.authority();
        if self.site.trust == Trust::Verified {
            return Ok(Url::new(Scheme::Https, authority, "/"));
        }
        let known = self.client.schemes.lock().unwrap_or_else(PoisonError::into_inner).get(authority).copied();
        let scheme = match known {
            Some(scheme) => scheme,
            None => self.find_scheme()?,
        };
        Ok(Url::new(scheme, authority, "/"))
    }

    /// TLS is tried first, so that no secret travels in the clear to a server that could have it otherwise.
    fn find_scheme(&self) -> Result<Scheme, Fault> {
        let scheme = match self.knock(Scheme::Https) {
            Ok(_) => Scheme::Https,
            Err(error) if error.may_be_plain() => match self.knock(Scheme::Http) {
                // A server of TLS answers so to those who speak none.
                Ok(400) | Err(_) => return Err(self.unreachable(error)),
                Ok(_) => Scheme::Http,
            },
            Err(error) => return Err(self.unreachable(error)),
        };
        let authority = self.site.authority();
        if scheme == Scheme::Http {
            let what = format!("go on without TLS: {authority} speaks plain http, and may");
            self.client.recorder.record(&Step::host(what, ""));
        }
        let mut schemes = self.client.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        schemes.insert(authority.to_owned(), scheme);
        Ok(scheme)
    }

    fn knock(&self, scheme: Scheme) -> Result<u16, WireError> {
        let url = Url::new(scheme, self.site.authority(), "/v2/");
        let what = format!("see whether {} speaks {}", self.site.authority(), scheme.word());
        let method = Method::GET;
        let request =
            Request { method: &method, url: &url, headers: &[], authorization: None, verified: self.verified() };
        self.tell(&what, &request, true, false);
        Ok(self.client.wire.send(&request, Body::Nothing)?.status)
    }

    /// Follows addresses for what changes nothing; who we are is told to the registry alone.
    fn follow(&self, ask: &Ask, base: &Url, proof: Option<&str>, bytes: Option<&[u8]>) -> Result<Answer, Fault> {
        let mut url = ask.url(base)?;
        for _ in 0..=MOST_REDIRECTS {
            let body = bytes.map_or(Body::Nothing, Body::Bytes);
            let answer = self.once(ask, base, &url, proof, body)?;
            let leads_on = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
            let location = answer.header("Location").filter(|_| leads_on && is_reading(&ask.method));
            let Some(location) = location else { return Ok(answer) };
            let next =
                url.join(location).map_err(|source| Fault::Address { server: self.name().to_owned(), source })?;
            if url.scheme() == Scheme::Https && next.scheme() == Scheme::Http {
                return Err(Fault::Downgrade { server: self.name().to_owned(), to: next.public() });
            }
            answer.finish();
            url = next;
        }
        Err(Fault::Redirects { server: self.name().to_owned(), limit: MOST_REDIRECTS })
    }

    fn once(&self, ask: &Ask, base: &Url, url: &Url, proof: Option<&str>, body: Body<'_>) -> Result<Answer, Fault> {
        let home = url.same_origin(base);
        let request = Request {
            method: &ask.method,
            url,
            headers: &ask.headers,
            authorization: proof.filter(|_| home),
            verified: self.verified() || !home,
        };
        let own = matches!(ask.target, Target::Own(_)) && home;
        self.tell(&ask.what, &request, own, !matches!(body, Body::Nothing));
        self.client.wire.send(&request, body).map_err(|error| self.unreachable_at(url, error))
    }

    pub(crate) fn tell(&self, what: &str, request: &Request<'_>, own: bool, has_body: bool) {
        if !self.client.recorder.is_on() {
            return;
        }
        let user = self.credential.get().and_then(Credential::user).unwrap_or_default();
        let proof = match request.authorization {
            None => Proof::Nothing,
            Some(proof) if proof.starts_with("Basic ") => Proof::Password(user),
            Some(_) => Proof::Token,
        };
        let Request { method, url, headers, verified, .. } = *request;
        let step = RequestStep { what, method, url, own, headers, proof, verified, has_body };
        self.client.recorder.record(&step);
    }

    /// Whether the server's certificate is checked.
    pub(crate) fn verified(&self) -> bool {
        self.site.trust != Trust::Insecure
    }

    pub(crate) fn unreachable(&self, source: WireError) -> Fault {
        Fault::Wire { server: self.site.authority().to_owned(), source }
    }

    pub(crate) fn unreachable_at(&self, url: &Url, source: WireError) -> Fault {
        Fault::Wire { server: url.authority().to_owned(), source }
    }

    /// Makes an error of an answer that is not what was hoped for.
    pub(crate) fn refused(&self, answer: Answer) -> Fault {
        let server = self.name_of(&answer.url);
        let status = answer.status;
        let complaint = Complaint::parse(&answer.read_some(LONGEST_COMPLAINT));
        let credential = self.credential.get();
        match (status, credential) {
            (404, _) => Fault::NotFound { server, complaint },
            (401 | 403, Some(Credential::Anonymous) | None) => Fault::Unauthorized { server, complaint },
            (401 | 403, Some(credential)) => {
                let user = credential.user().unwrap_or("a token").to_owned();
                Fault::Denied { server, user, complaint }
            }
            _ => Fault::Refused { server, status, complaint },
        }
    }

    fn busy(&self, answer: Answer, after: Option<Duration>) -> Fault {
        let (server, status) = (self.name_of(&answer.url), answer.status);
        match after.filter(|after| *after > self.client.patience.longest_pause) {
            None => self.refused(answer),
            Some(after) => {
                let complaint = Complaint::parse(&answer.read_some(LONGEST_COMPLAINT));
                Fault::Busy { server, status, after, complaint }
            }
        }
    }

    /// A complaint about what is not of the server's own making names who made it.
    fn name_of(&self, url: &Url) -> String {
        let home = url.authority().eq_ignore_ascii_case(self.site.authority());
        if home { self.name().to_owned() } else { url.authority().to_owned() }
    }

    /// Makes an error of an answer that cannot be understood.
    pub(crate) fn odd(&self, what: impl Into<String>) -> Fault {
        Fault::Answer { server: self.name().to_owned(), what: what.into() }
    }

    /// Reads an answer that must not be longer than `limit`.
    pub(crate) fn read(&self, answer: Answer, limit: u64) -> Result<Vec<u8>, Fault> {
        let server = || self.name().to_owned();
        let bytes = answer.read(limit).map_err(|source| Fault::Broken { server: server(), source })?;
        bytes.ok_or_else(|| Fault::TooLong { server: server(), limit })
    }
}

impl Ask {
    fn url(&self, base: &Url) -> Result<Url, Fault> {
        match &self.target {
            Target::Own(path) => Ok(Url::new(base.scheme(), base.authority(), path.clone())),
            Target::Given(url) if base.scheme() == Scheme::Https && url.scheme() == Scheme::Http => {
                Err(Fault::Downgrade { server: base.authority().to_owned(), to: url.public() })
            }
            Target::Given(url) => Ok(url.clone()),
        }
    }
}

fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
