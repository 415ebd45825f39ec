//! Addresses in the web, as far as a registry needs them: two schemes, an authority, a path with its query (RFC 3986).
//!
//! What a server sends as `Location`, `Link` or `realm` comes through [`Url::join`], so there is one place where an address
//! from outside is read. An address with a user in it is refused: whom a secret is sent to is decided by us alone.

use std::fmt;

use ureq::http::Uri;

/// The longest address that we follow.
const LONGEST: usize = 16 << 10;

/// The two ways to speak HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    /// Over TLS.
    Https,
    /// In the clear.
    Http,
}

impl Scheme {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

/// An address: `https://HOST[:PORT]/PATH[?QUERY]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Url {
    scheme: Scheme,
    authority: String,
    /// Path and query; it begins with a slash.
    target: String,
}

/// Why a text from a server is not an address that we follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address of the form https://HOST/PATH")]
pub struct UrlError(String);

impl Url {
    /// Composes an address. The authority is a host with its port, checked before by who made it.
    pub(crate) fn new(scheme: Scheme, authority: &str, target: impl Into<String>) -> Self {
        Self { scheme, authority: authority.to_ascii_lowercase(), target: target.into() }
    }

    /// Reads an absolute address.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let fault = || UrlError(text.chars().take(200).filter(|c| !c.is_control()).collect());
        let text = text.split('#').next().unwrap_or_default();
        let uri: Uri = (text.len() <= LONGEST).then(|| text.parse().ok()).flatten().ok_or_else(fault)?;
        let scheme = match uri.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            _ => return Err(fault()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(fault)?;
        if authority.host().is_empty() {
            return Err(fault());
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self::new(scheme, authority.as_str(), format!("{slash}{target}")))
    }

    /// Reads an address that may be relative to this one.
    pub(crate) fn join(&self, text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let absolute = match text {
            _ if has_scheme(text) => text.to_owned(),
            _ if text.starts_with("//") => format!("{}:{text}", self.scheme.word()),
            _ if text.starts_with('/') => format!("{}{text}", self.origin()),
            _ if text.starts_with('?') => format!("{}{}{text}", self.origin(), self.path()),
            _ => {
                let directory = self.path().rsplit_once('/').map_or("", |(directory, _)| directory);
                format!("{}{directory}/{text}", self.origin())
            }
        };
        Self::parse(&absolute)
    }

    /// Returns the address with one more parameter in its query.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let sign = if self.target.contains('?') { '&' } else { '?' };
        self.target = format!("{}{sign}{name}={}", self.target, encode(value));
        self
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns host and port, as they are written.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the host, without port and brackets.
    pub(crate) fn host(&self) -> &str {
        split_port(&self.authority).0
    }

    /// Returns the port, also where it is the usual one and not written.
    pub(crate) fn port(&self) -> u16 {
        split_port(&self.authority).1.unwrap_or(self.scheme.port())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Returns scheme and authority.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme.word(), self.authority)
    }

    /// Tells whether both lead to the same server in the same way, so that what one may know the other may know.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host() == other.host() && self.port() == other.port()
    }

    /// Returns the address without its query, where signatures stand that are as good as a password.
    pub(crate) fn public(&self) -> String {
        let query = if self.target.contains('?') { "?..." } else { "" };
        format!("{}{}{query}", self.origin(), self.path())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.word(), self.authority, self.target)
    }
}

/// Splits `HOST[:PORT]`; the brackets of an IPv6 address go.
pub(crate) fn split_port(authority: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, None),
    }
}

/// Tells whether a host is this machine by its very name.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || address.is_ok_and(|address| address.is_loopback())
}

/// Writes a value so that it can stand in a query or in a form (RFC 3986, 2.3).
pub(crate) fn encode(value: &str) -> String {
    value.bytes().fold(String::with_capacity(value.len()), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            // These two may stand in a query, and scopes and digests are easier to read with them.
            b':' | b'/' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}

fn has_scheme(text: &str) -> bool {
    let word = |scheme: &str| scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    text.split_once("://").is_some_and(|(scheme, _)| !scheme.is_empty() && word(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn an_address_from_a_server_may_be_relative() {
        let base = url("https://r.test:5000/v2/a/blobs/uploads/?x=1");
        for (text, whole) in [
            ("http://other.test/p?q#f", "http://other.test/p?q"),
            ("//other.test/p", "https://other.test/p"),
            ("/v2/x?_state=a%2B", "https://r.test:5000/v2/x?_state=a%2B"),
            ("?n=2", "https://r.test:5000/v2/a/blobs/uploads/?n=2"),
            ("uuid", "https://r.test:5000/v2/a/blobs/uploads/uuid"),
            ("https://r.test", "https://r.test/"),
        ] {
            assert_eq!(base.join(text).unwrap().to_string(), whole, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_of_the_web_is_not_followed() {
        let base = url("https://r.test/");
        let long = "x".repeat(LONGEST);
        for text in ["file:///etc/passwd", "ftp://a/", "https://user:secret@a/", "https:///x", "http://a b/", &long] {
            assert!(base.join(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_same_server_is_known_with_and_without_its_usual_port() {
        assert!(url("https://R.test/a").same_origin(&url("https://r.test:443/b")));
        assert!(!url("https://r.test/").same_origin(&url("http://r.test/")));
        assert!(!url("https://r.test/").same_origin(&url("https://r.test:5000/")));
        assert!(!url("https://r.test/").same_origin(&url("https://r.test.evil.test/")));
    }

    #[test]
    fn a_query_is_not_shown_and_a_parameter_is_encoded() {
        assert_eq!(url("https://c.test/b?sig=secret").public(), "https://c.test/b?...");
        let scoped = url("https://a.test/token").with("service", "a b").with("scope", "repository:a/b:pull,push");
        assert_eq!(scoped.to_string(), "https://a.test/token?service=a%20b&scope=repository:a/b:pull%2Cpush");
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for host in ["localhost", "127.0.0.1", "127.8.9.1", "::1", "a.localhost", "LOCALHOST"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.test", "128.0.0.1", "::2", "127.0.0.1.test"] {
            assert!(!is_loopback(host), "{host}");
        }
        assert_eq!(split_port("[::1]:5000"), ("::1", Some(5000)));
        assert_eq!(split_port("a.test"), ("a.test", None));
    }
}
