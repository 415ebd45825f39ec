//! `build`: makes an image, from a Dockerfile or, where a name alone is given, a Debian base system.
//!
//! The words become a [`build::BuildRequest`] (`wish`), with the context that they name (`source`); images that it starts from
//! come from the store, from registries or from debootstrap (`bases`); what was made goes where `--output` says (`output`), and
//! meanwhile `progress` shows how far it is.

mod attestations;
mod bases;
mod collect;
pub(crate) mod debian;
mod elsewhere;
mod fetch;
mod output;
mod progress;
mod source;
mod wish;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use build::{BuildError, Event};
use clap::Args;
use jiff::Timestamp;

use super::trust_args::TrustArgs;
use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::personality::Face;
use crate::ui;
use attestations::Attestations;
use bases::Finder;
use elsewhere::{Found, Gifts};
use output::{Delivery, Outputs, Part};
use progress::{Display, Style};
use source::Sources;

/// Build an image from a Dockerfile, or a Debian base system
#[derive(Debug, Default, Args)]
pub(crate) struct BuildArgs {
    /// Let commands know a name: NAME:ADDRESS, or NAME:host-gateway
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
    /// Allow what is not allowed as such: security.insecure, network.host, device[=NAME]
    #[arg(long, value_name = "WHAT")]
    allow: Vec<String>,
    /// Give the image's manifest an annotation
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Attach an attestation: type=sbom, type=provenance[,mode=min|max]
    #[arg(long, value_name = "type=TYPE")]
    attest: Vec<String>,
    /// Set an ARG; a name alone takes its value from the environment
    #[arg(long, value_name = "NAME=VALUE")]
    build_arg: Vec<String>,
    /// Know a further context by a name: a directory, a URL, docker-image://IMAGE, oci-layout://DIRECTORY
    #[arg(long, value_name = "NAME=SOURCE")]
    build_context: Vec<String>,
    /// Take steps from elsewhere: a directory, or type=local|registry|oci,...
    #[arg(long, value_name = "SOURCE")]
    cache_from: Vec<String>,
    /// Give steps to elsewhere: a directory, or type=local|registry|oci|inline,...
    #[arg(long, value_name = "DESTINATION")]
    cache_to: Vec<String>,
    /// Say what is to be said of the file, and build nothing
    #[arg(long)]
    check: bool,
    /// Open a shell in a step that has failed, as it left it
    #[arg(long)]
    debug_shell: bool,
    /// The file (default PATH/Dockerfile, Containerfile or Conductorfile; - for standard input)
    #[arg(short, long, value_name = "FILE")]
    file: Option<String>,
    /// Write the image's id to a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Give the image a label
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Accepted for Docker's sake: an image that is built is here
    #[arg(long, hide = true)]
    load: bool,
    /// Write what came of the build to a file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// What commands see of the network: default, none or host
    #[arg(long, value_name = "MODE", default_value = "default")]
    network: String,
    /// Make every step anew
    #[arg(long)]
    no_cache: bool,
    /// Make the steps of these stages anew
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Where it goes: a directory, a tar, or type=image|local|tar|oci|docker|registry|cacheonly,...
    #[arg(short, long, value_name = "DESTINATION")]
    output: Vec<String>,
    /// The machine that it is for, or several: OS/ARCHITECTURE[/VARIANT]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<String>,
    /// How progress is shown: auto, plain, tty, quiet or rawjson
    #[arg(long, value_name = "STYLE")]
    progress: Option<String>,
    /// Attach how the image was made; the same as --attest type=provenance
    #[arg(long, value_name = "MODE", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    provenance: Option<String>,
    /// Pull the images that it starts from, even those that are here
    #[arg(long)]
    pull: bool,
    /// Push the image to its registry
    #[arg(long)]
    push: bool,
    /// Print the image's id alone
    #[arg(short, long)]
    quiet: bool,
    /// Attach what is in the image; the same as --attest type=sbom
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    sbom: Option<String>,
    /// Let commands mount a secret: id=NAME[,src=FILE|,env=VARIABLE]
    #[arg(long, value_name = "SECRET")]
    secret: Vec<String>,
    /// Size of /dev/shm for commands
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// Put the layers of the build into one
    #[arg(long)]
    squash: bool,
    /// Let commands use an agent: default or NAME[=SOCKET]
    #[arg(long, value_name = "AGENT")]
    ssh: Vec<String>,
    /// Give the image a name; several may be given
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<String>,
    /// The stage that is built (default the last one)
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Limit commands: NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT")]
    ulimit: Vec<String>,
    /// Accepted for Docker's sake: nothing that is only needed meanwhile stays
    #[arg(long, hide = true)]
    rm: bool,
    /// Accepted for Docker's sake
    #[arg(long, hide = true)]
    force_rm: bool,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    debian: debian::DebianArgs,
    /// Where the files are: a directory, a URL, a tar; or the name of a Debian base system
    #[arg(value_name = "PATH|URL|-|IMAGE")]
    source: Option<String>,
    /// A Conductorfile, behind the image's name
    #[arg(value_name = "CONDUCTORFILE")]
    conductorfile: Option<String>,
}

