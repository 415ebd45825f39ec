//! Lists of images that are being put together: one small JSON each, under the list's name.
//!
//! Readers take no lock: a list comes to its place by a rename, complete and synced. Whoever changes one holds the store's lock from
//! reading to renaming, so that two that add to one list both find theirs in it. A list holds nothing: what it says of images
//! here is their IDs, and these images may go as any others (docs/decisions/0022).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use oci::{LONGEST_INDEX, ManifestList, Reference};
use sys::Calling;
use trace::Recorder;

use crate::error::Doing;
use crate::layout::parse_name;
use crate::step::apply;
use crate::{Layout, Store, StoreError, StoreStep, file};

/// The lists of a store.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'a> {
    store: &'a Store,
}

/// A list with its name, or why it cannot be read.
pub type ReadList = Result<(Reference, ManifestList), StoreError>;

/// A file among the lists.
#[derive(Debug)]
pub(crate) struct ListFile {
    pub(crate) path: PathBuf,
    /// The list's name, where the file has the name of one.
    pub(crate) name: Option<Reference>,
    /// What it holds, or why that is no list.
    pub(crate) list: ReadList,
}

/// The longest list, in bytes: an index, and for each image where it is.
const LONGEST: u64 = 2 * LONGEST_INDEX as u64;

impl<'a> Lists<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    fn layout(&self) -> &'a Layout {
        self.store.layout()
    }

    /// Reads a list.
    pub fn get(&self, name: &Reference) -> Result<ManifestList, StoreError> {
        self.find(name)?.ok_or_else(|| StoreError::NoList(name.familiar()))
    }

    /// Reads a list, if there is one of the name.
    pub fn find(&self, name: &Reference) -> Result<Option<ManifestList>, StoreError> {
        if name.digest().is_some() { Ok(None) } else { read(&self.layout().list(name)) }
    }

    /// Returns all lists, in the order of their names; those that cannot be read come last, each as the reason.
    pub fn all(&self) -> Result<Vec<ReadList>, StoreError> {
        let mut all: Vec<_> = self.files()?.into_iter().map(|file| file.list).collect();
        all.sort_by_key(|list| list.as_ref().map_or((true, None), |(name, _)| (false, Some(name.clone()))));
        Ok(all)
    }

    /// Makes a list of a name that none has yet.
    pub fn create(&self, name: &Reference, list: &ManifestList, recorder: &Recorder) -> Result<(), StoreError> {
        self.change_or_create(name, recorder, |known| match known {
            Some(_) => Err(StoreError::ListExists(name.familiar())),
            None => Ok(list.clone()),
        })
    }

    /// Changes a list; if `change` fails, it stays as it was.
    pub fn change<E: From<StoreError>>(
        &self,
        name: &Reference,
        recorder: &Recorder,
        change: impl FnOnce(&mut ManifestList) -> Result<(), E>,
    ) -> Result<(), E> {
        self.change_or_create(name, recorder, |known| {
            let mut list = known.ok_or_else(|| StoreError::NoList(name.familiar()))?;
            change(&mut list).map(|()| list)
        })
    }

    /// Makes a list of what is there under its name, if anything.
    pub fn change_or_create<E: From<StoreError>>(
        &self,
        name: &Reference,
        recorder: &Recorder,
        change: impl FnOnce(Option<ManifestList>) -> Result<ManifestList, E>,
    ) -> Result<(), E> {
        if name.digest().is_some() {
            return Err(StoreError::ListWithDigest(name.familiar()).into());
        }
        self.store.ensure()?;
        let _locked = self.store.lock()?;
        let known = self.find(name)?;
        let changed = change(known.clone())?;
        if known.as_ref() != Some(&changed) {
            self.write(name, &changed, recorder)?;
        }
        Ok(())
    }

    /// Removes a list, whatever is in it.
    pub fn remove(&self, name: &Reference, recorder: &Recorder) -> Result<(), StoreError> {
        let path = self.layout().list(name);
        if name.digest().is_some() || !path.exists() {
            return Err(StoreError::NoList(name.familiar()));
        }
        let _locked = self.store.lock()?;
        apply(&[StoreStep::Unlist { name: name.clone(), path }], recorder)
    }

    /// Removes a list that is still this one, and tells whether it was.
    pub fn remove_unchanged(
        &self,
        name: &Reference,
        list: &ManifestList,
        recorder: &Recorder,
    ) -> Result<bool, StoreError> {
        let _locked = self.store.lock()?;
        let is_same = self.find(name)?.as_ref() == Some(list);
        if is_same {
            apply(&[StoreStep::Unlist { name: name.clone(), path: self.layout().list(name) }], recorder)?;
        }
        Ok(is_same)
    }

    /// Returns every file among the lists.
    pub(crate) fn files(&self) -> Result<Vec<ListFile>, StoreError> {
        let top = self.layout().lists();
        let mut files = Vec::new();
        for repository in file::names(&top).doing(|| "list the manifest lists")? {
            let directory = top.join(&repository);
            for tag in file::names(&directory).doing(|| format!("list {}", directory.display()))? {
                let path = directory.join(&tag);
                let name = parse_name(&repository, &tag).filter(|name| self.layout().list(name) == path);
                let stray = || StoreError::Damaged { path: path.clone(), source: "it has no name of a list".into() };
                let list = match (name.clone().ok_or_else(stray), read(&path)) {
                    // Removed just now.
                    (_, Ok(None)) => continue,
                    (Ok(name), Ok(Some(list))) => Ok((name, list)),
                    (Err(error), _) | (_, Err(error)) => Err(error),
                };
                files.push(ListFile { path, name, list });
            }
        }
        Ok(files)
    }

    /// The caller holds the lock.
    fn write(&self, name: &Reference, list: &ManifestList, recorder: &Recorder) -> Result<(), StoreError> {
        let (from, to) = (self.layout().beside_name(), self.layout().list(name));
        let doing = || format!("write the manifest list {}", name.familiar());
        let bytes = serde_json::to_vec(list).map_err(|error| StoreError::Index(Box::new(error)))?;
        if bytes.len() as u64 > LONGEST {
            return Err(StoreError::ListTooLong { name: name.familiar(), length: bytes.len(), most: LONGEST });
        }
        let top = self.layout().lists();
        file::ensure_directory(&top).doing(doing)?;
        file::write_new(&from, &bytes, true).doing(doing)?;
        apply(&[StoreStep::List { name: name.clone(), from, to: to.clone() }], recorder)?;
        to.parent().map_or(Ok(()), file::sync_directory).and_then(|()| file::sync_directory(&top)).doing(doing)
    }
}

