//! Work in flight: everything that is added to the store is assembled in a directory of its own and moved in at the end.
//!
//! The directory is locked for as long as its owner lives. Dropping the [`Work`] removes it; if the owner is killed, the
//! kernel opens the lock and the next writer removes it. Layers that exist already are kept by a hard link, so nobody's
//! removal can take them away before the end: that link is all a lease is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci::image::ImageConfiguration;
use oci::{Digest, Hasher, Reference};
use sys::Calling;
use trace::Recorder;

use crate::error::Doing;
use crate::layout::index_file;
use crate::record::{Record, RecordedLayer};
use crate::removal::remove_tree;
use crate::step::apply;
use crate::store::Locked;
use crate::{CachedStep, ChainId, Durability, Image, Layer, Stack, Store, StoreError, StoreStep, file, index, sweep};

/// An image's two documents, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// The configuration; its digest is the image's ID.
    pub config: Vec<u8>,
    /// The manifest.
    pub manifest: Vec<u8>,
    /// The digest of the index through which a registry gave the manifest.
    pub listed_in: Option<Digest>,
}

/// A directory in which an image is assembled.
///
/// ```no_run
/// use std::io::Write;
/// # fn documents(_: &store::Layer) -> store::Documents { unimplemented!() }
/// # let (store, tar, recorder) = (store::Store::open("/s".as_ref()), vec![], trace::Recorder::silent());
/// let mut work = store.begin(store::Durability::Durable)?;
/// let mut writer = work.layer()?;
/// writer.write_all(&tar)?;
/// let layer = work.finish(writer)?;
/// let image = work.commit(&documents(&layer), &["mydebian".parse()?], &recorder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Work {
    store: Store,
    path: PathBuf,
    durability: Durability,
    layers: Vec<Layer>,
    begun: u32,
    // The lock lives as long as this descriptor, which no program we start inherits.
    _owned: File,
}

/// A layer being written: every byte goes into its file and its digest.
#[derive(Debug)]
pub struct LayerWriter {
    file: File,
    path: PathBuf,
    hasher: Hasher,
    size: u64,
    most: u64,
    buffer: Vec<u8>,
}

/// How much is gathered before it is hashed and written: fewer calls, and still in the processor's second-level cache.
const BUFFER: usize = 256 * 1024;

impl Work {
    pub(crate) fn begin(store: &Store, durability: Durability) -> Result<Self, StoreError> {
        store.ensure()?;
        let locked = store.lock()?;
        sweep::remove_orphans(store, sweep::Lately::Keep, &Recorder::silent())?;
        let stale = sweep::find_stale(store)?;
        let work = Self::open(store, durability, locked)?;
        sweep::remove_stale(stale)?;
        Ok(work)
    }

    /// Begins another work beside this one: what others left was looked at when this one began.
    pub fn beside(&self) -> Result<Self, StoreError> {
        Self::open(&self.store, self.durability, self.store.lock()?)
    }

    /// A directory is owned once it is locked; between the two steps a sweeper would take it for abandoned.
    fn open(store: &Store, durability: Durability, locked: Locked) -> Result<Self, StoreError> {
        let path = store.layout().tmp().join(unique_name());
        let doing = || format!("make a directory for work in {}", store.layout().tmp().display());
        fs::create_dir(&path).call(|| format!("mkdir({})", path.display())).doing(doing)?;
        let owned = File::open(&path).call(|| format!("open({})", path.display())).doing(doing)?;
        sys::file::lock(&owned).doing(doing)?;
        drop(locked);
        let work = Self { store: store.clone(), path, durability, layers: Vec::new(), begun: 0, _owned: owned };
        for part in ["layers", "blobs", "indexes"] {
            file::ensure_directory(&work.path.join(part)).doing(doing)?;
        }
        Ok(work)
    }

