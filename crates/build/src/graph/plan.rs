//! From a file to a graph: which stages are needed, what each starts from, and what its instructions come to.
//!
//! Stages are planned from the target down, so that what it does not need is never looked at: neither its base image nor the
//! files that it would copy.

use std::collections::HashMap;

use dockerfile::{Dockerfile, Instruction, Located, Span};
use oci::{Platform, Reference};
use store::{Image, Store};

use super::scope::{Globals, Scope};
use super::{Base, Document, Graph, Platforms, Source, Stage};
use crate::error::{BuildError, Place};
use crate::{Bases, BuildRequest, NamedContext, NoCache};

/// The time of what is built on nothing: the first that every archiver can tell (1980-01-01).
const FIRST_TIME: u64 = 315_532_800;

/// Decides a build.
pub(crate) fn plan(
    request: &BuildRequest,
    file: &Dockerfile,
    store: &Store,
    bases: &mut dyn Bases,
) -> Result<Graph, BuildError> {
    let fault = |fault: dockerfile::Fault| BuildError::Syntax(fault.render(&request.file.name, &request.file.text));
    let target = file.target(request.target.as_deref()).map_err(fault)?;
    let platform = request.platform.clone().unwrap_or_else(Platform::host);
    let platforms = Platforms { build: Platform::host(), target: platform };
    let name = file.stages[target].from.value.name.clone().unwrap_or_else(|| target.to_string());
    let mut planner = Planner {
        request,
        file,
        store,
        bases,
        globals: Globals::new(&request.args, &platforms, &name),
        platforms,
        graph: Graph { stages: Vec::new(), images: Vec::new(), contexts: vec![String::new()], warnings: Vec::new() },
        planned: HashMap::new(),
        scopes: Vec::new(),
        known: HashMap::new(),
        consumed: Vec::new(),
    };
    planner.declare_globals()?;
    planner.stage(target)?;
    planner.remark_unused();
    let mut graph = planner.graph;
    if let Some(target) = graph.stages.last_mut() {
        request.labels.iter().for_each(|(name, value)| target.document.label(name, value));
    }
    Ok(graph)
}

pub(crate) struct Planner<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) file: &'a Dockerfile,
    store: &'a Store,
    pub(super) bases: &'a mut dyn Bases,
    pub(super) globals: Globals,
    pub(super) platforms: Platforms,
    pub(super) graph: Graph,
    /// The place in the graph of each stage of the file that was planned.
    planned: HashMap<usize, usize>,
    /// What each stage of the graph knew at its end.
    scopes: Vec<Scope>,
    /// Images that files are taken from, by name.
    known: HashMap<String, usize>,
    /// Arguments that some `ARG` has taken.
    pub(super) consumed: Vec<String>,
}

/// A stage while its instructions are read.
pub(super) struct Draft {
    /// Its number in the file.
    pub(super) number: usize,
    pub(super) scope: Scope,
    pub(super) document: Document,
    pub(super) steps: Vec<super::Step>,
    /// `CMD` was set in this stage, so an `ENTRYPOINT` leaves it.
    pub(super) has_command: bool,
}

