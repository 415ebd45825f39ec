//! The changes that the store makes, each with its words and its deed.

use std::path::{Path, PathBuf};

use oci::{Digest, Reference};
use trace::{Explain, Recorder, Step, quote};

use crate::error::Doing;
use crate::{StoreError, file};

/// One change to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreStep {
    /// Moves a finished file to its place under its digest.
    Place {
        /// What it is: "layer", "index", ...
        what: &'static str,
        /// Where it was assembled.
        from: PathBuf,
        /// Its place.
        to: PathBuf,
        /// Whether it replaces what is there.
        replace: bool,
    },
    /// Makes an image known under its ID.
    Record {
        /// The image.
        id: Digest,
        /// The record as it was assembled.
        from: PathBuf,
        /// Its place.
        to: PathBuf,
    },
    /// Lets a name lead to an image, whatever it led to before.
    Tag {
        /// The name.
        name: Reference,
        /// The image.
        id: Digest,
        /// The link that is the name.
        link: PathBuf,
        /// A path for the new link before it replaces the old one.
        beside: PathBuf,
    },
    /// Takes a name away.
    Untag {
        /// The name.
        name: Reference,
        /// The link that is the name.
        link: PathBuf,
    },
    /// Forgets an image.
    Forget {
        /// The image.
        id: Digest,
        /// Its record.
        record: PathBuf,
    },
    /// Puts a list of images into its place, whatever was there before.
    List {
        /// Its name.
        name: Reference,
        /// Where it was written.
        from: PathBuf,
        /// Its place.
        to: PathBuf,
    },
    /// Removes a list of images.
    Unlist {
        /// Its name.
        name: Reference,
        /// Its place.
        path: PathBuf,
    },
    /// Makes a step of a build known under its key.
    Remember {
        /// The instruction.
        what: String,
        /// Where the record was written.
        from: PathBuf,
        /// Its place.
        to: PathBuf,
    },
    /// Removes content that belongs to no image any more.
    Unlink {
        /// The file.
        path: PathBuf,
    },
    /// Takes its name from an unpacked tree that belongs to no image any more; it is removed when nobody holds it.
    Retire {
        /// The tree.
        tree: PathBuf,
        /// Its place among dead work.
        to: PathBuf,
    },
}

impl Explain for StoreStep {
    fn explain(&self) -> Step {
        let path = |path: &Path| quote(&path.to_string_lossy()).into_owned();
        match self {
            Self::Place { what, from, to, .. } => {
                Step::host(format!("put the {what} into its place"), format!("mv -n {} {}", path(from), path(to)))
            }
            Self::Record { id, from, to } => {
                Step::host(format!("make image {} known", id.short()), format!("mv {} {}", path(from), path(to)))
            }
            Self::Tag { name, id, link, .. } => Step::host(
                format!("name image {} {}", id.short(), name.familiar()),
                format!("ln -sfn {} {}", path(&record_from_link(id)), path(link)),
            ),
            Self::Untag { name, link } => {
                Step::host(format!("take the name {} away", name.familiar()), format!("rm {}", path(link)))
            }
            Self::Forget { id, record } => {
                Step::host(format!("forget image {}", id.short()), format!("rm {}", path(record)))
            }
            Self::List { name, from, to } => Step::host(
                format!("write down the manifest list {}", name.familiar()),
                format!("mv {} {}", path(from), path(to)),
            ),
            Self::Unlist { name, path: list } => {
                Step::host(format!("remove the manifest list {}", name.familiar()), format!("rm {}", path(list)))
            }
            Self::Remember { what, from, to } => {
                Step::host(format!("remember the step {what}"), format!("mv {} {}", path(from), path(to)))
            }
            Self::Unlink { path: content } => {
                Step::host("remove content that no image needs any more", format!("rm {}", path(content)))
            }
            Self::Retire { tree, to } => {
                let shell = format!("mv {} {to}\nflock -xn {to} rm -r {to}", path(tree), to = path(to));
                Step::host("remove a tree that no image needs any more, once nobody holds it", shell)
            }
        }
    }
}

/// Returns where a name's link leads, as seen from its repository's directory.
fn record_from_link(id: &Digest) -> PathBuf {
    Path::new("../../images").join(id.hex())
}

/// Carries steps out in order, telling each before it is done. The caller holds the store's lock.
pub(crate) fn apply(steps: &[StoreStep], recorder: &Recorder) -> Result<(), StoreError> {
    steps.iter().try_for_each(|step| {
        recorder.record(step);
        apply_one(step).doing(|| step.explain().what)
    })
}

fn apply_one(step: &StoreStep) -> sys::Result<()> {
    match step {
        StoreStep::Place { from, to, replace: false, .. } => file::place(from, to),
        StoreStep::Place { from, to, .. } => file::rename(from, to),
        StoreStep::Record { from, to, .. } | StoreStep::Remember { from, to, .. } => file::rename(from, to),
        StoreStep::Tag { id, link, beside, .. } => tag(id, link, beside),
        StoreStep::Untag { link, .. } => untag(link),
        StoreStep::List { from, to, .. } => list(from, to),
        StoreStep::Unlist { path, .. } => untag(path),
        StoreStep::Forget { record: path, .. } | StoreStep::Unlink { path } => file::unlink(path),
        StoreStep::Retire { tree, to } => file::rename(tree, to),
    }
}

fn tag(id: &Digest, link: &Path, beside: &Path) -> sys::Result<()> {
    use sys::Calling;
    let target = record_from_link(id);
    if let Some(repository) = link.parent() {
        file::ensure_directory(repository)?;
    }
    std::os::unix::fs::symlink(&target, beside)
        .call(|| format!("symlink({}, {})", target.display(), beside.display()))?;
    file::rename(beside, link).inspect_err(|_| drop(file::unlink(beside)))
}

fn list(from: &Path, to: &Path) -> sys::Result<()> {
    if let Some(repository) = to.parent() {
        file::ensure_directory(repository)?;
    }
    file::rename(from, to)
}

/// The repository's directory goes with its last name.
fn untag(link: &Path) -> sys::Result<()> {
    file::unlink(link)?;
    // It stays while other names are in it, which is no failure.
    link.parent().iter().for_each(|repository| drop(std::fs::remove_dir(repository)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_explains_itself_as_the_link_it_is() {
        let step = StoreStep::Tag {
            name: "eg".parse().unwrap(),
            id: Digest::of(b"abc"),
            link: "/s/names/docker.io+library+eg/latest".into(),
            beside: "/s/tmp/w/name".into(),
        };
        let hex = Digest::of(b"abc").hex();
        insta::assert_snapshot!(step.explain().to_string().replace(&hex, "ID"), @"
        + name image ba7816bf8f01 eg:latest
              ln -sfn ../../images/ID /s/names/docker.io+library+eg/latest
        ");
    }
}
