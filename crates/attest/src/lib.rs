//! Attestations: what is said about an image, in documents that go with it.
//!
//! Two things are said. [`sbom()`] lists the packages in an image, as its own package managers have written them down (SPDX
//! 2.3). [`provenance()`] tells how it was built, and from what (SLSA 1.0). A [`Statement`] (in-toto 1) binds either to the
//! digest of the image, and [`attach`] puts statements into a manifest beside the image's own in an index, where BuildKit puts
//! them and other programs look for them.
//!
//! Everything but [`ImageTree`], which reads files out of the store, is a plain function: no clock, no chance. The same image
//! and the same build give the same bytes.

mod attachment;
mod files;
mod provenance;
mod sbom;
mod statement;

pub use attachment::{Attachment, attach};
pub use files::{FilesError, ImageFiles, ImageTree};
pub use provenance::{Build, BuildFile, Detail, Material, PROVENANCE, provenance};
pub use sbom::{SPDX, Subject, sbom};
pub use statement::Statement;

/// Writes a moment as all these documents want it: in UTC, to the second.
fn moment(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
