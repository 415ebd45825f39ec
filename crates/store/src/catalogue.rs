//! What images there are, and the plans for changing that. Pure: the catalogue was read before and steps are applied after.

use std::collections::HashSet;
use std::path::PathBuf;

use jiff::Timestamp;
use oci::{Digest, Reference};

use crate::record::Record;
use crate::{CachedStep, Layout, StoreError, StoreStep};

/// One image as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The image's ID.
    pub id: Digest,
    /// The digest of its manifest, or of the index that a registry gave it through.
    pub digest: Digest,
    /// Its names, in order; an image whose name moved on to another has none.
    pub names: Vec<Reference>,
    /// The digest that goes with each name, which differs where an image came in several forms.
    pub digests: Vec<Digest>,
    /// The length of all its layers together.
    pub size: u64,
    /// When it was made.
    pub created: Timestamp,
}

/// Who uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Who, as it shall be named in a message: `container web`.
    pub user: String,
    /// Whether it runs, or is in use as a mount is.
    pub running: bool,
}

/// What a removal took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// The names that are no more.
    pub untagged: Vec<Reference>,
    /// The images that are no more.
    pub deleted: Vec<Digest>,
    /// The length of the layers that are no more.
    pub freed: u64,
}

/// Every image with its names.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) entries: Vec<Entry>,
    /// The layers of which a compressed form is known, and the digests of those.
    pub(crate) compressed: Vec<(Digest, Digest)>,
    /// The steps of builds that are kept: their layers, and the indexes over these, are in use.
    pub(crate) cached: Vec<CachedStep>,
    /// The file names of the trees that images were unpacked into.
    pub(crate) trees: Vec<String>,
    /// A word that no other catalogue has: it makes names for what is on its way out.
    pub(crate) word: String,
}

/// An image with its names.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) names: Vec<Reference>,
}

/// How an image was asked for; what goes away with a removal depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Name(Reference),
    Id(Digest),
}

impl Asked {
    pub(crate) fn name(&self) -> Option<&Reference> {
        match self {
            Self::Name(name) => Some(name),
            Self::Id(_) => None,
        }
    }
}

/// Who uses an image, as the caller knows it.
pub(crate) type Users<'a> = &'a dyn Fn(&Digest) -> Option<Usage>;

impl Catalogue {
    /// Lists the images, the newest first.
    pub(crate) fn list(self) -> Vec<Listed> {
        let listed = |entry: Entry| Listed {
            id: entry.record.id,
            digest: entry.record.digest_for(None),
            digests: entry.names.iter().map(|name| entry.record.digest_for(Some(name))).collect(),
            size: entry.record.size(),
            created: entry.record.created,
            names: entry.names,
        };
        let mut list: Vec<_> = self.entries.into_iter().map(listed).collect();
        list.sort_by(|a, b| {
            b.created.cmp(&a.created).then_with(|| a.names.cmp(&b.names)).then_with(|| a.id.cmp(&b.id))
        });
        list
    }

    fn entry(&self, id: &Digest) -> Result<&Entry, StoreError> {
        let found = self.entries.iter().find(|entry| entry.record.id == *id);
        found.ok_or_else(|| StoreError::NotFound(id.to_string()))
    }

    /// Returns the content that belongs to the images `gone` and to no other.
    fn orphaned(&self, gone: &[Digest], layout: &Layout) -> Vec<PathBuf> {
        let (gone, kept): (Vec<_>, Vec<_>) = self.entries.iter().partition(|entry| gone.contains(&entry.record.id));
        let mut seen: HashSet<PathBuf> = kept.iter().flat_map(|entry| entry.record.content(layout)).collect();
        seen.extend(self.cached.iter().flat_map(|step| step.content(layout)));
        let content = gone.iter().flat_map(|entry| entry.record.content(layout));
        let mut orphans: Vec<_> = content.filter(|path| seen.insert(path.clone())).collect();
        let notes = self.compressed.iter().filter(|(layer, _)| orphans.contains(&layout.layer(layer)));
        let notes: Vec<_> = notes.map(|(layer, digest)| layout.compressed_form(layer, digest)).collect();
        orphans.extend(notes);
        orphans
    }

