//! Extended attributes on disk.
//!
//! A name's namespace is one byte. Attributes that several files have (labels, mostly) stand once in a shared area and are
//! referred to by number; the others follow their inode.
//!
//! Overlay keeps its own notes in `trusted.overlay.*` of the layers below and hides them. What an image has of these is
//! the image's, not overlay's: it is written as `trusted.overlay.overlay.*`, which overlay shows as `trusted.overlay.*`
//! (Linux 6.7, overlayfs.rst, "Nested overlayfs mounts") and never takes as an instruction.

use std::borrow::Cow;
use std::collections::HashMap;

use super::tree::{Inode, InodeId, Tree};
use crate::archive::Xattr;

const HEADER_SIZE: usize = 12;
const ENTRY_SIZE: usize = 4;
const SHARED_MAX: usize = 255;

/// Namespaces by number.
const PREFIXES: [(&[u8], u8); 3] = [(b"user.", 1), (b"trusted.", 4), (b"security.", 6)];
/// Attributes that are a namespace of their own.
const WHOLE: [(&[u8], u8); 2] = [(b"system.posix_acl_access", 2), (b"system.posix_acl_default", 3)];
const CAPABILITY: &[u8] = b"security.capability";
const OVERLAY: &[u8] = b"trusted.overlay.";

/// Splits a name into its namespace and the rest.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    if let Some((_, index)) = WHOLE.iter().find(|(whole, _)| *whole == name) {
        return Some((*index, &[]));
    }
    let find = |(prefix, index): &(&[u8], u8)| Some((*index, name.strip_prefix(*prefix)?));
    PREFIXES.iter().find_map(find).filter(|(_, rest)| !rest.is_empty())
}

/// Puts a name together from its namespace and the rest.
pub(super) fn join(index: u8, rest: &[u8]) -> Option<Vec<u8>> {
    let (prefix, _) = PREFIXES.iter().chain(&WHOLE).find(|(_, known)| *known == index)?;
    let name = [prefix, rest].concat();
    Some(match name.strip_prefix(OVERLAY).and_then(|rest| rest.strip_prefix(b"overlay.")) {
        Some(rest) => [OVERLAY, rest].concat(),
        None => name,
    })
}

/// Says whether Linux has this namespace.
pub(super) fn is_known(name: &[u8]) -> bool {
    split(name).is_some()
}

/// Says whether name and value are within the bounds of Linux and of the format.
pub(super) fn fits(xattr: &Xattr) -> bool {
    let is_list = WHOLE.iter().any(|(name, _)| *name == xattr.name);
    escape(&xattr.name).len() <= 255
        && !xattr.name.contains(&0)
        && u16::try_from(xattr.value.len()).is_ok()
        && (!is_list || is_access_list(&xattr.value))
        && (xattr.name != CAPABILITY || is_capability(&xattr.value))
}

/// Says whether the kernel can read an access control list (its `linux/posix_acl_xattr.h`). No file system lets a wrong one
/// be set; in an index it would make a file that nobody can open.
fn is_access_list(value: &[u8]) -> bool {
    let Some((version, entries)) = value.split_first_chunk() else { return false };
    let (entries, rest) = entries.as_chunks::<8>();
    let is_entry = |entry: &[u8; 8]| match u16::from_le_bytes([entry[0], entry[1]]) {
        // The owner, the owning group, the mask, everybody else.
        1 | 4 | 16 | 32 => true,
        // A user or a group, which has to be somebody.
        2 | 8 => entry[4..] != [0xff; 4],
        _ => false,
    };
    u32::from_le_bytes(*version) == 2 && rest.is_empty() && entries.iter().all(is_entry)
}

/// Returns the name under which an attribute is kept below an overlay: its own, unless overlay would take it for an instruction.
pub(crate) fn escape(name: &[u8]) -> Cow<'_, [u8]> {
    match name.strip_prefix(OVERLAY) {
        Some(rest) => Cow::Owned([OVERLAY, b"overlay.", rest].concat()),
        None => Cow::Borrowed(name),
    }
}

