//! Which servers are asked for a repository, in which order, and how far they are trusted.
//!
//! The rules come from containers' `registries.conf` ([`parse`](Hosts::parse)); what follows from them for one repository
//! is [`Hosts::plan`]. Both are pure; [`Hosts::read`] alone knows files.

mod config;
mod files;

use crate::url::{is_loopback, split_port};

pub use config::HostsError;

/// The name under which images of Docker Hub are known.
const HUB: &str = "docker.io";
/// Where Docker Hub's registry really is.
const HUB_SERVER: &str = "registry-1.docker.io";
/// Docker Hub's other names, of older days.
const HUB_ALIASES: [&str; 3] = [HUB, "index.docker.io", HUB_SERVER];
/// What Docker's files call Docker Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// The rules about registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Each rule; the one with the longest prefix counts.
    pub rules: Vec<Rule>,
    /// Whether servers must prove who they are, whatever the rules say; nothing where the rules decide.
    pub verify: Option<bool>,
}

/// A rule about the repositories whose names begin in one way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// How the names begin: `docker.io`, `example.org/team`, or `*.example.org`.
    pub prefix: String,
    /// What stands in place of the prefix when the server is asked; nothing where the name is the address.
    pub location: Option<String>,
    /// Whether plain http and certificates of anybody are good enough.
    pub insecure: bool,
    /// Whether the server must not be asked at all.
    pub blocked: bool,
    /// Who is asked first when something is pulled.
    pub mirrors: Vec<Mirror>,
}

/// A server that has copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// What stands in place of the prefix: `mirror.example.org/hub`.
    pub location: String,
    /// Whether plain http and certificates of anybody are good enough.
    pub insecure: bool,
    /// What is taken from it.
    pub pull: MirrorPull,
}

/// What is taken from a mirror.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MirrorPull {
    /// Everything.
    #[default]
    All,
    /// What is asked for by digest: a mirror that lags behind cannot give an old image for a tag.
    DigestOnly,
    /// What is asked for by tag.
    TagOnly,
}

/// How far a server is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// TLS, and a certificate that we can check.
    Verified,
    /// It is this machine: the same, or plain http where it speaks no TLS.
    Loopback,
    /// TLS with any certificate, or plain http.
    Insecure,
}

/// A repository on one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// The server as people know it, with its port: `docker.io`.
    pub(crate) host: String,
    /// The path there.
    pub(crate) path: String,
    pub(crate) trust: Trust,
}

/// Whom to ask about a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) registry: Site,
    /// Who has copies, each with what may be taken from it.
    pub(crate) mirrors: Vec<(Site, MirrorPull)>,
}

impl Hosts {
    /// Plans whom to ask about a repository; nothing where a rule blocks it, which is then returned.
    pub(crate) fn plan(&self, host: &str, path: &str) -> Result<Plan, &Rule> {
        let host = canonical(host);
        let name = format!("{host}/{}", full_path(host, path));
        let Some((rule, length)) = self.rule(&name) else {
            let registry = self.site(&name, false);
            return Ok(Plan { registry, mirrors: Vec::new() });
        };
        if rule.blocked {
            return Err(rule);
        }
        let rest = &name[length..];
        let place = |location: &str| format!("{}{rest}", location.trim_end_matches('/'));
        let located = rule.location.as_deref().map_or(name.clone(), place);
        let mirrors = rule.mirrors.iter();
        let mirrors = mirrors.map(|mirror| (self.site(&place(&mirror.location), mirror.insecure), mirror.pull));
        Ok(Plan { registry: self.site(&located, rule.insecure), mirrors: mirrors.collect() })
    }

    /// Splits `HOST[:PORT]/PATH`.
    fn site(&self, name: &str, insecure: bool) -> Site {
        let (host, path) = name.split_once('/').unwrap_or((name, ""));
        let host = canonical(host);
        let trust = match self.verify {
            Some(true) => Trust::Verified,
            Some(false) => Trust::Insecure,
            None if insecure => Trust::Insecure,
            None if is_loopback(split_port(host).0) => Trust::Loopback,
            None => Trust::Verified,
        };
        Site { host: host.to_owned(), path: path.to_owned(), trust }
    }

    /// Finds the rule with the longest prefix, and how much of the name it covers.
    fn rule(&self, name: &str) -> Option<(&Rule, usize)> {
        let covered = self.rules.iter().filter_map(|rule| Some((rule, covers(&rule.prefix, name)?)));
        covered.max_by_key(|(rule, length)| (*length, !rule.prefix.starts_with('*')))
    }
}

impl Site {
    /// Returns the server's address: host and port.
    pub(crate) fn authority(&self) -> &str {
        if self.host == HUB { HUB_SERVER } else { &self.host }
    }
}

/// Returns what Docker's files call a registry.
pub(crate) fn credential_key(host: &str) -> &str {
    if canonical(host) == HUB { HUB_KEY } else { host }
}

