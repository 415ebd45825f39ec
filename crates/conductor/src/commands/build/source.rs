//! What is built: the file, and where its files are, from the words PATH, URL or `-`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use build::{BuildFile, ContextSource, NamedContext};
use store::{Durability, Store, Work};

use super::BuildArgs;
use super::fetch::Repository;
use crate::commands::container_args::{flag, key_value};
use crate::error::Failure;

/// The names that a file is looked for under, in this order.
const NAMES: [&str; 4] = ["Dockerfile", "Containerfile", "Conductorfile", "dockerfile"];

/// More than this nobody writes by hand.
const LONGEST_FILE: u64 = 16 << 20;

/// What is built from.
pub(super) struct Sources {
    pub(super) file: BuildFile,
    pub(super) context: ContextSource,
    /// Patterns that go with the file and not with the context.
    pub(super) ignore: Option<Vec<u8>>,
    /// Further contexts, by their names.
    pub(super) contexts: BTreeMap<String, NamedContext>,
    /// Files of Conductor's own name may start from a Debian that is made here.
    pub(super) is_conductorfile: bool,
    /// Where what was fetched lies meanwhile.
    pub(super) work: Work,
}

/// Tells whether a word that stands alone means files: a path, an address, or a directory with something to build.
pub(super) fn looks_like_source(word: &str) -> bool {
    matches!(word, "." | ".." | "-")
        || word.starts_with(['/', '.'])
        || word.ends_with('/')
        || is_address(word)
        || NAMES.iter().any(|name| Path::new(word).join(name).is_file())
}

fn is_address(word: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@", "github.com/"].iter().any(|start| word.starts_with(start))
}

impl Sources {
    /// Finds the file and its contexts.
    pub(super) fn find(args: &BuildArgs, store: &Store) -> Result<Self, Failure> {
        let mut found = Self::find_main(args, store)?;
        for word in &args.build_context {
            let (name, source) = key_value("build-context", word)?;
            let context = found.further(&name, &source, store)?;
            found.contexts.insert(name, context);
        }
        Ok(found)
    }

    /// A further context is `DIRECTORY`, `ARCHIVE`, `docker-image://IMAGE`, `oci-layout://DIRECTORY[:NAME]`, or the address of
    /// an archive or a repository.
    fn further(&self, name: &str, source: &str, store: &Store) -> Result<NamedContext, Failure> {
        let files = |source| Ok(NamedContext::Files(source));
        if let Some(image) = source.strip_prefix("docker-image://") {
            return Ok(NamedContext::Image(flag("build-context", image.parse())?));
        }
        if let Some(image) = source.strip_prefix("oci-layout://") {
            return Ok(NamedContext::Layout(flag("build-context", image.parse())?));
        }
        match Path::new(source) {
            path if path.is_dir() => files(ContextSource::Directory(path.to_owned())),
            path if path.is_file() => files(ContextSource::Archive(path.to_owned())),
            _ if is_archive(source) => files(ContextSource::Archive(download(store, source)?)),
            _ if is_address(source) => {
                let into = self.work.path().join(format!("context-{}", self.contexts.len()));
                let checked_out = Repository::parse(&full(source)).check_out(&into, false);
                let doing = |error| Failure::new(error).doing(format!("cannot fetch {source}"));
                files(ContextSource::Directory(checked_out.map_err(doing)?))
            }
            _ => Err(Failure::message(format!("the build context {name} is nothing that is there: {source}"))
                .hint("say NAME=DIRECTORY, NAME=ARCHIVE, NAME=ADDRESS, NAME=docker-image://IMAGE or NAME=oci-layout://DIRECTORY")),
        }
    }

    fn find_main(args: &BuildArgs, store: &Store) -> Result<Self, Failure> {
        let work = store.begin(Durability::Remakeable)?;
        let unset = Self {
            file: BuildFile { name: "Dockerfile".into(), text: Vec::new() },
            context: ContextSource::Empty,
            ignore: None,
            contexts: BTreeMap::new(),
            is_conductorfile: false,
            work,
        };
        if let Some(file) = &args.conductorfile {
            return unset.of_file(Path::new(file), ContextSource::Directory(here()?), true);
        }
        let word = args.source.as_deref().unwrap_or(".");
        match (word, args.file.as_deref()) {
            ("-", Some("-")) => Err(Failure::message("the file and the context cannot both come from standard input")),
            ("-", file) => unset.of_stream(&mut std::io::stdin(), file),
            (address, file) if is_address(address) => unset.of_address(address, file, args, store),
            (path, file) => unset.of_directory(Path::new(path), file),
        }
    }