    /// Returns the directory; what a caller puts there under a name of its own goes away with the work.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// Starts a new layer.
    pub fn layer(&mut self) -> Result<LayerWriter, StoreError> {
        self.begun += 1;
        let path = self.path.join(format!("layers/unfinished-{}", self.begun));
        let file = file::create(&path).doing(|| "start a layer")?;
        let (most, buffer) = (self.store.largest_layer(), Vec::with_capacity(BUFFER));
        Ok(LayerWriter { file, path, hasher: Hasher::default(), size: 0, most, buffer })
    }

    /// Ends a layer: its digest is known, and its bytes are on the disk.
    pub fn finish(&mut self, mut writer: LayerWriter) -> Result<Layer, StoreError> {
        let doing = || "write a layer";
        writer.flush().call(|| format!("write({})", writer.path.display())).doing(doing)?;
        if self.durability == Durability::Durable {
            file::sync(&writer.file, &writer.path).doing(doing)?;
        }
        let diff_id = writer.hasher.finish();
        let path = self.layer_path(&diff_id);
        file::rename(&writer.path, &path).doing(doing)?;
        let layer = Layer { diff_id, size: writer.size, path };
        self.layers.push(layer.clone());
        Ok(layer)
    }

    /// Keeps a layer that the store has already, whatever others remove; `None` when the store does not have it.
    pub fn keep_layer(&mut self, diff_id: &Digest) -> Result<Option<Layer>, StoreError> {
        let (from, path) = (self.store.layout().layer(diff_id), self.layer_path(diff_id));
        match fs::hard_link(&from, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => result
                .call(|| format!("link({}, {})", from.display(), path.display()))
                .doing(|| format!("keep layer {diff_id}"))?,
        }
        let size = path.metadata().call(|| format!("stat({})", path.display())).doing(|| "keep a layer")?.len();
        let layer = Layer { diff_id: *diff_id, size, path };
        self.layers.push(layer.clone());
        Ok(Some(layer))
    }

    /// Begins another work that has these layers of this one: an archive may hold several images.
    pub fn fork(&self, diff_ids: &[Digest]) -> Result<Self, StoreError> {
        let mut work = Self::begin(&self.store, self.durability)?;
        for layer in self.layers.iter().filter(|layer| diff_ids.contains(&layer.diff_id)) {
            let path = work.layer_path(&layer.diff_id);
            match fs::hard_link(&layer.path, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                result => result
                    .call(|| format!("link({}, {})", layer.path.display(), path.display()))
                    .doing(|| format!("share layer {}", layer.diff_id))?,
            }
            work.layers.push(Layer { path, ..layer.clone() });
        }
        Ok(work)
    }

    /// Puts the layer of a build's step into the store, with the index over it where there is one, and makes the step known.
    pub fn remember(&self, step: &CachedStep, recorder: &Recorder) -> Result<(), StoreError> {
        let layout = self.store.layout();
        for directory in [layout.cache(), layout.cached_steps()] {
            file::ensure_directory(&directory).doing(|| "make the cache of builds")?;
        }
        let record = serde_json::to_vec(step).map_err(|error| StoreError::Index(Box::new(error)))?;
        let from = self.path.join("step");
        file::unlink(&from).doing(|| "write a step's record")?;
        // It need not outlive a power cut: the step would be made again.
        file::write_new(&from, &record, false).doing(|| "write a step's record")?;
        let mut places = vec![("layer", self.layer_path(&step.layer), layout.layer(&step.layer))];
        let index = self.index_path(&step.chain);
        if index.exists() {
            places.push(("index", index, layout.index(&step.chain)));
        }
        let _locked = self.store.lock()?;
        for (what, ours, to) in places {
            // The work keeps a name of its own.
            let from = self.path.join("placed");
            file::unlink(&from).doing(|| "put a layer into the store")?;
            fs::hard_link(&ours, &from)
                .call(|| format!("link({}, {})", ours.display(), from.display()))
                .doing(|| "put a layer into the store")?;
            apply(&[StoreStep::Place { what, from, to, replace: false }], recorder)?;
        }
        apply(&[StoreStep::Remember { what: step.what.clone(), from, to: layout.cached_step(&step.key) }], recorder)
    }