impl Planner<'_> {
    fn declare_globals(&mut self) -> Result<(), BuildError> {
        for globals in &self.file.globals {
            for declaration in &globals.value {
                let default = declaration.default.as_deref().map(|word| self.word(word, globals.span)).transpose()?;
                self.globals.declare(&declaration.name, default);
                self.consumed.push(declaration.name.clone());
            }
        }
        Ok(())
    }

    fn word(&self, word: &str, span: Span) -> Result<String, BuildError> {
        let lookup = |name: &str| self.globals.lookup(name);
        let expanded = dockerfile::expand_word(word, self.file.directives.escape, &lookup);
        expanded.map(|expanded| expanded.text).map_err(|error| self.wrong(span, error.to_string()))
    }

    /// An argument that nothing takes was perhaps misspelt.
    fn remark_unused(&mut self) {
        let is_known = |name: &str| {
            super::scope::PROXIES.contains(&name)
                || name.starts_with("BUILDKIT_")
                || name == "SOURCE_DATE_EPOCH"
                || self.consumed.iter().any(|known| known == name)
                || self.globals.lookup(name).is_some()
        };
        let unused: Vec<_> = self.request.args.keys().filter(|name| !is_known(name)).cloned().collect();
        if !unused.is_empty() {
            self.graph.warnings.push(format!("no ARG takes the build argument {}", unused.join(", ")));
        }
    }

    pub(super) fn place(&self, span: Span) -> Box<Place> {
        Place::of(&self.request.file.name, &self.request.file.text, span)
    }

    pub(super) fn wrong(&self, span: Span, message: impl Into<String>) -> BuildError {
        BuildError::Instruction { place: self.place(span), message: message.into() }
    }

    /// Plans a stage, and those that it needs; returns its place in the graph.
    pub(super) fn stage(&mut self, number: usize) -> Result<usize, BuildError> {
        if let Some(planned) = self.planned.get(&number) {
            return Ok(*planned);
        }
        let file = self.file;
        let stage = &file.stages[number];
        let span = stage.from.span;
        let lookup = |name: &str| self.globals.lookup(name);
        let from = stage.from.value.expand(file.directives.escape, &lookup);
        let from = from.map_err(|error| self.wrong(span, error.to_string()))?;
        if from.image.is_empty() {
            return Err(
                self.wrong(span, format!("the image of FROM is empty once {} is put in", stage.from.value.image))
            );
        }
        let platform = from.platform.as_deref().map(str::parse::<Platform>).transpose();
        let platform = platform.map_err(|error| self.wrong(span, error.to_string()))?;
        let platform = platform.unwrap_or_else(|| self.platforms.target.clone());
        let (base, mut document, epoch) = self.base(&from.image, number, span, &platform)?;
        let triggers = document.take_triggers();
        let kept_history = document.history_length();
        // A stage that is made of another one knows its arguments.
        let scope = match base {
            Base::Stage(place) => self.scopes[place].clone(),
            _ => Scope::of(&document.env()),
        };
        let mut draft = Draft { number, scope, document, steps: Vec::new(), has_command: false };
        for trigger in &triggers {
            let read = dockerfile::parse_trigger(trigger);
            let fault = |fault: dockerfile::Fault| {
                self.wrong(span, format!("the image {} asks for ONBUILD {trigger:?}: {}", from.image, fault.message))
            };
            let instruction = read.map_err(fault)?;
            self.instruction(&mut draft, &Located { span, ..instruction })?;
        }
        for instruction in &stage.instructions {
            self.instruction(&mut draft, instruction)?;
        }
        let name = from.name.clone().unwrap_or_else(|| format!("stage-{number}"));
        let base_stage_epoch = self.request.epoch.unwrap_or(epoch);
        let mut planned = Stage {
            anew: self.is_made_anew(&name, number),
            from: from.image,
            base,
            steps: draft.steps,
            document: draft.document,
            epoch: base_stage_epoch,
            span,
            name,
        };
        if self.request.squash && !planned.steps.is_empty() {
            planned.document.squash_history(kept_history);
        }
        self.number_titles(&mut planned);
        self.graph.stages.push(planned);
        self.scopes.push(draft.scope);
        let place = self.graph.stages.len() - 1;
        self.planned.insert(number, place);
        Ok(place)
    }

    fn is_made_anew(&self, name: &str, number: usize) -> bool {
        match &self.request.no_cache {
            NoCache::Nothing => false,
            NoCache::All => true,
            NoCache::Stages(stages) => {
                stages.iter().any(|stage| stage.eq_ignore_ascii_case(name) || *stage == number.to_string())
            }
        }
    }

    /// `[builder 2/5] RUN make`; a file with one stage needs no name for it.
    fn number_titles(&self, stage: &mut Stage) {
        let several = self.file.stages.len() > 1;
        let name = if several { format!("{} ", stage.name) } else { String::new() };
        let count = stage.steps.len() + 1;
        for (number, step) in stage.steps.iter_mut().enumerate() {
            step.title = format!("[{name}{}/{count}] {}", number + 2, step.title);
        }
    }

    /// Finds what a stage starts from.
    fn base(
        &mut self,
        name: &str,
        number: usize,
        span: Span,
        platform: &Platform,
    ) -> Result<(Base, Document, u64), BuildError> {
        match self.request.contexts.get(name) {
            Some(NamedContext::Files(_)) => {
                let context = self.context(name);
                return Ok((Base::Context(context), Document::scratch(platform), FIRST_TIME));
            }
            Some(_) => return self.image_base(name, span, platform),
            None => {}
        }
        if let Some(earlier) = self.file.base(name, number) {
            let place = self.stage(earlier)?;
            let stage = &self.graph.stages[place];
            return Ok((Base::Stage(place), stage.document.clone(), stage.epoch));
        }
        if name == "scratch" {
            return Ok((Base::Scratch, Document::scratch(platform), FIRST_TIME));
        }
        self.image_base(name, span, platform)
    }

    fn image_base(&mut self, name: &str, span: Span, platform: &Platform) -> Result<(Base, Document, u64), BuildError> {
        let image = self.image(name, span, platform)?;
        let bytes = self.store.images().document(&image.id)?;
        let document = Document::of_image(&bytes).map_err(|error| BuildError::Document(Box::new(error)))?;
        let epoch = u64::try_from(image.created.as_second()).unwrap_or_default();
        Ok((Base::Image(Box::new(image)), document, epoch))
    }

    /// Finds an image: one that a further context stands for, or the one that has the name.
    fn image(&mut self, name: &str, span: Span, platform: &Platform) -> Result<Image, BuildError> {
        let image = match self.request.contexts.get(name) {
            Some(NamedContext::Layout(layout)) => self.bases.layout(layout, platform),
            Some(NamedContext::Image(reference)) => self.bases.image(reference, platform),
            Some(NamedContext::Files(_)) | None => {
                let reference: Reference =
                    name.parse().map_err(|error: oci::ReferenceError| self.wrong(span, error.to_string()))?;
                self.bases.image(&reference, platform)
            }
        };
        image.map_err(|source| BuildError::Base { place: self.place(span), name: name.to_owned(), source })
    }

    /// Finds where `--from` or `from=` takes files from.
    pub(super) fn source(&mut self, name: &str, number: usize, span: Span) -> Result<Source, BuildError> {
        match self.request.contexts.get(name) {
            Some(NamedContext::Files(_)) => return Ok(Source::Context(self.context(name))),
            Some(_) => return self.image_source(name, span),
            None => {}
        }
        if let Some(earlier) = self.file.stage_before(name, number) {
            return Ok(Source::Stage(self.stage(earlier)?));
        }
        if name.parse::<usize>().is_ok() {
            return Err(self.wrong(span, format!("there is no stage {name} before this one")));
        }
        self.image_source(name, span)
    }

    fn image_source(&mut self, name: &str, span: Span) -> Result<Source, BuildError> {
        if let Some(known) = self.known.get(name) {
            return Ok(Source::Image(*known));
        }
        let platform = self.platforms.target.clone();
        let image = self.image(name, span, &platform)?;
        self.graph.images.push(image);
        let place = self.graph.images.len() - 1;
        self.known.insert(name.to_owned(), place);
        Ok(Source::Image(place))
    }

    /// Returns the number of a further context.
    fn context(&mut self, name: &str) -> usize {
        if let Some(known) = self.graph.contexts.iter().skip(1).position(|context| context == name) {
            return known + 1;
        }
        self.graph.contexts.push(name.to_owned());
        self.graph.contexts.len() - 1
    }

    /// Puts values into an instruction.
    pub(super) fn expanded(
        &self,
        draft: &Draft,
        instruction: &Located<Instruction>,
    ) -> Result<Instruction, BuildError> {
        let lookup = |name: &str| draft.scope.lookup(name);
        let expanded = instruction.value.expand(self.file.directives.escape, &lookup);
        expanded.map_err(|error| self.wrong(instruction.span, error.to_string()))
    }
}
