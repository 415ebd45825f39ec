//! How a layer's members become part of the tree.
//!
//! The outcome is that of unpacking one tar after the other into an empty root, with whiteouts between them:
//!
//! - the last of a name wins; a directory over a directory changes only what the directory itself says;
//! - a member below a symbolic link goes where the link leads, inside the image (a layer may say `bin/x` where `bin` is
//!   a link to `usr/bin`); missing directories on the way are made, 0755, root's, from 1970;
//! - a member below something that is neither a directory nor a link replaces it by such a directory;
//! - a member that has the name of a symbolic link replaces the link;
//! - a name that climbs out of the root, or that Linux could not have, fails the layer.

use std::borrow::Cow;
use std::io::{Read, Seek};

use super::name::{self, Components, Marker};
use super::resolve::{LINKS_MAX, ResolveError, resolve};
use super::tree::{Body, Child, Data, Inode, InodeId, Tree};
use super::xattr;
use crate::archive::{ArchiveError, Member, MemberKind, Parser, Xattr, scan};

/// What sparse files may take in an index, all together.
const SPARSE_LIMIT: u64 = 512 << 20;
/// A symbolic link's target has to fit a page with its NUL.
const TARGET_MAX: usize = 4095;

/// Why a layer cannot become part of an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// Its tar cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// One of its members makes no sense.
    #[error("cannot take {:?} (at byte {offset} of the archive) into the image", String::from_utf8_lossy(path))]
    Member {
        /// The member's name.
        path: Vec<u8>,
        /// Where its header is.
        offset: u64,
        /// What is wrong with it.
        source: MergeError,
    },
    /// A tar may have 2 TiB.
    #[error("the archive is {size} bytes long, more than an index can point into")]
    TooLong {
        /// Its length.
        size: u64,
    },
    /// There are 16 bits for the number of a layer.
    #[error("an image has 65,534 layers at most")]
    TooMany,
}

/// Why a member cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// It says `../` too often.
    #[error("its name leads out of the root")]
    Outside,
    /// A component is longer than Linux allows.
    #[error("a name of {length} bytes is longer than 255")]
    NameTooLong {
        /// How long.
        length: usize,
    },
    /// The whole is longer than Linux allows.
    #[error("a path of {length} bytes is longer than 4096")]
    PathTooLong {
        /// How long.
        length: usize,
    },
    /// A NUL ends names everywhere else.
    #[error("its name or target holds a NUL")]
    Nul,
    /// A whiteout of nothing, or of `.` or `..`.
    #[error("a whiteout has to name what it hides")]
    Whiteout,
    /// The root is something else than a directory.
    #[error("the root can only be a directory")]
    Root,
    /// The links on the way lead in circles.
    #[error("its directory cannot be found: {0}")]
    Resolve(#[from] ResolveError),
    /// The file that the hard link names is not there.
    #[error("it is a hard link to {:?}, which is not there", String::from_utf8_lossy(target))]
    LinkTarget {
        /// What it names.
        target: Vec<u8>,
    },
    /// Directories have one name.
    #[error("it is a hard link to {:?}, which is a directory", String::from_utf8_lossy(target))]
    LinkToDirectory {
        /// What it names.
        target: Vec<u8>,
    },
    /// A symbolic link to nothing, or to more than a page.
    #[error("the target of a symbolic link has 1 to 4095 bytes, not {length}")]
    Target {
        /// How long it is.
        length: usize,
    },
    /// An attribute that no file system could hold.
    #[error("its attribute {:?} has a name or value that cannot be kept", String::from_utf8_lossy(name))]
    Xattr {
        /// The attribute.
        name: Vec<u8>,
    },
    /// Holes as large as this would fill the disk with pointers.
    #[error("the sparse files of the image are too large and too scattered")]
    Sparse,
    /// It lies beyond what 32 bits of blocks reach.
    #[error("its data starts more than 2 TiB into the archive")]
    Far,
    /// There are 32 bits for the number of a file.
    #[error("the image has too many files")]
    TooMany,
}