impl Verb for BuildArgs {
    const NAME: &'static str = "build";
    const ABOUT: &'static str = "Build an image from a Dockerfile, or a Debian base system";
    const USAGE: &'static str = "[OPTIONS] PATH|URL|-  |  build IMAGE [CONDUCTORFILE]";
    const AFTER_HELP: &'static str = "Examples:\n  conductor build -t web .\n  \
                                      conductor build -t web --secret id=token,src=token.txt --target test src/\n  \
                                      conductor build web Conductorfile\n  \
                                      conductor build mydebian             (a Debian base system, by debootstrap)\n  \
                                      conductor build --suite trixie --include python3,curl mydebian";
    const GROUP: Group = Group::Common;

    fn run(self, context: &Context) -> Outcome {
        match self.meaning(context.face)? {
            Meaning::Debian => debian::run(context, self.debian, self.tag, self.source, self.quiet),
            Meaning::File => run(context, self),
        }
    }
}

/// What `build` was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// A Debian base system under a name.
    Debian,
    /// What a file says.
    File,
}

impl BuildArgs {
    /// The words that `conductor.sh build` takes.
    pub(crate) fn of_words(image: String, conductorfile: Option<String>) -> Self {
        Self { source: Some(image), conductorfile, network: "default".into(), ..Self::default() }
    }

    /// A word alone that names no directory is the name of a Debian base system; Docker's own grammar knows none.
    fn meaning(&self, face: Face) -> Result<Meaning, Failure> {
        if self.debian.is_asked_for() {
            return Ok(Meaning::Debian);
        }
        let is_file = self.conductorfile.is_some()
            || self.file.is_some()
            || !self.tag.is_empty()
            || self.target.is_some()
            || self.check
            || !self.output.is_empty();
        match &self.source {
            None if is_file => Ok(Meaning::File),
            None => Err(Failure::message("build what? Neither a directory nor a name was given").hint(
                "conductor build -t NAME . builds what ./Dockerfile says; conductor build NAME makes a Debian image",
            )),
            Some(_) if is_file || matches!(face, Face::Docker(_)) => Ok(Meaning::File),
            Some(word) if source::looks_like_source(word) => Ok(Meaning::File),
            Some(_) => Ok(Meaning::Debian),
        }
    }
}

/// Builds what a file says.
fn run(context: &Context, args: BuildArgs) -> Outcome {
    let (begun, since) = (Instant::now(), Timestamp::now());
    let engine = context.starting_engine()?;
    let style = Style::of(args.progress.as_deref(), args.quiet)?;
    let sources = Sources::find(&args, engine.store())?;
    if args.check {
        return wish::check(&args, &sources);
    }
    wish::advise(&args, &sources)?;
    let (outputs, attestations) = (Outputs::of(&args)?, Attestations::of(&args)?);
    let mut gifts = Gifts::of(&args)?;
    let platforms = wish::platforms(&args)?;
    let mut built = Vec::new();
    for platform in &platforms {
        if let (Some(platform), 2..) = (platform, platforms.len()) {
            ui::remark(&format!("building for {platform}"));
        }
        let mut display = Display::new(style);
        let request = wish::request(&args, &sources, platform.clone())?;
        let mut finder = Finder::new(context, &engine, &args, &sources)?;
        let elsewhere = Found::open(context, &args, platform.as_ref())?;
        let mut tell = |event: Event<'_>| display.hear(&event);
        let solved = build::build(&engine, &request, &mut finder, &elsewhere, &mut tell);
        let solved = solved.map_err(|error| failure(&mut display, error))?;
        display.finish();
        gifts.hold(&solved)?;
        built.push(Part { platform: platform.clone(), request, solved, materials: finder.materials() });
    }
    let delivery = Delivery { context, engine: &engine, args: &args, attestations, begun };
    let ended = delivery.deliver(&outputs, built)?;
    gifts.give(context, &engine, &args)?;
    drop(gifts);
    collect::collect(context, &engine, since)?;
    Ok(ended)
}

/// Tells what went wrong: what the step said last, and the lines of the file around it.
fn failure(display: &mut Display, error: BuildError) -> Failure {
    display.finish();
    if let BuildError::Step { output, .. } = &error
        && !output.is_empty()
        && display.hides_output()
    {
        output.iter().for_each(|line| ui::remark(&format!("  | {line}")));
    }
    let code = if let BuildError::Step { code: Some(_), .. } = &error { Some(1) } else { None };
    if let Some(place) = error.place() {
        ui::remark(&format!("{place}\n{}", place.excerpt.trim_end()));
    }
    code.into_iter().fold(Failure::new(error), Failure::code)
}

/// Ends a build well.
fn success() -> Outcome {
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::read;

    #[test]
    fn a_name_alone_means_a_debian_and_anything_else_a_file() {
        let meaning = |face: Face, line: &str| {
            let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
            read::<BuildArgs>("conductor build", &words).unwrap().0.meaning(face).ok()
        };
        for face in [Face::Conductor, Face::Founding] {
            for line in ["mydebian", "--suite trixie mydebian", "--include a,b -t x mydebian"] {
                assert_eq!(meaning(face, line), Some(Meaning::Debian), "{line}");
            }
            for line in ["-t x .", ".", "web Conductorfile", "-f F x", "https://h/a.git", "-", "./x", "-t x"] {
                assert_eq!(meaning(face, line), Some(Meaning::File), "{line}");
            }
            assert_eq!(meaning(face, ""), None);
        }
        assert_eq!(meaning(Face::Docker("docker"), "mydebian"), Some(Meaning::File));
    }
}
