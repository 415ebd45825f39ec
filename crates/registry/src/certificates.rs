//! Whose certificates are believed, and which one we show: the system's bundle, and the directories of single hosts that
//! Docker and containers know (`certs.d/HOST:PORT/{*.crt,*.cert,*.key}`).

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, parse_pem};

/// Where distributions keep their bundle: Debian and Alpine, Fedora (new and old), SUSE, Alpine and OpenBSD's way.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/cacert.pem",
];
/// Where some keep the certificates one by one.
const DIRECTORY: &str = "/etc/ssl/certs";
/// No file of certificates is longer.
const LONGEST: u64 = 16 << 20;

/// Where certificates lie.
#[derive(Debug, Clone, Default)]
pub struct CertificatePaths {
    /// The bundle, in place of the system's (`SSL_CERT_FILE`).
    pub bundle: Option<PathBuf>,
    /// A directory of certificates, in place of the system's (`SSL_CERT_DIR`).
    pub directory: Option<PathBuf>,
    /// Directories with one directory for each host.
    pub hosts: Vec<PathBuf>,
}

/// Why there is no trust.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has no certificate, or no key, in it.
    #[error("there is no {what} in {path}")]
    Empty {
        /// What is missing.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A client's certificate without its key, or with another one.
    #[error("the client certificate {path} cannot be used: {reason}")]
    Client {
        /// The certificate.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system has no bundle.
    #[error(
        "this machine has no certificates to check others by: install its package ca-certificates, or name a file in SSL_CERT_FILE"
    )]
    NoRoots,
}

/// The certificates of this machine, read when the first one is needed.
#[derive(Debug)]
pub(crate) struct Certificates {
    paths: CertificatePaths,
    system: OnceLock<Vec<Certificate<'static>>>,
}

impl CertificatePaths {
    /// Returns the usual places.
    pub fn usual(read: impl Fn(&str) -> Option<String>, home: Option<&Path>) -> Self {
        let path = |name: &str| read(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let mut hosts: Vec<PathBuf> = vec!["/etc/docker/certs.d".into(), "/etc/containers/certs.d".into()];
        hosts.extend(home.map(|home| home.join(".config/containers/certs.d")));
        Self { bundle: path("SSL_CERT_FILE"), directory: path("SSL_CERT_DIR"), hosts }
    }
}

impl Certificates {
    pub(crate) fn new(paths: CertificatePaths) -> Self {
        Self { paths, system: OnceLock::new() }
    }

    /// Returns whom to believe about a server.
    pub(crate) fn roots(&self, authority: &str) -> Result<RootCerts, CertificateError> {
        let mut roots = Vec::new();
        for path in self.files(authority, "crt")? {
            roots.extend(read_certificates(&path)?);
        }
        roots.extend_from_slice(self.system()?);
        if roots.is_empty() {
            return Err(CertificateError::NoRoots);
        }
        Ok(RootCerts::Specific(Arc::new(roots)))
    }

    /// Returns what to show to a server, if there is something.
    pub(crate) fn client(&self, authority: &str) -> Result<Option<ClientCert>, CertificateError> {
        let Some(path) = self.files(authority, "cert")?.into_iter().next() else { return Ok(None) };
        let key_path = path.with_extension("key");
        let unusable = |reason: String| CertificateError::Client { path: path.clone(), reason };
        let key = match read(&key_path) {
            Ok(bytes) => PrivateKey::from_pem(&bytes).map_err(|error| unusable(error.to_string()))?,
            Err(CertificateError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Err(unusable(format!("{} is missing", key_path.display())));
            }
            Err(error) => return Err(error),
        };
        let chain = read_certificates(&path)?;
        check_pair(&chain, &key).map_err(unusable)?;
        Ok(Some(ClientCert::new_with_certs(&chain, key)))
    }

    fn system(&self) -> Result<&[Certificate<'static>], CertificateError> {
        if let Some(system) = self.system.get() {
            return Ok(system);
        }
        let system = read_system(&self.paths)?;
        Ok(self.system.get_or_init(|| system))
    }

    /// Returns a host's files of one kind, in the order of their names.
    fn files(&self, authority: &str, end: &str) -> Result<Vec<PathBuf>, CertificateError> {
        let mut files = Vec::new();
        // A host's name comes from outside, and must stay one name.
        if authority.contains('/') || authority.starts_with('.') {
            return Ok(files);
        }
        for directory in self.paths.hosts.iter().map(|directory| directory.join(authority)) {
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => continue,
                Err(source) => return Err(CertificateError::Read { path: directory, source }),
            };
            let start = files.len();
            for entry in entries {
                let path = entry.map_err(|source| CertificateError::Read { path: directory.clone(), source })?.path();
                files.extend(Some(path).filter(|path| path.extension().is_some_and(|own| own == end)));
            }
            files[start..].sort();
        }
        Ok(files)
    }
}

/// What is named must be there; of what is usual, the first that is there.
fn read_system(paths: &CertificatePaths) -> Result<Vec<Certificate<'static>>, CertificateError> {
    let mut found = Vec::new();
    if let Some(path) = &paths.bundle {
        found.extend(read_certificates(path)?);
    }
    if let Some(directory) = &paths.directory {
        found.extend(read_directory(directory));
    }
    if paths.bundle.is_some() || paths.directory.is_some() {
        return Ok(found);
    }
    let usual = BUNDLES.iter().find_map(|path| read_certificates(Path::new(path)).ok());
    Ok(usual.unwrap_or_else(|| read_directory(Path::new(DIRECTORY))))
}

fn read_directory(directory: &Path) -> Vec<Certificate<'static>> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| read_certificates(&entry.path()).ok()).flatten().collect()
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>, CertificateError> {
    let bytes = read(path)?;
    let found: Vec<_> = parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(CertificateError::Empty { what: "certificate", path: path.to_owned() });
    }
    Ok(found)
}

/// The library that uses the pair later expects that this has been looked at.
fn check_pair(chain: &[Certificate<'static>], key: &PrivateKey<'static>) -> Result<(), String> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
    let key = PrivateKeyDer::try_from(key.der().to_vec()).map_err(ToOwned::to_owned)?;
    let provider = rustls::crypto::ring::default_provider();
    let checked = rustls::sign::CertifiedKey::from_der(chain, key, &provider);
    checked.map(drop).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
    file.map_err(|source| CertificateError::Read { path: path.to_owned(), source })?;
    Ok(bytes)
}
