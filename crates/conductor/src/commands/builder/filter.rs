//! `--filter` of lists of what builds keep.

use jiff::Timestamp;
use store::CacheItem;

use super::super::container_args::flag;
use super::{is_mutable, type_of};
use crate::error::Failure;
use crate::ui::time::parse_instant;

/// One `--filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    /// A field of an item is compared with a text.
    Text { field: Field, how: How, text: String },
    /// It was not used since.
    Until(Timestamp),
    /// It is so.
    Is(Trait, bool),
}

/// A field of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    Type,
    Description,
}

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It is the text, or begins so where it is an identity.
    Equal,
    /// It is not.
    Unequal,
    /// The text is a part of it.
    Contains,
}

/// What an item may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trait {
    InUse,
    Shared,
    Mutable,
}

/// Reads all filters.
pub(super) fn read_filters(words: &[String], now: Timestamp) -> Result<Vec<Filter>, Failure> {
    words.iter().map(|word| Filter::parse(word, now)).collect()
}

impl Filter {
    fn parse(word: &str, now: Timestamp) -> Result<Self, Failure> {
        let (key, value) = word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value)));
        // The operators are = and !=, and ~= for a part.
        let (name, how) = match key.strip_suffix(['!', '~']) {
            Some(name) if key.ends_with('!') => (name, How::Unequal),
            Some(name) => (name, How::Contains),
            None => (key, How::Equal),
        };
        let text = |field| Ok(Self::Text { field, how, text: value.unwrap_or_default().to_owned() });
        let is = |what, otherwise: bool| match value {
            None | Some("true" | "1") => Ok(Self::Is(what, !otherwise)),
            Some("false" | "0") => Ok(Self::Is(what, otherwise)),
            Some(_) => Err(unknown(word)),
        };
        match (name, value) {
            ("id", Some(_)) => text(Field::Id),
            ("type", Some(_)) => text(Field::Type),
            ("description", Some(_)) => text(Field::Description),
            ("until" | "unused-for", Some(time)) if how == How::Equal => {
                flag("filter", parse_instant(time, now)).map(Self::Until)
            }
            ("inuse", _) => is(Trait::InUse, false),
            ("shared", _) => is(Trait::Shared, false),
            ("private", _) => is(Trait::Shared, true),
            ("mutable", _) => is(Trait::Mutable, false),
            ("immutable", _) => is(Trait::Mutable, true),
            _ => Err(unknown(word)),
        }
    }

    /// Tells whether an item is meant.
    pub(super) fn fits(&self, item: &CacheItem) -> bool {
        match self {
            Self::Until(time) => item.used < *time,
            Self::Is(what, wanted) => *wanted == what.of(item),
            Self::Text { field, how, text } => {
                let found = match field {
                    Field::Id => &item.id,
                    Field::Type => type_of(item),
                    Field::Description => &item.what,
                };
                let equal = if *field == Field::Id { found.starts_with(text.as_str()) } else { found == text };
                match how {
                    How::Equal => equal,
                    How::Unequal => !equal,
                    How::Contains => found.contains(text.as_str()),
                }
            }
        }
    }
}

impl Trait {
    fn of(self, item: &CacheItem) -> bool {
        match self {
            Self::InUse => item.in_use,
            Self::Shared => item.shared,
            Self::Mutable => is_mutable(item),
        }
    }
}

fn unknown(word: &str) -> Failure {
    Failure::message(format!("invalid value for --filter: {word:?}"))
        .hint("use id=, type=, description= (or != and ~=), until=TIME, inuse, shared, private, mutable or immutable")
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::Digest;
    use store::CacheKind;

    #[test]
    fn filters_are_read_and_tell_what_fits() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let item = CacheItem {
            kind: CacheKind::Step { layer: Digest::of(b"") },
            id: "0123456789ab".into(),
            path: "x".into(),
            what: "RUN make".into(),
            size: 1,
            created: None,
            used: "2026-01-01T12:00:00Z".parse().unwrap(),
            shared: true,
            in_use: false,
        };
        for (word, fits) in [
            ("id=0123", true),
            ("id!=0123", false),
            ("id~=89", true),
            ("type=regular", true),
            ("type=exec.cachemount", false),
            ("description~=make", true),
            ("description=make", false),
            ("until=1h", true),
            ("until=24h", false),
            ("unused-for=24h", false),
            ("inuse", false),
            ("inuse=false", true),
            ("shared", true),
            ("private", false),
            ("private=0", true),
            ("mutable", false),
            ("immutable=true", true),
        ] {
            assert_eq!(Filter::parse(word, now).unwrap().fits(&item), fits, "{word}");
        }
        for wrong in ["colour=red", "id", "until=soon", "until!=1h", "shared=maybe"] {
            assert!(Filter::parse(wrong, now).is_err(), "{wrong}");
        }
    }
}
