//! Checking a store: every digest computed again, every index made again, every name followed.
//!
//! What is found is a list of [`Finding`]s, each with its words; what is to be done about one is a list of steps as for any
//! other change ([`repair`]). Nothing is locked while the layers are read, so others go on meanwhile; what changed under our
//! hands is no finding.

mod files;
mod repair;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use oci::image::ImageConfiguration;
use oci::{Digest, Reference};
use trace::Recorder;

use crate::error::Doing;
use crate::layout::parse_name;
use crate::lists::ListFile;
use crate::record::Record;
use crate::sweep::{self, Lately};
use crate::{ChainId, Layer, Layout, Removed, Store, StoreError, Usage, file};
use files::State;

/// Something in a store that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Finding {
    /// An image whose record cannot be read.
    Record {
        /// The file.
        path: PathBuf,
    },
    /// An image that lacks something that cannot be made again here.
    Image {
        /// The image.
        id: Digest,
        /// Its names.
        names: Vec<Reference>,
        /// What it lacks, in words.
        lacks: String,
    },
    /// A layer whose bytes are others than its name says.
    Layer {
        /// The diff-id it should have.
        diff_id: Digest,
        /// The digest of its bytes; nothing when they cannot be read.
        actual: Option<Digest>,
    },
    /// A document whose bytes are others than its name says.
    Document {
        /// The digest it should have.
        digest: Digest,
    },
    /// An index that is missing, or other than the one that the layers make.
    Index {
        /// The layers that it is over.
        chain: ChainId,
        /// Whether there is a file at all.
        is_there: bool,
    },
    /// A name that leads to no image.
    Name {
        /// The name.
        name: Reference,
    },
    /// A list of images that cannot be read.
    List {
        /// Its name.
        name: Reference,
    },
    /// Content that belongs to no image; so little is left by a crash, and the next writer removes it.
    Stray {
        /// The file.
        path: PathBuf,
    },
}

/// What a check has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong, in order.
    pub findings: Vec<Finding>,
    /// How many images there are.
    pub images: usize,
    /// How many layers were read.
    pub layers: usize,
    /// How many bytes were read.
    pub bytes: u64,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record { path } => write!(f, "the record {} cannot be read", path.display()),
            Self::Image { id, names, lacks } => {
                let names: Vec<_> = names.iter().map(Reference::familiar).collect();
                let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
                write!(f, "image {}{names} lacks {lacks}", id.short())
            }
            Self::Layer { diff_id, actual: Some(actual) } => write!(f, "layer {diff_id} holds {actual}"),
            Self::Layer { diff_id, actual: None } => write!(f, "layer {diff_id} cannot be read"),
            Self::Document { digest } => write!(f, "document {digest} holds something else"),
            Self::Index { chain, is_there: true } => write!(f, "the index {chain} is not the one that its layers make"),
            Self::Index { chain, is_there: false } => write!(f, "the index {chain} is missing"),
            Self::Name { name } => write!(f, "the name {} leads to no image", name.familiar()),
            Self::List { name } => write!(f, "the manifest list {} cannot be read", name.familiar()),
            Self::Stray { path } => write!(f, "{} belongs to no image", path.display()),
        }
    }
}

impl Finding {
    /// Returns what a repair does about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Record { .. } => "forget the image, which cannot be told any more",
            Self::Image { .. } => "forget the image with its names; pull, load or build it again",
            Self::Layer { .. } | Self::Document { .. } => "remove it",
            Self::Index { .. } => "make it anew from the layers",
            Self::Name { .. } => "take the name away",
            Self::List { .. } => "remove it; create it again",
            Self::Stray { .. } => "remove it",
        }
    }
}

/// Checks the whole store. `progress` hears of every piece as it is begun.
pub fn check(store: &Store, progress: &mut dyn FnMut(&str)) -> Result<Checked, StoreError> {
    let layout = store.layout();
    let mut check = Check { layout, checked: Checked::default(), layers: BTreeMap::new(), documents: BTreeMap::new() };
    let records = check.records()?;
    check.checked.images = records.len();
    check.contents(progress)?;
    let names = store.images().catalogue_names()?;
    for (_, record) in &records {
        check.image(record, names.get(&record.id).cloned().unwrap_or_default(), progress)?;
    }
    check.names(&records)?;
    check.lists(store)?;
    check.strays(store)?;
    let mut checked = check.checked;
    // Whoever removed or replaced something while we read did no damage.
    checked.findings.retain(|finding| still_there(layout, finding));
    checked.findings.sort();
    checked.findings.dedup();
    Ok(checked)
}

/// Repairs what was found, and tells what went away. What a container uses stays, whatever is wrong with it.
pub fn repair(
    store: &Store,
    findings: &[Finding],
    users: &dyn Fn(&Digest) -> Option<Usage>,
    recorder: &Recorder,
) -> Result<Removed, StoreError> {
    repair::repair(store, findings, users, recorder)
}

struct Check<'s> {
    layout: &'s Layout,
    checked: Checked,
    layers: BTreeMap<Digest, State>,
    documents: BTreeMap<Digest, State>,
}

