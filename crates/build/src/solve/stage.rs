//! One stage's process: its steps, one after the other.
//!
//! It has one thread, as whoever makes containers must, and a mount namespace to itself. Before a step is made the lock of its
//! key is taken, by which two that want the same wait for each other; whoever comes second finds it in the cache.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use engine::{Chain, Engine};
use jiff::Timestamp;
use oci::Digest;
use oci::image::ImageConfiguration;
use store::{CachedStep, ChainId, Image, Layer, Stack, StoreError, Work};
use sys::Calling;
use sys::namespace::{self, NamespaceKind};

use super::keys::{Inputs, key, of_content};
use super::wire::{Known, News, Word, receive, send};
use crate::contents::Contents;
use crate::elsewhere::Elsewhere;
use crate::event::StepId;
use crate::files::{Files, Layers, resolve};
use crate::graph::{Copy, Graph, Mount, Op, Run, Source, Stage};
use crate::op::copy::{CopyError, Copying, content, copy};
use crate::op::mounts::{MountFault, Mounted, Mounting, fill};
use crate::op::run::{Ran, RunError, Running};
use crate::op::workdir::workdir;
use crate::op::{layer, run};
use crate::{BuildRequest, Secret};

/// What a stage's process is given.
pub(crate) struct Order<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) request: &'a BuildRequest,
    pub(crate) graph: &'a Graph,
    pub(crate) contents: &'a Contents,
    pub(crate) stage: usize,
    /// The layers of stages that are done, and of this one so far.
    pub(crate) layers: HashMap<usize, Vec<Known>>,
    /// The first step that is to be made.
    pub(crate) first: usize,
    /// The build, as the cache knows it.
    pub(crate) build: &'a str,
    /// Who knows steps that were made elsewhere.
    pub(crate) elsewhere: &'a dyn Elsewhere,
    /// The caller's own terminal, for a shell in a failed step.
    pub(crate) streams: [OwnedFd; 3],
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum StepError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Mount(#[from] MountFault),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the process {0:?} ended with status {1}")]
    Exit(String, u8),
    #[error("there is no secret {0}: give it with --secret id={0},src=FILE")]
    NoSecret(String),
    #[error("the secret {0} cannot be read")]
    Secret(String, #[source] sys::Error),
    #[error("there is no agent {0}: give it with --ssh {0}[=SOCKET]")]
    NoAgent(String),
    #[error("there is no {0} to be mounted")]
    NoSource(String),
    #[error("{0}")]
    System(#[from] sys::Error),
}

/// Makes the steps of a stage; returns when everything has been told.
pub(crate) fn main(order: Order<'_>, socket: &OwnedFd, work: Work) -> sys::Result<()> {
    namespace::unshare(&[NamespaceKind::Mount])?;
    sys::mount::set_propagation("/".as_ref(), sys::mount::Propagation::Private, true)?;
    let stage = &order.graph.stages[order.stage];
    let layers = order.layers.get(&order.stage).cloned().unwrap_or_default();
    let mounting = Mounting::new(work.path().join("mounts"))?;
    let mut maker = Maker { layers, stack: None, sources: HashMap::new(), socket, stage, mounting, work, order };
    for step in maker.order.first..stage.steps.len() {
        if !maker.step(step)? {
            return Ok(());
        }
    }
    send(socket, &News::Finished)?;
    while !matches!(receive::<Word>(socket)?, Some(Word::Close) | None) {}
    Ok(())
}

/// A step that is done.
struct Made {
    key: Digest,
    layer: Known,
    cached: bool,
}

struct Maker<'a> {
    order: Order<'a>,
    socket: &'a OwnedFd,
    stage: &'a Stage,
    layers: Vec<Known>,
    /// The layers merged, once somebody needs to look into them.
    stack: Option<Stack>,
    /// Other stages and images, merged.
    sources: HashMap<Source, Rc<Stack>>,
    /// Unmounted before the work is removed, in which it is.
    mounting: Mounting,
    work: Work,
}

impl Maker<'_> {
    /// Makes one step; tells whether to go on.
    fn step(&mut self, step: usize) -> sys::Result<bool> {
        for needed in self.stage.steps[step].op.stages() {
            if !self.wait_for(needed)? {
                return Ok(false);
            }
        }
        let begun = Instant::now();
        let millis = |begun: Instant| u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match self.make(step) {
            Ok(Made { key, layer, cached: true }) => {
                self.layers.push(layer);
                send(self.socket, &News::Cached { step, key, layer })?;
                Ok(true)
            }
            Ok(Made { key, layer, cached: false }) => {
                self.layers.push(layer);
                send(self.socket, &News::Done { step, key, layer, millis: millis(begun) })?;
                Ok(true)
            }
            Err(error) => {
                let code = if let StepError::Exit(_, code) = error { Some(code) } else { None };
                let shell = code.is_some() && self.order.request.debug_shell;
                let news = News::Failed { step, millis: millis(begun), message: Chain::write(&error), code, shell };
                send(self.socket, &news)?;
                if shell {
                    self.shell(step)?;
                }
                Ok(false)
            }
        }
    }

    /// Waits until another stage is done.
    fn wait_for(&mut self, stage: usize) -> sys::Result<bool> {
        while !self.order.layers.contains_key(&stage) {
            match receive(self.socket)? {
                Some(Word::Stage { stage, layers }) => drop(self.order.layers.insert(stage, layers)),
                Some(Word::Shell) => {}
                Some(Word::Close) | None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn chain(&self) -> ChainId {
        ChainId::of(self.layers.iter().map(|layer| &layer.diff_id))
    }

    /// Makes a step, or finds it made.
    fn make(&mut self, step: usize) -> Result<Made, StepError> {
        let id = StepId { stage: self.order.stage, step };
        let below = self.chain();
        let own = {
            let chain = |source: Source| ChainId::of(self.layers_of(source).iter().map(|layer| &layer.diff_id));
            key(self.stage, id, &below, &Inputs { contents: self.order.contents, chain: &chain })
        };
        let mut keys = vec![own];
        let _lock = self.lock(&own)?;
        if let Some(layer) = self.find(step, &own)? {
            return Ok(Made { key: own, layer, cached: true });
        }
        // Files of other layers may be what they were though the layers are not.
        if let Op::Copy(copied) = &self.stage.steps[step].op
            && !matches!(copied.from, Source::Context(_))
        {
            let files = Layers::new(self.source(copied.from)?);
            let (_, digest) = content(copied, &files, true)?;
            let by_content = of_content(self.stage, copied, &below, &digest);
            keys.push(by_content);
            if let Some(layer) = self.find(step, &by_content)? {
                self.remember(step, &[own], layer)?;
                return Ok(Made { key: own, layer, cached: true });
            }
        }
        send(self.socket, &News::Started { step })?;
        let below = self.take_stack()?;
        let applied = self.apply(step, &below);
        // Back before an error goes up: a shell in a step that failed is over the same layers.
        let stack = self.stack.insert(below);
        let layer = applied?;
        let known = Known { diff_id: layer.diff_id, size: layer.size };
        stack.push(&layer)?;
        self.finish(step)?;
        self.remember(step, &keys, known)?;
        Ok(Made { key: own, layer: known, cached: false })
    }

    /// The last step of the target makes the index that the image will have: the stack is merged already.
    fn finish(&mut self, step: usize) -> Result<(), StepError> {
        let is_target = self.order.stage + 1 == self.order.graph.stages.len();
        if is_target && step + 1 == self.stage.steps.len() && !self.order.request.squash {
            let stack = self.take_stack()?;
            self.work.mountable(self.stack.insert(stack), ImageConfiguration::default())?;
        }
        Ok(())
    }

    fn find(&mut self, step: usize, key: &Digest) -> Result<Option<Known>, StoreError> {
        let Some(found) = self.order.engine.store().cache().find(key)? else { return self.take(step, key) };
        if self.stage.anew && found.build != self.order.build {
            return Ok(None);
        }
        let Some(layer) = self.work.keep_layer(&found.layer)? else { return Ok(None) };
        if let Some(stack) = &mut self.stack {
            stack.push(&layer)?;
        }
        Ok(Some(Known { diff_id: layer.diff_id, size: layer.size }))
    }

    /// Takes a step from elsewhere.
    fn take(&mut self, step: usize, key: &Digest) -> Result<Option<Known>, StoreError> {
        if self.stage.anew {
            return Ok(None);
        }
        let Some(layer) = self.order.elsewhere.step(key, &mut self.work) else { return Ok(None) };
        let known = Known { diff_id: layer.diff_id, size: layer.size };
        self.remember(step, std::slice::from_ref(key), known)?;
        if let Some(stack) = &mut self.stack {
            stack.push(&layer)?;
        }
        Ok(Some(known))
    }

    fn remember(&mut self, step: usize, keys: &[Digest], layer: Known) -> Result<(), StoreError> {
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| layer.diff_id).chain([layer.diff_id]).collect();
        for key in keys {
            let cached = CachedStep {
                key: *key,
                layer: layer.diff_id,
                size: layer.size,
                chain: ChainId::of(&diff_ids),
                what: self.stage.steps[step].title.clone(),
                created: Timestamp::now(),
                build: self.order.build.to_owned(),
            };
            self.work.remember(&cached, self.order.engine.recorder())?;
        }
        Ok(())
    }

    /// Takes the lock of a key. Its file goes with the last one who wants it.
    fn lock(&self, key: &Digest) -> sys::Result<KeyLock> {
        let directory = self.order.engine.state_dir().join("build");
        let path = directory.join(key.hex());
        loop {
            let made = std::fs::create_dir_all(&directory);
            made.call(|| format!("mkdir({})", directory.display()))?;
            let file = match File::options().create(true).truncate(false).write(true).open(&path) {
                // Another build has just removed the empty directory.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                opened => opened.call(|| format!("open({})", path.display()))?,
            };
            sys::file::lock(&file)?;
            // Whoever had it before may have taken the name away.
            use std::os::unix::fs::MetadataExt;
            let same = path.metadata().ok().zip(file.metadata().ok());
            if same.is_some_and(|(named, ours)| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
                return Ok(KeyLock { path, _file: file });
            }
        }
    }

    /// Returns the layers so far, merged; whoever takes them puts them back.
    fn take_stack(&mut self) -> Result<Stack, StoreError> {
        match self.stack.take() {
            Some(stack) => Ok(stack),
            None => Stack::of(&self.kept(&self.layers.clone())?),
        }
    }

    fn kept(&mut self, layers: &[Known]) -> Result<Vec<Layer>, StoreError> {
        let kept = layers
            .iter()
            .map(|layer| self.work.keep_layer(&layer.diff_id)?.ok_or(StoreError::MissingLayer(layer.diff_id)));
        kept.collect()
    }

    fn layers_of(&self, source: Source) -> Vec<Known> {
        match source {
            Source::Stage(stage) => self.order.layers.get(&stage).cloned().unwrap_or_default(),
            Source::Image(image) => super::of_image(&self.order.graph.images[image]),
            Source::Context(_) => Vec::new(),
        }
    }

    /// Merges the layers that files are taken from.
    fn source(&mut self, source: Source) -> Result<Rc<Stack>, StoreError> {
        if let Some(known) = self.sources.get(&source) {
            return Ok(Rc::clone(known));
        }
        let layers = self.layers_of(source);
        let stack = Rc::new(Stack::of(&self.kept(&layers)?)?);
        self.sources.insert(source, Rc::clone(&stack));
        Ok(stack)
    }

    fn apply(&mut self, step: usize, below: &Stack) -> Result<Layer, StepError> {
        match &self.stage.steps[step].op {
            Op::Workdir(op) => Ok(workdir(op, &mut self.work, below, self.stage.epoch)?),
            Op::Copy(op) => self.copy(StepId { stage: self.order.stage, step }, op, below),
            Op::Run(op) => self.run(step, op, below),
        }
    }

    fn copy(&mut self, id: StepId, op: &Copy, below: &Stack) -> Result<Layer, StepError> {
        let epoch = self.stage.epoch;
        let (files, own): (Rc<dyn Files>, _) = match op.from {
            Source::Context(context) => (self.order.contents.files(context), None),
            from => {
                let files = Layers::new(self.source(from)?);
                let (selection, _) = content(op, &files, true)?;
                (Rc::new(files), Some(selection))
            }
        };
        let taken = self.order.contents.taken(id, 0).map(|taken| &taken.selection);
        let Some(selection) = own.as_ref().or(taken) else { return Err(StepError::NoSource(op.destination.clone())) };
        Ok(copy(op, selection, Copying { work: &mut self.work, below, files, epoch })?)
    }

    fn run(&mut self, step: usize, op: &Run, below: &Stack) -> Result<Layer, StepError> {
        let mounted = self.mounts(StepId { stage: self.order.stage, step }, op)?;
        let epoch = self.stage.epoch;
        let engine = self.order.engine;
        let running = Running { engine, work: &mut self.work, below, epoch, name: format!("scratch-{step}") };
        match run::run(op, &mounted, running)? {
            Ran::Layer(layer) => Ok(layer),
            Ran::Failed(code) => Err(StepError::Exit(op.args.join(" "), code)),
        }
    }

    fn shell(&mut self, step: usize) -> sys::Result<()> {
        while !matches!(receive::<Word>(self.socket)?, Some(Word::Shell)) {}
        for (number, stream) in (0..).zip(&self.order.streams) {
            sys::process::duplicate_to(stream, number)?;
        }
        let Op::Run(op) = &self.stage.steps[step].op else { return Ok(()) };
        let Ok(mounted) = self.mounts(StepId { stage: self.order.stage, step }, op) else { return Ok(()) };
        let Some(below) = &self.stack else { return Ok(()) };
        let (engine, epoch) = (self.order.engine, self.stage.epoch);
        let running = Running { engine, work: &mut self.work, below, epoch, name: format!("scratch-{step}") };
        if let Err(error) = run::shell(op, &mounted, running) {
            sys::path::write_stderr(format!("error: {}\n", Chain::write(&error)).as_bytes())?;
        }
        Ok(())
    }

    /// Prepares what a command's mounts show.
    fn mounts(&mut self, id: StepId, op: &Run) -> Result<Mounted, StepError> {
        let mut mounted = Mounted::default();
        if let Some((path, content)) = &op.script {
            let file = self.mounting.secret(content.as_bytes(), (0, 0), 0o755)?;
            mounted.bind(file, path, true);
        }
        let mut part = 0;
        for mount in &op.mounts {
            let taken = part;
            part += usize::from(mount.source().is_some());
            self.mount(id, taken, mount, &mut mounted)?;
        }
        Ok(mounted)
    }

    fn mount(&mut self, id: StepId, part: usize, mount: &Mount, mounted: &mut Mounted) -> Result<(), StepError> {
        match mount {
            Mount::Bind { from, source, target, read_only } => {
                let path = self.files_at(id, part, *from, source, !read_only)?;
                mounted.bind(path, target, *read_only);
            }
            Mount::Cache { id: name, from, target, sharing, read_only, owner, mode } => {
                let key = Digest::of(name.as_bytes()).hex();
                let directory = self.order.engine.store().cache().mount(&key, &format!("cache mount {name}"))?;
                let first = from.as_ref();
                let first = first.map(|(from, source)| self.files_at(id, part, *from, source, false)).transpose()?;
                let data = mounted.cache(directory, *sharing, (*owner, *mode), |new| match &first {
                    Some(first) => fill(first, new),
                    None => Ok(()),
                })?;
                mounted.bind(data, target, *read_only);
            }
            Mount::Tmpfs { target, size } => mounted.memory(target, *size),
            Mount::Secret { id, target, env, required, owner, mode } => {
                let Some(secret) = self.secret(id)? else {
                    return if *required { Err(StepError::NoSecret(id.clone())) } else { Ok(()) };
                };
                if let Some(variable) = env {
                    mounted.env.push(format!("{variable}={}", String::from_utf8_lossy(&secret)));
                }
                if let Some(target) = target {
                    mounted.bind(self.mounting.secret(&secret, *owner, *mode)?, target, true);
                }
            }
            Mount::Ssh { id, target, required, owner, mode } => {
                let Some(agent) = self.order.request.agents.get(id) else {
                    return if *required { Err(StepError::NoAgent(id.clone())) } else { Ok(()) };
                };
                let socket = self.mounting.agent(agent, *owner, *mode)?;
                mounted.env.push(format!("SSH_AUTH_SOCK={target}"));
                mounted.bind(socket, target, false);
            }
        }
        Ok(())
    }

    fn secret(&self, id: &str) -> Result<Option<Vec<u8>>, StepError> {
        match self.order.request.secrets.get(id) {
            None => Ok(None),
            Some(Secret::Variable(name)) => Ok(std::env::var_os(name).map(|value| value.into_encoded_bytes())),
            Some(Secret::File(path)) => {
                let read = std::fs::read(path).call(|| format!("open({})", path.display()));
                read.map(Some).map_err(|error| StepError::Secret(id.to_owned(), error))
            }
        }
    }

    /// Attaches files where our own mount namespace has them; returns the path.
    fn files_at(
        &mut self,
        id: StepId,
        part: usize,
        from: Source,
        source: &str,
        writable: bool,
    ) -> Result<PathBuf, StepError> {
        let (image, files, at): (Image, Rc<dyn Files>, Vec<u8>) = match from {
            Source::Context(context) => {
                let image = self.snapshot(id, part, context, source)?;
                let files = self.order.contents.files(context);
                let at = resolve(&*files, crate::paths::relative(source).as_bytes());
                let at = at.ok_or_else(|| StepError::NoSource(source.to_owned()))?;
                // The snapshot has what is in a directory at its top, and a file under its name.
                let is_directory = files.info(&at).is_some_and(|info| info.is_directory());
                let name = crate::paths::file_name(crate::paths::relative(source).as_bytes()).to_vec();
                let at = if is_directory { Vec::new() } else { name };
                (image, files, at)
            }
            from => {
                let stack = self.source(from)?;
                let image = self.work.mountable(&stack, ImageConfiguration::default())?;
                let files = Rc::new(Layers::new(stack));
                let at = resolve(&*files, crate::paths::relative(source).as_bytes());
                let at = at.ok_or_else(|| StepError::NoSource(source.to_owned()))?;
                (image, files, at)
            }
        };
        drop(files);
        let view =
            self.order.engine.snapshots().view(&image, self.order.engine.recorder()).map_err(MountFault::View)?;
        let top = self.mounting.image(view, writable)?;
        // It was resolved as data, so no name of it is a link.
        Ok(top.join(std::ffi::OsStr::new(&*String::from_utf8_lossy(&at))))
    }

    /// Makes an image of what a mount shows of a context: it stays as it is while the command runs.
    fn snapshot(&mut self, id: StepId, part: usize, context: usize, source: &str) -> Result<Image, StepError> {
        let op = crate::contents::whole(Source::Context(context), source);
        let taken = self.order.contents.taken(id, part).map(|taken| &taken.selection);
        let Some(selection) = taken else { return Err(StepError::NoSource(source.to_owned())) };
        let (files, epoch, below) = (self.order.contents.files(context), self.stage.epoch, Stack::default());
        let layer = copy(&op, selection, Copying { work: &mut self.work, below: &below, files, epoch })?;
        let stack = Stack::of(&[layer])?;
        Ok(self.work.mountable(&stack, ImageConfiguration::default())?)
    }
}

/// The right to make the step of a key.
struct KeyLock {
    path: PathBuf,
    _file: File,
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes a layer of the whole context that a stage starts from.
pub(crate) fn base_of_context(
    contents: &Contents,
    id: StepId,
    context: usize,
    work: &mut Work,
    epoch: u64,
) -> Result<Layer, CopyError> {
    let op = crate::contents::whole(Source::Context(context), "");
    let below = Stack::default();
    match contents.taken(id, 0) {
        Some(taken) => {
            let files = contents.files(context);
            copy(&op, &taken.selection, Copying { work, below: &below, files, epoch })
        }
        None => layer::write(work, &crate::op::target::Entries::new(), &[]),
    }
}
