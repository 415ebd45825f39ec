//! The cases. A case is a Dockerfile, the files of its context, and the words of the command line.
//!
//! Each is built `FROM busybox`, an image with busybox under all its names and the users root, nobody and alice (1000), who is in
//! the groups alice (1000) and staff (50).

pub(crate) mod add;
pub(crate) mod config;
pub(crate) mod copy;
pub(crate) mod ignore;
pub(crate) mod mounts;
pub(crate) mod run;
pub(crate) mod stages;
pub(crate) mod text;
pub(crate) mod variables;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// One build.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// What it is called; also the name of its image.
    pub(crate) name: &'static str,
    dockerfile: &'static str,
    files: Vec<(&'static str, Content)>,
    /// Further words of the command line; `{context}` in them is the directory of the context.
    pub(crate) options: Vec<&'static str>,
    /// A Dockerfile for the image `parent-NAME`, which is built first.
    pub(crate) parent: Option<&'static str>,
    /// What the other builder of this age cannot do; it is then built by ours alone.
    pub(crate) ours_alone: Option<&'static str>,
    /// It is no build, and both must say so.
    pub(crate) fails: bool,
    /// Files that must be there, with their text.
    pub(crate) holds: Vec<(&'static str, &'static str)>,
    /// Paths that must not be there.
    pub(crate) lacks: Vec<&'static str>,
}

/// What is at a path of the context.
#[derive(Debug, Clone)]
enum Content {
    Text(&'static str, u32),
    Link(&'static str),
    Directory,
    /// A tar with a directory, two files, a symbolic and a hard link, packed by this program.
    Archive(Option<&'static str>),
}

impl Case {
    pub(crate) fn new(name: &'static str, dockerfile: &'static str) -> Self {
        let (files, options, holds, lacks) = Default::default();
        Self { name, dockerfile, files, options, parent: None, ours_alone: None, fails: false, holds, lacks }
    }

    /// Adds a file to the context.
    pub(crate) fn file(self, path: &'static str, text: &'static str) -> Self {
        self.file_of(path, text, 0o644)
    }

    /// Adds a file with these permissions.
    pub(crate) fn file_of(mut self, path: &'static str, text: &'static str, mode: u32) -> Self {
        self.files.push((path, Content::Text(text, mode)));
        self
    }

    /// Adds files whose text is their path.
    pub(crate) fn files(self, paths: &[&'static str]) -> Self {
        paths.iter().fold(self, |case, path| case.file(path, path))
    }

    /// Adds a symbolic link.
    pub(crate) fn link(mut self, path: &'static str, target: &'static str) -> Self {
        self.files.push((path, Content::Link(target)));
        self
    }

    /// Adds an empty directory.
    pub(crate) fn directory(mut self, path: &'static str) -> Self {
        self.files.push((path, Content::Directory));
        self
    }

    /// Adds a tar, packed by a program such as gzip if one is named.
    pub(crate) fn archive(mut self, path: &'static str, packer: Option<&'static str>) -> Self {
        self.files.push((path, Content::Archive(packer)));
        self
    }

    /// Adds words to the command line.
    pub(crate) fn options(mut self, words: &[&'static str]) -> Self {
        self.options.extend(words);
        self
    }

    /// Has the image `parent-NAME` built first.
    pub(crate) fn parent(mut self, dockerfile: &'static str) -> Self {
        self.parent = Some(dockerfile);
        self
    }

    /// Says why the other builder is left out.
    pub(crate) fn ours_alone(mut self, why: &'static str) -> Self {
        self.ours_alone = Some(why);
        self
    }

    /// Says that it cannot be built.
    pub(crate) fn fails(mut self) -> Self {
        self.fails = true;
        self
    }

    /// Expects a file with this text.
    pub(crate) fn holds(mut self, path: &'static str, text: &'static str) -> Self {
        self.holds.push((path, text));
        self
    }

    /// Expects that nothing is there.
    pub(crate) fn lacks(mut self, path: &'static str) -> Self {
        self.lacks.push(path);
        self
    }

    /// Writes the context to a directory.
    pub(crate) fn write(&self, context: &Path) {
        std::fs::create_dir_all(context).unwrap();
        for (path, content) in &self.files {
            let path = context.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match content {
                Content::Text(text, mode) => {
                    std::fs::write(&path, text).unwrap();
                    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
                }
                Content::Link(target) => std::os::unix::fs::symlink(target, &path).unwrap(),
                Content::Directory => std::fs::create_dir_all(&path).unwrap(),
                Content::Archive(packer) => pack(&path, *packer),
            }
        }
        // Unless a case brings its own.
        if !context.join("Dockerfile").exists() {
            std::fs::write(context.join("Dockerfile"), self.dockerfile).unwrap();
        }
        if let Some(parent) = self.parent {
            std::fs::write(context.join("parent.Dockerfile"), parent).unwrap();
        }
    }
}

fn pack(path: &Path, packer: Option<&str>) {
    let mut archive = tar::Builder::new(Vec::new());
    let mut append = |kind, path: &str, mode, owner, data: &[u8], link: Option<&str>| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_size(data.len() as u64);
        header.set_mtime(1_700_000_000);
        match link {
            Some(target) => archive.append_link(&mut header, path, target).unwrap(),
            None => archive.append_data(&mut header, path, data).unwrap(),
        }
    };
    append(tar::EntryType::Directory, "tree/", 0o750, 1000, b"", None);
    append(tar::EntryType::Regular, "tree/file", 0o640, 1000, b"file of the archive\n", None);
    append(tar::EntryType::Regular, "tree/program", 0o4755, 0, b"#!/bin/sh\n", None);
    append(tar::EntryType::Symlink, "tree/link", 0o777, 0, b"", Some("file"));
    append(tar::EntryType::Link, "tree/same", 0o640, 1000, b"", Some("tree/file"));
    std::fs::write(path, archive.into_inner().unwrap()).unwrap();
    let Some(packer) = packer else { return };
    let out = Command::new(packer)
        .arg("-c")
        .stdin(std::fs::File::open(path).unwrap())
        .output()
        .unwrap_or_else(|error| panic!("{packer}: {error}"));
    assert!(out.status.success(), "{packer}: {}", String::from_utf8_lossy(&out.stderr));
    std::fs::write(path, out.stdout).unwrap();
}
