//! The nouns of the OCI specifications: digests, descriptors, image documents, the runtime's spec and state. No I/O.
//!
//! The documents' types come from the `oci-spec` crate ([`image`], [`runtime`]); what is ours are the identities, each with
//! one parser: [`Digest`], [`Platform`], [`Reference`].

mod digest;
mod platform;
mod reference;

pub use digest::{Digest, DigestError, Hasher};
pub use oci_spec::image;
pub use oci_spec::runtime;
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError};