    /// Plans to remove the trees that belong to none of the images but those `gone`.
    pub(crate) fn retired(&self, gone: &[Digest], layout: &Layout) -> impl Iterator<Item = StoreStep> {
        let kept = self.entries.iter().filter(|entry| !gone.contains(&entry.record.id));
        let mut kept: HashSet<String> = kept.map(|entry| entry.record.chain().digest().hex()).collect();
        kept.extend(self.cached.iter().map(|step| step.chain.digest().hex()));
        let retired = self.trees.iter().filter(move |tree| !kept.contains(*tree));
        retired.map(|name| StoreStep::Retire { tree: layout.trees().join(name), to: layout.retired(name, &self.word) })
    }

    /// Returns the length of the layers that belong to the images `gone` and to no other.
    fn freed(&self, gone: &[Digest]) -> u64 {
        let (gone, kept): (Vec<_>, Vec<_>) = self.entries.iter().partition(|entry| gone.contains(&entry.record.id));
        let mut seen: HashSet<Digest> = kept.iter().flat_map(|entry| &entry.record.layers).map(|l| l.diff_id).collect();
        seen.extend(self.cached.iter().map(|step| step.layer));
        let layers = gone.iter().flat_map(|entry| &entry.record.layers);
        layers.filter(|layer| seen.insert(layer.diff_id)).map(|layer| layer.size).sum()
    }
}

/// Plans the removal of an image or of one of its names, as Docker would.
///
/// A name goes alone while others remain; the last one takes the image along. An image in use stays; with `force` its
/// names go and it stays without one until its containers are gone.
pub(crate) fn plan_remove(
    catalogue: &Catalogue,
    asked: &Asked,
    id: &Digest,
    force: bool,
    users: Users<'_>,
    layout: &Layout,
) -> Result<(Removed, Vec<StoreStep>), StoreError> {
    let entry = catalogue.entry(id)?;
    let untagged = match asked {
        Asked::Name(name) => vec![name.clone()],
        Asked::Id(_) => entry.names.clone(),
    };
    let others_remain = entry.names.iter().any(|name| !untagged.contains(name));
    if let (Asked::Id(_), false) = (asked, force) {
        check_one_repository(entry)?;
    }
    let usage = if others_remain { None } else { users(id) };
    if let Some(usage) = &usage {
        check_usage(asked, usage, force)?;
    }
    let deleted = if others_remain || usage.is_some() { Vec::new() } else { vec![*id] };
    Ok(plan(catalogue, untagged, deleted, layout))
}

/// Plans the removal of images that nobody uses: those without a name, or with `all` every one.
pub(crate) fn plan_prune(
    catalogue: &Catalogue,
    all: bool,
    users: Users<'_>,
    layout: &Layout,
) -> (Removed, Vec<StoreStep>) {
    let unused = |entry: &&Entry| (all || entry.names.is_empty()) && users(&entry.record.id).is_none();
    let gone: Vec<_> = catalogue.entries.iter().filter(unused).collect();
    let untagged = gone.iter().flat_map(|entry| entry.names.clone()).collect();
    plan(catalogue, untagged, gone.iter().map(|entry| entry.record.id).collect(), layout)
}

/// Names go before records and records before content, so that whatever interrupts leaves garbage and nothing broken.
fn plan(
    catalogue: &Catalogue,
    untagged: Vec<Reference>,
    deleted: Vec<Digest>,
    layout: &Layout,
) -> (Removed, Vec<StoreStep>) {
    let names = untagged.iter().map(|name| StoreStep::Untag { name: name.clone(), link: layout.name(name) });
    let records = deleted.iter().map(|id| StoreStep::Forget { id: *id, record: layout.record(id) });
    let content = catalogue.orphaned(&deleted, layout).into_iter().map(|path| StoreStep::Unlink { path });
    let trees = catalogue.retired(&deleted, layout);
    let steps = names.chain(records).chain(content).chain(trees).collect();
    let freed = catalogue.freed(&deleted);
    (Removed { untagged, deleted, freed }, steps)
}

