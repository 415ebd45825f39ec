//! Whiteouts: what an upper layer hides of the lower ones, and of them alone.
//!
//! A layer's own files stay, whether they come before or after the mark: image-spec has it so, and it makes the result
//! independent of the order within a layer.

use super::tree::{Child, Inode, InodeId, Tree};

impl Tree {
    /// Takes the lower layers' file of this name out of a directory, with all that is in it.
    pub(super) fn hide(&mut self, parent: InodeId, name: &[u8], layer: u16) {
        let Some(child) = self.child(parent, name) else { return };
        self.prune(child.id, layer);
        self.settle(parent, name, child, layer);
    }

    /// Takes all that the lower layers put into a directory out of it; nothing to do for what is no directory.
    pub(super) fn prune(&mut self, id: InodeId, layer: u16) {
        let directories = self.begin_pruning(id, layer);
        // The deepest first, so that a directory is known to be empty when its own name is looked at.
        for id in directories.into_iter().rev() {
            let Some(directory) = self.inode(id).directory() else { continue };
            let lower = directory.entries.iter().filter(|(_, child)| child.layer != layer);
            let lower: Vec<_> = lower.map(|(name, child)| (name.clone(), *child)).collect();
            for (name, child) in lower {
                self.settle(id, &name, child, layer);
            }
        }
    }

    /// Lists the directories in which a lower layer may have left something, parents first, and marks them as done.
    fn begin_pruning(&mut self, id: InodeId, layer: u16) -> Vec<InodeId> {
        let mut found = Vec::new();
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let Some(directory) = self.inode_mut(id).directory_mut() else { continue };
            if directory.pruned == layer {
                continue;
            }
            directory.pruned = layer;
            found.push(id);
            todo.extend(directory.entries.values().map(|child| child.id));
        }
        found
    }

    /// Removes a lower layer's name, unless it is a directory that this layer has put something into.
    fn settle(&mut self, parent: InodeId, name: &[u8], child: Child, layer: u16) {
        if child.layer == layer {
            return;
        }
        let is_used = self.inode(child.id).directory().is_some_and(|directory| !directory.entries.is_empty());
        if !is_used {
            return self.detach(parent, name);
        }
        // As if this layer's files had come first: the directory is there for their sake only.
        let Inode { mode, uid, gid, mtime, xattrs, .. } = Inode::implicit_directory();
        let inode = self.inode_mut(child.id);
        (inode.mode, inode.uid, inode.gid, inode.mtime, inode.xattrs) = (mode, uid, gid, mtime, xattrs);
        self.mark(parent, name, layer);
    }

    /// Says that this layer has given the name its meaning.
    pub(super) fn mark(&mut self, parent: InodeId, name: &[u8], layer: u16) {
        let entries = self.inode_mut(parent).directory_mut().map(|directory| &mut directory.entries);
        if let Some(child) = entries.and_then(|entries| entries.get_mut(name)) {
            child.layer = layer;
        }
    }
}