/// Encodes an attribute, padded to four bytes; those that do not fit were refused before.
fn encode(xattr: &Xattr) -> Vec<u8> {
    let name = escape(&xattr.name);
    let (index, rest) = split(&name).unwrap_or_default();
    let name_size = u8::try_from(rest.len()).unwrap_or(u8::MAX);
    let value_size = u16::try_from(xattr.value.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![name_size, index];
    bytes.extend(value_size.to_le_bytes());
    bytes.extend(rest);
    bytes.extend(&xattr.value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Says whether the kernel can read a program's capabilities (its `linux/capability.h`): a word that says how long they are,
/// in three versions. A wrong one would make a program that nobody can start.
fn is_capability(value: &[u8]) -> bool {
    let Some((magic, _)) = value.split_first_chunk() else { return false };
    let version = u32::from_le_bytes(*magic) >> 24;
    matches!((version, value.len()), (1, 12) | (2, 20) | (3, 24))
}

/// The attributes that stand once, and how the others are written.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The shared area.
    pub(super) area: Vec<u8>,
    numbers: HashMap<Vec<u8>, u32>,
}

impl Table {
    /// Finds what several files have in common.
    pub(super) fn plan(tree: &Tree, order: &[InodeId]) -> Option<Self> {
        let mut counts: HashMap<Vec<u8>, (usize, usize)> = HashMap::new();
        for xattr in order.iter().flat_map(|id| &tree.inode(*id).xattrs) {
            let first = counts.len();
            counts.entry(encode(xattr)).or_insert((first, 0)).1 += 1;
        }
        let mut shared: Vec<_> = counts.into_iter().filter(|(_, (_, count))| *count > 1).collect();
        // In the order of the files, not of the hashes.
        shared.sort_unstable_by_key(|(_, (first, _))| *first);
        let mut table = Self::default();
        for (bytes, _) in shared {
            let number = u32::try_from(table.area.len() / 4).ok()?;
            table.area.extend(&bytes);
            table.numbers.insert(bytes, number);
        }
        Some(table)
    }

    /// Returns what follows an inode: a header, the numbers of shared attributes, and the other attributes.
    pub(super) fn body(&self, inode: &Inode) -> Vec<u8> {
        if inode.xattrs.is_empty() {
            return Vec::new();
        }
        let (mut numbers, mut own) = (Vec::new(), Vec::new());
        for xattr in &inode.xattrs {
            let bytes = encode(xattr);
            match self.numbers.get(&bytes) {
                Some(number) if numbers.len() < SHARED_MAX => numbers.push(*number),
                _ => own.extend(bytes),
            }
        }
        let mut body = vec![0; HEADER_SIZE];
        body[4] = u8::try_from(numbers.len()).unwrap_or(u8::MAX);
        body.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
        body.extend(own);
        body
    }
}

/// Returns what an inode says of the length of its attributes; nothing if that is too long to be said.
pub(super) fn count(body_size: usize) -> Option<u16> {
    match body_size {
        0 => Some(0),
        size => u16::try_from((size - HEADER_SIZE) / 4 + 1).ok(),
    }
}

/// Returns the length of what follows an inode, from what the inode says.
pub(super) fn body_size(count: u16) -> usize {
    if count == 0 { 0 } else { HEADER_SIZE + 4 * (usize::from(count) - 1) }
}

/// Reads what follows an inode: the numbers of shared attributes, and the other attributes.
pub(super) fn split_body(body: &[u8]) -> Option<(Vec<u32>, &[u8])> {
    if body.is_empty() {
        return Some((Vec::new(), &[]));
    }
    let (header, rest) = body.split_at_checked(HEADER_SIZE)?;
    let (numbers, own) = rest.split_at_checked(usize::from(header[4]) * 4)?;
    let (numbers, _) = numbers.as_chunks();
    Some((numbers.iter().copied().map(u32::from_le_bytes).collect(), own))
}

/// Reads an attribute from the start of `bytes`; gives how long it is, too.
pub(super) fn decode(bytes: &[u8]) -> Option<(Option<Xattr>, usize)> {
    let (&[name_size, index, low, high], rest) = bytes.split_first_chunk::<ENTRY_SIZE>()?;
    let (name, rest) = rest.split_at_checked(name_size.into())?;
    let value = rest.get(..u16::from_le_bytes([low, high]).into())?;
    let size = (ENTRY_SIZE + name.len() + value.len()).next_multiple_of(4);
    Some((join(index, name).map(|name| Xattr { name, value: value.to_vec() }), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattr(name: &str, value: &[u8]) -> Xattr {
        Xattr { name: name.as_bytes().to_vec(), value: value.to_vec() }
    }

    #[test]
    fn an_attribute_comes_back_as_it_was() {
        for name in ["user.a", "trusted.b", "security.capability", "system.posix_acl_access", "trusted.overlay.opaque"]
        {
            let xattr = xattr(name, b"\0value");
            let bytes = encode(&xattr);
            assert_eq!(decode(&bytes), Some((Some(xattr), bytes.len())));
        }
    }

    #[test]
    fn an_access_list_that_the_kernel_could_not_read_does_not_fit() {
        let fits = |value: &[u8]| fits(&xattr("system.posix_acl_access", value));
        assert!(fits(b"\x02\0\0\0"));
        assert!(fits(b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0"));
        for value in [
            &b""[..],
            b"none",
            b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff",
            b"\x01\0\0\0",
            b"\x02\0\0\0\x03\0\x06\0\xff\xff\xff\xff",
            b"\x02\0\0\0\x02\0\x06\0\xff\xff\xff\xff",
        ] {
            assert!(!fits(value), "{value:?}");
        }
    }

    #[test]
    fn capabilities_that_the_kernel_could_not_read_do_not_fit() {
        let fits = |version: u8, length: usize| {
            let value = [&[1, 0, 0, version][..], &vec![0; length - 4]].concat();
            fits(&xattr("security.capability", &value))
        };
        assert!(fits(1, 12) && fits(2, 20) && fits(3, 24));
        assert!(!fits(2, 24) && !fits(4, 20) && !fits(0, 4));
    }

    #[test]
    fn overlays_own_names_are_written_as_data() {
        let bytes = encode(&xattr("trusted.overlay.redirect", b"/"));
        assert!(bytes.windows(24).any(|window| window == b"overlay.overlay.redirect"));
    }

    #[test]
    fn other_systems_namespaces_are_not_known() {
        for name in ["com.apple.quarantine", "user.", "system.nfs4_acl", "user"] {
            assert!(!is_known(name.as_bytes()), "{name}");
        }
        assert!(!fits(&xattr("user.a", &[0; 1 << 16])));
        assert!(!fits(&xattr(&format!("user.{}", "a".repeat(251)), b"")));
        assert!(fits(&xattr(&format!("user.{}", "a".repeat(250)), &[0; 65535])));
    }
}