/// What was found in a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerSummary {
    /// The length of the tar.
    pub bytes: u64,
    /// How many members it has, whiteouts not counted.
    pub members: u64,
    /// The sizes of its regular files, added up.
    pub data: u64,
    /// How many names or directories it hides.
    pub whiteouts: u64,
    /// How many attributes were left out, because they are of a kind that Linux has not.
    pub foreign_xattrs: u64,
}

/// A layer on its way into the tree, for bytes that come piece by piece.
///
/// A tree whose layer failed, or was not finished, holds part of it and should be dropped.
#[derive(Debug)]
pub struct LayerBuilder<'a> {
    tree: &'a mut Tree,
    parser: Parser,
    layer: u16,
    summary: LayerSummary,
}

impl Tree {
    /// Adds a layer on top, from its tar; the data is not read.
    pub fn add_layer(&mut self, mut tar: impl Read + Seek) -> Result<LayerSummary, LayerError> {
        let layer = self.next_layer()?;
        let mut summary = LayerSummary::default();
        summary.bytes = scan(&mut tar, |member| self.add_member(member, layer, &mut summary))?;
        self.finish_layer(summary)
    }

    /// Begins to add a layer on top, whose bytes are still to come.
    pub fn begin_layer(&mut self) -> Result<LayerBuilder<'_>, LayerError> {
        let layer = self.next_layer()?;
        Ok(LayerBuilder { tree: self, parser: Parser::new(), layer, summary: LayerSummary::default() })
    }

    /// Devices are counted from 1 in 16 bits.
    fn next_layer(&mut self) -> Result<u16, LayerError> {
        self.parent = None;
        u16::try_from(self.layers.len()).ok().filter(|&layer| layer < u16::MAX - 1).ok_or(LayerError::TooMany)
    }

    fn finish_layer(&mut self, summary: LayerSummary) -> Result<LayerSummary, LayerError> {
        let blocks = u32::try_from(summary.bytes.div_ceil(512)).ok().filter(|&blocks| blocks < u32::MAX);
        self.layers.push(blocks.ok_or(LayerError::TooLong { size: summary.bytes })?);
        Ok(summary)
    }

    fn add_member(&mut self, mut member: Member, layer: u16, summary: &mut LayerSummary) -> Result<(), LayerError> {
        let path = std::mem::take(&mut member.path);
        let offset = member.offset;
        self.merge(&path, member, layer, summary).map_err(|source| LayerError::Member { path, offset, source })
    }

    fn merge(&mut self, path: &[u8], member: Member, layer: u16, summary: &mut LayerSummary) -> Result<(), MergeError> {
        let (known, name) = match self.known_parent(path) {
            // What is known is no shorter for it.
            Some(_) if path.len() > name::PATH_MAX => return Err(MergeError::PathTooLong { length: path.len() }),
            Some((parent, name)) => (Some(parent), name),
            None => (None, path),
        };
        let components = name::parse(name)?;
        let Some((name, parents)) = components.split_last() else {
            summary.members += 1;
            return self.describe_root(member, summary);
        };
        if known.is_none() && parents.iter().any(|parent| matches!(Marker::parse(parent), Ok(Marker::Note))) {
            return Ok(());
        }
        match Marker::parse(name)? {
            Marker::Note => return Ok(()),
            Marker::None => {}
            marker => {
                summary.whiteouts += 1;
                let parent = known.map_or_else(|| self.find_directory(parents), |id| Ok(Some(id)))?;
                match (parent, marker) {
                    (Some(parent), Marker::Whiteout(name)) => self.hide(parent, name, layer),
                    (Some(parent), _) => self.prune(parent, layer),
                    (None, _) => {}
                }
                return Ok(());
            }
        }
        summary.members += 1;
        if let MemberKind::File(content) = &member.kind {
            summary.data = summary.data.saturating_add(content.size());
        }
        let parent = known.map_or_else(|| self.ensure_directory(parents, layer), Ok)?;
        self.place(parent, name, member, layer, summary)?;
        if known.is_none() {
            self.remember_parent(path, parent);
        }
        Ok(())
    }

    /// Archives go directory by directory: most members lie where the one before lay.
    fn known_parent<'p>(&self, path: &'p [u8]) -> Option<(InodeId, &'p [u8])> {
        let (text, id) = self.parent.as_ref()?;
        let name = path.strip_prefix(text.as_slice())?;
        let name = name.strip_suffix(b"/").unwrap_or(name);
        let is_name = !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/');
        is_name.then_some((*id, name))
    }

    fn remember_parent(&mut self, path: &[u8], parent: InodeId) {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let (text, name) = path.split_at(start);
        if !matches!(name, b"" | b"." | b"..") {
            self.parent = Some((text.to_vec(), parent));
        }
    }

    fn describe_root(&mut self, member: Member, summary: &mut LayerSummary) -> Result<(), MergeError> {
        if member.kind != MemberKind::Directory {
            return Err(MergeError::Root);
        }
        self.describe(InodeId::ROOT, member, summary)
    }

    /// Gives a directory what a member says of it; its names stay.
    fn describe(&mut self, id: InodeId, member: Member, summary: &mut LayerSummary) -> Result<(), MergeError> {
        let xattrs = take_xattrs(member.xattrs, true, summary)?;
        let inode = self.inode_mut(id);
        (inode.mode, inode.uid, inode.gid, inode.mtime) = (member.mode, member.uid, member.gid, member.mtime);
        inode.xattrs = xattrs;
        Ok(())
    }

    /// Finds the directory of a whiteout; what is not there hides nothing.
    fn find_directory(&self, components: &[&[u8]]) -> Result<Option<InodeId>, MergeError> {
        match resolve(self, &components.join(&b'/'), true) {
            Ok(id) => Ok(Some(id)),
            Err(ResolveError::NotFound | ResolveError::NotADirectory) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Finds or makes the directory that a member lies in.
    fn ensure_directory(&mut self, components: &[&[u8]], layer: u16) -> Result<InodeId, MergeError> {
        let mut rest: Vec<Cow<'_, [u8]>> = components.iter().rev().map(|&name| Cow::Borrowed(name)).collect();
        let mut directory = InodeId::ROOT;
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if *name == *b".." {
                directory = self.inode(directory).directory().map_or(InodeId::ROOT, |directory| directory.parent);
                continue;
            }
            let child = self.child(directory, &name);
            directory = match child.map(|child| (child.id, &self.inode(child.id).body)) {
                Some((id, Body::Directory(_))) => id,
                Some((_, Body::Symlink(target))) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(ResolveError::Loop.into());
                    }
                    rest.extend(name::split(target).rev().map(|name| Cow::Owned(name.to_vec())));
                    if target.starts_with(b"/") { InodeId::ROOT } else { directory }
                }
                _ => self.replace(directory, &name, Inode::implicit_directory(), layer)?,
            };
        }
        Ok(directory)
    }

    fn place(
        &mut self,
        parent: InodeId,
        name: &[u8],
        member: Member,
        layer: u16,
        summary: &mut LayerSummary,
    ) -> Result<(), MergeError> {
        let body = match member.kind {
            MemberKind::HardLink(target) => return self.link(parent, name, target, layer),
            MemberKind::Directory => {
                let there = self.child(parent, name).filter(|child| self.inode(child.id).is_directory());
                let id = match there {
                    Some(child) => child.id,
                    None => self.replace(parent, name, Inode::implicit_directory(), layer)?,
                };
                self.mark(parent, name, layer);
                return self.describe(id, Member { kind: MemberKind::Directory, ..member }, summary);
            }
            MemberKind::File(content) => {
                let data = Data::from_content(content, layer).ok_or(MergeError::Far)?;
                self.pay(&data)?;
                Body::File(data)
            }
            MemberKind::Symlink(target) => Body::Symlink(checked_target(target)?),
            MemberKind::CharDevice(number) => Body::CharDevice(number),
            MemberKind::BlockDevice(number) => Body::BlockDevice(number),
            MemberKind::Fifo => Body::Fifo,
        };
        // Linux gives all symbolic links the same permissions, whatever the archive says.
        let mode = if matches!(body, Body::Symlink(_)) { 0o777 } else { member.mode };
        let Member { uid, gid, mtime, xattrs, .. } = member;
        let xattrs = take_xattrs(xattrs, matches!(body, Body::File(_)), summary)?;
        self.replace(parent, name, Inode { mode, uid, gid, links: 1, mtime, xattrs, body }, layer)?;
        Ok(())
    }

    /// Puts a new file where another may have been.
    fn replace(&mut self, parent: InodeId, name: &[u8], inode: Inode, layer: u16) -> Result<InodeId, MergeError> {
        if self.child(parent, name).is_some() {
            self.detach(parent, name);
        }
        let id = self.insert(inode).ok_or(MergeError::TooMany)?;
        if let Some(directory) = self.inode_mut(id).directory_mut() {
            directory.pruned = layer;
        }
        self.attach(parent, name, Child { id, layer });
        Ok(id)
    }

    fn link(&mut self, parent: InodeId, name: &[u8], target: Vec<u8>, layer: u16) -> Result<(), MergeError> {
        let components: Components<'_> = name::parse(&target)?;
        let Ok(id) = resolve(self, &components.join(&b'/'), false) else {
            return Err(MergeError::LinkTarget { target });
        };
        if self.inode(id).is_directory() {
            return Err(MergeError::LinkToDirectory { target });
        }
        if self.child(parent, name).is_some_and(|child| child.id == id) {
            self.mark(parent, name, layer);
            return Ok(());
        }
        // Counted before the old file goes: it may be the directory that the target lies in.
        self.inode_mut(id).links += 1;
        if self.child(parent, name).is_some() {
            self.detach(parent, name);
        }
        self.attach(parent, name, Child { id, layer });
        Ok(())
    }

    fn pay(&mut self, data: &Data) -> Result<(), MergeError> {
        if let Data::Sparse { file, .. } = data {
            self.sparse_cost = self.sparse_cost.saturating_add(file.cost());
        }
        if self.sparse_cost > SPARSE_LIMIT { Err(MergeError::Sparse) } else { Ok(()) }
    }
}