fn read(path: &Path) -> Result<Option<ManifestList>, StoreError> {
    let mut bytes = Vec::new();
    let damaged = |source| StoreError::Damaged { path: path.into(), source };
    match File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        result => result.call(|| format!("open({})", path.display())).doing(|| "read a manifest list")?,
    };
    if bytes.len() as u64 > LONGEST {
        return Err(damaged(format!("it is longer than {LONGEST} bytes").into()));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use oci::{Digest, Entry, Member, Origin};

    use super::*;

    fn member(text: &str) -> Member {
        let digest = Digest::of(text.as_bytes());
        Member { entry: Entry::new(digest, 1), name: text.parse().ok(), origin: Origin::Image(digest) }
    }

    fn add(store: &Store, name: &Reference, text: &str) {
        let put = |list: &mut ManifestList| list.put(vec![member(text)]).map_err(|_| StoreError::NoList(text.into()));
        store.lists().change(name, &Recorder::silent(), put).unwrap();
    }

    #[test]
    fn a_list_is_made_once_changed_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let (store, recorder) = (Store::open(&directory.path().join("s")), Recorder::silent());
        let name: Reference = "r.test:5000/team/app:1".parse().unwrap();
        let lists = store.lists();
        assert!(matches!(lists.get(&name), Err(StoreError::NoList(_))));
        assert!(matches!(lists.remove(&name, &recorder), Err(StoreError::NoList(_))));
        lists.create(&name, &ManifestList::default(), &recorder).unwrap();
        assert!(matches!(lists.create(&name, &ManifestList::default(), &recorder), Err(StoreError::ListExists(_))));
        add(&store, &name, "a");
        add(&store, &name, "b");
        let failed = lists.change(&name, &recorder, |list| {
            list.remove("a").unwrap();
            Err(StoreError::NoList("x".into()))
        });
        assert!(failed.is_err());
        assert_eq!(lists.get(&name).unwrap().members(), [member("a"), member("b")]);
        assert_eq!(lists.all().unwrap()[0].as_ref().unwrap().0, name);
        assert!(!lists.remove_unchanged(&name, &ManifestList::default(), &recorder).unwrap());
        assert!(lists.remove_unchanged(&name, &lists.get(&name).unwrap(), &recorder).unwrap());
        assert!(lists.all().unwrap().is_empty());
        assert_eq!(std::fs::read_dir(store.layout().lists()).unwrap().count(), 0, "its directory is gone too");
        let by_digest = format!("app@{}", Digest::of(b"")).parse().unwrap();
        let refused = lists.create(&by_digest, &ManifestList::default(), &recorder);
        assert!(matches!(refused, Err(StoreError::ListWithDigest(_))));
    }

    #[test]
    fn what_many_add_at_once_is_all_there() {
        let directory = tempfile::tempdir().unwrap();
        let (store, name) = (Store::open(directory.path()), "app".parse().unwrap());
        store.lists().create(&name, &ManifestList::default(), &Recorder::silent()).unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (store, name) = (&store, &name);
                scope.spawn(move || add(store, name, &format!("image-{number}")));
            }
        });
        assert_eq!(store.lists().get(&name).unwrap().members().len(), 8);
    }

    #[test]
    fn a_damaged_list_is_found_removed_and_in_nobody_s_way() {
        let directory = tempfile::tempdir().unwrap();
        let (store, recorder) = (Store::open(directory.path()), Recorder::silent());
        let names: [Reference; 3] = ["one", "two", "three"].map(|name| name.parse().unwrap());
        names.iter().for_each(|name| store.lists().create(name, &ManifestList::default(), &recorder).unwrap());
        let long = vec![b' '; usize::try_from(LONGEST).unwrap() + 1];
        std::fs::write(store.layout().list(&names[0]), "{\"members\": [").unwrap();
        std::fs::write(store.layout().list(&names[1]), long).unwrap();
        assert!(matches!(store.lists().get(&names[0]), Err(StoreError::Damaged { .. })));
        assert!(store.lists().get(&names[1]).unwrap_err().to_string().contains("damaged"));
        let listed = store.lists().all().unwrap();
        assert_eq!((listed.len(), listed[0].as_ref().unwrap().0.familiar()), (3, "three:latest".into()));
        let findings = crate::check::check(&store, &mut |_| ()).unwrap().findings;
        assert_eq!(findings.len(), 2);
        assert!(findings[0].to_string().starts_with("the manifest list "), "{}", findings[0]);
        crate::check::repair(&store, &findings[..1], &|_| None, &recorder).unwrap();
        store.lists().remove(&names[1], &recorder).unwrap();
        assert_eq!(store.lists().all().unwrap().len(), 1);
        assert_eq!(crate::check::check(&store, &mut |_| ()).unwrap().findings, []);
    }
}
