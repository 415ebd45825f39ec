//! The client side of the distribution specification: registries are asked for manifests and blobs, and given them.
//!
//! This crate speaks HTTP and knows no disk except its configuration: rules about registries ([`Hosts`]), credentials,
//! certificates, the files that tell where hosts are. Start reading at [`Client`] and [`Repository`]; what goes over the
//! line is in `session.rs` (redirects, tokens, patience), `auth.rs` (who we are) and `wire.rs` (one request).
//!
//! Whatever a server sends is bounded and held against what was asked for, and what it says is cleaned before it is shown.

mod auth;
mod blob;
mod certificates;
mod challenge;
mod client;
mod complaint;
mod credentials;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hosts;
mod login;
mod manifest;
mod names;
mod pages;
mod proxy;
mod referrers;
mod repository;
mod retry;
mod scope;
mod session;
mod step;
mod token;
mod transfer;
mod upload;
mod url;
mod web;
mod wire;

pub use blob::BlobReader;
pub use certificates::{CertificateError, CertificatePaths};
pub use client::{Client, Settings};
pub use complaint::Complaint;
pub use credentials::{
    Credential, CredentialError, CredentialFileError, CredentialPaths, HelperError, LoggedOut, Secret,
};
pub use error::{Error, Fault};
pub use hosts::{Hosts, HostsError, Mirror, MirrorPull, Rule};
pub use login::LoggedIn;
pub use manifest::{LONGEST_MANIFEST, Manifest, ManifestHead};
pub use names::{NameError, NameFiles};
pub use proxy::Proxies;
pub use referrers::Referrer;
pub use repository::{Repository, Version};
pub use retry::Patience;
pub use upload::Streamed;
pub use url::UrlError;
pub use web::Page;
pub use wire::{Timeouts, WireError};
