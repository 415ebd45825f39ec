//! What steps take from contexts, looked at before anything is made: a step's key needs it, and a file that is not there is
//! told before an hour was spent on the steps before.

use std::collections::HashMap;
use std::rc::Rc;

use dockerfile::Span;
use engine::Chain;
use oci::Digest;
use store::{Stack, Store, Work};

use crate::error::{BuildError, ContextError, Place};
use crate::event::StepId;
use crate::files::{Directory, Files, Layers, Nothing};
use crate::graph::{Copy, Graph, Item, Mount, Op, Source, Unpack};
use crate::op::copy::{Selection, content};
use crate::{BuildFile, BuildRequest, ContextSource, NamedContext, ignored};

/// The contexts of a build that something is taken from, and what is taken.
pub(crate) struct Contents {
    contexts: HashMap<usize, Opened>,
    /// What a step takes; a command has several, one a mount.
    taken: HashMap<(StepId, usize), Taken>,
}

/// A context that was opened.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) files: Rc<dyn Files>,
    directory: Option<Rc<Directory>>,
}

/// What is taken from a context.
pub(crate) struct Taken {
    pub(crate) selection: Selection,
    pub(crate) digest: Digest,
}

impl Contents {
    /// Opens the contexts that the graph takes from, and digests what it takes.
    pub(crate) fn of(
        graph: &Graph,
        request: &BuildRequest,
        store: &Store,
        work: &mut Work,
    ) -> Result<Self, BuildError> {
        let mut contents = Self { contexts: HashMap::new(), taken: HashMap::new() };
        for (number, stage) in graph.stages.iter().enumerate() {
            if let crate::graph::Base::Context(context) = stage.base {
                contents.open(context, graph, request, store, work)?;
                let copy = whole(Source::Context(context), "");
                let id = StepId { stage: number, step: usize::MAX };
                contents.take(id, 0, &copy, context).map_err(failed(request, stage.span, &stage.from))?;
            }
            for (step, planned) in stage.steps.iter().enumerate() {
                let id = StepId { stage: number, step };
                for (part, copy) in copies(&planned.op).into_iter().enumerate() {
                    let Source::Context(context) = copy.source() else { continue };
                    contents.open(context, graph, request, store, work)?;
                    let failed = failed(request, planned.span, &planned.title);
                    contents.take(id, part, copy.get(), context).map_err(failed)?;
                }
            }
        }
        contents
            .contexts
            .values()
            .filter_map(|opened| opened.directory.as_ref())
            .for_each(|directory| directory.keep());
        Ok(contents)
    }

    fn take(&mut self, id: StepId, part: usize, copy: &Copy, context: usize) -> Result<(), String> {
        let files = self.files(context);
        let found = content(copy, &*files, false);
        let (selection, digest) = found.map_err(|error| {
            let left_out = " in the build context (a file of patterns such as .dockerignore may leave it out)";
            match error {
                crate::op::copy::CopyError::Select(error) => format!("{error}{left_out}"),
                error => Chain::write(&error),
            }
        })?;
        self.taken.insert((id, part), Taken { selection, digest });
        Ok(())
    }

    fn open(
        &mut self,
        context: usize,
        graph: &Graph,
        request: &BuildRequest,
        store: &Store,
        work: &mut Work,
    ) -> Result<(), BuildError> {
        if self.contexts.contains_key(&context) {
            return Ok(());
        }
        let source = match (context, request.contexts.get(&graph.contexts[context])) {
            (0, _) => &request.context,
            (_, Some(NamedContext::Files(source))) => source,
            _ => &ContextSource::Empty,
        };
        let own = request.ignore.clone().filter(|_| context == 0);
        let opened = match source {
            ContextSource::Empty => Opened { files: Rc::new(Nothing), directory: None },
            ContextSource::Directory(path) => {
                let text = own.map_or_else(|| ignored::patterns_of(path), |own| Ok(Some(own)))?;
                let ignore = ignored::parse(&text.unwrap_or_default())?;
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                let id = Digest::of(path.as_os_str().as_encoded_bytes()).hex();
                let directory = Rc::new(Directory::open(&path, &ignore, store.cache().context(&id)?)?);
                Opened { files: Rc::clone(&directory) as Rc<dyn Files>, directory: Some(directory) }
            }
            ContextSource::Archive(path) => {
                let layer = archive(path, work)?;
                let stack = Rc::new(Stack::of(&[layer])?);
                let read = || ignored::patterns_in(&Layers::new(Rc::clone(&stack)));
                let text = own.map_or_else(read, |own| Ok(Some(own)))?;
                let files = Layers::as_context(stack, ignored::parse(&text.unwrap_or_default())?);
                Opened { files: Rc::new(files), directory: None }
            }
        };
        self.contexts.insert(context, opened);
        Ok(())
    }

