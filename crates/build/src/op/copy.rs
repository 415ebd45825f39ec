//! `COPY` and `ADD`: the layer is written straight from where the files are; no tree is ever made.

use std::rc::Rc;

use dockerfile::FileMode;
use engine::spec::Accounts;
use oci::Digest;
use store::{Layer, Stack, Work};

use super::layer;
use super::select::{Parents, SelectError, Selected, select, within};
use super::target::{Data, Entry, Target, TargetError};
use crate::error::ContextError;
use crate::files::{Files, Info, Kind, Layers, read_small};
use crate::graph::{Copy, Item};
use crate::key::Key;
use crate::paths::{file_name, join};

/// Why a copy cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CopyError {
    #[error(transparent)]
    Select(#[from] SelectError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    Account(#[from] engine::spec::AccountError),
    #[error("{0}")]
    Mode(String),
    #[error("several files are copied, so the destination must be a directory and end in a slash: {0}")]
    Several(String),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error(transparent)]
    Archive(#[from] image::ArchiveFault),
    #[error("cannot read {path}")]
    Read { path: String, source: sys::Error },
}

/// What the words of a copy have found, item by item.
#[derive(Debug)]
pub(crate) struct Selection(Vec<Vec<Selected>>);

/// Finds what is copied, and digests it: the key of what the layer will hold, whatever it goes over.
pub(crate) fn content(copy: &Copy, files: &dyn Files, with_owners: bool) -> Result<(Selection, Digest), CopyError> {
    let mut selection = Vec::new();
    let mut key = Key::of("content");
    for item in &copy.items {
        let found = match item {
            Item::Path(word) => select(copy, word, files)?,
            _ => Vec::new(),
        };
        key.number(found.len() as u64);
        match item {
            Item::Path(_) => found.iter().try_for_each(|selected| digest(selected, files, with_owners, &mut key))?,
            Item::Inline { name, content } => {
                key.text(name);
                key.text(content);
            }
            Item::Fetched { file, address } => {
                key.text(&file.name);
                key.digest(&hash_file(&file.path, address)?);
            }
            Item::Repository { archive, .. } => {
                let files = repository(archive)?;
                digest(&all_of(&files), &files, false, &mut key)?;
            }
        }
        selection.push(found);
    }
    Ok((Selection(selection), key.finish()))
}

fn digest(selected: &Selected, files: &dyn Files, with_owners: bool, key: &mut Key) -> Result<(), ContextError> {
    let all: Vec<_> = std::iter::once(selected.path.clone())
        .chain(selected.below.iter().map(|path| within(selected, path)))
        .collect();
    files.prepare(&all)?;
    key.bytes(&selected.name);
    for (at, told) in selected.kept_parents() {
        key.bytes(&told);
        key.number(files.info(&at).map_or(0, |info| info.mode));
    }
    let told = std::iter::once(&b""[..]).chain(selected.below.iter().map(Vec::as_slice));
    for (path, told) in all.iter().zip(told) {
        let info = files.info(path).ok_or_else(|| ContextError::Changed(lossy(path)))?;
        key.bytes(told);
        key.number(info.mode);
        if with_owners {
            key.number(info.uid);
            key.number(info.gid);
            key.number(info.modified.unwrap_or_default());
            for (name, value) in files.attributes(path) {
                key.text(&name);
                key.bytes(&value);
            }
        }
        match &info.kind {
            Kind::File => {
                key.text("file");
                key.digest(&files.digest(path)?);
            }
            Kind::Symlink(target) => {
                key.text("link");
                key.bytes(target);
            }
            other => key.text(&format!("{other:?}")),
        }
    }
    Ok(())
}

/// Puts into a key how a copy is made, beside what is copied.
pub(crate) fn describe(copy: &Copy, key: &mut Key) {
    key.text(&copy.destination);
    key.optional(copy.chown.as_deref());
    key.optional(copy.chmod.as_deref());
    key.flag(copy.link);
    key.flag(copy.parents);
    key.list(&copy.exclude);
    key.flag(copy.unpack.local);
    key.flag(copy.unpack.fetched);
    key.number(copy.items.len() as u64);
}

/// The paths of a copy, as written.
pub(crate) fn words(copy: &Copy, key: &mut Key) {
    for item in &copy.items {
        match item {
            Item::Path(word) => key.text(word),
            Item::Inline { name, .. } => key.text(name),
            Item::Fetched { address, .. } | Item::Repository { address, .. } => key.text(address),
        }
    }
}

/// What a copy is made with.
pub(crate) struct Copying<'a> {
    pub(crate) work: &'a mut Work,
    /// The layers that it goes over.
    pub(crate) below: &'a Stack,
    pub(crate) files: Rc<dyn Files>,
    pub(crate) epoch: u64,
}

