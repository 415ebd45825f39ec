//! Which proxy stands between us and a server: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. Pure.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::url::{Scheme, Url, is_loopback, split_port};

/// The proxies that an environment names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    https: Option<String>,
    http: Option<String>,
    except: Vec<String>,
}

impl Proxies {
    /// Takes what the variables say; small letters count before capitals, as in curl.
    pub fn from_variables(read: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name: &str| {
            let value = read(&name.to_ascii_lowercase()).or_else(|| read(name));
            value.filter(|value| !value.trim().is_empty())
        };
        let all = read("ALL_PROXY");
        let except = read("NO_PROXY").unwrap_or_default();
        let except = except.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
        Self {
            https: read("HTTPS_PROXY").or_else(|| all.clone()),
            http: read("HTTP_PROXY").or(all),
            except: except.map(str::to_ascii_lowercase).collect(),
        }
    }

    /// Returns the proxy for an address. This machine is asked directly.
    pub(crate) fn choose(&self, url: &Url) -> Option<&str> {
        let proxy = match url.scheme() {
            Scheme::Https => self.https.as_deref(),
            Scheme::Http => self.http.as_deref(),
        };
        let host = url.host().trim_end_matches('.');
        proxy.filter(|_| !is_loopback(host) && !self.except.iter().any(|entry| excepts(entry, host, url.port())))
    }
}

impl fmt::Debug for Proxies {
    /// A proxy's address may have a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").field("except", &self.except).finish_non_exhaustive()
    }
}

/// An entry is `*`, an address, a network, or a domain with all below it; each may have a port.
fn excepts(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let (Ok(network), Ok(address)) = (entry.parse::<IpNet>(), host.parse::<IpAddr>()) {
        return network.contains(&address);
    }
    if let Ok(address) = entry.parse::<IpAddr>() {
        return host.parse() == Ok(address);
    }
    let (domain, only) = split_port(entry);
    let domain = domain.trim_start_matches('*').trim_start_matches('.');
    let below = host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !domain.is_empty() && below && only.is_none_or(|only| only == port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let read = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        Proxies::from_variables(read).choose(&Url::parse(url).unwrap()).map(str::to_owned)
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let both = [("https_proxy", "http://s:1"), ("HTTPS_PROXY", "http://x:1"), ("HTTP_PROXY", "http://p:1")];
        assert_eq!(chosen(&both, "https://r.test/").as_deref(), Some("http://s:1"));
        assert_eq!(chosen(&both, "http://r.test/").as_deref(), Some("http://p:1"));
        assert_eq!(chosen(&[("ALL_PROXY", "http://a:1")], "https://r.test/").as_deref(), Some("http://a:1"));
        assert_eq!(chosen(&[("HTTPS_PROXY", "")], "https://r.test/"), None);
    }

    #[test]
    fn some_hosts_are_asked_directly() {
        let direct =
            |except: &str, url: &str| chosen(&[("ALL_PROXY", "http://a:1"), ("NO_PROXY", except)], url).is_none();
        assert!(direct("", "http://localhost:5000/"));
        assert!(direct("", "https://127.0.0.1/"));
        assert!(!direct("", "https://r.test/"));
        for except in ["*", "r.test", ".test", "x, R.test:5000", "*.test"] {
            assert!(direct(except, "https://r.test:5000/"), "{except}");
        }
        for except in ["r.test:443", "est", "a.r.test", ","] {
            assert!(!direct(except, "https://r.test:5000/"), "{except}");
        }
        assert!(direct("10.0.0.0/8", "https://10.1.2.3/"));
        assert!(direct("fd00::/8", "https://[fd00::1]:5000/"));
        assert!(!direct("10.0.0.0/8", "https://11.1.2.3/"));
    }
}
