//! The identity of a cgroup: where it lies below the root of every hierarchy.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The place of a cgroup, relative to the root of each hierarchy: `conductor/web`.
///
/// It is never empty and never leads upward, so what is made or removed at it lies below a hierarchy's root. The OCI
/// `linux.cgroupsPath` is read by the same parser, in its three forms:
///
/// ```
/// use cgroup::CgroupPath;
/// let path = |text: &str| text.parse::<CgroupPath>().unwrap().to_string();
/// assert_eq!(path("conductor/web"), "conductor/web");
/// assert_eq!(path("/pods/7/web"), "pods/7/web");
/// assert_eq!(path("system.slice:conductor:web"), "system.slice/conductor-web.scope");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CgroupPath(String);

/// Why a text does not name a cgroup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupPathError {
    /// The root itself is nobody's to limit or to remove.
    #[error("cgroup path {0:?} names the root of the hierarchy")]
    Root(String),
    /// A part that leads elsewhere or that the kernel does not take.
    #[error("cgroup path {path:?} has the part {part:?}, which is not a name")]
    Part {
        /// The whole text.
        path: String,
        /// The part at fault.
        part: String,
    },
    /// A systemd slice that is none.
    #[error("cgroup path {path:?} names the slice {slice:?}: a slice is called like user-1000.slice")]
    Slice {
        /// The whole text.
        path: String,
        /// The part at fault.
        slice: String,
    },
}

impl CgroupPath {
    /// Returns the path, relative to the root of a hierarchy.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// Returns the directory of this cgroup below `mount`.
    pub fn below(&self, mount: &Path) -> PathBuf {
        mount.join(&self.0)
    }

    /// Returns the cgroup above this one, unless that is the root.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// Returns the directories above this cgroup below `mount`, from `mount` itself downward.
    pub(crate) fn ancestors_below(&self, mount: &Path) -> Vec<PathBuf> {
        let cuts = self.0.match_indices('/').map(|(at, _)| mount.join(&self.0[..at]));
        std::iter::once(mount.to_owned()).chain(cuts).collect()
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CgroupPath {
    type Err = CgroupPathError;

    fn from_str(text: &str) -> Result<Self, CgroupPathError> {
        let plain = match systemd_parts(text) {
            Some((slice, prefix, name)) => unit_path(text, slice, prefix, name)?,
            None => text.trim_matches('/').to_owned(),
        };
        if plain.is_empty() {
            return Err(CgroupPathError::Root(text.to_owned()));
        }
        match plain.split('/').find(|part| !is_name(part)) {
            Some(part) => Err(CgroupPathError::Part { path: text.to_owned(), part: part.to_owned() }),
            None => Ok(Self(plain)),
        }
    }
}

/// Splits `slice:prefix:name`. A slash tells a path from it, since a colon may be part of a cgroup's name.
fn systemd_parts(text: &str) -> Option<(&str, &str, &str)> {
    if text.contains('/') {
        return None;
    }
    let (slice, rest) = text.split_once(':')?;
    let (prefix, name) = rest.split_once(':')?;
    Some((slice, prefix, name))
}

/// Returns where systemd would put the unit: a scope in its slice, and the slice in the slices its name spells out.
fn unit_path(text: &str, slice: &str, prefix: &str, name: &str) -> Result<String, CgroupPathError> {
    let unit = match (name.ends_with(".slice"), prefix) {
        (true, _) => name.to_owned(),
        (false, "") => format!("{name}.scope"),
        (false, prefix) => format!("{prefix}-{name}.scope"),
    };
    let slice = if slice.is_empty() { "system.slice" } else { slice };
    let wrong = || CgroupPathError::Slice { path: text.to_owned(), slice: slice.to_owned() };
    let stem = slice.strip_suffix(".slice").ok_or_else(wrong)?;
    if stem == "-" {
        return Ok(unit);
    }
    let mut path = String::new();
    let mut grown = String::new();
    for part in stem.split('-') {
        if part.is_empty() {
            return Err(wrong());
        }
        grown.push_str(part);
        path.push_str(&format!("{grown}.slice/"));
        grown.push('-');
    }
    Ok(path + &unit)
}

fn is_name(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".." && part.len() <= 255 && !part.contains(['\n', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, CgroupPathError> {
        text.parse::<CgroupPath>().map(|path| path.to_string())
    }

    #[test]
    fn a_path_may_be_relative_absolute_or_systemds() {
        assert_eq!(parse("conductor/web").unwrap(), "conductor/web");
        assert_eq!(parse("/kubepods/pod7/web/").unwrap(), "kubepods/pod7/web");
        assert_eq!(parse("system.slice:docker:abc").unwrap(), "system.slice/docker-abc.scope");
        assert_eq!(parse(":docker:abc").unwrap(), "system.slice/docker-abc.scope");
        assert_eq!(parse("-.slice::abc").unwrap(), "abc.scope");
        assert_eq!(parse("user-1000.slice:x:abc").unwrap(), "user.slice/user-1000.slice/x-abc.scope");
        assert_eq!(parse("a.slice:x:b.slice").unwrap(), "a.slice/b.slice");
        assert_eq!(parse("with:one").unwrap(), "with:one");
    }

    #[test]
    fn a_path_never_leads_out_of_the_hierarchy() {
        for text in ["", "/", "..", "a/../b", "a//b", "./a", "a\nb", "a/\0", "a.slice:..:/../x"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&"x".repeat(256)).is_err());
        assert!(matches!(parse("noslice:a:b"), Err(CgroupPathError::Slice { .. })));
        assert!(matches!(parse("a--b.slice:a:b"), Err(CgroupPathError::Slice { .. })));
    }

    #[test]
    fn the_directories_above_a_cgroup_begin_at_the_mount() {
        let path: CgroupPath = "a/b/c".parse().unwrap();
        let above = path.ancestors_below(Path::new("/cg"));
        assert_eq!(above, [Path::new("/cg"), Path::new("/cg/a"), Path::new("/cg/a/b")]);
        assert_eq!(path.parent().unwrap().to_string(), "a/b");
        assert_eq!("a".parse::<CgroupPath>().unwrap().parent(), None);
    }
}