impl LayerBuilder<'_> {
    /// Takes the next bytes of the tar.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        let Self { tree, parser, layer, summary } = self;
        parser.push(bytes, &mut |member| tree.add_member(member, *layer, summary))
    }

    /// Ends the layer: no more bytes come.
    pub fn finish(self) -> Result<LayerSummary, LayerError> {
        let Self { tree, parser, mut summary, .. } = self;
        summary.bytes = parser.finish()?;
        tree.finish_layer(summary)
    }
}

fn checked_target(target: Vec<u8>) -> Result<Box<[u8]>, MergeError> {
    if target.contains(&0) {
        return Err(MergeError::Nul);
    }
    if target.is_empty() || target.len() > TARGET_MAX {
        return Err(MergeError::Target { length: target.len() });
    }
    Ok(target.into())
}

/// Leaves out what Linux does not know, and what users say of links, pipes and devices: Linux lists such attributes and
/// does not give them out, so that overlay could not copy such a file up (xattr(7), "Extended user attributes"). The rest
/// has to fit.
fn take_xattrs(xattrs: Vec<Xattr>, has_users: bool, summary: &mut LayerSummary) -> Result<Box<[Xattr]>, MergeError> {
    let count = xattrs.len();
    let is_kept = |xattr: &Xattr| xattr::is_known(&xattr.name) && (has_users || !xattr.name.starts_with(b"user."));
    let mut kept: Vec<Xattr> = xattrs.into_iter().filter(is_kept).collect();
    summary.foreign_xattrs += (count - kept.len()) as u64;
    if let Some(xattr) = kept.iter().find(|xattr| !xattr::fits(xattr)) {
        return Err(MergeError::Xattr { name: xattr.name.clone() });
    }
    // Sorted, so that the index does not depend on the order in the archive.
    kept.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(kept.into())
}

#[cfg(test)]
mod tests;
