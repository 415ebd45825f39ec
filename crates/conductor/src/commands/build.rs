//! `build`: makes an image; so far, a Debian base system by debootstrap.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use image::{BootstrapOptions, Change, Phase, Progress};
use jiff::Timestamp;
use oci::Reference;

use super::container_args::flag;
use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::size::human_size;

/// Build an image: a Debian base system, made by debootstrap
#[derive(Debug, Default, Args)]
pub(crate) struct BuildArgs {
    /// Release of Debian (or of a derivative)
    #[arg(long, value_name = "NAME")]
    suite: Option<String>,
    /// Where packages come from (default debootstrap's own)
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Choice of packages: minbase, buildd, or - for debootstrap's own
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    variant: Option<String>,
    /// Packages beside the variant's
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',')]
    include: Vec<String>,
    /// Debian's name of the machine (default this one)
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// Change the image's configuration, as in a Dockerfile: 'CMD ["/bin/bash"]'
    #[arg(long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Give the image this name too
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<String>,
    /// A Dockerfile or Conductorfile
    #[arg(short, long, value_name = "FILE")]
    file: Option<String>,
    /// Print the image's id alone
    #[arg(short, long)]
    quiet: bool,
    /// The image's name
    #[arg(value_name = "IMAGE")]
    image: Option<String>,
    /// A Conductorfile
    #[arg(value_name = "CONDUCTORFILE")]
    conductorfile: Option<String>,
}

impl Verb for BuildArgs {
    const NAME: &'static str = "build";
    const ABOUT: &'static str = "Build an image: a Debian base system, made by debootstrap";
    const USAGE: &'static str = "[OPTIONS] IMAGE";
    const AFTER_HELP: &'static str = "Examples:\n  conductor build mydebian\n  \
                                      conductor build --suite trixie --include python3,curl mydebian";
    const GROUP: Group = Group::Common;

    fn run(self, context: &Context) -> Outcome {
        let quiet = self.quiet;
        build(context, self.into_options()?, quiet)
    }
}

impl BuildArgs {
    /// The words that `conductor.sh build` takes.
    pub(crate) fn of_words(image: String, conductorfile: Option<String>) -> Self {
        Self { image: Some(image), conductorfile, ..Self::default() }
    }

    /// Turns the words into what they mean.
    pub(crate) fn into_options(self) -> Result<BootstrapOptions, Failure> {
        let usual = BootstrapOptions::default();
        if let Some(file) = self.file.as_deref().or(self.conductorfile.as_deref()) {
            return Err(no_files_yet(&format!("from {file}")));
        }
        // Docker's form is `build -t NAME PATH`: with a tag, the word behind the options is a directory.
        if let (false, Some(path)) = (self.tag.is_empty(), &self.image) {
            return Err(no_files_yet(&format!("from the files in {path}")));
        }
        if let Some(path) = self.image.as_deref().filter(|word| looks_like_path(word)) {
            return Err(no_files_yet(&format!("from the files in {path}")));
        }
        let names: Vec<_> =
            self.tag.iter().chain(&self.image).map(|name| name.parse::<Reference>()).collect::<Result<_, _>>()?;
        if names.is_empty() {
            return Err(Failure::message("the image has no name").hint("name it, as in: conductor build mydebian"));
        }
        Ok(BootstrapOptions {
            names,
            suite: self.suite.unwrap_or(usual.suite),
            mirror: self.mirror,
            variant: self.variant.unwrap_or(usual.variant),
            architecture: self.arch,
            include: usual.include.into_iter().chain(self.include).collect(),
            changes: self.change.iter().map(|text| flag("change", text.parse::<Change>())).collect::<Result<_, _>>()?,
            created: creation_time()?,
        })
    }
}

fn looks_like_path(word: &str) -> bool {
    word == "." || word == ".." || word == "-" || word.starts_with(['/', '.']) || word.ends_with('/')
}

fn no_files_yet(source: &str) -> Failure {
    Failure::message(format!("cannot build {source}: this version builds Debian base systems alone"))
        .hint("'conductor build IMAGE' makes one by debootstrap, 'conductor import TAR IMAGE' takes a root file system")
}

