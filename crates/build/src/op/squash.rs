//! `--squash`: several layers as one. What one of them made and a later one took away again is in none.

use std::rc::Rc;

use store::erofs::{Body, InodeId, Node};
use store::{Layer, Stack, Work};

use super::copy::CopyError;
use super::layer;
use super::target::{Data, Entries, Entry};
use crate::files::{Files, Info, Kind, Layers, describe};
use crate::paths::join;

/// Writes one layer that makes of the layers `below` what `own` make of them.
pub(crate) fn squash(work: &mut Work, below: &[Layer], own: &[Layer]) -> Result<Layer, CopyError> {
    let before = Stack::of(below)?;
    let all: Vec<_> = below.iter().chain(own).cloned().collect();
    let after = Rc::new(Stack::of(&all)?);
    let files = Layers::new(Rc::clone(&after));
    let mut found = Entries::new();
    let (first, second) = (before.tree().root(), after.tree().root());
    Comparison { before: &before, after: &after, files: &files, found: &mut found, base: below.len() }.directory(
        Some(first.id),
        second.id,
        b"",
    );
    let trees: [Rc<dyn Files>; 1] = [Rc::new(files)];
    layer::write(work, &found, &trees)
}

struct Comparison<'a> {
    before: &'a Stack,
    after: &'a Stack,
    files: &'a Layers,
    found: &'a mut Entries,
    /// How many layers are below: data in one of them has not changed.
    base: usize,
}

impl Comparison<'_> {
    fn directory(&mut self, before: Option<InodeId>, after: InodeId, path: &[u8]) {
        let (first, second) = (self.before.tree(), self.after.tree());
        if let Some(before) = before {
            let gone: Vec<_> = first
                .children(before)
                .filter(|(name, _)| !second.children(after).any(|(known, _)| known == *name))
                .map(|(name, _)| name.to_vec())
                .collect();
            for name in gone {
                let marker = join(path, &[b".wh.", name.as_slice()].concat());
                let info =
                    Info { kind: Kind::File, mode: 0o600, uid: 0, gid: 0, size: 0, modified: None, identity: None };
                self.found.insert(marker, Entry { info, data: Data::None, modified: 0, attributes: Vec::new() });
            }
        }
        let children: Vec<(Vec<u8>, Node<'_>)> =
            second.children(after).map(|(name, node)| (name.to_vec(), node)).collect();
        for (name, node) in children {
            let old = before.and_then(|before| first.children(before).find(|(known, _)| *known == name.as_slice()));
            self.child(old.map(|(_, node)| node), node, &join(path, &name));
        }
    }

    fn child(&mut self, before: Option<Node<'_>>, after: Node<'_>, path: &[u8]) {
        let same = before.is_some_and(|before| self.is_same(before, after));
        let count = self.found.len();
        if !same {
            self.found.insert(path.to_vec(), self.entry(after, path));
        }
        if after.inode.is_directory() {
            let old = before.filter(|before| before.inode.is_directory()).map(|before| before.id);
            self.directory(old, after.id, path);
            // Whoever applies the layer must not have to guess what the directory is like.
            if self.found.len() > count {
                let entry = self.entry(after, path);
                self.found.entry(path.to_vec()).or_insert(entry);
            }
        }
    }

    fn is_same(&self, before: Node<'_>, after: Node<'_>) -> bool {
        let of_below = match &after.inode.body {
            Body::File(store::erofs::Data::Whole { layer, .. } | store::erofs::Data::Sparse { layer, .. }) => {
                usize::from(*layer) < self.base && before.inode.body == after.inode.body
            }
            Body::Directory(_) => before.inode.is_directory(),
            body => *body == before.inode.body,
        };
        of_below
            && (before.inode.mode, before.inode.uid, before.inode.gid)
                == (after.inode.mode, after.inode.uid, after.inode.gid)
            && before.inode.mtime == after.inode.mtime
            && before.inode.xattrs == after.inode.xattrs
    }

    fn entry(&self, node: Node<'_>, path: &[u8]) -> Entry {
        let info = self.files.info(path).unwrap_or_else(|| describe(node.inode));
        let data = match info.kind {
            Kind::File => Data::Tree { tree: 0, path: path.to_vec() },
            _ => Data::None,
        };
        let modified = u64::try_from(node.inode.mtime.seconds).unwrap_or_default();
        Entry { info, data, modified, attributes: self.files.attributes(path) }
    }
}
