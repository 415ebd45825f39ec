//! Which devices a host offers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::edits::Edits;
use crate::file::{FileDevice, SpecFile};
use crate::{CdiError, DeviceName, Fault};

/// Where vendors put their files, those that count less first (SPEC.md, "General considerations").
pub const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// The longest file that is read.
const LONGEST: u64 = 4 << 20;

/// The devices of a host.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    devices: BTreeMap<DeviceName, Device>,
    conflicts: BTreeMap<DeviceName, [PathBuf; 2]>,
    faults: Vec<Fault>,
}

/// A device that a host offers.
#[derive(Debug, Clone)]
pub struct Device {
    name: DeviceName,
    place: usize,
    rank: usize,
    path: PathBuf,
    file: Rc<SpecFile>,
}

impl Catalogue {
    /// Reads the files of directories; in the later ones of them they count for more. A directory that is not there has none.
    pub fn read<P: AsRef<Path>>(directories: impl IntoIterator<Item = P>) -> Self {
        let mut catalogue = Self::default();
        for (rank, directory) in directories.into_iter().enumerate() {
            let Ok(entries) = std::fs::read_dir(directory) else { continue };
            let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            paths.iter().for_each(|path| catalogue.add(path, rank));
        }
        catalogue
    }

    fn add(&mut self, path: &Path, rank: usize) {
        let is_yaml = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => false,
            Some("yaml") => true,
            _ => return,
        };
        let parsed = read(path).map_err(|error| error.to_string()).and_then(|text| SpecFile::parse(&text, is_yaml));
        let file = match parsed {
            Ok(file) => Rc::new(file),
            Err(reason) => return self.faults.push(Fault { path: path.to_owned(), reason }),
        };
        for (place, device) in file.devices.iter().enumerate() {
            let name = DeviceName { kind: file.kind.clone(), name: device.name.clone() };
            let found = Device { name: name.clone(), place, rank, path: path.to_owned(), file: Rc::clone(&file) };
            match self.devices.insert(name.clone(), found) {
                Some(other) if other.rank == rank => {
                    self.conflicts.insert(name, [other.path, path.to_owned()]);
                }
                // What counts for more also ends a quarrel of those that count less.
                _ => drop(self.conflicts.remove(&name)),
            }
        }
    }

    /// Returns a device by its name.
    pub fn find(&self, name: &DeviceName) -> Result<&Device, CdiError> {
        if let Some(files) = self.conflicts.get(name) {
            return Err(CdiError::Conflict { name: name.clone(), files: Box::new(files.clone()) });
        }
        self.devices.get(name).ok_or_else(|| self.lacks(&name.to_string()))
    }

    /// Says that there is no such device, and which files could not be read: it may be in one of them.
    pub fn lacks(&self, word: &str) -> CdiError {
        CdiError::NoDevice { name: word.to_owned(), faults: self.faults.clone() }
    }

    /// Returns the devices that a word of `RUN --device` means: one by its name, the first or (`=*`) all of a kind, or all of a
    /// class that an annotation puts them in (Dockerfile reference, "RUN --device").
    pub fn matching(&self, word: &str) -> Vec<&Device> {
        let of_kind = |kind: &str| self.devices.values().filter(|device| device.name.kind == kind).collect::<Vec<_>>();
        match word.split_once('=') {
            Some((kind, "*")) => of_kind(kind),
            Some(_) => word.parse().ok().and_then(|name| self.devices.get(&name)).into_iter().collect(),
            None => {
                let of_kind = of_kind(word);
                let first = of_kind.iter().copied().min_by_key(|device| device.place);
                let of_class =
                    || self.devices.values().filter(|device| device.annotation(CLASS) == Some(word)).collect();
                first.map_or_else(of_class, |first| vec![first])
            }
        }
    }
}

/// The annotation that puts a device into a class.
const CLASS: &str = "org.mobyproject.buildkit.device.class";
/// The annotation that allows a device to each build.
const ALLOWED: &str = "org.mobyproject.buildkit.device.autoallow";