    /// Makes a stack of layers ready to be mounted: as an image that has no documents and is known to nobody. It is there for as
    /// long as the work.
    pub fn mountable(&self, stack: &Stack, config: ImageConfiguration) -> Result<Image, StoreError> {
        let chain = stack.chain();
        let index = self.index_over(&chain, |file| stack.write_index(file))?;
        let layers: Vec<_> = stack
            .layers()
            .iter()
            .map(|layer| Layer { path: self.layer_path(&layer.diff_id), ..layer.clone() })
            .collect();
        Ok(Image {
            id: *chain.digest(),
            manifest: *chain.digest(),
            listed_in: None,
            config,
            size: layers.iter().map(|layer| layer.size).sum(),
            layers,
            chain,
            index,
            created: Timestamp::UNIX_EPOCH,
        })
    }

    /// Makes an image of the layers that its configuration names, gives it `names`, and announces it.
    pub fn commit(self, documents: &Documents, names: &[Reference], recorder: &Recorder) -> Result<Image, StoreError> {
        let record = self.record(documents)?;
        let index = self.index(&record)?;
        let _locked = self.store.lock()?;
        let known = Record::read(&self.store.layout().record(&record.id))?;
        let record = record.joined(known, names);
        let content = self.content(documents, &record, index)?;
        apply(&content, recorder)?;
        let layout = self.store.layout();
        self.sync(&[layout.layers(), layout.indexes(), layout.blobs()])?;
        let announced =
            StoreStep::Record { id: record.id, from: self.path.join("record"), to: layout.record(&record.id) };
        apply(&[announced], recorder)?;
        self.sync(&[layout.images()])?;
        for (number, name) in names.iter().enumerate() {
            let beside = self.path.join(format!("name-{number}"));
            let tag = StoreStep::Tag { name: name.clone(), id: record.id, link: layout.name(name), beside };
            apply(&[tag], recorder)?;
            self.sync(&[layout.repository(name), layout.names()])?;
        }
        match names.first() {
            Some(name) => self.store.images().resolve_name(name),
            None => self.store.images().load(&record.id),
        }
    }

    /// Writes what goes into place first, and plans how.
    fn content(&self, documents: &Documents, record: &Record, index: PathBuf) -> Result<Vec<StoreStep>, StoreError> {
        let layout = self.store.layout();
        // What was not synced may be of the right length and empty all the same.
        let replace = self.durability == Durability::Remakeable;
        let layers = record.layers.iter().map(|layer| StoreStep::Place {
            what: "layer",
            from: self.layer_path(&layer.diff_id),
            to: layout.layer(&layer.diff_id),
            replace,
        });
        let mut steps: Vec<_> = layers.collect();
        steps.push(StoreStep::Place { what: "index", from: index, to: layout.index(&record.chain()), replace });
        let manifest = Digest::of(&documents.manifest);
        let documents = [("configuration", record.id, &documents.config), ("manifest", manifest, &documents.manifest)];
        // A manifest that goes with no name is not kept.
        let known: Vec<_> = record.manifests().chain([record.id]).collect();
        for (what, digest, bytes) in documents.into_iter().filter(|(_, digest, _)| known.contains(digest)) {
            let from = self.path.join("blobs").join(digest.hex());
            self.write(&from, bytes)?;
            steps.push(StoreStep::Place { what, from, to: layout.blob(&digest), replace });
        }
        let record = serde_json::to_vec(record).map_err(|error| StoreError::Index(Box::new(error)))?;
        self.write(&self.path.join("record"), &record)?;
        Ok(steps)
    }