fn check_one_repository(entry: &Entry) -> Result<(), StoreError> {
    let repositories: HashSet<String> = entry.names.iter().map(Reference::repository).collect();
    if repositories.len() <= 1 {
        return Ok(());
    }
    Err(StoreError::SeveralNames { id: entry.record.id.short(), count: entry.names.len() })
}

fn check_usage(asked: &Asked, usage: &Usage, force: bool) -> Result<(), StoreError> {
    let advice = match (asked, usage.running, force) {
        (Asked::Id(_), true, _) => "stop it, or unmount it, and remove it first",
        (_, _, true) => return Ok(()),
        _ => "remove it first, or use force to take only the name away",
    };
    let image = match asked {
        Asked::Name(name) => name.familiar(),
        Asked::Id(id) => id.short(),
    };
    Err(StoreError::InUse { image, user: usage.user.clone(), advice })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordedLayer;

    fn entry(text: &str, layers: &[&str], names: &[&str]) -> Entry {
        let layer = |text: &&str| RecordedLayer { diff_id: Digest::of(text.as_bytes()), size: 10 };
        let record = Record {
            id: Digest::of(text.as_bytes()),
            manifest: Digest::of(format!("manifest of {text}").as_bytes()),
            index: None,
            others: Vec::new(),
            layers: layers.iter().map(layer).collect(),
            created: Timestamp::UNIX_EPOCH,
        };
        Entry { record, names: names.iter().map(|name| name.parse().unwrap()).collect() }
    }

    fn catalogue() -> Catalogue {
        Catalogue {
            entries: vec![
                entry("one", &["base", "top"], &["one", "one:v1", "two"]),
                entry("three", &["base"], &["three"]),
                entry("dangling", &["lone"], &[]),
            ],
            compressed: vec![(Digest::of(b"lone"), Digest::of(b"lone.gz"))],
            cached: Vec::new(),
            trees: Vec::new(),
            word: "1-a".into(),
        }
    }

    fn remove(asked: &str, force: bool, users: Users<'_>) -> Result<(Removed, Vec<StoreStep>), StoreError> {
        let catalogue = catalogue();
        let (asked, id) = match asked.strip_prefix("id of ") {
            Some(text) => (Asked::Id(Digest::of(text.as_bytes())), Digest::of(text.as_bytes())),
            None => {
                let name: Reference = asked.parse().unwrap();
                let entry = catalogue.entries.iter().find(|entry| entry.names.contains(&name)).unwrap();
                (Asked::Name(name), entry.record.id)
            }
        };
        plan_remove(&catalogue, &asked, &id, force, users, &Layout::new("/s"))
    }

    fn unused(_: &Digest) -> Option<Usage> {
        None
    }

    fn running(_: &Digest) -> Option<Usage> {
        Some(Usage { user: "container web".into(), running: true })
    }

    fn stopped(_: &Digest) -> Option<Usage> {
        Some(Usage { user: "container web".into(), running: false })
    }

    #[test]
    fn one_of_several_names_goes_alone_even_in_use() {
        let (removed, steps) = remove("one", false, &running).unwrap();
        assert_eq!((removed.untagged.len(), removed.deleted.len(), steps.len()), (1, 0, 1));
    }

    #[test]
    fn the_last_name_takes_the_image_and_what_no_other_image_needs() {
        let (removed, steps) = remove("three", false, &unused).unwrap();
        assert_eq!(removed.deleted, [Digest::of(b"three")]);
        assert_eq!(removed.freed, 0, "its only layer belongs to image one as well");
        let unlinked = |step: &StoreStep| matches!(step, StoreStep::Unlink { path } if path.starts_with("/s/layers"));
        assert!(!steps.iter().any(unlinked));
        assert_eq!(steps.len(), 5, "name, record, configuration, manifest, index: {steps:?}");
    }

    #[test]
    fn names_go_before_records_and_records_before_content() {
        let (_, steps) = remove("id of one", true, &unused).unwrap();
        let rank = |step: &StoreStep| match step {
            StoreStep::Untag { .. } => 0,
            StoreStep::Forget { .. } => 1,
            _ => 2,
        };
        assert!(steps.is_sorted_by_key(rank), "{steps:?}");
    }

    #[test]
    fn a_tree_goes_with_the_last_image_of_its_layers() {
        let mut catalogue = catalogue();
        catalogue.entries.push(entry("twin", &["lone"], &["twin"]));
        let lone = catalogue.entries[2].record.chain().digest().hex();
        catalogue.trees = vec![lone.clone()];
        let layout = Layout::new("/s");
        let retired = |gone: &[&str]| {
            let gone: Vec<_> = gone.iter().map(|text| Digest::of(text.as_bytes())).collect();
            catalogue.retired(&gone, &layout).collect::<Vec<_>>()
        };
        assert!(retired(&["dangling"]).is_empty());
        let steps = retired(&["dangling", "twin"]);
        assert!(
            matches!(&steps[..], [StoreStep::Retire { tree, .. }] if *tree == layout.trees().join(&lone)),
            "{steps:?}"
        );
    }

    #[test]
    fn what_a_build_keeps_outlives_the_image() {
        let mut catalogue = catalogue();
        let (layer, chain) = (Digest::of(b"lone"), catalogue.entries[2].record.chain());
        let (what, build, created) = ("RUN true".to_owned(), String::new(), Timestamp::UNIX_EPOCH);
        catalogue.cached = vec![CachedStep { key: Digest::of(b"key"), layer, size: 10, chain, what, created, build }];
        let layout = Layout::new("/s");
        let (removed, steps) = plan_prune(&catalogue, false, &unused, &layout);
        assert_eq!((removed.deleted.len(), removed.freed), (1, 0));
        let kept = [layout.layer(&layer), layout.index(&chain)];
        assert!(
            !steps.iter().any(|step| matches!(step, StoreStep::Unlink { path } if kept.contains(path))),
            "{steps:?}"
        );
    }

    #[test]
    fn an_id_with_names_in_two_repositories_needs_force() {
        assert!(matches!(remove("id of one", false, &unused), Err(StoreError::SeveralNames { count: 3, .. })));
        assert_eq!(remove("id of one", true, &unused).unwrap().0.untagged.len(), 3);
    }

    #[test]
    fn an_image_in_use_stays() {
        for users in [&running as Users<'_>, &stopped] {
            assert!(matches!(remove("three", false, users), Err(StoreError::InUse { .. })));
            assert!(matches!(remove("id of three", false, users), Err(StoreError::InUse { .. })));
        }
        assert!(matches!(remove("id of three", true, &running), Err(StoreError::InUse { .. })));
        let (removed, _) = remove("three", true, &running).unwrap();
        assert_eq!((removed.untagged.len(), removed.deleted.len()), (1, 0));
    }

    #[test]
    fn pruning_takes_images_without_a_name_and_with_all_every_unused_one() {
        let one = |id: &Digest| if *id == Digest::of(b"one") { running(id) } else { None };
        let layout = Layout::new("/s");
        assert_eq!(plan_prune(&catalogue(), false, &one, &layout).0.deleted, [Digest::of(b"dangling")]);
        let (removed, _) = plan_prune(&catalogue(), true, &one, &layout);
        assert_eq!(removed.deleted, [Digest::of(b"three"), Digest::of(b"dangling")]);
        assert_eq!(removed.freed, 10);
    }
}
