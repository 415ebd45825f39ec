//! From the graph to layers: what the cache has is taken, and each stage that has something to do gets a process of its own.
//!
//! The process that does this has one thread and only listens: to what the stages tell, and to what their commands say. The
//! stages' processes die with it, and the containers of their commands with them.

mod keys;
mod stage;
mod wire;
mod worker;

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use engine::{Chain, Engine};
use jiff::Timestamp;
use oci::Digest;
use store::{CachedStep, ChainId, Durability, Image, Layer, Work};
use sys::event::Poller;

use crate::contents::Contents;
use crate::elsewhere::{Elsewhere, SolvedStep};
use crate::error::{BuildError, Place};
use crate::event::{Event, StepId};
use crate::graph::{Base, Document, Graph, Source};
use crate::{Bases, BuildRequest, graph};
use keys::{Inputs, key};
use stage::Order;
use wire::{Known, News, Word};
use worker::{Part, Stream, Streams, Worker};

/// What a build has made: layers, and what the image says of itself.
#[derive(Debug)]
pub struct Solved {
    pub(crate) work: Work,
    pub(crate) layers: Vec<Layer>,
    pub(crate) document: Document,
    pub(crate) epoch: u64,
    /// Layers of the image that the target starts from.
    pub(crate) inherited: usize,
    /// The images that it was made from: as the file names them, and by digest.
    pub materials: Vec<(String, Digest)>,
    /// The steps that made it, as lists show them.
    pub steps: Vec<String>,
    /// What is to be said of the file.
    pub warnings: Vec<String>,
    /// What came of each of them, in the order in which they were done.
    pub solved: Vec<SolvedStep>,
}

/// Builds what a request asks for, up to its last layer; `tell` hears what happens.
pub fn build(
    engine: &Engine,
    request: &BuildRequest,
    bases: &mut dyn Bases,
    elsewhere: &dyn Elsewhere,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Solved, BuildError> {
    let text = &request.file.text;
    let fault = |fault: dockerfile::Fault| BuildError::Syntax(fault.render(&request.file.name, text));
    let file = dockerfile::parse(text).map_err(fault)?;
    let store = engine.store();
    let graph = graph::plan(request, &file, store, bases)?;
    for (stage, planned) in graph.stages.iter().enumerate() {
        for (step, planned) in planned.steps.iter().enumerate() {
            tell(Event::Planned { id: StepId { stage, step }, title: &planned.title });
        }
    }
    graph.warnings.iter().for_each(|warning| tell(Event::Warning(warning)));
    let mut work = store.begin(Durability::Durable)?;
    clear_locks(engine);
    tell(Event::Doing("reading the build context"));
    let contents = Contents::of(&graph, request, store, &mut work)?;
    let build = format!("{:016x}", random());
    let mut solver = Solver {
        engine,
        request,
        graph: &graph,
        contents,
        work,
        build,
        elsewhere,
        layers: HashMap::new(),
        done: HashMap::new(),
        steps: Vec::new(),
        tell,
    };
    solver.begin()?;
    if !solver.is_done() {
        solver.run()?;
    }
    solver.finish()
}

/// Returns the layers of an image, as processes tell them to each other.
fn of_image(image: &Image) -> Vec<Known> {
    image.layers.iter().map(|layer| Known { diff_id: layer.diff_id, size: layer.size }).collect()
}

struct Solver<'a> {
    engine: &'a Engine,
    request: &'a BuildRequest,
    graph: &'a Graph,
    contents: Contents,
    work: Work,
    build: String,
    /// The layers of each stage so far.
    layers: HashMap<usize, Vec<Known>>,
    /// How many steps of each stage are done.
    done: HashMap<usize, usize>,
    /// All steps that are done, each with its stage.
    steps: Vec<(usize, SolvedStep)>,
    elsewhere: &'a dyn Elsewhere,
    tell: &'a mut dyn FnMut(Event<'_>),
}