/// Returns the one name of a host that may have several.
pub(crate) fn canonical(host: &str) -> &str {
    if HUB_ALIASES.iter().any(|alias| alias.eq_ignore_ascii_case(host)) { HUB } else { host }
}

/// On Docker Hub a path of one component lies below `library`.
fn full_path(host: &str, path: &str) -> String {
    if host == HUB && !path.contains('/') && !path.is_empty() { format!("library/{path}") } else { path.to_owned() }
}

/// Returns how many characters of the name a prefix covers. It ends where a component of the name does.
fn covers(prefix: &str, name: &str) -> Option<usize> {
    let prefix = prefix.trim_end_matches('/');
    if let Some(domain) = prefix.strip_prefix('*') {
        let host = &name[..name.find('/').unwrap_or(name.len())];
        let fits = domain.starts_with('.') && host.len() > domain.len() && split_port(host).0.ends_with(domain);
        return fits.then_some(host.len());
    }
    let rest = name.strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
    (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(hosts: &Hosts, host: &str, path: &str) -> String {
        let tell = |site: &Site| format!("{}/{} {:?}", site.authority(), site.path, site.trust);
        match hosts.plan(host, path) {
            Err(rule) => format!("blocked by {}", rule.prefix),
            Ok(plan) => {
                let mirrors = plan.mirrors.iter().map(|(site, pull)| format!("{} {pull:?}", tell(site)));
                mirrors.chain([tell(&plan.registry)]).collect::<Vec<_>>().join(", ")
            }
        }
    }

    #[test]
    fn without_rules_a_name_is_an_address() {
        let hosts = Hosts::default();
        for (host, path, whole) in [
            ("docker.io", "debian", "registry-1.docker.io/library/debian Verified"),
            ("index.docker.io", "a/b", "registry-1.docker.io/a/b Verified"),
            ("r.test:5000", "debian", "r.test:5000/debian Verified"),
            ("localhost:5000", "a", "localhost:5000/a Loopback"),
            ("[::1]:5000", "a", "[::1]:5000/a Loopback"),
        ] {
            assert_eq!(told(&hosts, host, path), whole);
        }
    }

    #[test]
    fn the_longest_prefix_counts_and_mirrors_come_first() {
        let hosts = Hosts::parse(
            r#"
            unqualified-search-registries = ["docker.io"]
            [[registry]]
            location = "docker.io"
            [[registry.mirror]]
            location = "mirror.test:5000/hub"
            insecure = true
            [[registry.mirror]]
            location = "slow.test"
            pull-from-mirror = "digest-only"
            [[registry]]
            prefix = "docker.io/evil"
            blocked = true
            [[registry]]
            prefix = "r.test/team"
            location = "new.test/moved"
            [[registry]]
            prefix = "*.corp.test"
            insecure = true
            "#,
        )
        .unwrap();
        for (host, path, whole) in [
            (
                "docker.io",
                "debian",
                "mirror.test:5000/hub/library/debian Insecure All, slow.test/library/debian Verified DigestOnly, \
                 registry-1.docker.io/library/debian Verified",
            ),
            ("docker.io", "evil/x", "blocked by docker.io/evil"),
            (
                "docker.io",
                "evilish/x",
                "mirror.test:5000/hub/evilish/x Insecure All, slow.test/evilish/x Verified DigestOnly, registry-1.docker.io/evilish/x Verified",
            ),
            ("r.test", "team/a", "new.test/moved/a Verified"),
            ("r.test", "teams/a", "r.test/teams/a Verified"),
            ("a.corp.test:5000", "x", "a.corp.test:5000/x Insecure"),
            ("corp.test", "x", "corp.test/x Verified"),
        ] {
            assert_eq!(told(&hosts, host, path), whole);
        }
    }

    #[test]
    fn the_command_line_has_the_last_word_on_trust() {
        let mirror = Mirror { location: "m.test".into(), insecure: true, pull: MirrorPull::All };
        let rule = Rule { prefix: "r.test".into(), mirrors: vec![mirror], ..Rule::default() };
        let mut hosts = Hosts { rules: vec![rule], verify: Some(true) };
        assert_eq!(told(&hosts, "r.test", "a"), "m.test/a Verified All, r.test/a Verified");
        assert_eq!(told(&hosts, "localhost:5000", "a"), "localhost:5000/a Verified");
        hosts.verify = Some(false);
        assert_eq!(told(&hosts, "r.test", "a"), "m.test/a Insecure All, r.test/a Insecure");
    }

    #[test]
    fn docker_hub_has_a_key_of_its_own_in_files() {
        assert_eq!(credential_key("docker.io"), "https://index.docker.io/v1/");
        assert_eq!(credential_key("registry-1.docker.io"), "https://index.docker.io/v1/");
        assert_eq!(credential_key("r.test:5000"), "r.test:5000");
    }
}
