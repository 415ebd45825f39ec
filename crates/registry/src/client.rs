//! The client: what all repositories share. Start reading at [`Client::repository`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use oci::Reference;
use trace::Recorder;

use crate::auth::Auth;
use crate::certificates::CertificatePaths;
use crate::credentials::{CredentialPaths, Credentials};
use crate::error::{Error, Fault};
use crate::hosts::{Hosts, HostsError, Plan};
use crate::names::NameFiles;
use crate::proxy::Proxies;
use crate::repository::Repository;
use crate::retry::Patience;
use crate::session::Session;
use crate::url::Scheme;
use crate::wire::{Timeouts, Wire};

/// All that a client has to know of its machine and its user.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Rules about registries.
    pub hosts: Hosts,
    /// Where credentials are kept.
    pub credentials: CredentialPaths,
    /// Where certificates lie.
    pub certificates: CertificatePaths,
    /// Which proxies stand in between.
    pub proxies: Proxies,
    /// The files that tell where hosts are.
    pub names: NameFiles,
    /// How long a server is waited for.
    pub timeouts: Timeouts,
    /// How often something is tried again.
    pub patience: Patience,
}

/// Speaks with registries. Several threads may use one client at a time; it shares connections and tokens between them.
///
/// ```no_run
/// let settings = registry::Settings::from_environment(None)?;
/// let recorder = trace::Recorder::silent();
/// let client = registry::Client::new(settings, &recorder);
/// let reference: oci::Reference = "docker.io/library/debian:12".parse()?;
/// let repository = client.repository(&reference)?;
/// let manifest = repository.manifest(&registry::Version::of(&reference))?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client<'r> {
    pub(crate) recorder: &'r Recorder,
    pub(crate) hosts: Hosts,
    pub(crate) patience: Patience,
    pub(crate) wire: Wire,
    pub(crate) auth: Auth,
    pub(crate) credentials: Credentials,
    /// How servers are spoken to that may be spoken to in two ways.
    pub(crate) schemes: Mutex<HashMap<String, Scheme>>,
}

impl Settings {
    /// Reads the settings of this machine and its user. `registries_conf` is the file that the command line names.
    pub fn from_environment(registries_conf: Option<&Path>) -> Result<Self, HostsError> {
        let read = |name: &str| std::env::var(name).ok();
        let home = read("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let home = home.as_deref();
        let named = registries_conf.map(Path::to_owned);
        let named =
            named.or_else(|| read("CONTAINERS_REGISTRIES_CONF").filter(|path| !path.is_empty()).map(Into::into));
        Ok(Self {
            hosts: Hosts::read(named.as_deref(), home)?,
            credentials: CredentialPaths::usual(read, home),
            certificates: CertificatePaths::usual(read, home),
            proxies: Proxies::from_variables(read),
            ..Self::default()
        })
    }
}

impl<'r> Client<'r> {
    /// Makes a client; nothing is read or asked yet. Every request is told to the recorder before it is sent.
    pub fn new(settings: Settings, recorder: &'r Recorder) -> Self {
        let Settings { hosts, credentials, certificates, proxies, names, timeouts, patience } = settings;
        Self {
            recorder,
            hosts,
            patience,
            wire: Wire::new(timeouts, names, proxies, certificates),
            auth: Auth::default(),
            credentials: Credentials::new(credentials),
            schemes: Mutex::default(),
        }
    }

    /// Returns the repository that a reference names, with its mirrors.
    pub fn repository(&self, reference: &Reference) -> Result<Repository<'_>, Error> {
        let plan = self.plan(reference.domain(), reference.path());
        let plan = plan.map_err(|fault| Error::new(format!("use {}", reference.repository()), fault))?;
        let mirrors = plan.mirrors.into_iter().map(|(site, pull)| (Session::new(self, site), pull));
        Ok(Repository::new(Session::new(self, plan.registry), mirrors.collect(), reference.repository()))
    }

    /// Returns a registry as a whole.
    pub(crate) fn registry(&self, host: &str) -> Result<Session<'_>, Fault> {
        // A name that a reference can have is one that can stand in an address.
        let wrong = |_| Fault::Host(host.to_owned());
        let reference: Reference = format!("{host}/x").parse().map_err(wrong)?;
        if !reference.domain().eq_ignore_ascii_case(host) {
            return Err(Fault::Host(host.to_owned()));
        }
        Ok(Session::new(self, self.plan(host, "")?.registry))
    }

    fn plan(&self, host: &str, path: &str) -> Result<Plan, Fault> {
        let blocked = |prefix: &str| Fault::Blocked { registry: host.to_owned(), prefix: prefix.to_owned() };
        self.hosts.plan(host, path).map_err(|rule| blocked(&rule.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlobReader;

    #[test]
    fn a_client_may_be_shared_and_a_blob_handed_to_another_thread() {
        fn shared<T: Sync + Send>() {}
        fn sent<T: Send>() {}
        shared::<Client<'_>>();
        shared::<Repository<'_>>();
        sent::<BlobReader<'_>>();
    }

    #[test]
    fn an_image_of_docker_hub_has_its_server_and_its_path() {
        let recorder = Recorder::silent();
        let client = Client::new(Settings::default(), &recorder);
        let repository = client.repository(&"docker.io/debian:12".parse().unwrap()).unwrap();
        assert_eq!(repository.registry.site.authority(), "registry-1.docker.io");
        assert_eq!(repository.registry.site.path, "library/debian");
    }
}