    /// Returns the files of a context that was opened.
    pub(crate) fn files(&self, context: usize) -> Rc<dyn Files> {
        self.contexts.get(&context).map_or_else(|| Rc::new(Nothing) as Rc<dyn Files>, |opened| Rc::clone(&opened.files))
    }

    /// Returns what a part of a step takes.
    pub(crate) fn taken(&self, id: StepId, part: usize) -> Option<&Taken> {
        self.taken.get(&(id, part))
    }
}

/// A step that cannot be made, since what it takes cannot be had.
fn failed<'a>(request: &'a BuildRequest, span: Span, title: &'a str) -> impl FnOnce(String) -> BuildError + 'a {
    move |message| BuildError::Step {
        place: Place::of(&request.file.name, &request.file.text, span),
        title: title.to_owned(),
        source: Box::new(Chain::read(&message)),
        code: None,
        output: Vec::new(),
    }
}

/// A copy of the graph, or one that stands for a mount.
pub(crate) enum Part<'a> {
    Of(&'a Copy),
    Made(Box<Copy>),
}

impl Part<'_> {
    pub(crate) fn get(&self) -> &Copy {
        match self {
            Self::Of(copy) => copy,
            Self::Made(copy) => copy,
        }
    }

    fn source(&self) -> Source {
        self.get().from
    }
}

/// Returns what a step copies: a mount of files is a copy that no layer keeps.
pub(crate) fn copies(op: &Op) -> Vec<Part<'_>> {
    match op {
        Op::Copy(copy) => vec![Part::Of(copy)],
        Op::Run(run) => run.mounts.iter().filter_map(mount).map(|copy| Part::Made(Box::new(copy))).collect(),
        Op::Workdir(_) => Vec::new(),
    }
}

fn mount(mount: &Mount) -> Option<Copy> {
    match mount {
        Mount::Bind { from, source, .. } => Some(whole(*from, source)),
        Mount::Cache { from: Some((from, source)), .. } => Some(whole(*from, source)),
        _ => None,
    }
}

/// A copy of all that is at a path.
pub(crate) fn whole(from: Source, source: &str) -> Copy {
    Copy {
        from,
        items: vec![Item::Path(if source.is_empty() { ".".to_owned() } else { escaped(source) })],
        destination: "/".into(),
        chown: None,
        chmod: None,
        link: true,
        parents: false,
        exclude: Vec::new(),
        unpack: Unpack::default(),
    }
}

/// A source of a mount is a path and no pattern.
fn escaped(path: &str) -> String {
    path.chars().flat_map(|c| ['\\'].into_iter().filter(move |_| "*?[\\".contains(c)).chain([c])).collect()
}

/// Looks for a file in an archive that is a context: by its name, or by the first of `usual` that is there. Returns it with the
/// archive, uncompressed; `None` where it is no archive.
pub fn file_of_archive(
    work: &mut Work,
    archive: &std::path::Path,
    wanted: Option<&str>,
    usual: &[&str],
) -> Result<Option<(BuildFile, std::path::PathBuf)>, BuildError> {
    use sys::Calling;
    let read = |source| ContextError::Read { path: archive.display().to_string(), source };
    let file = std::fs::File::open(archive).call(|| format!("open({})", archive.display())).map_err(read)?;
    let layer = image::archive_layer(work, file).map_err(|error| BuildError::Document(Box::new(error)))?;
    let Some(layer) = layer else { return Ok(None) };
    let files = Layers::new(Rc::new(Stack::of(std::slice::from_ref(&layer))?));
    let names = wanted.map_or_else(|| usual.to_vec(), |wanted| vec![wanted]);
    let found = names.iter().find_map(|name| {
        let text = crate::files::read_small(&files, crate::paths::relative(name).as_bytes(), FILE_MAX)?;
        Some(BuildFile { name: (*name).to_owned(), text })
    });
    let none = || BuildError::Worker(format!("there is no {} in the archive", names.join(", ")));
    Ok(Some((found.ok_or_else(none)?, layer.path)))
}

/// A longer file nobody writes.
const FILE_MAX: u64 = 16 << 20;

fn archive(path: &std::path::Path, work: &mut Work) -> Result<store::Layer, BuildError> {
    use sys::Calling;
    let read = |source| ContextError::Read { path: path.display().to_string(), source };
    let file = std::fs::File::open(path).call(|| format!("open({})", path.display())).map_err(read)?;
    let unpacked = image::archive_layer(work, file).map_err(|error| BuildError::Document(Box::new(error)))?;
    let none = || BuildError::Worker("the build context is no tar archive".to_owned());
    unpacked.ok_or_else(none)
}