impl Check<'_> {
    fn found(&mut self, finding: Finding) {
        self.checked.findings.push(finding);
    }

    fn records(&mut self) -> Result<Vec<(PathBuf, Record)>, StoreError> {
        let images = self.layout.images();
        let mut records = Vec::new();
        for name in file::names(&images).doing(|| "list the images")? {
            let path = images.join(&name);
            match Record::read(&path) {
                Ok(Some(record)) if record.id.hex() == name => records.push((path, record)),
                Ok(None) => {}
                _ => self.found(Finding::Record { path }),
            }
        }
        Ok(records)
    }

    /// Reads every layer and every document.
    fn contents(&mut self, progress: &mut dyn FnMut(&str)) -> Result<(), StoreError> {
        for (directory, is_layer) in [(self.layout.layers(), true), (self.layout.blobs(), false)] {
            for name in file::names(&directory).doing(|| format!("list {}", directory.display()))? {
                let path = directory.join(&name);
                let Ok(digest) = format!("sha256:{name}").parse::<Digest>() else {
                    self.found(Finding::Stray { path });
                    continue;
                };
                progress(&format!("{} {}", if is_layer { "layer" } else { "document" }, digest.short()));
                let (state, length) = files::read(&path, &digest);
                self.checked.bytes += length;
                match (state, is_layer) {
                    (State::Whole | State::Gone, _) => {}
                    (State::Other(actual), true) => self.found(Finding::Layer { diff_id: digest, actual }),
                    (State::Other(_), false) => self.found(Finding::Document { digest }),
                }
                self.checked.layers += usize::from(is_layer);
                let states = if is_layer { &mut self.layers } else { &mut self.documents };
                states.insert(digest, state);
            }
        }
        Ok(())
    }

    fn image(
        &mut self,
        record: &Record,
        names: Vec<Reference>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), StoreError> {
        progress(&format!("image {}", record.id.short()));
        if let Some(lacks) = self.lack(record) {
            self.found(Finding::Image { id: record.id, names, lacks });
            return Ok(());
        }
        let layer = |layer: &crate::record::RecordedLayer| Layer {
            diff_id: layer.diff_id,
            size: layer.size,
            path: self.layout.layer(&layer.diff_id),
        };
        let (chain, layers) = (record.chain(), record.layers.iter().map(layer).collect::<Vec<_>>());
        let path = self.layout.index(&chain);
        let is_there = sys::file::exists(&path).doing(|| format!("look for index {}", chain.digest()))?;
        if !is_there || !files::is_index_of(&path, &layers)? {
            self.found(Finding::Index { chain, is_there });
        }
        Ok(())
    }

    /// Returns what of an image is gone for good.
    fn lack(&self, record: &Record) -> Option<String> {
        if let Some(layer) = record.layers.iter().find(|layer| !whole(&self.layers, &layer.diff_id)) {
            return Some(format!("layer {}", layer.diff_id));
        }
        if let Some(manifest) = record.manifests().find(|manifest| !whole(&self.documents, manifest)) {
            return Some(format!("its manifest {manifest}"));
        }
        if !whole(&self.documents, &record.id) {
            return Some("its configuration".to_owned());
        }
        let bytes = fs::read(self.layout.blob(&record.id)).ok()?;
        let told: Option<ImageConfiguration> = serde_json::from_slice(&bytes).ok();
        let told = told.map(|config| config.rootfs().diff_ids().clone()).unwrap_or_default();
        let kept = record.layers.iter().map(|layer| layer.diff_id.to_string());
        (!kept.eq(told)).then(|| "the layers that its configuration names".to_owned())
    }

    fn names(&mut self, records: &[(PathBuf, Record)]) -> Result<(), StoreError> {
        let known: BTreeSet<&Path> = records.iter().map(|(path, _)| path.as_path()).collect();
        let top = self.layout.names();
        for repository in file::names(&top).doing(|| "list the names")? {
            let directory = top.join(&repository);
            for last in file::names(&directory).doing(|| format!("list {}", directory.display()))? {
                let link = file::link(&directory.join(&last)).doing(|| format!("read the name {repository}/{last}"))?;
                let record = link.as_deref().and_then(Path::file_name).map(|hex| self.layout.images().join(hex));
                let leads = record.is_some_and(|record| known.contains(record.as_path()));
                match parse_name(&repository, &last) {
                    Some(_) if leads => {}
                    Some(name) => self.found(Finding::Name { name }),
                    None => self.found(Finding::Stray { path: directory.join(last) }),
                }
            }
        }
        Ok(())
    }

    fn lists(&mut self, store: &Store) -> Result<(), StoreError> {
        let damaged = store.lists().files()?.into_iter().filter(|file| file.list.is_err());
        let finding = |file: ListFile| match file.name {
            Some(name) => Finding::List { name },
            None => Finding::Stray { path: file.path },
        };
        self.checked.findings.extend(damaged.map(finding));
        Ok(())
    }

    fn strays(&mut self, store: &Store) -> Result<(), StoreError> {
        // With a record that cannot be read nobody knows what belongs to it.
        if self.checked.findings.iter().any(|finding| matches!(finding, Finding::Record { .. })) {
            return Ok(());
        }
        let strays = sweep::find_orphans(store, &store.images().catalogue()?, Lately::Keep)?;
        self.checked.findings.extend(strays.into_iter().map(|path| Finding::Stray { path }));
        Ok(())
    }
}

fn whole(states: &BTreeMap<Digest, State>, digest: &Digest) -> bool {
    matches!(states.get(digest), Some(State::Whole))
}

/// Tells whether what a finding is about is still there to be wrong.
fn still_there(layout: &Layout, finding: &Finding) -> bool {
    // What cannot be told stays found.
    let exists = |path: &Path| sys::file::exists(path).unwrap_or(true);
    match finding {
        Finding::Record { path } | Finding::Stray { path } => exists(path),
        Finding::Image { id, .. } => exists(&layout.record(id)),
        Finding::Layer { diff_id, .. } => exists(&layout.layer(diff_id)),
        Finding::Document { digest } => exists(&layout.blob(digest)),
        Finding::Index { .. } => true,
        Finding::Name { name } => !matches!(file::link(&layout.name(name)), Ok(None)),
        Finding::List { name } => exists(&layout.list(name)),
    }
}