/// Builds an image and reports what became of it.
pub(crate) fn build(context: &Context, options: BootstrapOptions, quiet: bool) -> Outcome {
    let store = context.store()?;
    let mut display = Display::new(quiet);
    let begun = Instant::now();
    let built = image::bootstrap(&store, &options, &mut |news| display.hear(news), &context.recorder()?);
    display.clear();
    let image = built.map_err(|error| {
        let doing = format!("cannot build {}", options.names[0].familiar());
        Failure::new(error).doing(doing)
    })?;
    match quiet {
        true => ui::print_line(&image.id.to_string())?,
        false => ui::remark(&summary(&options.names, &image, begun.elapsed())),
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(names: &[Reference], image: &store::Image, took: Duration) -> String {
    let names: Vec<_> = names.iter().map(Reference::familiar).collect();
    format!(
        "built {} ({}, {}) in {:.1} s",
        names.join(", "),
        image.id.short(),
        human_size(image.size),
        took.as_secs_f64()
    )
}

/// Returns when an image that is made now is said to be made: now, or what SOURCE_DATE_EPOCH says.
pub(crate) fn creation_time() -> Result<Timestamp, Failure> {
    let Ok(word) = std::env::var("SOURCE_DATE_EPOCH") else { return Ok(Timestamp::now()) };
    let seconds = word.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    seconds.ok_or_else(|| {
        Failure::message(format!("SOURCE_DATE_EPOCH is {word:?}, which is no number of seconds since 1970"))
    })
}

/// Shows progress on stderr: one line that changes on a terminal, a line for each phase elsewhere.
#[derive(Debug)]
struct Display {
    terminal: bool,
    quiet: bool,
    phase: Option<Phase>,
    /// Phases may alternate; each is told once.
    told: Vec<Phase>,
}

impl Display {
    fn new(quiet: bool) -> Self {
        Self { terminal: std::io::stderr().is_terminal(), quiet, phase: None, told: Vec::new() }
    }

    fn hear(&mut self, news: Progress<'_>) {
        match news {
            _ if self.quiet => {}
            Progress::Phase(phase) => {
                self.phase = Some(phase);
                if !self.terminal && !self.told.contains(&phase) {
                    self.told.push(phase);
                    ui::remark(&format!("{phase}"));
                }
            }
            Progress::Line(line) if self.terminal => {
                let phase = self.phase.map(|phase| phase.to_string()).unwrap_or_default();
                let line: String = line.chars().filter(|c| !c.is_control()).take(60).collect();
                let _ = write!(std::io::stderr().lock(), "\r\x1b[K{phase:<12} {line}");
            }
            Progress::Line(_) => {}
            Progress::Warning(line) => {
                self.clear();
                ui::warn(line);
            }
        }
    }

    fn clear(&self) {
        if self.terminal && !self.quiet {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<BootstrapOptions, String> {
        let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
        let (args, _) =
            super::super::read::<BuildArgs>("conductor build", &words).map_err(|failure| failure.to_string())?;
        args.into_options().map_err(|failure| failure.to_string())
    }

    #[test]
    fn an_image_is_a_debian_base_system_with_what_is_asked_for() {
        let made = options("--suite trixie --variant - --mirror http://deb.example --include a,b --include c mydebian")
            .unwrap();
        assert_eq!((made.suite.as_str(), made.variant.as_str()), ("trixie", "-"));
        assert_eq!(made.mirror.as_deref(), Some("http://deb.example"));
        assert!(made.include.ends_with(&["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        assert_eq!(made.names[0].familiar(), "mydebian:latest");
        assert_eq!(options("mydebian").unwrap().suite, "bookworm");
    }

    #[test]
    fn a_file_is_refused_in_one_sentence() {
        for line in ["mydebian Conductorfile", "-f Dockerfile mydebian", "-t name .", ".", "-t name /src"] {
            assert!(options(line).unwrap_err().contains("this version builds Debian base systems alone"), "{line}");
        }
        assert!(options("").unwrap_err().contains("no name"));
        assert!(options("UPPER").is_err());
    }
}
