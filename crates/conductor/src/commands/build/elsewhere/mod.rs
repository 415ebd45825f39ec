//! `--cache-from` and `--cache-to`: steps that others made, and ours for others.
//!
//! The words are Docker's; both name places ([`Place`]), and what is done with these is in [`find`] and [`give`].

mod find;
mod give;

use std::path::{Path, PathBuf};

use image::Packing;
use image::cached::{CacheDirectory, CachePlace};
use oci::Reference;
use registry::Client;

use super::BuildArgs;
use crate::commands::container_args::flag;
use crate::error::Failure;

pub(super) use find::Found;
pub(super) use give::Gifts;

/// Where steps lie for others.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A directory.
    Directory(CacheDirectory),
    /// A tag of a repository; an image, perhaps.
    Registry(Reference),
}

/// A place that steps are given to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gift {
    place: Place,
    /// Gives all steps, and not only those whose layers the image has.
    all: bool,
    /// How layers are compressed.
    packing: Option<Packing>,
    /// A failure is no reason for the build to fail.
    may_fail: bool,
}

/// What `--cache-to` says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    Gift(Gift),
    /// The image itself lists its steps.
    Inline,
}

impl Place {
    fn open<'c>(&self, client: &'c Client<'c>) -> Result<CachePlace<'c>, registry::Error> {
        Ok(match self {
            Self::Directory(directory) => CachePlace::Directory(directory.clone()),
            Self::Registry(name) => {
                CachePlace::Registry { repository: Box::new(client.repository(name)?), name: name.clone() }
            }
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(directory) => write!(f, "{}", directory.path.display()),
            Self::Registry(name) => f.write_str(&name.familiar()),
        }
    }
}

/// The fields of a word, with what they are for in both.
#[derive(Debug, Default)]
struct Fields<'w> {
    kind: Option<&'w str>,
    path: Option<&'w str>,
    name: Option<&'w str>,
    tag: Option<&'w str>,
    all: bool,
    packing: Option<&'w str>,
    may_fail: bool,
}

impl<'w> Fields<'w> {
    fn read(word: &'w str) -> Result<Self, String> {
        if !word.contains('=') {
            return Ok(if is_path(word) {
                Self { kind: Some("local"), path: Some(word), ..Self::default() }
            } else {
                Self { kind: Some("registry"), name: Some(word), ..Self::default() }
            });
        }
        let mut fields = Self::default();
        for field in word.split(',') {
            match field.split_once('=') {
                Some(("type", value)) => fields.kind = Some(value),
                Some(("src" | "dest", value)) => fields.path = Some(value),
                Some(("ref", value)) => fields.name = Some(value),
                Some(("tag", value)) => fields.tag = Some(value),
                Some(("compression", value)) => fields.packing = Some(value),
                Some(("ignore-error", value)) => fields.may_fail = value == "true",
                Some(("mode", "max")) => fields.all = true,
                Some(("mode", "min")) => fields.all = false,
                // They choose between forms that others have; there is one here, and it has this form.
                Some((
                    "oci-mediatypes" | "image-manifest" | "force-compression" | "compression-level" | "digest",
                    _,
                )) => {}
                _ => return Err(format!("{field:?} is no field of a cache")),
            }
        }
        Ok(fields)
    }

    fn place(&self) -> Result<Place, String> {
        match self.kind {
            Some("local" | "oci") => {
                let path = self.path.filter(|path| !path.is_empty()).ok_or("it names no directory: src=DIRECTORY")?;
                let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
                let tag = self.tag.unwrap_or("latest").to_owned();
                Ok(Place::Directory(CacheDirectory { path, tag }))
            }
            Some("registry") | None if self.name.is_some() => {
                let name = self.name.unwrap_or_default();
                name.parse().map(Place::Registry).map_err(|error: oci::ReferenceError| error.to_string())
            }
            Some("registry") => Err("it names no image: ref=NAME".to_owned()),
            None => Err("it has no type: local, oci or registry".to_owned()),
            Some(other) => Err(format!("type {other:?} is none of local, oci and registry")),
        }
    }

