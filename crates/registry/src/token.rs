//! Tokens: what is asked of a token server, what it answers, and how long that is good (distribution project, "Token
//! Authentication Specification" and "Oauth2 Token Authentication"). Pure; [`crate::auth`] does the asking.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;

use crate::challenge::Bearer;
use crate::credentials::{Credential, Secret};
use crate::scope::{Scope, covers};
use crate::url::{Url, encode};

/// How we call ourselves to token servers.
const CLIENT: &str = "conductor";
/// How long a token is good if nobody says; the specification's number.
const USUAL_LIFE: Duration = Duration::from_secs(60);
/// A token is not used in its last seconds: a request needs some time to arrive.
const MARGIN: Duration = Duration::from_secs(5);

/// A token and what it is good for.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) value: Secret,
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    /// Who it was given to.
    pub(crate) account: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) until: Instant,
}

impl Token {
    /// Tells whether it does for what is wanted now.
    pub(crate) fn fits(&self, bearer: &Bearer, account: &str, scopes: &[Scope], now: Instant) -> bool {
        self.realm == bearer.realm
            && self.service == bearer.service
            && self.account == account
            && now < self.until
            && covers(&self.scopes, scopes)
    }
}

/// What a token server answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Given {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
    issued_at: Option<String>,
    refresh_token: Option<String>,
}

impl Given {
    /// Returns the token, by either of its names.
    pub(crate) fn token(&self) -> Option<Secret> {
        let given = self.token.iter().chain(&self.access_token).find(|token| !token.is_empty());
        // It becomes a header: what has a line break in it is none.
        given.filter(|token| token.bytes().all(|b| b.is_ascii_graphic())).map(Secret::new)
    }

    /// Returns the token that others are given for, where there is one.
    pub(crate) fn refresh_token(&self) -> Option<Secret> {
        self.refresh_token.as_deref().filter(|token| !token.is_empty()).map(Secret::new)
    }

    /// Returns how much longer it is good.
    pub(crate) fn life(&self, now: Timestamp) -> Duration {
        let whole =
            self.expires_in.map_or(USUAL_LIFE, |seconds| Duration::from_secs(seconds.min(1 << 32)).max(USUAL_LIFE));
        let issued = self.issued_at.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        // A clock that is ahead of ours gives no longer life.
        let age = issued.and_then(|issued| Duration::try_from(now.duration_since(issued)).ok()).unwrap_or_default();
        // One whose clock is far behind would give tokens that are never good; those are tried all the same.
        if age >= whole { USUAL_LIFE - MARGIN } else { (whole - age).saturating_sub(MARGIN) }
    }
}

/// Composes the address of a question by GET.
pub(crate) fn get_url(realm: &Url, bearer: &Bearer, scopes: &[Scope], user: Option<&str>, for_login: bool) -> Url {
    let mut url = realm.clone();
    if let Some(service) = &bearer.service {
        url = url.with("service", service);
    }
    for scope in scopes {
        url = url.with("scope", &scope.to_string());
    }
    if let Some(user) = user {
        url = url.with("account", user);
    }
    if for_login { url.with("client_id", CLIENT).with("offline_token", "true") } else { url }
}

