//! An authority of the test's own, which signs certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Who signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Pair {
    /// The certificate, as PEM.
    pub certificate: String,
    /// The key, as PEM.
    pub key: String,
    certificate_der: Vec<u8>,
    key_der: Vec<u8>,
}

impl Authority {
    /// Makes an authority that nobody knows yet.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    }

    /// Returns its certificate, as PEM.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// Writes its certificate into a directory and returns the path.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join("ca.crt");
        std::fs::write(&path, self.certificate()).expect("a file for the authority's certificate");
        path
    }

    /// Makes a certificate for a server of these names and addresses.
    pub fn server(&self, names: &[&str]) -> Pair {
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Makes a certificate for a client.
    pub fn client(&self, name: &str) -> Pair {
        self.sign(&[name], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, names: &[&str], purpose: ExtendedKeyUsagePurpose) -> Pair {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names that a certificate can have");
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            certificate_der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
        }
    }
}

impl Pair {
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let chain = vec![CertificateDer::from(self.certificate_der.clone())];
        let key = PrivateKeyDer::try_from(self.key_der.clone()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions of TLS").with_no_client_auth();
        Arc::new(config.with_single_cert(chain, key).expect("a certificate that fits its key"))
    }
}