    /// A directory mostly goes on to somebody who compresses it whole; what goes to a registry stays as it is sent.
    fn packing(&self, place: &Place) -> Result<Option<Packing>, String> {
        match (self.packing, place) {
            (Some("uncompressed"), _) | (None, Place::Directory(_)) => Ok(None),
            (Some("gzip"), _) | (None, Place::Registry(_)) => Ok(Some(Packing::Gzip)),
            (Some("zstd"), _) => Ok(Some(Packing::Zstd)),
            (Some(other), _) => Err(format!("compression {other:?} is none of uncompressed, gzip and zstd")),
        }
    }
}

/// A name of an image begins with neither, and is no directory that is there.
fn is_path(word: &str) -> bool {
    word.starts_with(['/', '.']) || Path::new(word).is_dir()
}

/// Reads `--cache-from`.
fn sources(args: &BuildArgs) -> Result<Vec<Place>, Failure> {
    let read = |word: &String| flag("cache-from", Fields::read(word).and_then(|fields| fields.place()).map_err(told));
    args.cache_from.iter().map(read).collect()
}

/// Reads `--cache-to`.
fn wishes(args: &BuildArgs) -> Result<Vec<Wish>, Failure> {
    args.cache_to.iter().map(|word| flag("cache-to", wish(word).map_err(told))).collect()
}

fn wish(word: &str) -> Result<Wish, String> {
    let fields = Fields::read(word)?;
    if fields.kind == Some("inline") {
        return Ok(Wish::Inline);
    }
    let place = fields.place().map_err(|why| why.replace("src=", "dest="))?;
    let packing = fields.packing(&place)?;
    Ok(Wish::Gift(Gift { place, all: fields.all, packing, may_fail: fields.may_fail }))
}

/// What is wrong with a word.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);

fn told(why: String) -> Wrong {
    Wrong(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(path: &str, tag: &str) -> Place {
        Place::Directory(CacheDirectory { path: path.into(), tag: tag.into() })
    }

    fn name(text: &str) -> Place {
        Place::Registry(text.parse().unwrap())
    }

    #[test]
    fn sources_are_docker_s() {
        let of = |word: &str| Fields::read(word).and_then(|fields| fields.place());
        for (word, place) in [
            ("type=local,src=/cache", directory("/cache", "latest")),
            ("type=oci,src=/cache,tag=main", directory("/cache", "main")),
            ("/cache", directory("/cache", "latest")),
            ("type=registry,ref=r.test/a:cache", name("r.test/a:cache")),
            ("ref=r.test/a", name("r.test/a")),
            ("r.test/a:1", name("r.test/a:1")),
        ] {
            assert_eq!(of(word).unwrap(), place, "{word}");
        }
        for wrong in ["type=local", "type=registry", "type=gha,scope=x", "type=s3", "tag=x", "UPPER", "type=local,src="]
        {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(
            of("./cache")
                .is_ok_and(|place| matches!(place, Place::Directory(directory) if directory.path.is_absolute()))
        );
    }

    #[test]
    fn destinations_are_docker_s() {
        let gift = |place: Place, all, packing| Wish::Gift(Gift { place, all, packing, may_fail: false });
        for (word, wanted) in [
            ("type=inline", Wish::Inline),
            ("/cache", gift(directory("/cache", "latest"), false, None)),
            ("type=local,dest=/cache,mode=max", gift(directory("/cache", "latest"), true, None)),
            (
                "type=local,dest=/cache,compression=zstd",
                gift(directory("/cache", "latest"), false, Some(Packing::Zstd)),
            ),
            ("type=registry,ref=r.test/a,mode=min", gift(name("r.test/a"), false, Some(Packing::Gzip))),
            ("type=registry,ref=r.test/a,compression=uncompressed", gift(name("r.test/a"), false, None)),
        ] {
            assert_eq!(wish(word).unwrap(), wanted, "{word}");
        }
        for wrong in
            ["type=local", "type=registry,ref=a,mode=most", "type=local,dest=/c,compression=rar", "type=azblob"]
        {
            assert!(wish(wrong).is_err(), "{wrong}");
        }
    }
}
