//! Writing a layer: entries in the order of their paths, so that the same entries give the same bytes.

use std::collections::HashMap;
use std::io::Read;
use std::rc::Rc;

use image::{TarEntry, TarKind};
use store::{Layer, LayerWriter, Work};
use sys::Calling;

use super::copy::CopyError;
use super::target::{Data, Entries, Entry};
use crate::error::ContextError;
use crate::files::{Files, Kind};

/// Writes entries as a layer; data of trees is read from `trees`.
pub(crate) fn write(work: &mut Work, entries: &Entries, trees: &[Rc<dyn Files>]) -> Result<Layer, CopyError> {
    let mut writer = LayerTar { writer: work.layer()?, trees, names: HashMap::new(), buffer: vec![0; 128 * 1024] };
    for (path, entry) in entries {
        writer.entry(path, entry)?;
    }
    let mut writer = writer.writer;
    writer.append(&[0; 1024])?;
    Ok(work.finish(writer)?)
}

struct LayerTar<'a> {
    writer: LayerWriter,
    trees: &'a [Rc<dyn Files>],
    /// The first name of each file that has several, by tree and identity.
    names: HashMap<(usize, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl LayerTar<'_> {
    fn entry(&mut self, path: &[u8], entry: &Entry) -> Result<(), CopyError> {
        if let (Data::Tree { tree, .. }, Some(identity)) = (&entry.data, entry.info.identity) {
            if let Some(first) = self.names.get(&(*tree, identity)) {
                let kind = TarKind::HardLink(first.clone());
                return self.header(path, entry, kind, 0);
            }
            self.names.insert((*tree, identity), path.to_vec());
        }
        let kind = match &entry.info.kind {
            Kind::File => TarKind::File,
            Kind::Directory => TarKind::Directory,
            Kind::Symlink(target) => TarKind::Symlink(target.clone()),
            Kind::CharacterDevice(device) => TarKind::CharacterDevice(*device),
            Kind::BlockDevice(device) => TarKind::BlockDevice(*device),
            Kind::Fifo => TarKind::Fifo,
        };
        self.header(path, entry, kind, entry.info.size)?;
        match &entry.data {
            Data::None => Ok(()),
            Data::Inline(bytes) => {
                self.writer.append(bytes)?;
                self.pad(bytes.len() as u64)
            }
            Data::File(file) => {
                let opened = std::fs::File::open(file).call(|| format!("open({})", file.display()));
                let mut opened = opened.map_err(|source| unread(path, source))?;
                self.data(path, &mut opened, entry.info.size)
            }
            Data::Tree { tree, path: from } => {
                let mut data = self.trees[*tree].open(from)?;
                self.data(from, &mut data, entry.info.size)
            }
        }
    }

    fn header(&mut self, path: &[u8], entry: &Entry, kind: TarKind, size: u64) -> Result<(), CopyError> {
        let header = TarEntry {
            path: path.to_vec(),
            kind,
            mode: entry.info.mode,
            uid: entry.info.uid.into(),
            gid: entry.info.gid.into(),
            size,
            modified: entry.modified,
            attributes: entry.attributes.clone(),
        };
        let bytes = header.encode().map_err(|error| unread(path, sys::Error::from_io("encode(tar header)", &error)))?;
        Ok(self.writer.append(&bytes)?)
    }

    /// A file that has become shorter or longer is another one.
    fn data(&mut self, path: &[u8], data: &mut dyn Read, size: u64) -> Result<(), CopyError> {
        let mut left = size;
        loop {
            let length = data.read(&mut self.buffer).call(|| "read").map_err(|source| unread(path, source))?;
            if length == 0 {
                break;
            }
            left = left.checked_sub(length as u64).ok_or_else(|| changed(path))?;
            self.writer.append(&self.buffer[..length])?;
        }
        if left == 0 { self.pad(size) } else { Err(changed(path)) }
    }

    fn pad(&mut self, size: u64) -> Result<(), CopyError> {
        let padding = usize::try_from(size.next_multiple_of(512) - size).unwrap_or_default();
        Ok(self.writer.append(&[0; 512][..padding])?)
    }
}

fn unread(path: &[u8], source: sys::Error) -> CopyError {
    ContextError::Read { path: String::from_utf8_lossy(path).into_owned(), source }.into()
}

fn changed(path: &[u8]) -> CopyError {
    ContextError::Changed(String::from_utf8_lossy(path).into_owned()).into()
}