/// Writes the layer of a copy.
pub(crate) fn copy(copy: &Copy, selection: &Selection, copying: Copying<'_>) -> Result<Layer, CopyError> {
    let Copying { work, below, files, epoch } = copying;
    let owner = copy.chown.as_deref().map(|word| owner_of(word, below)).transpose()?;
    let chmod = copy.chmod.as_deref().map(FileMode::parse).transpose();
    let chmod = chmod.map_err(|fault| CopyError::Mode(fault.message))?;
    let below = (!copy.link).then_some(below);
    let mut planner =
        Planner { target: Target::new(below, epoch, owner), trees: vec![files], owner, chmod, epoch, work };
    planner.plan(copy, selection)?;
    let Planner { target, trees, .. } = planner;
    layer::write(work, &target.entries, &trees)
}

/// Finds an owner: a number alone is group as well, a name has the group that the image says.
pub(crate) fn owner_of(word: &str, below: &Stack) -> Result<(u32, u32), CopyError> {
    let (user, group) = word.split_once(':').map_or((word, None), |(user, group)| (user, Some(group)));
    if let (Ok(uid), None) = (user.parse(), group) {
        return Ok((uid, uid));
    }
    let layers = Layers::new(Rc::new(below.clone()));
    let read = |path: &str| {
        let bytes = read_small(&layers, path.as_bytes(), 4 << 20).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let accounts = Accounts { passwd: read("etc/passwd"), group: read("etc/group") };
    let identity = accounts.identity(word, &[])?;
    Ok((identity.uid, identity.gid))
}

struct Planner<'a, 'w> {
    target: Target<'a>,
    trees: Vec<Rc<dyn Files>>,
    owner: Option<(u32, u32)>,
    chmod: Option<FileMode>,
    epoch: u64,
    work: &'w mut Work,
}

impl Planner<'_, '_> {
    fn plan(&mut self, copy: &Copy, selection: &Selection) -> Result<(), CopyError> {
        let destination = copy.destination.as_bytes();
        let is_directory = destination.ends_with(b"/");
        let count: usize = copy
            .items
            .iter()
            .zip(&selection.0)
            .map(|(item, found)| match item {
                Item::Path(_) => found.len(),
                _ => 1,
            })
            .sum();
        if count > 1 && !is_directory && !self.leads_to_directory(destination)? {
            return Err(CopyError::Several(copy.destination.clone()));
        }
        let at = self.target.resolve(destination)?;
        if is_directory {
            self.target.ensure_directory(&at)?;
        } else {
            self.target.ensure_directory(crate::paths::parent(&at))?;
        }
        for (item, found) in copy.items.iter().zip(&selection.0) {
            match item {
                Item::Path(_) => {
                    for selected in found {
                        self.selected(copy, selected, &at)?;
                    }
                }
                Item::Inline { name, content } => {
                    let data = Data::Inline(content.clone().into_bytes());
                    self.single(&at, name.as_bytes(), 0o644, content.len() as u64, data)?;
                }
                Item::Fetched { file, address } => self.fetched(copy, file, address, &at)?,
                Item::Repository { archive, .. } => self.files(repository(archive)?, &at)?,
            }
        }
        Ok(())
    }

    fn leads_to_directory(&self, path: &[u8]) -> Result<bool, TargetError> {
        Ok(self.target.is_directory(&self.target.resolve(path)?))
    }

    fn selected(&mut self, copy: &Copy, selected: &Selected, destination: &[u8]) -> Result<(), CopyError> {
        if let Some(Parents { path, dropped }) = &selected.parents {
            return self.with_parents(selected, path, *dropped, destination);
        }
        if selected.is_directory {
            return self.tree(0, &selected.path, &selected.below, destination, false);
        }
        if copy.unpack.local && self.unpacked(selected, destination)? {
            return Ok(());
        }
        let at = self.place(destination, &selected.name);
        self.file(0, &selected.path, &at)
    }

    /// Copies what a selected path holds below the directories that it has in its tree.
    fn with_parents(&mut self, selected: &Selected, path: &[u8], dropped: usize, at: &[u8]) -> Result<(), CopyError> {
        self.target.ensure_directory(at)?;
        for (from, told) in selected.kept_parents() {
            let to = join(at, &told);
            let entry = self.entry(0, &from)?;
            self.target.put_directory(&to, entry, false)?;
        }
        let skip = if dropped == 0 { 0 } else { dropped + 1 };
        let to = join(at, path.get(skip..).unwrap_or_default());
        match selected.is_directory {
            true => self.tree(0, &selected.path, &selected.below, &to, false),
            false => self.file(0, &selected.path, &to),
        }
    }

    /// A file keeps its name in a directory, and gets a new one elsewhere.
    fn place(&self, destination: &[u8], name: &[u8]) -> Vec<u8> {
        if self.target.is_directory(destination) { join(destination, name) } else { destination.to_vec() }
    }

    /// Copies what is in a directory; the directory itself is like its source only where it is new.
    fn tree(&mut self, tree: usize, from: &[u8], below: &[Vec<u8>], to: &[u8], renew: bool) -> Result<(), CopyError> {
        let top = self.entry(tree, from)?;
        self.target.put_directory(to, top, renew)?;
        for path in below {
            let (from, to) = (join(from, path), join(to, path));
            let entry = self.entry(tree, &from)?;
            match entry.info.is_directory() {
                true => self.target.put_directory(&to, entry, true)?,
                false => {
                    // What leads there may have been left out by a pattern.
                    self.target.ensure_directory(crate::paths::parent(&to))?;
                    self.target.put_file(&to, entry)?;
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, tree: usize, from: &[u8], to: &[u8]) -> Result<(), CopyError> {
        let entry = self.entry(tree, from)?;
        Ok(self.target.put_file(to, entry)?)
    }

    fn entry(&self, tree: usize, path: &[u8]) -> Result<Entry, ContextError> {
        let files = &self.trees[tree];
        let info = files.info(path).ok_or_else(|| ContextError::Changed(lossy(path)))?;
        let data = match info.kind {
            Kind::File => Data::Tree { tree, path: path.to_vec() },
            _ => Data::None,
        };
        // A file of layers keeps its time: others may have been told it, as a compiled program is that of its source.
        let modified = info.modified.map_or(self.epoch, |modified| modified.min(self.epoch));
        Ok(Entry { attributes: files.attributes(path), modified, info: self.changed(info), data })
    }

    /// Applies `--chown` and `--chmod`.
    fn changed(&self, mut info: Info) -> Info {
        if let Some(owner) = self.owner {
            (info.uid, info.gid) = owner;
        }
        if let (Some(chmod), false) = (&self.chmod, matches!(info.kind, Kind::Symlink(_))) {
            info.mode = chmod.apply(info.mode, info.is_directory());
        }
        info
    }

    fn single(&mut self, destination: &[u8], name: &[u8], mode: u32, size: u64, data: Data) -> Result<(), CopyError> {
        let at = self.place(destination, name);
        let info = Info { kind: Kind::File, mode, uid: 0, gid: 0, size, modified: None, identity: None };
        let entry = Entry { info: self.changed(info), data, modified: self.epoch, attributes: Vec::new() };
        Ok(self.target.put_file(&at, entry)?)
    }

    fn fetched(&mut self, copy: &Copy, file: &crate::Fetched, address: &str, at: &[u8]) -> Result<(), CopyError> {
        if copy.unpack.fetched && self.archive(open(&file.path, address)?, at)? {
            return Ok(());
        }
        let read = |source| CopyError::Read { path: address.to_owned(), source };
        let size =
            std::fs::metadata(&file.path).map_err(|error| sys::Error::from_io("stat", &error)).map_err(read)?.len();
        self.single(at, file.name.as_bytes(), 0o600, size, Data::File(file.path.clone()))
    }

    /// Unpacks a file of the source if it is an archive.
    fn unpacked(&mut self, selected: &Selected, destination: &[u8]) -> Result<bool, CopyError> {
        let files = Rc::clone(&self.trees[0]);
        if files.info(&selected.path).is_none_or(|info| info.kind != Kind::File) {
            return Ok(false);
        }
        self.archive(files.open(&selected.path)?, destination)
    }

    /// Unpacks a stream if it is an archive; tells whether it was.
    fn archive(&mut self, source: Box<dyn std::io::Read>, destination: &[u8]) -> Result<bool, CopyError> {
        let Some(layer) = image::archive_layer(self.work, source)? else { return Ok(false) };
        self.files(Layers::new(Rc::new(Stack::of(&[layer])?)), destination)?;
        Ok(true)
    }

    /// Copies all files of an archive.
    fn files(&mut self, files: Layers, destination: &[u8]) -> Result<(), CopyError> {
        let below = files.below(b"");
        self.trees.push(Rc::new(files));
        self.target.ensure_directory(destination)?;
        self.tree(self.trees.len() - 1, b"", &below, destination, false)
    }
}

/// Opens what was checked out of a repository. When that was says nothing of it.
fn repository(archive: &std::path::Path) -> Result<Layers, CopyError> {
    let layer = Layer { diff_id: Digest::of(b""), size: 0, path: archive.to_owned() };
    Ok(Layers::as_context(Rc::new(Stack::of(&[layer])?), dockerfile::Ignore::default()))
}

/// Selects everything.
fn all_of(files: &dyn Files) -> Selected {
    Selected { path: Vec::new(), name: Vec::new(), is_directory: true, below: files.below(b""), parents: None }
}

fn open(path: &std::path::Path, told: &str) -> Result<Box<dyn std::io::Read>, CopyError> {
    let opened = std::fs::File::open(path).map_err(|error| sys::Error::from_io("open", &error));
    let opened = opened.map_err(|source| CopyError::Read { path: told.to_owned(), source })?;
    Ok(Box::new(opened))
}

fn hash_file(path: &std::path::Path, told: &str) -> Result<Digest, CopyError> {
    let mut file = open(path, told)?;
    let (mut hasher, mut buffer) = (oci::Hasher::default(), vec![0; 128 * 1024]);
    loop {
        let read = file.read(&mut buffer).map_err(|error| sys::Error::from_io("read", &error));
        match read.map_err(|source| CopyError::Read { path: told.to_owned(), source })? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(file_name(path)).into_owned()
}
