//! `login` and `logout`: a secret is tried before it is kept.

use std::sync::OnceLock;

use ureq::http::Method;

use crate::auth::basic;
use crate::challenge::{self, Bearer, Challenge};
use crate::client::Client;
use crate::credentials::{Credential, LoggedOut, Secret};
use crate::error::{Error, Fault};
use crate::scope::Scope;
use crate::session::Session;
use crate::url::Url;
use crate::wire::{Answer, Body, Request};

/// What `login` has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// Where the credential is kept now: a path, or a helper.
    pub kept_in: String,
    /// Whether the registry has looked at it: one that is open to everybody does not.
    pub checked: bool,
    /// Whether a token is kept in place of the password.
    pub token: bool,
}

impl Client<'_> {
    /// Tries a name and a password, and keeps them, or the token that the registry gives for them.
    pub fn login(&self, host: &str, user: &str, password: &Secret) -> Result<LoggedIn, Error> {
        let wrong = |fault| Error::new(format!("log in to {host}"), fault);
        let credential = Credential::Password { user: user.to_owned(), secret: password.clone() };
        let session = self.registry(host).map_err(wrong)?;
        let session = Session { credential: OnceLock::from(credential.clone()), ..session };
        let (checked, token) = session.check(&credential).map_err(wrong)?;
        let is_token = token.is_some();
        let kept = match token {
            Some(token) => Credential::Identity { user: user.to_owned(), token },
            None => credential,
        };
        let kept_in = self.credentials.store(session.name(), &kept).map_err(|error| wrong(error.into()))?;
        Ok(LoggedIn { kept_in, checked, token: is_token })
    }

    /// Forgets what a registry knows us by.
    pub fn logout(&self, host: &str) -> Result<LoggedOut, Error> {
        let forget = || {
            let session = self.registry(host)?;
            Ok(self.credentials.remove(session.name())?)
        };
        forget().map_err(|fault| Error::new(format!("log out of {host}"), fault))
    }
}

impl Session<'_> {
    /// Returns whether the registry has looked at the credential, and the token that it gave for it.
    fn check(&self, credential: &Credential) -> Result<(bool, Option<Secret>), Fault> {
        let base = self.base()?;
        let answer = self.ask_root(&base, None)?;
        if answer.is_success() {
            return Ok((false, None));
        }
        if answer.status != 401 {
            return Err(self.refused(answer));
        }
        match challenge::parse(answer.headers("WWW-Authenticate")).into_iter().next() {
            Some(Challenge::Bearer(bearer)) => self.check_by_token(&base, &bearer, credential),
            Some(Challenge::Basic) => self.accept(&base, basic(credential).as_deref()).map(|()| (true, None)),
            None => Err(self.odd("does not say how to log in")),
        }
    }

    fn check_by_token(
        &self,
        base: &Url,
        bearer: &Bearer,
        credential: &Credential,
    ) -> Result<(bool, Option<Secret>), Fault> {
        let scopes: Vec<_> = bearer.scopes.iter().map(|scope| Scope::parse(scope)).collect();
        let given = self.fetch(base, bearer, &scopes, credential, true)?;
        let token = given.token().ok_or_else(|| self.odd("has no token in it"))?;
        self.accept(base, Some(&format!("Bearer {}", token.reveal())))?;
        Ok((true, given.refresh_token()))
    }

    fn accept(&self, base: &Url, proof: Option<&str>) -> Result<(), Fault> {
        let answer = self.ask_root(base, proof)?;
        if answer.is_success() { Ok(()) } else { Err(self.refused(answer)) }
    }

    fn ask_root(&self, base: &Url, proof: Option<&str>) -> Result<Answer, Fault> {
        let url = Url::new(base.scheme(), base.authority(), "/v2/");
        let verified = self.verified();
        let request = Request { method: &Method::GET, url: &url, headers: &[], authorization: proof, verified };
        self.tell(&format!("ask {} who may use it", self.name()), &request, true, false);
        let send = || self.client.wire.send(&request, Body::Nothing);
        self.patiently(|| send().map_err(|error| self.unreachable_at(&url, error)))
    }
}
