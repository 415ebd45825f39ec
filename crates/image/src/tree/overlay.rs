//! The marks that overlay leaves in its upper directory (kernel, filesystems/overlayfs), and the same in an image's layer
//! (image-spec, layer.md, "Whiteouts").

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Stat};
use sys::Calling;

use super::entry::{Entry, Kind};

/// The attribute of a directory that hides what is below it in the image.
const OPAQUE: &str = "trusted.overlay.opaque";

/// Tells whether a file stands for one that is gone.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Tells whether a directory hides what is below it in the image.
pub(crate) fn is_opaque(directory: &OwnedFd) -> sys::Result<bool> {
    let mut value = [0; 1];
    match rustix::fs::fgetxattr(directory, OPAQUE, &mut value) {
        Err(sys::Errno::NODATA | sys::Errno::OPNOTSUPP) => Ok(false),
        result => Ok(result.call(|| format!("fgetxattr({OPAQUE})"))? == 1 && value == *b"y"),
    }
}

/// Tells whether an attribute is overlay's own.
pub(super) fn is_mark(attribute: &str) -> bool {
    attribute.starts_with("trusted.overlay.")
}

/// Returns the entry of a layer that says that `path` is gone.
pub(super) fn whiteout(path: &[u8]) -> Entry {
    let name = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    marker([&path[..name], b".wh.", &path[name..]].concat())
}

/// Returns the entry of a layer that says that the directory `path`, with a slash at its end, hides what was in it.
pub(super) fn opaque_marker(path: &[u8]) -> Entry {
    marker([path, b".wh..wh..opq"].concat())
}

fn marker(path: Vec<u8>) -> Entry {
    Entry { path, kind: Kind::File, mode: 0o600, uid: 0, gid: 0, size: 0, modified: 0, attributes: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whiteouts_stand_beside_what_they_take_away() {
        assert_eq!(whiteout(b"etc/passwd").path, b"etc/.wh.passwd");
        assert_eq!(whiteout(b"etc").path, b".wh.etc");
        assert_eq!(opaque_marker(b"etc/").path, b"etc/.wh..wh..opq");
    }
}
