//! From the names in archives to names in the tree.

use super::merge::MergeError;

/// The longest name in a directory, and the longest path, that Linux knows.
const NAME_MAX: usize = 255;
pub(super) const PATH_MAX: usize = 4096;

/// A path below the root: its components, none of them empty, `.` or `..`.
pub(super) type Components<'a> = Vec<&'a [u8]>;

/// Splits a member's name, as if the archive were unpacked in the root: a leading `/` and every `.` mean nothing, and
/// `a/..` is nothing; what climbs out of the root is refused.
pub(super) fn parse(path: &[u8]) -> Result<Components<'_>, MergeError> {
    if path.len() > PATH_MAX {
        return Err(MergeError::PathTooLong { length: path.len() });
    }
    if path.contains(&0) {
        return Err(MergeError::Nul);
    }
    let mut components = Vec::with_capacity(8);
    for component in split(path) {
        match component {
            b".." => {
                components.pop().ok_or(MergeError::Outside)?;
            }
            component if component.len() > NAME_MAX => {
                return Err(MergeError::NameTooLong { length: component.len() });
            }
            component => components.push(component),
        }
    }
    Ok(components)
}

/// Splits a path into components; empty ones and `.` are left out.
pub(super) fn split(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|component| !matches!(*component, b"" | b"."))
}

/// What a name says about lower layers (image-spec, layer.md, "Whiteouts").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker<'a> {
    /// Nothing: it is a name.
    None,
    /// This name is hidden.
    Whiteout(&'a [u8]),
    /// Everything beside it is hidden.
    Opaque,
    /// A note of the file system that invented these marks; nothing to us.
    Note,
}

impl<'a> Marker<'a> {
    pub(super) fn parse(name: &'a [u8]) -> Result<Self, MergeError> {
        let Some(rest) = name.strip_prefix(b".wh.") else { return Ok(Self::None) };
        match rest {
            b".wh..opq" => Ok(Self::Opaque),
            b"" | b"." | b".." => Err(MergeError::Whiteout),
            rest if rest.starts_with(b".wh.") => Ok(Self::Note),
            rest => Ok(Self::Whiteout(rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_as_if_unpacked_in_the_root() {
        for (path, expected) in [
            ("a/b", &["a", "b"][..]),
            ("/a//b/", &["a", "b"]),
            ("./a/../b", &["b"]),
            ("./", &[]),
            ("", &[]),
            ("a/./b/.", &["a", "b"]),
            (".../..a", &["...", "..a"]),
        ] {
            let expected: Vec<_> = expected.iter().map(|name| name.as_bytes()).collect();
            assert_eq!(parse(path.as_bytes()).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn what_linux_could_not_name_is_refused() {
        assert!(matches!(parse(b"../a"), Err(MergeError::Outside)));
        assert!(matches!(parse(b"/a/../../b"), Err(MergeError::Outside)));
        assert!(matches!(parse(b"a\0b"), Err(MergeError::Nul)));
        assert!(matches!(parse(&[b'a'; 256]), Err(MergeError::NameTooLong { length: 256 })));
        assert!(matches!(parse(&b"a/".repeat(3000)), Err(MergeError::PathTooLong { .. })));
        assert_eq!(parse(&[b'a'; 255]).unwrap(), [[b'a'; 255]]);
    }

    #[test]
    fn markers_are_told_from_names() {
        assert_eq!(Marker::parse(b"name").unwrap(), Marker::None);
        assert_eq!(Marker::parse(b".wh.name").unwrap(), Marker::Whiteout(b"name"));
        assert_eq!(Marker::parse(b".wh..wh..opq").unwrap(), Marker::Opaque);
        assert_eq!(Marker::parse(b".wh..wh.plnk").unwrap(), Marker::Note);
        assert!(matches!(Marker::parse(b".wh."), Err(MergeError::Whiteout)));
        assert!(matches!(Marker::parse(b".wh..."), Err(MergeError::Whiteout)));
    }
}
