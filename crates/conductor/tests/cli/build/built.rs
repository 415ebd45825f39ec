//! What a builder has built: configuration, history, and the files of all layers merged.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use oci::Digest;
use serde_json::Value;
use tar::EntryType;

/// An image, as far as it is compared.
#[derive(Debug)]
pub(crate) struct Built {
    /// The configuration, whole.
    pub(crate) config: Value,
    /// What is at each path. Paths begin with a slash; bytes that are no text are shown as `%XX`.
    pub(crate) files: BTreeMap<String, File>,
}

/// What is at a path. Times are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    kind: &'static str,
    mode: u32,
    owner: (u64, u64),
    /// The target of a link, or the digest of what is in a file.
    content: String,
    /// What is in a file, if it is short.
    pub(crate) text: Option<String>,
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, mode, owner: (user, group), content, text } = self;
        write!(f, "{kind} {mode:04o} {user}:{group}")?;
        match (text, kind) {
            (Some(text), _) => write!(f, " {text:?}"),
            (None, &"link" | &"file") => write!(f, " {content}"),
            (None, _) => Ok(()),
        }
    }
}

/// A shorter file is shown by its text.
const SHORT: usize = 200;

impl Built {
    /// Reads what `buildah push dir:` has written.
    pub(crate) fn read_directory(directory: &Path) -> Self {
        let entry = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())
        };
        let blobs = std::fs::read_dir(directory).unwrap().map(entry).collect();
        Self::read(&blobs, "manifest.json", |digest| digest.trim_start_matches("sha256:").to_owned())
    }

    /// Reads what `save --format oci-archive` has written.
    pub(crate) fn read_archive(path: &Path) -> Self {
        let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
        let mut blobs = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            blobs.insert(entry.path().unwrap().to_string_lossy().trim_start_matches("./").to_owned(), bytes);
        }
        let name = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
        let index: Value = serde_json::from_slice(&blobs["index.json"]).unwrap();
        let mut manifest = name(index["manifests"][0]["digest"].as_str().unwrap());
        // An image with attestations beside it has an index of its own.
        let document: Value = serde_json::from_slice(&blobs[&manifest]).unwrap();
        if let Some(digest) = document["manifests"][0]["digest"].as_str() {
            manifest = name(digest);
        }
        Self::read(&blobs, &manifest, name)
    }

    fn read(blobs: &BTreeMap<String, Vec<u8>>, manifest: &str, name: impl Fn(&str) -> String) -> Self {
        let manifest: Value = serde_json::from_slice(&blobs[manifest]).unwrap();
        let blob = |descriptor: &Value| &blobs[&name(descriptor["digest"].as_str().unwrap())];
        let mut files = BTreeMap::new();
        for layer in manifest["layers"].as_array().unwrap() {
            apply(&mut files, &unpacked(blob(layer)));
        }
        Self { config: serde_json::from_slice(blob(&manifest["config"])).unwrap(), files }
    }
}

/// Returns the bytes of a layer without its packing.
fn unpacked(bytes: &[u8]) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes.to_vec();
    }
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

/// Lays a layer over what is there.
fn apply(files: &mut BTreeMap<String, File>, layer: &[u8]) {
    let below = files.clone();
    let mut archive = tar::Archive::new(layer);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = shown(&entry.path_bytes());
        let (directory, name) = path.rsplit_once('/').unwrap_or_default();
        if name == ".wh..wh..opq" {
            // Only of what was there before: what this layer brings itself stays.
            files.retain(|path, _| !(path.starts_with(&format!("{directory}/")) && below.contains_key(path)));
        } else if let Some(gone) = name.strip_prefix(".wh.") {
            remove(files, &format!("{directory}/{gone}"));
        } else if path != "/" {
            let file = read(files, &mut entry);
            if file.kind != "directory" {
                remove(files, &path);
            }
            files.insert(path, file);
        }
    }
}

fn remove(files: &mut BTreeMap<String, File>, path: &str) {
    files.retain(|other, _| other != path && !other.starts_with(&format!("{path}/")));
}

fn read(files: &BTreeMap<String, File>, entry: &mut tar::Entry<'_, &[u8]>) -> File {
    let kind = entry.header().entry_type();
    let target = shown(&entry.link_name_bytes().unwrap_or_default());
    if kind == EntryType::Link {
        return files.get(&target).unwrap_or_else(|| panic!("a hard link to {target}, which is not there")).clone();
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).unwrap();
    let header = entry.header();
    let (kind, content) = match kind {
        EntryType::Directory => ("directory", String::new()),
        EntryType::Symlink => {
            ("link", String::from_utf8_lossy(&entry.link_name_bytes().unwrap_or_default()).into_owned())
        }
        EntryType::Fifo => ("fifo", String::new()),
        EntryType::Char | EntryType::Block => {
            ("device", format!("{:?} {:?}", header.device_major(), header.device_minor()))
        }
        _ => ("file", Digest::of(&bytes).to_string()),
    };
    let is_short = kind == "file" && bytes.len() <= SHORT;
    let text = is_short.then(|| String::from_utf8(bytes).ok()).flatten();
    let mode = if kind == "link" { 0o777 } else { header.mode().unwrap() & 0o7777 };
    // The fixture leaves the field empty, which is 0.
    let owner = (header.uid().unwrap_or(0), header.gid().unwrap_or(0));
    File { kind, mode, owner, content, text }
}

/// Writes a path of an archive as it is compared.
fn shown(path: &[u8]) -> String {
    let text = match str::from_utf8(path) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            path.iter().map(|&b| if b.is_ascii() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
        }
    };
    format!("/{}", text.trim_start_matches("./").trim_matches('/'))
}

#[test]
fn layers_are_merged_as_an_engine_lays_them_over_each_other() {
    let layer = |entries: &[(&str, EntryType, &str)]| {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, kind, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_size(if kind.is_file() { text.len() as u64 } else { 0 });
            match kind {
                EntryType::Link => archive.append_link(&mut header, path, text).unwrap(),
                _ => archive.append_data(&mut header, path, text.as_bytes()).unwrap(),
            }
        }
        archive.into_inner().unwrap()
    };
    use EntryType::{Directory, Link, Regular};
    let mut files = BTreeMap::new();
    let below = [
        ("d", Directory, ""),
        ("d/a", Regular, "a"),
        ("o", Directory, ""),
        ("o/old", Regular, ""),
        ("k", Directory, ""),
        ("k/in", Regular, ""),
    ];
    apply(&mut files, &layer(&below));
    let above = [
        ("d/.wh.a", Regular, ""),
        ("d/b", Regular, "b"),
        ("o/new", Regular, ""),
        ("o/.wh..wh..opq", Regular, ""),
        ("k", Regular, "kind"),
        ("h", Link, "d/b"),
    ];
    apply(&mut files, &layer(&above));
    let told: Vec<_> = files.iter().map(|(path, file)| format!("{path} {file}")).collect();
    let expected = [
        "/d directory 0644 0:0",
        "/d/b file 0644 0:0 \"b\"",
        "/h file 0644 0:0 \"b\"",
        "/k file 0644 0:0 \"kind\"",
        "/o directory 0644 0:0",
        "/o/new file 0644 0:0 \"\"",
    ];
    assert_eq!(told, expected);
}