impl Solver<'_> {
    /// Finds what the cache has: all of most builds.
    fn begin(&mut self) -> Result<(), BuildError> {
        for number in 0..self.graph.stages.len() {
            let stage = &self.graph.stages[number];
            let base = match &stage.base {
                Base::Scratch => Vec::new(),
                // Until that one is done nothing is known of what it makes.
                Base::Stage(other) if self.is_stage_done(*other) => self.layers_of(Source::Stage(*other)),
                Base::Stage(_) => continue,
                Base::Image(image) => of_image(image),
                Base::Context(context) => {
                    let id = StepId { stage: number, step: usize::MAX };
                    let layer = stage::base_of_context(&self.contents, id, *context, &mut self.work, stage.epoch);
                    let layer = layer.map_err(|error| BuildError::Document(Box::new(error)))?;
                    vec![Known { diff_id: layer.diff_id, size: layer.size }]
                }
            };
            self.keep(&base)?;
            self.layers.insert(number, base);
            self.done.insert(number, 0);
            self.skip_cached(number)?;
        }
        Ok(())
    }

    fn skip_cached(&mut self, number: usize) -> Result<(), BuildError> {
        let graph = self.graph;
        let stage = &graph.stages[number];
        if stage.anew {
            return Ok(());
        }
        for (step, planned) in stage.steps.iter().enumerate() {
            if !planned.op.stages().iter().all(|needed| self.is_stage_done(*needed)) {
                return Ok(());
            }
            let id = StepId { stage: number, step };
            let below = ChainId::of(self.layers_of(Source::Stage(number)).iter().map(|layer| &layer.diff_id));
            let chain = |source: Source| ChainId::of(self.layers_of(source).iter().map(|layer| &layer.diff_id));
            let key = key(stage, id, &below, &Inputs { contents: &self.contents, chain: &chain });
            let Some(layer) = self.find(id, &key)? else { return Ok(()) };
            self.note(id, key, layer, true);
            (self.tell)(Event::Cached(id));
        }
        Ok(())
    }

    /// Finds a step here or elsewhere; what comes from elsewhere is known here from then on.
    fn find(&mut self, id: StepId, key: &Digest) -> Result<Option<Known>, BuildError> {
        if let Some(found) = self.engine.store().cache().find(key)? {
            let kept = self.work.keep_layer(&found.layer)?;
            return Ok(kept.map(|layer| Known { diff_id: layer.diff_id, size: layer.size }));
        }
        let Some(layer) = self.elsewhere.step(key, &mut self.work) else { return Ok(None) };
        let below = self.layers_of(Source::Stage(id.stage));
        let chain = ChainId::of(below.iter().map(|layer| &layer.diff_id).chain([&layer.diff_id]));
        let step = CachedStep {
            key: *key,
            layer: layer.diff_id,
            size: layer.size,
            chain,
            what: self.graph.stages[id.stage].steps[id.step].title.clone(),
            created: Timestamp::now(),
            build: self.build.clone(),
        };
        self.work.remember(&step, self.engine.recorder())?;
        Ok(Some(Known { diff_id: layer.diff_id, size: layer.size }))
    }

    /// Notes that a step is done.
    fn note(&mut self, id: StepId, key: Digest, layer: Known, cached: bool) {
        self.layers.entry(id.stage).or_default().push(layer);
        self.done.insert(id.stage, id.step + 1);
        let step = SolvedStep {
            key,
            layer: layer.diff_id,
            size: layer.size,
            what: self.graph.stages[id.stage].steps[id.step].title.clone(),
            created: Timestamp::now(),
            in_target: false,
            cached,
        };
        self.steps.push((id.stage, step));
    }

    fn keep(&mut self, layers: &[Known]) -> Result<(), BuildError> {
        for layer in layers {
            let kept = self.work.keep_layer(&layer.diff_id)?;
            kept.ok_or(store::StoreError::MissingLayer(layer.diff_id))?;
        }
        Ok(())
    }

    fn layers_of(&self, source: Source) -> Vec<Known> {
        match source {
            Source::Stage(stage) => self.layers.get(&stage).cloned().unwrap_or_default(),
            Source::Image(image) => of_image(&self.graph.images[image]),
            Source::Context(_) => Vec::new(),
        }
    }

    fn is_stage_done(&self, stage: usize) -> bool {
        self.done.get(&stage) == Some(&self.graph.stages[stage].steps.len())
    }

    fn is_done(&self) -> bool {
        self.is_stage_done(self.graph.stages.len() - 1)
    }

    /// Lets processes make what is missing.
    fn run(&mut self) -> Result<(), BuildError> {
        let system = |doing| move |source| BuildError::System { doing, source };
        let poller = Poller::new().map_err(system("wait for the steps of a build"))?;
        let mut workers: Vec<Worker> = Vec::new();
        let ended = self.drive(&poller, &mut workers);
        // Whoever is still at work has nobody to work for; those that are done clear up after themselves.
        for worker in workers.iter().filter(|worker| ended.is_err() && !worker.failed) {
            worker.kill();
        }
        workers.iter().for_each(Worker::wait);
        clear_locks(self.engine);
        if ended.is_err() {
            // What those left who could not end by themselves; the next build would remove it as well.
            let _ = self.engine.store().sweep(self.engine.recorder());
        }
        ended
    }

    fn drive(&mut self, poller: &Poller, workers: &mut Vec<Worker>) -> Result<(), BuildError> {
        loop {
            self.start_ready(poller, workers)?;
            if self.is_done() && workers.iter().all(|worker| worker.finished) {
                return Ok(());
            }
            let ready = poller.wait(None);
            let ready =
                ready.map_err(|source| BuildError::System { doing: "wait for the steps of a build", source })?;
            for event in ready {
                match Part::of(event.token) {
                    (number, Part::News) => self.hear(poller, workers, number)?,
                    (number, Part::Output(stream)) => workers[number].take_output(poller, stream, self.tell)?,
                }
            }
        }
    }

    /// Starts the stages that have a base and something to do.
    fn start_ready(&mut self, poller: &Poller, workers: &mut Vec<Worker>) -> Result<(), BuildError> {
        for number in 0..self.graph.stages.len() {
            if self.is_stage_done(number) || workers.iter().any(|worker| worker.stage == number) {
                continue;
            }
            if let Base::Stage(base) = self.graph.stages[number].base
                && !self.layers.contains_key(&number)
            {
                if !self.is_stage_done(base) {
                    continue;
                }
                self.layers.insert(number, self.layers_of(Source::Stage(base)));
                self.done.insert(number, 0);
                self.skip_cached(number)?;
                if self.is_stage_done(number) {
                    self.tell_stages(workers, number)?;
                    continue;
                }
            }
            let worker = self.start(number)?;
            worker.watch(poller, workers.len())?;
            workers.push(worker);
        }
        Ok(())
    }

    fn start(&self, number: usize) -> Result<Worker, BuildError> {
        let work = self.work.beside()?;
        let layers = self.layers.iter().filter(|(stage, _)| **stage == number || self.is_stage_done(**stage));
        let layers = layers.map(|(stage, layers)| (*stage, layers.clone())).collect();
        let first = self.done.get(&number).copied().unwrap_or(0);
        let main = |ours: Streams, work: Work| {
            let order = Order {
                engine: self.engine,
                request: self.request,
                graph: self.graph,
                contents: &self.contents,
                stage: number,
                layers,
                first,
                build: &self.build,
                elsewhere: self.elsewhere,
                streams: ours.given,
            };
            stage::main(order, &ours.socket, work)
        };
        Worker::start(number, first, work, main)
    }

    /// Hears one message of a stage.
    fn hear(&mut self, poller: &Poller, workers: &mut [Worker], number: usize) -> Result<(), BuildError> {
        // What was said before comes first.
        let worker = &mut workers[number];
        for stream in [Stream::Out, Stream::Error] {
            worker.take_output(poller, stream, self.tell)?;
        }
        let news = wire::receive::<News>(&worker.socket);
        let news = news.map_err(|source| BuildError::System { doing: "hear a stage of the build", source })?;
        let stage = worker.stage;
        match news {
            Some(News::Started { step }) => {
                worker.begin(step);
                (self.tell)(Event::Started(StepId { stage, step }));
            }
            Some(News::Cached { step, key, layer }) => {
                self.keep(&[layer])?;
                self.note(StepId { stage, step }, key, layer, true);
                (self.tell)(Event::Cached(StepId { stage, step }));
            }
            Some(News::Done { step, key, layer, millis }) => {
                self.keep(&[layer])?;
                self.note(StepId { stage, step }, key, layer, false);
                (self.tell)(Event::Done { id: StepId { stage, step }, took: Duration::from_millis(millis) });
            }
            Some(News::Failed { step, millis, message, code, shell }) => {
                worker.failed = true;
                (self.tell)(Event::Failed { id: StepId { stage, step }, took: Duration::from_millis(millis) });
                if shell {
                    (self.tell)(Event::Shell);
                    let _ = wire::send(&worker.socket, &Word::Shell);
                    worker.wait();
                }
                return Err(self.failure(worker, step, message, code));
            }
            Some(News::Finished) => {
                worker.finished = true;
                let closed = wire::send(&worker.socket, &Word::Close);
                closed.map_err(|source| BuildError::System { doing: "end a stage of the build", source })?;
                let _ = poller.remove(worker.socket.as_fd());
                self.tell_stages(workers, stage)?;
            }
            None if worker.finished => {}
            None => {
                let (name, said) = (&self.graph.stages[stage].name, worker.said());
                return Err(BuildError::Worker(format!("the process of stage {name} died: {}", said.trim())));
            }
        }
        Ok(())
    }

    fn failure(&self, worker: &Worker, step: usize, message: String, code: Option<u8>) -> BuildError {
        let planned = &self.graph.stages[worker.stage].steps[step];
        let place = Place::of(&self.request.file.name, &self.request.file.text, planned.span);
        let source = Box::new(Chain::read(&message));
        BuildError::Step { place, title: planned.title.clone(), source, code, output: worker.last_lines() }
    }

    /// Tells all that are at work that a stage is done.
    fn tell_stages(&self, workers: &[Worker], stage: usize) -> Result<(), BuildError> {
        let word = Word::Stage { stage, layers: self.layers_of(Source::Stage(stage)) };
        for worker in workers.iter().filter(|worker| !worker.finished) {
            let told = wire::send(&worker.socket, &word);
            told.map_err(|source| BuildError::System { doing: "speak with a stage of the build", source })?;
        }
        Ok(())
    }

    /// Hands over what was made.
    fn finish(self) -> Result<Solved, BuildError> {
        let Self { mut work, graph, layers, steps, .. } = self;
        let own = graph.below_target();
        let solved = steps.into_iter().map(|(stage, step)| SolvedStep { in_target: own.contains(&stage), ..step });
        let solved = solved.collect();
        let last = graph.stages.len() - 1;
        let mut kept = Vec::new();
        for layer in layers.get(&last).into_iter().flatten() {
            let layer = work.keep_layer(&layer.diff_id)?.ok_or(store::StoreError::MissingLayer(layer.diff_id))?;
            kept.push(layer);
        }
        let target = graph.target();
        let base = |stage: &graph::Stage| match &stage.base {
            Base::Image(image) => Some((stage.from.clone(), image.listed_in.unwrap_or(image.manifest))),
            _ => None,
        };
        Ok(Solved {
            inherited: kept.len() - target.steps.len().min(kept.len()),
            work,
            layers: kept,
            document: target.document.clone(),
            epoch: target.epoch,
            materials: graph.stages.iter().filter_map(base).collect(),
            steps: graph.stages.iter().flat_map(|stage| &stage.steps).map(|step| step.title.clone()).collect(),
            warnings: graph.warnings.clone(),
            solved,
        })
    }
}

/// Removes the locks of builds that were killed.
fn clear_locks(engine: &Engine) {
    let directory = engine.state_dir().join("build");
    let Ok(entries) = std::fs::read_dir(&directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if let Ok(file) = File::options().write(true).open(&path)
            && sys::file::try_lock(&file).unwrap_or(false)
        {
            let _ = std::fs::remove_file(&path);
        }
    }
    // It stays while another build has a lock in it.
    let _ = std::fs::remove_dir(&directory);
}

/// A number that no other build has.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
