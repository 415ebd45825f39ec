//! What is made, and in which order. Pure.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::CString;

use sys::credentials::CapabilitySet;

use crate::archive::{DeviceNumber, Time};
use crate::erofs::{Body, Data, Inode, InodeId, Node, Tree, escaped_xattr};

/// What those who unpack may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ability {
    /// Everything: they are the host's root.
    Host,
    /// Neither devices nor the attributes that the host's root alone may set: they are root in a user namespace.
    UserNamespace,
}

/// A tree as steps, each of which makes one name.
#[derive(Debug)]
pub(crate) struct Plan<'t> {
    pub(super) steps: Vec<Step<'t>>,
    /// How deep directories lie in each other.
    pub(super) depth: usize,
    /// What the worker needs to be allowed.
    pub(super) capabilities: CapabilitySet,
    /// How many devices and attributes are left out, for want of rights.
    pub(crate) left_out: u64,
    aside: HashSet<InodeId>,
    ability: Ability,
}

/// One change to the current directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'t> {
    /// Makes a directory, which is the current one from then on.
    Enter(&'t [u8]),
    /// Describes the current directory, now that all is in it, and goes back to the one above.
    Leave(Attributes<'t>),
    /// Makes a file of another kind: in the current directory, or aside.
    Make { name: Cow<'t, [u8]>, aside: bool, what: What<'t>, attributes: Attributes<'t> },
    /// Gives a file that was made aside a name in the current directory.
    Link { number: Vec<u8>, name: &'t [u8] },
}

/// A file that is no directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What<'t> {
    File(&'t Data),
    Symlink(CString),
    CharDevice(DeviceNumber),
    BlockDevice(DeviceNumber),
    Fifo,
}

/// How a file is described.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attributes<'t> {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) mtime: Time,
    pub(super) xattrs: Vec<(Cow<'t, [u8]>, &'t [u8])>,
}

// linux/capability.h
const CHOWN: u32 = 0;
const DAC_OVERRIDE: u32 = 1;
const FOWNER: u32 = 3;
const FSETID: u32 = 4;
const SYS_ADMIN: u32 = 21;
const MKNOD: u32 = 27;
const SETFCAP: u32 = 31;

/// Plans to unpack a tree.
pub(crate) fn plan(tree: &Tree, ability: Ability) -> Plan<'_> {
    let mut plan = Plan::new(ability);
    plan.enter(super::TREE.as_bytes());
    let mut open = vec![(tree.root(), tree.children(InodeId::ROOT))];
    // No recursion: an archive may be deeper than our stack.
    while let Some((directory, children)) = open.last_mut() {
        match children.next() {
            None => {
                plan.leave(directory.inode);
                open.pop();
            }
            Some((name, node)) if node.inode.is_directory() => {
                plan.enter(name);
                open.push((node, tree.children(node.id)));
                plan.depth = plan.depth.max(open.len());
            }
            Some((name, node)) => plan.place(name, node),
        }
    }
    plan
}

impl<'t> Plan<'t> {
    fn new(ability: Ability) -> Self {
        let capabilities = [CHOWN, DAC_OVERRIDE, FOWNER, FSETID].iter().fold(0, |set, number| set | 1 << number);
        Self {
            steps: Vec::new(),
            depth: 1,
            capabilities: CapabilitySet(capabilities),
            left_out: 0,
            aside: HashSet::new(),
            ability,
        }
    }

    fn enter(&mut self, name: &'t [u8]) {
        self.steps.push(Step::Enter(name));
    }

    fn leave(&mut self, directory: &'t Inode) {
        let attributes = self.attributes(directory);
        self.steps.push(Step::Leave(attributes));
    }

    /// A file of one name is made in its place; one of several is made aside, and has all its names by links.
    fn place(&mut self, name: &'t [u8], node: Node<'t>) {
        let Some(what) = self.what(node.inode) else {
            self.left_out += 1;
            return;
        };
        if node.inode.links == 1 {
            let attributes = self.attributes(node.inode);
            self.steps.push(Step::Make { name: name.into(), aside: false, what, attributes });
            return;
        }
        let number = node.id.number().to_string().into_bytes();
        if self.aside.insert(node.id) {
            let attributes = self.attributes(node.inode);
            self.steps.push(Step::Make { name: number.clone().into(), aside: true, what, attributes });
        }
        self.steps.push(Step::Link { number, name });
    }

    fn what(&mut self, inode: &'t Inode) -> Option<What<'t>> {
        Some(match &inode.body {
            Body::File(data) => What::File(data),
            // A target without a NUL is all that the tree takes.
            Body::Symlink(target) => What::Symlink(CString::new(&**target).ok()?),
            Body::CharDevice(number) => What::CharDevice(self.device(*number)?),
            Body::BlockDevice(number) => What::BlockDevice(self.device(*number)?),
            Body::Fifo | Body::Directory(_) => What::Fifo,
        })
    }

    fn device(&mut self, number: DeviceNumber) -> Option<DeviceNumber> {
        self.capabilities.insert(MKNOD);
        (self.ability == Ability::Host).then_some(number)
    }

    fn attributes(&mut self, inode: &'t Inode) -> Attributes<'t> {
        // Linux keeps these for files and directories alone, and shows an index's no more.
        let has_user = matches!(inode.body, Body::File(_) | Body::Directory(_));
        let mut xattrs = Vec::new();
        for xattr in &inode.xattrs {
            let needed = if xattr.name == b"security.capability" {
                self.capabilities.insert(SETFCAP);
                true
            } else if xattr.name.starts_with(b"trusted.") || xattr.name.starts_with(b"security.") {
                self.capabilities.insert(SYS_ADMIN);
                self.ability == Ability::Host
            } else {
                has_user || !xattr.name.starts_with(b"user.")
            };
            if needed {
                xattrs.push((escaped_xattr(&xattr.name), &*xattr.value));
            } else {
                self.left_out += 1;
            }
        }
        Attributes { uid: inode.uid, gid: inode.gid, mode: inode.mode.into(), mtime: inode.mtime, xattrs }
    }

    /// Returns the path that a step is about, as the image has it.
    pub(super) fn path(&self, step: u32) -> String {
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        let mut path: Vec<&[u8]> = Vec::new();
        for step in self.steps.iter().take(step) {
            match step {
                Step::Enter(name) => path.push(name),
                Step::Leave(_) => drop(path.pop()),
                _ => {}
            }
        }
        match (self.steps.get(step), self.steps.get(step + 1)) {
            (Some(Step::Enter(name) | Step::Link { name, .. }), _)
            | (Some(Step::Make { aside: true, .. }), Some(Step::Link { name, .. })) => path.push(name),
            (Some(Step::Make { name, .. }), _) => path.push(name),
            _ => {}
        }
        let below: Vec<_> = path.iter().skip(1).map(|name| String::from_utf8_lossy(name)).collect();
        format!("/{}", below.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of one layer, by name and kind; of a link, the data is the target.
    fn tree(members: &[(tar::EntryType, &str, &str)], xattr: Option<&str>) -> Tree {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, path, target) in members {
            if let Some(name) = xattr {
                // Both a value and the capabilities of a program: a word that says which form they have, and two sets.
                let value = [&0x0200_0000_u32.to_le_bytes()[..], &[0; 16]].concat();
                builder.append_pax_extensions([(format!("SCHILY.xattr.{name}").as_str(), &value[..])]).unwrap();
            }
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_size(0);
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
            if target.is_empty() {
                builder.append_data(&mut header, path, &b""[..]).unwrap();
            } else {
                builder.append_link(&mut header, path, target).unwrap();
            }
        }
        let mut tree = Tree::new();
        tree.add_layer(std::io::Cursor::new(builder.into_inner().unwrap())).unwrap();
        tree
    }

    fn words(plan: &Plan<'_>) -> Vec<String> {
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let word = |step: &Step<'_>| match step {
            Step::Enter(name) => format!("{}/", text(name)),
            Step::Leave(_) => "..".to_owned(),
            Step::Make { name, aside: false, .. } => text(name),
            Step::Make { name, .. } => format!("aside {}", text(name)),
            Step::Link { number, name } => format!("{} is {}", text(name), text(number)),
        };
        plan.steps.iter().map(word).collect()
    }

    use tar::EntryType::{Char, Directory, Link, Regular, Symlink};

    #[test]
    fn a_directory_is_described_after_all_that_is_in_it() {
        let tree =
            tree(&[(Directory, "d/", ""), (Regular, "d/f", ""), (Directory, "d/e/", ""), (Symlink, "a", "d")], None);
        let plan = plan(&tree, Ability::Host);
        assert_eq!(words(&plan), ["tree/", "a", "d/", "e/", "..", "f", "..", ".."]);
        assert_eq!(plan.depth, 3);
        let paths: Vec<_> = (0..8).map(|step| plan.path(step)).collect();
        assert_eq!(paths, ["/", "/a", "/d", "/d/e", "/d/e", "/d/f", "/d", "/"]);
    }

    #[test]
    fn a_file_of_several_names_is_made_aside_and_once() {
        let tree = tree(&[(Regular, "a", ""), (Link, "d/b", "a"), (Link, "c", "a")], None);
        let plan = plan(&tree, Ability::Host);
        assert_eq!(words(&plan), ["tree/", "aside 1", "a is 1", "c is 1", "d/", "b is 1", "..", ".."]);
        assert_eq!(plan.path(1), "/a");
    }

    #[test]
    fn only_what_the_tree_needs_is_allowed() {
        let has = |tree: &Tree, number| plan(tree, Ability::Host).capabilities.contains(number);
        let plain = tree(&[(Regular, "a", "")], Some("user.a"));
        assert!(![MKNOD, SETFCAP, SYS_ADMIN].iter().any(|number| has(&plain, *number)));
        assert!(has(&tree(&[(Char, "null", "")], None), MKNOD));
        let capable = tree(&[(Regular, "a", "")], Some("security.capability"));
        assert!(has(&capable, SETFCAP) && !has(&capable, SYS_ADMIN));
        assert!(has(&tree(&[(Regular, "a", "")], Some("trusted.a")), SYS_ADMIN));
    }

    #[test]
    fn what_a_user_namespace_forbids_is_left_out_and_counted() {
        let tree = tree(&[(Char, "null", ""), (Regular, "a", "")], Some("trusted.a"));
        let plan = plan(&tree, Ability::UserNamespace);
        assert_eq!(words(&plan), ["tree/", "a", ".."]);
        assert_eq!(plan.left_out, 2, "the device, and an attribute of the file");
    }

    #[test]
    fn overlays_own_words_are_made_data() {
        let tree = tree(&[(Regular, "a", "")], Some("trusted.overlay.redirect"));
        let plan = plan(&tree, Ability::Host);
        let Step::Make { attributes, .. } = &plan.steps[1] else { panic!("a file") };
        assert_eq!(&*attributes.xattrs[0].0, b"trusted.overlay.overlay.redirect");
    }
}
