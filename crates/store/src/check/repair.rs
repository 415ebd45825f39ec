//! What is done about findings. Images go first, then what nobody can use any more; indexes are made again last.

use oci::Digest;
use trace::Recorder;

use super::Finding;
use crate::catalogue::Entry;
use crate::error::Doing;
use crate::step::apply;
use crate::sweep::{self, Lately};
use crate::{ChainId, Layer, Removed, Store, StoreError, StoreStep, Usage, file, index};

pub(super) fn repair(
    store: &Store,
    findings: &[Finding],
    users: &dyn Fn(&Digest) -> Option<Usage>,
    recorder: &Recorder,
) -> Result<Removed, StoreError> {
    let layout = store.layout();
    let mut removed = Removed::default();
    let locked = store.lock()?;
    let mut steps = Vec::new();
    for finding in findings {
        match finding {
            Finding::Record { path } => steps.push(StoreStep::Unlink { path: path.clone() }),
            Finding::Image { id, names, .. } if users(id).is_none() => {
                let untag = names.iter().map(|name| StoreStep::Untag { name: name.clone(), link: layout.name(name) });
                steps.extend(untag);
                steps.push(StoreStep::Forget { id: *id, record: layout.record(id) });
                removed.untagged.extend(names.iter().cloned());
                removed.deleted.push(*id);
            }
            Finding::Name { name } => {
                steps.push(StoreStep::Untag { name: name.clone(), link: layout.name(name) });
                removed.untagged.push(name.clone());
            }
            // Somebody may have made it anew.
            Finding::List { name } if store.lists().find(name).is_err() => {
                steps.push(StoreStep::Unlist { name: name.clone(), path: layout.list(name) });
            }
            _ => {}
        }
    }
    apply(&steps, recorder)?;
    let kept = store.images().catalogue()?.entries;
    // What is damaged is of use to nobody, but a container that runs from it is not made worse by taking it away under it.
    let in_use = |path: &std::path::Path| kept.iter().any(|entry| entry.record.content(layout).any(|own| own == path));
    let damaged = findings.iter().filter_map(|finding| match finding {
        Finding::Layer { diff_id, .. } => Some(layout.layer(diff_id)),
        Finding::Document { digest } => Some(layout.blob(digest)),
        Finding::Stray { path } => Some(path.clone()),
        _ => None,
    });
    let steps: Vec<_> = damaged.filter(|path| !in_use(path)).map(|path| StoreStep::Unlink { path }).collect();
    apply(&steps, recorder)?;
    sweep::remove_orphans(store, Lately::Keep, recorder)?;
    for finding in findings {
        if let Finding::Index { chain, .. } = finding {
            rebuild(store, chain, &kept, recorder)?;
        }
    }
    drop(locked);
    Ok(removed)
}

/// Makes an index again. Whoever has the old one mounted keeps it: the new one takes its name, not its file.
fn rebuild(store: &Store, chain: &ChainId, kept: &[Entry], recorder: &Recorder) -> Result<(), StoreError> {
    let layout = store.layout();
    let Some(entry) = kept.iter().find(|entry| entry.record.chain() == *chain) else { return Ok(()) };
    let layers = entry.record.layers.iter();
    let layers: Vec<_> = layers
        .map(|layer| Layer { diff_id: layer.diff_id, size: layer.size, path: layout.layer(&layer.diff_id) })
        .collect();
    let beside = layout.beside_name();
    let made = file::create(&beside).doing(|| "start an index")?;
    index::build(&layers, &made)?;
    file::sync(&made, &beside).doing(|| "write an index")?;
    apply(&[StoreStep::Place { what: "index", from: beside, to: layout.index(chain), replace: true }], recorder)
}