    fn record(&self, documents: &Documents) -> Result<Record, StoreError> {
        let id = Digest::of(&documents.config);
        let damaged = |error: Box<dyn std::error::Error + Send + Sync>| StoreError::Damaged {
            path: format!("configuration {id}").into(),
            source: error,
        };
        let config: ImageConfiguration =
            serde_json::from_slice(&documents.config).map_err(|error| damaged(Box::new(error)))?;
        let created = config.created().as_deref().map(str::parse::<Timestamp>).transpose();
        let created = created.map_err(|error| damaged(Box::new(error)))?.unwrap_or(Timestamp::UNIX_EPOCH);
        let mut layers = Vec::new();
        for diff_id in config.rootfs().diff_ids() {
            let diff_id: Digest = diff_id.parse().map_err(|error| damaged(Box::new(error)))?;
            let layer = self.layers.iter().find(|layer| layer.diff_id == diff_id);
            let size = layer.ok_or(StoreError::MissingLayer(diff_id))?.size;
            layers.push(RecordedLayer { diff_id, size });
        }
        let (manifest, index) = (Digest::of(&documents.manifest), documents.listed_in);
        Ok(Record { id, manifest, index, others: Vec::new(), layers, created })
    }

    /// Makes the index over the layers, or keeps the one that is there.
    fn index(&self, record: &Record) -> Result<PathBuf, StoreError> {
        let layer = |layer: &RecordedLayer| Layer {
            diff_id: layer.diff_id,
            size: layer.size,
            path: self.layer_path(&layer.diff_id),
        };
        self.index_over(&record.chain(), |file| {
            index::build(&record.layers.iter().map(layer).collect::<Vec<_>>(), file)
        })
    }

    fn index_over(
        &self,
        chain: &ChainId,
        write: impl FnOnce(&File) -> Result<(), StoreError>,
    ) -> Result<PathBuf, StoreError> {
        let path = self.index_path(chain);
        if path.exists() {
            return Ok(path);
        }
        if self.durability == Durability::Durable && fs::hard_link(self.store.layout().index(chain), &path).is_ok() {
            return Ok(path);
        }
        // It gets its name when it is whole.
        let begun = self.path.join("indexes/unfinished");
        file::unlink(&begun).doing(|| "start an index")?;
        let file = file::create(&begun).doing(|| "start an index")?;
        write(&file)?;
        if self.durability == Durability::Durable {
            file::sync(&file, &begun).doing(|| "write an index")?;
        }
        file::rename(&begun, &path).doing(|| "write an index")?;
        Ok(path)
    }

    fn index_path(&self, chain: &ChainId) -> PathBuf {
        self.path.join("indexes").join(index_file(chain))
    }

    fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.path.join("layers").join(diff_id.hex())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        file::write_new(path, bytes, self.durability == Durability::Durable)
            .doing(|| format!("write {}", path.display()))
    }

    fn sync(&self, directories: &[PathBuf]) -> Result<(), StoreError> {
        if self.durability == Durability::Remakeable {
            return Ok(());
        }
        directories.iter().try_for_each(|path| file::sync_directory(path)).doing(|| "write the store to the disk")
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // A rest that cannot be removed now is removed by the next writer.
        if let Err(error) = remove_tree(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "work left for the next writer to remove");
        }
    }
}

impl LayerWriter {
    /// Returns how many bytes came so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Waits until what came so far is on the disk: what is left to do at the end takes no time then.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let doing = || "write a layer";
        self.flush().call(|| format!("write({})", self.path.display())).doing(doing)?;
        file::sync(&self.file, &self.path).doing(doing)
    }

    /// Takes the next bytes; the same as writing, with an error that says what failed.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.size + bytes.len() as u64 > self.most {
            return Err(StoreError::LayerTooLarge { most: self.most });
        }
        self.write_all(bytes).call(|| format!("write({})", self.path.display())).doing(|| "write a layer")
    }

    fn write_through(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.write_through(&buffer);
        buffer.clear();
        self.buffer = buffer;
        result
    }
}

impl Write for LayerWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush_buffer()?;
        }
        if bytes.len() >= BUFFER {
            self.write_through(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_buffer()
    }
}

/// Returns a name that nobody else uses: who works here, and 64 random bits.
pub(crate) fn unique_name() -> String {
    use std::hash::{BuildHasher, Hasher as _};
    // The standard library seeds this from the kernel's random bytes, and counts on for each further one.
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{}-{random:016x}", std::process::id())
}