impl Device {
    /// Returns its name.
    pub fn name(&self) -> &DeviceName {
        &self.name
    }

    /// Tells whether its vendor allows it to each build.
    pub fn is_allowed(&self) -> bool {
        self.annotation(ALLOWED) == Some("true")
    }

    /// Returns what its file says of it, or of all of its devices.
    fn annotation(&self, key: &str) -> Option<&str> {
        let own = self.listed().annotations.get(key);
        own.or_else(|| self.file.annotations.get(key)).map(String::as_str)
    }

    fn listed(&self) -> &FileDevice {
        &self.file.devices[self.place]
    }
}

impl Edits {
    /// Returns what devices come to together: what a file says of all of its devices counts once.
    pub fn of<'d>(devices: impl IntoIterator<Item = &'d Device>) -> Self {
        let mut edits = Self::default();
        let mut seen: Vec<&Path> = Vec::new();
        for device in devices {
            if !seen.contains(&device.path.as_path()) {
                seen.push(&device.path);
                edits.add(&device.file.container_edits);
            }
            edits.add(&device.listed().container_edits);
        }
        edits
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    // A pipe would make us wait for a writer.
    if !path.metadata()?.is_file() {
        return Err(std::io::Error::new(ErrorKind::InvalidInput, "it is no file"));
    }
    let file = File::open(path)?;
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {LONGEST} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, kind: &str, devices: &str) {
        let text = format!("cdiVersion: 0.6.0\nkind: {kind}\ndevices:\n{devices}");
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join(name), text).unwrap();
    }

    fn device(name: &str, class: &str) -> String {
        format!("- name: {name}\n  annotations: {{{CLASS}: {class}}}\n  containerEdits: {{env: [\"X={name}\"]}}\n")
    }

    #[test]
    fn devices_are_found_by_name_kind_and_class() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let list = [device("foo", "c1"), device("bar", "c2"), device("baz", "c2")].concat();
        write(at, "a.yaml", "v.com/d", &list);
        write(at, "ignored.yml", "v.com/other", &device("x", "c1"));
        std::fs::write(at.join("bad.json"), "{").unwrap();
        sys::path::make_fifo(&at.join("pipe.json")).map(drop).unwrap();
        let catalogue = Catalogue::read([at, Path::new("/nowhere/at/all")]);
        let names = |word: &str| {
            catalogue.matching(word).iter().map(|device| device.name.name.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("v.com/d=bar"), "bar");
        assert_eq!(names("v.com/d"), "foo");
        assert_eq!(names("v.com/d=*"), "bar baz foo");
        assert_eq!(names("c2"), "bar baz");
        assert_eq!(names("v.com/other"), "");
        assert_eq!(catalogue.faults.len(), 2);
        let text = catalogue.find(&"v.com/d=qux".parse().unwrap()).unwrap_err().to_string();
        assert!(
            text.starts_with("this machine offers no device v.com/d=qux; ") && text.contains("bad.json: EOF"),
            "{text}"
        );
    }

    #[test]
    fn later_directories_count_more_and_equals_quarrel() {
        let directory = tempfile::tempdir().unwrap();
        let (low, high) = (directory.path().join("low"), directory.path().join("high"));
        write(&low, "a.yaml", "v.com/d", &device("foo", "low"));
        write(&low, "b.yaml", "v.com/d", &device("foo", "low"));
        let name: DeviceName = "v.com/d=foo".parse().unwrap();
        let quarrel = Catalogue::read([&low]);
        let text = quarrel.find(&name).unwrap_err().to_string();
        assert!(text.contains("low/a.yaml and ") && text.ends_with("low/b.yaml"), "{text}");
        write(&high, "c.yaml", "v.com/d", &device("foo", "high"));
        let ended = Catalogue::read([&low, &high]);
        assert_eq!(ended.find(&name).unwrap().annotation(CLASS), Some("high"));
    }
}
