//! `builder`, which is `buildx` too: what builds keep to be faster the next time, listed and removed. The words and the form of
//! the lists are Docker's (`docker buildx du`, `docker builder prune`).

mod du;
mod filter;
mod prune;

use jiff::Timestamp;
use serde_json::{Value, json};
use store::{CacheItem, CacheKind};

use crate::ui::size::human_size;
use crate::ui::time::{ago, plain};

pub(super) use du::DuArgs;
pub(super) use prune::BuilderPruneArgs;

/// Returns the beginning of an identity, by which people tell things apart.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Returns Docker's word for what an item is.
pub(super) fn type_of(item: &CacheItem) -> &'static str {
    match item.kind {
        CacheKind::Step { .. } => "regular",
        CacheKind::Mount => "exec.cachemount",
        CacheKind::Fetched => "source.http",
        CacheKind::Context => "source.local",
    }
}

/// Steps stay as they are; what they work in, or are read from, does not.
fn is_mutable(item: &CacheItem) -> bool {
    !matches!(item.kind, CacheKind::Step { .. })
}

/// The fields of an item, and their headings.
const HEADERS: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Reclaimable", "RECLAIMABLE"),
    ("Size", "SIZE"),
    ("LastUsedAt", "LAST ACCESSED"),
    ("Type", "TYPE"),
    ("Description", "DESCRIPTION"),
    ("CreatedAt", "CREATED"),
    ("Mutable", "MUTABLE"),
    ("Shared", "SHARED"),
];

fn row(item: &CacheItem, now: Timestamp) -> Value {
    json!({
        "ID": item.id, "Type": type_of(item), "Description": item.what, "Size": human_size(item.size),
        "CreatedAt": item.created.map(plain).unwrap_or_default(), "LastUsedAt": ago(now, item.used),
        "Reclaimable": !item.in_use, "Shared": item.shared, "Mutable": is_mutable(item),
    })
}

/// Docker marks what may change and what others have.
fn cells(item: &CacheItem, now: Timestamp) -> Vec<String> {
    let star = |wanted: bool| if wanted { "*" } else { "" };
    vec![
        format!("{}{}", short(&item.id), star(is_mutable(item))),
        (!item.in_use).to_string(),
        format!("{}{}", human_size(item.size), star(item.shared)),
        ago(now, item.used),
    ]
}

const TITLES: [&str; 4] = ["ID", "RECLAIMABLE", "SIZE", "LAST ACCESSED"];
