//! How far registries are trusted, and what may help where one does not let us in.

use std::error::Error;

use clap::Args;
use image::{PullError, PushError};

use crate::error::Failure;

/// How far registries are trusted.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TrustArgs {
    /// Whether registries must prove by TLS who they are (default: unless they are this machine, or registries.conf says no)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) tls_verify: Option<bool>,
}

/// The same, with Docker's word for it in commands about lists.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ListTrustArgs {
    /// Let registries do without TLS, or with a certificate of anybody
    #[arg(long, conflicts_with = "tls_verify")]
    insecure: bool,
    #[command(flatten)]
    trust: TrustArgs,
}

impl ListTrustArgs {
    /// Returns whether registries must prove who they are, where that is said.
    pub(crate) fn verify(&self) -> Option<bool> {
        if self.insecure { Some(false) } else { self.trust.tls_verify }
    }
}

/// An error that may be a registry's.
pub(crate) trait OfRegistry: Error + Send + Sync + 'static {
    /// Returns what went wrong there, if it did.
    fn of_registry(&self) -> Option<&registry::Error>;

    /// Returns what may help otherwise.
    fn other_hint(&self) -> Option<String> {
        None
    }
}

impl OfRegistry for registry::Error {
    fn of_registry(&self) -> Option<&registry::Error> {
        Some(self)
    }
}

impl OfRegistry for PullError {
    fn of_registry(&self) -> Option<&registry::Error> {
        if let Self::Registry(error) = self { Some(error) } else { None }
    }

    fn other_hint(&self) -> Option<String> {
        if let Self::Trust(error) = self { error.hint() } else { None }
    }
}

impl OfRegistry for PushError {
    fn of_registry(&self) -> Option<&registry::Error> {
        if let Self::Registry(error) = self { Some(error) } else { None }
    }
}

/// Makes a failure of an error, with what may help where the registry `host` did not let us in, or the image is not trusted.
pub(crate) fn failure(error: impl OfRegistry, host: &str) -> Failure {
    let hint = match error.of_registry() {
        Some(said) if said.wants_login() => Some(format!("conductor login {host}")),
        Some(said) if said.wants_trust() => Some(
            "--tls-verify=false trusts it this once; its certificate in certs.d, or insecure in registries.conf, for good"
                .to_owned(),
        ),
        _ => error.other_hint(),
    };
    hint.into_iter().fold(Failure::new(error), Failure::hint)
}
