//! Who we are, proved to a server: what it asks for is remembered, and tokens are used as long as they are good.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use ureq::http::Method;

use crate::challenge::{self, Bearer, Challenge};
use crate::credentials::{Credential, Secret};
use crate::error::Fault;
use crate::scope::{Scope, union};
use crate::session::Session;
use crate::step::TokenStep;
use crate::token::{self, Given, Token};
use crate::url::{Scheme, Url};
use crate::wire::{Answer, Body, Request};

/// The longest answer of a token server.
const LONGEST: u64 = 256 << 10;
/// More tokens than this are not kept.
const MOST_TOKENS: usize = 64;

/// What is known of servers and tokens.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    servers: Mutex<HashMap<String, Known>>,
    tokens: Mutex<Vec<Token>>,
    /// Token servers that know no POST.
    only_get: Mutex<HashSet<String>>,
    /// Held while a token is fetched, so that several threads that need the same one fetch one.
    fetching: Mutex<()>,
}

/// What a server wants to see.
#[derive(Debug, Clone)]
enum Known {
    Basic,
    Bearer {
        bearer: Bearer,
        /// What the server has asked for beyond what we thought was needed.
        learned: HashMap<Vec<Scope>, Vec<Scope>>,
    },
}

impl Session<'_> {
    /// Returns the header that a request should have, by what is known of the server.
    pub(crate) fn proof(&self, base: &Url, scopes: &[Scope]) -> Result<Option<String>, Fault> {
        let known = lock(&self.client.auth.servers).get(self.site.authority()).cloned();
        match (known, self.credential()?) {
            (_, Credential::Registry { token }) => Ok(Some(format!("Bearer {}", token.reveal()))),
            (None, _) => Ok(None),
            (Some(Known::Basic), credential) => Ok(basic(credential)),
            (Some(Known::Bearer { bearer, learned }), _) => {
                let scopes = union(scopes.iter().chain(learned.get(scopes).into_iter().flatten()));
                self.token(base, &bearer, &scopes).map(Some)
            }
        }
    }

    /// Looks what a server asks for that has answered 401; returns the header for another attempt, if there can be one.
    pub(crate) fn answer_challenge(
        &self,
        base: &Url,
        answer: &Answer,
        scopes: &[Scope],
        used: Option<&str>,
    ) -> Result<Option<String>, Fault> {
        let credential = self.credential()?;
        let challenges = challenge::parse(answer.headers("WWW-Authenticate"));
        let possible = |challenge: &Challenge| match challenge {
            Challenge::Bearer(_) => !matches!(credential, Credential::Registry { .. }),
            Challenge::Basic => basic(credential).is_some(),
        };
        let Some(challenge) = challenges.into_iter().find(possible) else { return Ok(None) };
        let authority = self.site.authority().to_owned();
        match challenge {
            Challenge::Basic => {
                lock(&self.client.auth.servers).insert(authority, Known::Basic);
                // The same password again would be refused again.
                Ok(basic(credential).filter(|proof| used != Some(proof)))
            }
            Challenge::Bearer(bearer) => {
                if let Some(used) = used.and_then(|used| used.strip_prefix("Bearer ")) {
                    lock(&self.client.auth.tokens).retain(|token| token.value.reveal() != used);
                    if let Some(error) = &bearer.error {
                        tracing::debug!(server = self.name(), error, "the token is refused");
                    }
                }
                let all = self.learn(authority, &bearer, scopes);
                self.token(base, &bearer, &all).map(Some)
            }
        }
    }

    /// Returns who we are to this server.
    pub(crate) fn credential(&self) -> Result<&Credential, Fault> {
        if let Some(credential) = self.credential.get() {
            return Ok(credential);
        }
        let found = self.client.credentials.find(&self.site.host, &self.site.path)?;
        Ok(self.credential.get_or_init(|| found))
    }

    /// Remembers what a server asks for, and returns all scopes that this request needs.
    fn learn(&self, authority: String, bearer: &Bearer, scopes: &[Scope]) -> Vec<Scope> {
        let asked: Vec<_> = bearer.scopes.iter().map(|scope| Scope::parse(scope)).collect();
        let mut servers = lock(&self.client.auth.servers);
        let mut learned = match servers.remove(&authority) {
            Some(Known::Bearer { learned, .. }) => learned,
            _ => HashMap::new(),
        };
        learned.insert(scopes.to_vec(), asked.clone());
        let bearer = Bearer { scopes: Vec::new(), error: None, ..bearer.clone() };
        servers.insert(authority, Known::Bearer { bearer, learned });
        union(scopes.iter().chain(&asked))
    }

    /// Returns a token as a header: one that we have, or a new one.
    fn token(&self, base: &Url, bearer: &Bearer, scopes: &[Scope]) -> Result<String, Fault> {
        let auth = &self.client.auth;
        let account = self.account()?;
        let kept = || {
            let tokens = lock(&auth.tokens);
            let fit = tokens.iter().find(|token| token.fits(bearer, &account, scopes, Instant::now()));
            fit.map(|token| format!("Bearer {}", token.value.reveal()))
        };
        if let Some(kept) = kept() {
            return Ok(kept);
        }
        let _fetching = lock(&auth.fetching);
        if let Some(kept) = kept() {
            return Ok(kept);
        }
        let given = self.fetch(base, bearer, scopes, self.credential()?, false)?;
        let value = given.token().ok_or_else(|| self.no_token(bearer))?;
        let proof = format!("Bearer {}", value.reveal());
        let until = Instant::now() + given.life(Timestamp::now());
        let (realm, service) = (bearer.realm.clone(), bearer.service.clone());
        let mut tokens = lock(&auth.tokens);
        tokens.retain(|token| Instant::now() < token.until);
        tokens.truncate(MOST_TOKENS - 1);
        tokens.push(Token { value, realm, service, account, scopes: scopes.to_vec(), until });
        Ok(proof)
    }

    /// Tokens of one user are not used for another: Podman's files may name several for one server.
    fn account(&self) -> Result<String, Fault> {
        let credential = self.credential()?;
        let secret = match credential {
            Credential::Identity { token, .. } => token.reveal(),
            _ => "",
        };
        Ok(format!("{}\0{secret}", credential.user().unwrap_or_default()))
    }

    /// Asks a token server: by POST where there is something to prove, by GET where it knows no POST.
    pub(crate) fn fetch(
        &self,
        base: &Url,
        bearer: &Bearer,
        scopes: &[Scope],
        credential: &Credential,
        for_login: bool,
    ) -> Result<Given, Fault> {
        let realm = Url::parse(&bearer.realm);
        let realm = realm.map_err(|source| Fault::Address { server: self.name().to_owned(), source })?;
        let clear = realm.scheme() == Scheme::Http && base.scheme() == Scheme::Https;
        if clear && *credential != Credential::Anonymous {
            return Err(Fault::InTheClear { server: self.name().to_owned(), to: realm.public() });
        }
        let wrong = |fault| Fault::Token { realm: realm.public(), source: Box::new(fault) };
        let answer = self.ask_for_token(&realm, bearer, scopes, credential, for_login).map_err(wrong)?;
        if !answer.is_success() {
            return Err(wrong(self.refused_token(answer, credential)));
        }
        let bytes = self.read(answer, LONGEST).map_err(wrong)?;
        serde_json::from_slice(&bytes).map_err(|_| self.no_token(bearer))
    }

    fn ask_for_token(
        &self,
        realm: &Url,
        bearer: &Bearer,
        scopes: &[Scope],
        credential: &Credential,
        for_login: bool,
    ) -> Result<Answer, Fault> {
        let only_get = &self.client.auth.only_get;
        let form = token::form(credential, bearer, scopes, for_login);
        if let Some(form) = form.filter(|_| !lock(only_get).contains(&bearer.realm)) {
            let answer = self.post_token(realm, &form, credential)?;
            // Some that know no POST say 400 or 401 and not 404 or 405; a wrong password gets the same answer by GET.
            if !matches!(answer.status, 400 | 401 | 404 | 405) {
                return Ok(answer);
            }
            if matches!(answer.status, 404 | 405) {
                lock(only_get).insert(bearer.realm.clone());
            }
        }
        let url = token::get_url(realm, bearer, scopes, credential.user(), for_login);
        self.get_token(&url, credential)
    }

    fn post_token(&self, realm: &Url, form: &str, credential: &Credential) -> Result<Answer, Fault> {
        let shown: Vec<_> = form.split('&').map(hide).collect();
        let step = TokenStep { url: realm, user: credential.user(), form: Some(&shown.join("&")) };
        self.client.recorder.record(&step);
        let headers = [("Content-Type", "application/x-www-form-urlencoded".to_owned())];
        let request = Request {
            method: &Method::POST,
            url: realm,
            headers: &headers,
            authorization: None,
            verified: self.verified_at(realm),
        };
        let send = || self.client.wire.send(&request, Body::Bytes(form.as_bytes()));
        self.patiently(|| send().map_err(|error| self.unreachable_at(realm, error)))
    }

    fn get_token(&self, url: &Url, credential: &Credential) -> Result<Answer, Fault> {
        let proof = basic(credential);
        self.client.recorder.record(&TokenStep { url, user: credential.user(), form: None });
        let request = Request {
            method: &Method::GET,
            url,
            headers: &[],
            authorization: proof.as_deref(),
            verified: self.verified_at(url),
        };
        let send = || self.client.wire.send(&request, Body::Nothing);
        self.patiently(|| send().map_err(|error| self.unreachable_at(url, error)))
    }

    /// A server that is trusted without a certificate is so wherever it listens; no other one is.
    fn verified_at(&self, url: &Url) -> bool {
        let (host, _) = crate::url::split_port(self.site.authority());
        self.verified() || !url.host().eq_ignore_ascii_case(host)
    }

    fn refused_token(&self, answer: Answer, credential: &Credential) -> Fault {
        match self.refused(answer) {
            // During a login it is not yet ours.
            Fault::Unauthorized { server, complaint } if *credential != Credential::Anonymous => {
                Fault::Denied { server, user: credential.user().unwrap_or("a token").to_owned(), complaint }
            }
            other => other,
        }
    }

    fn no_token(&self, bearer: &Bearer) -> Fault {
        let source = self.odd("has no token in it");
        Fault::Token { realm: bearer.realm.clone(), source: Box::new(source) }
    }
}

/// Returns a name and a secret as a header (RFC 7617).
pub(crate) fn basic(credential: &Credential) -> Option<String> {
    let header = |user: &str, secret: &Secret| {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", secret.reveal())))
    };
    match credential {
        Credential::Password { user, secret } => Some(header(user, secret)),
        Credential::Identity { user, token } if !user.is_empty() => Some(header(user, token)),
        _ => None,
    }
}

/// Takes the secret out of a form's field.
fn hide(field: &str) -> &str {
    match field.split_once('=').map_or(field, |(name, _)| name) {
        "password" => "password=$PASSWORD",
        "refresh_token" => "refresh_token=$REFRESH_TOKEN",
        _ => field,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept is whole at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
