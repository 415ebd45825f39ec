//! `build IMAGE`: a Debian base system by debootstrap.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use image::{BootstrapOptions, Change, Phase, Progress};
use jiff::Timestamp;
use oci::Reference;

use crate::commands::container_args::flag;
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::size::human_size;

/// What a Debian base system is made of.
#[derive(Debug, Default, Args)]
pub(crate) struct DebianArgs {
    /// Release of Debian (or of a derivative)
    #[arg(long, value_name = "NAME", help_heading = "Debian base systems")]
    suite: Option<String>,
    /// Where packages come from (default debootstrap's own)
    #[arg(long, value_name = "URL", help_heading = "Debian base systems")]
    mirror: Option<String>,
    /// Choice of packages: minbase, buildd, or - for debootstrap's own
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, help_heading = "Debian base systems")]
    variant: Option<String>,
    /// Packages beside the variant's
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',', help_heading = "Debian base systems")]
    include: Vec<String>,
    /// Debian's name of the machine (default this one)
    #[arg(long, value_name = "ARCH", help_heading = "Debian base systems")]
    arch: Option<String>,
    /// Change the image's configuration, as in a Dockerfile: 'CMD ["/bin/bash"]'
    #[arg(long, value_name = "INSTRUCTION", help_heading = "Debian base systems")]
    change: Vec<String>,
}

impl DebianArgs {
    /// Tells whether an option was given that nothing else has.
    pub(super) fn is_asked_for(&self) -> bool {
        let words = [&self.suite, &self.mirror, &self.variant, &self.arch];
        words.iter().any(|word| word.is_some()) || !self.include.is_empty() || !self.change.is_empty()
    }

    /// Turns the words into what they mean.
    fn into_options(self, tags: &[String], image: Option<String>) -> Result<BootstrapOptions, Failure> {
        let usual = BootstrapOptions::default();
        let names: Vec<_> =
            tags.iter().chain(&image).map(|name| name.parse::<Reference>()).collect::<Result<_, _>>()?;
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
            created: Some(creation_time()?),
        })
    }
}

/// Makes a Debian base system.
pub(super) fn run(
    context: &Context,
    args: DebianArgs,
    tags: Vec<String>,
    image: Option<String>,
    quiet: bool,
) -> Outcome {
    make(context, &args.into_options(&tags, image)?, quiet)
}

/// Builds an image and reports what became of it.
pub(crate) fn make(context: &Context, options: &BootstrapOptions, quiet: bool) -> Outcome {
    let begun = Instant::now();
    let image = bootstrap(context, options, quiet)?;
    match quiet {
        true => ui::print_line(&image.id.to_string())?,
        false => ui::remark(&summary(&options.names, &image, begun.elapsed())),
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a base system into an image, and shows how far it is.
pub(super) fn bootstrap(context: &Context, options: &BootstrapOptions, quiet: bool) -> Result<store::Image, Failure> {
    let store = context.store()?;
    let mut display = Display::new(quiet);
    let built = image::bootstrap(&store, options, &mut |news| display.hear(news), &context.recorder()?);
    display.clear();
    built.map_err(|error| {
        let doing = format!("cannot build {}", options.names[0].familiar());
        Failure::new(error).doing(doing)
    })
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
    use crate::commands::build::BuildArgs;
    use crate::commands::read;

    fn options(line: &str) -> Result<BootstrapOptions, String> {
        let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
        let (args, _) = read::<BuildArgs>("conductor build", &words).map_err(|failure| failure.to_string())?;
        args.debian.into_options(&args.tag, args.source).map_err(|failure| failure.to_string())
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
        assert!(options("").unwrap_err().contains("no name"));
        assert!(options("UPPER").is_err());
    }
}