/// Composes the form of a question by POST; nothing where there is nothing to prove.
pub(crate) fn form(credential: &Credential, bearer: &Bearer, scopes: &[Scope], for_login: bool) -> Option<String> {
    let mut fields = match credential {
        Credential::Password { user, secret } => {
            vec![("grant_type", "password"), ("username", user), ("password", secret.reveal())]
        }
        Credential::Identity { token, .. } => vec![("grant_type", "refresh_token"), ("refresh_token", token.reveal())],
        Credential::Anonymous | Credential::Registry { .. } => return None,
    };
    let scopes = scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    fields.push(("service", bearer.service.as_deref().unwrap_or_default()));
    fields.push(("client_id", CLIENT));
    if !scopes.is_empty() {
        fields.push(("scope", &scopes));
    }
    if for_login {
        fields.push(("access_type", "offline"));
    }
    let pairs: Vec<_> = fields.into_iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    Some(pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer() -> Bearer {
        Bearer { realm: "https://a.test/token?x=1".into(), service: Some("r.test".into()), ..Bearer::default() }
    }

    #[test]
    fn a_token_is_asked_for_with_all_scopes() {
        let realm = Url::parse(&bearer().realm).unwrap();
        let scopes = [Scope::pull("from"), Scope::push("to")];
        assert_eq!(
            get_url(&realm, &bearer(), &scopes, Some("e&g"), false).to_string(),
            "https://a.test/token?x=1&service=r.test&scope=repository:from:pull&scope=repository:to:pull%2Cpush&account=e%26g"
        );
        let secret = Credential::Password { user: "eg".into(), secret: Secret::new("a&b=c d") };
        assert_eq!(
            form(&secret, &bearer(), &scopes, true).unwrap(),
            "grant_type=password&username=eg&password=a%26b%3Dc%20d&service=r.test&client_id=conductor\
             &scope=repository:from:pull%20repository:to:pull%2Cpush&access_type=offline"
        );
        let identity = Credential::Identity { user: String::new(), token: Secret::new("t") };
        assert!(
            form(&identity, &bearer(), &[], false).unwrap().starts_with("grant_type=refresh_token&refresh_token=t&")
        );
        assert_eq!(form(&Credential::Anonymous, &bearer(), &[], false), None);
    }

    #[test]
    fn a_token_is_good_as_long_as_its_server_says() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let life = |text: &str| serde_json::from_str::<Given>(text).unwrap().life(now).as_secs();
        assert_eq!(life(r#"{"token":"t"}"#), 55);
        assert_eq!(life(r#"{"token":"t","expires_in":300}"#), 295);
        assert_eq!(life(r#"{"token":"t","expires_in":1}"#), 55);
        assert_eq!(life(r#"{"token":"t","expires_in":300,"issued_at":"2026-01-02T03:02:05Z"}"#), 175);
        assert_eq!(life(r#"{"token":"t","expires_in":300,"issued_at":"2027-01-02T03:02:05Z"}"#), 295);
        assert_eq!(life(r#"{"token":"t","expires_in":300,"issued_at":"2025-01-02T03:02:05Z"}"#), 55);
        assert_eq!(life(r#"{"token":"t","expires_in":300,"issued_at":"soon"}"#), 295);
    }

    #[test]
    fn a_token_has_two_names_and_no_line_breaks() {
        let token =
            |text: &str| serde_json::from_str::<Given>(text).unwrap().token().map(|token| token.reveal().to_owned());
        assert_eq!(token(r#"{"access_token":"a"}"#).as_deref(), Some("a"));
        assert_eq!(token(r#"{"token":"","access_token":"a"}"#).as_deref(), Some("a"));
        assert_eq!(token(r#"{"token":"a\r\nX: y"}"#), None);
        assert_eq!(token("{}"), None);
    }

    #[test]
    fn a_token_is_used_again_for_the_same_or_less() {
        let now = Instant::now();
        let token = Token {
            value: Secret::new("t"),
            realm: bearer().realm,
            service: bearer().service,
            account: "eg".into(),
            scopes: vec![Scope::push("a")],
            until: now + USUAL_LIFE,
        };
        assert!(token.fits(&bearer(), "eg", &[Scope::pull("a")], now));
        assert!(!token.fits(&bearer(), "other", &[Scope::pull("a")], now));
        assert!(!token.fits(&bearer(), "eg", &[Scope::pull("b")], now));
        assert!(!token.fits(&bearer(), "eg", &[Scope::pull("a")], now + USUAL_LIFE));
        assert!(!token.fits(&Bearer { service: None, ..bearer() }, "eg", &[], now));
    }
}