    fn of_file(mut self, path: &Path, context: ContextSource, insists: bool) -> Result<Self, Failure> {
        self.file = read_file(path)?;
        self.is_conductorfile = insists || name_of(path).to_ascii_lowercase().starts_with("conductorfile");
        // `<file>.dockerignore` counts before the context's own patterns.
        self.ignore = build::patterns_at(&path.with_file_name(format!("{}.dockerignore", name_of(path))))
            .map_err(Failure::new)?;
        self.context = context;
        Ok(self)
    }

    fn of_directory(mut self, path: &Path, file: Option<&str>) -> Result<Self, Failure> {
        if !path.is_dir() {
            let what = if path.exists() { "is not a directory" } else { "is not there" };
            return Err(Failure::message(format!("cannot build from {}: it {what}", path.display()))
                .hint("say a directory, as in: conductor build -t NAME ."));
        }
        let context = ContextSource::Directory(path.to_owned());
        match file {
            Some("-") => {
                self.file = BuildFile { name: "standard input".into(), text: read(&mut std::io::stdin())? };
                self.context = context;
                Ok(self)
            }
            Some(file) => self.of_file(Path::new(file), context, false),
            None => match NAMES.iter().map(|name| path.join(name)).find(|path| path.is_file()) {
                Some(file) => self.of_file(&file, context, false),
                None => Err(Failure::message(format!(
                    "there is no Dockerfile, Containerfile or Conductorfile in {}",
                    path.display()
                ))
                .hint("name it with --file")),
            },
        }
    }

    /// A tar is a context; any other text is a file without one.
    fn of_stream(mut self, stream: &mut dyn Read, file: Option<&str>) -> Result<Self, Failure> {
        let path = self.work.path().join("stream");
        let doing = |error: std::io::Error| Failure::new(error).doing("cannot read the build context");
        let mut out = File::create(&path).map_err(doing)?;
        std::io::copy(stream, &mut out).map_err(doing)?;
        match build::file_of_archive(&mut self.work, &path, file, &NAMES)? {
            Some((found, archive)) => {
                self.is_conductorfile = found.name.to_ascii_lowercase().starts_with("conductorfile");
                self.file = found;
                self.context = ContextSource::Archive(archive);
            }
            None if file.is_some() => {
                return Err(Failure::message("standard input is no archive, so there is no file in it for --file"));
            }
            None => {
                let text = read(&mut File::open(&path).map_err(doing)?)?;
                self.file = BuildFile { name: "standard input".into(), text };
            }
        }
        Ok(self)
    }

    fn of_address(self, word: &str, file: Option<&str>, args: &BuildArgs, store: &Store) -> Result<Self, Failure> {
        let full = full(word);
        if is_archive(&full) {
            let mut stream = File::open(download(store, &full)?).map_err(Failure::new)?;
            return self.of_stream(&mut stream, file);
        }
        let keep = args.build_arg.iter().any(|arg| arg == "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1");
        let files = Repository::parse(&full).check_out(&self.work.path().join("repository"), keep);
        let files = files.map_err(|error| Failure::new(error).doing(format!("cannot fetch {word}")))?;
        let file = file.map(|file| files.join(file).to_string_lossy().into_owned());
        self.of_directory(&files, file.as_deref())
    }
}

fn full(address: &str) -> String {
    if address.starts_with("github.com/") { format!("https://{address}") } else { address.to_owned() }
}

/// An address of HTTP is that of a file, unless its path says that it is a repository.
fn is_archive(address: &str) -> bool {
    let path = address.split(['#', '?']).next().unwrap_or_default();
    address.starts_with("http") && is_address(address) && !path.ends_with(".git")
}

fn download(store: &Store, address: &str) -> Result<PathBuf, Failure> {
    let recorder = trace::Recorder::silent();
    let client = registry::Client::new(registry::Settings::from_environment(None)?, &recorder);
    Ok(super::fetch::get(store, &client, address, None).map_err(Failure::new)?.path)
}

fn here() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| Failure::new(error).doing("cannot find the current directory"))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read_file(path: &Path) -> Result<BuildFile, Failure> {
    let doing = |error: std::io::Error| Failure::new(error).doing(format!("cannot read {}", path.display()));
    let text = read(&mut File::open(path).map_err(doing)?)?;
    Ok(BuildFile { name: name_of(path), text })
}

fn read(stream: &mut dyn Read) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    stream.take(LONGEST_FILE + 1).read_to_end(&mut text).map_err(Failure::new)?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(Failure::message(format!("the file has more than {LONGEST_FILE} bytes, so it is no Dockerfile")));
    }
    Ok(text)
}
