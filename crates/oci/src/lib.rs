//! The nouns of the OCI specifications: digests, descriptors, image documents, the runtime's spec and state. No I/O.
//!
//! The documents' types come from the `oci-spec` crate ([`image`], [`runtime`]); what is ours are the identities, each with
//! one parser ([`Digest`], [`Platform`], [`Reference`]), and the list of images that is to become an index ([`ManifestList`]).

mod digest;
mod list;
mod machine;
mod platform;
mod reference;

pub use digest::{Digest, DigestError, Hasher};
pub use list::{Entry, LONGEST_INDEX, ListError, ListKind, MOST_MEMBERS, ManifestList, Member, Origin};
pub use machine::{Machine, MachineChange, MachineError};
pub use oci_spec::image;
pub use oci_spec::runtime;
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError};
