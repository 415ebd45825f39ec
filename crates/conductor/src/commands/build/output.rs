//! Where what was built goes: `--output`, `--push`, and the files that tell of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use build::{BuildRequest, Built, ImageWish, Solved};
use engine::Engine;
use image::{Form, PushOptions, Silent};
use oci::{Platform, Reference};
use registry::Client;
use serde_json::json;

use super::BuildArgs;
use super::elsewhere::Gifts;
use crate::commands::trust_args::failure;
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::archive::write_archive;
use crate::ui::size::human_size;
use crate::ui::transfer::{Direction, Display};

/// A place for what was built.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Output {
    /// An image here, and perhaps at its registry.
    Image { names: Vec<String>, push: bool },
    /// The files, in a directory.
    Local(PathBuf),
    /// The files, as a tar.
    Tar(Option<PathBuf>),
    /// An image, as an archive.
    Archive { form: Form, path: Option<PathBuf>, names: Vec<String> },
    /// Nowhere: the cache has it.
    Nowhere,
}

/// All places.
#[derive(Debug)]
pub(super) struct Outputs(Vec<Output>);

impl Outputs {
    /// Reads `--output`; without one it is an image.
    pub(super) fn of(args: &BuildArgs) -> Result<Self, Failure> {
        let mut all: Vec<_> = args.output.iter().map(|word| parse(word)).collect::<Result<_, _>>()?;
        if all.is_empty() {
            all.push(Output::Image { names: Vec::new(), push: false });
        }
        for output in &mut all {
            if let Output::Image { push, .. } = output {
                *push |= args.push;
            }
        }
        Ok(Self(all))
    }
}

fn parse(word: &str) -> Result<Output, Failure> {
    let fault = |what: String| Failure::message(format!("invalid value for --output: {what}"));
    if !word.contains('=') {
        return Ok(if word == "-" { Output::Tar(None) } else { Output::Local(word.into()) });
    }
    let (mut kind, mut dest, mut names, mut push) = ("", None, Vec::new(), false);
    for field in word.split(',') {
        match field.split_once('=') {
            Some(("type", value)) => kind = value,
            Some(("dest", value)) => dest = Some(PathBuf::from(value)),
            Some(("name", value)) => names.push(value.to_owned()),
            Some(("push", value)) => push = value == "true",
            // They choose how the same content is packed, which is decided when it is sent.
            Some((
                "compression" | "compression-level" | "force-compression" | "oci-mediatypes" | "rewrite-timestamp"
                | "unpack" | "store" | "tar",
                _,
            )) => {}
            Some((key, _)) => return Err(fault(format!("{key} is no field of an output"))),
            // A list of names goes on.
            None if !names.is_empty() => names.push(field.to_owned()),
            None => return Err(fault(format!("{field:?} is no KEY=VALUE"))),
        }
    }
    let path = dest.filter(|path| path != Path::new("-"));
    Ok(match kind {
        "image" => Output::Image { names, push },
        "registry" => Output::Image { names, push: true },
        "local" => Output::Local(path.ok_or_else(|| fault("type=local needs dest=DIRECTORY".into()))?),
        "tar" => Output::Tar(path),
        "docker" if path.is_none() && !word.contains("dest") => Output::Image { names, push: false },
        "docker" => Output::Archive { form: Form::Docker, path, names },
        "oci" => Output::Archive { form: Form::Oci, path, names },
        "cacheonly" => Output::Nowhere,
        other => {
            return Err(fault(format!(
                "type {other:?} is none of image, local, tar, oci, docker, registry and cacheonly"
            )));
        }
    })
}

/// What was built for one machine.
type Part = (Option<Platform>, BuildRequest, Solved);

/// Delivers what was built.
pub(super) fn deliver(
    context: &Context,
    engine: &Engine,
    args: &BuildArgs,
    outputs: Outputs,
    built: Vec<Part>,
    begun: Instant,
) -> Outcome {
    let tags: Vec<Reference> = args.tag.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let tags = if args.conductorfile.is_some() { with_word(tags, args.source.as_deref())? } else { tags };
    let [(_, request, solved)] = <[Part; 1]>::try_from(built).map_err(|_| {
        Failure::message("several machines are built for one after the other: give one --platform at a time")
    })?;
    for output in &outputs.0 {
        match output {
            Output::Local(directory) => local(&solved, directory)?,
            Output::Tar(path) => tar(&solved, path.as_deref())?,
            _ => {}
        }
    }
    let images: Vec<_> =
        outputs.0.iter().filter(|output| matches!(output, Output::Image { .. } | Output::Archive { .. })).collect();
    if images.is_empty() {
        return super::success();
    }
    let mut names = tags;
    for output in &images {
        if let Output::Image { names: more, .. } | Output::Archive { names: more, .. } = output {
            for name in more {
                let name: Reference = name.parse()?;
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    let wish = ImageWish { names: names.clone(), squash: request.squash, inline_cache: Gifts::inline(args)? };
    let made = solved.into_image(engine.store(), &wish, &context.recorder()?)?;
    tell_files(args, &made, &names)?;
    for output in images {
        match output {
            Output::Archive { form, path, .. } => archive(context, engine, &made, &names, *form, path.as_deref())?,
            Output::Image { push: true, .. } => push(context, engine, args, &names)?,
            _ => {}
        }
    }
    if args.quiet {
        ui::print_line(&made.image.id.to_string())?;
    } else {
        ui::remark(&summary(&made, &names, begun));
    }
    super::success()
}

fn with_word(mut names: Vec<Reference>, word: Option<&str>) -> Result<Vec<Reference>, Failure> {
    if let Some(word) = word {
        names.push(word.parse()?);
    }
    Ok(names)
}

fn summary(made: &Built, names: &[Reference], begun: Instant) -> String {
    let names: Vec<_> = names.iter().map(Reference::familiar).collect();
    let told = if names.is_empty() { "an image without a name".to_owned() } else { names.join(", ") };
    let (id, size) = (made.image.id.short(), human_size(made.image.size));
    format!("built {told} ({id}, {size}) in {:.1} s", begun.elapsed().as_secs_f64())
}

/// Writes what other programs want to know of the image.
fn tell_files(args: &BuildArgs, made: &Built, names: &[Reference]) -> Result<(), Failure> {
    let write = |path: &Path, text: String| {
        std::fs::write(path, text)
            .map_err(|error| Failure::new(error).doing(format!("cannot write {}", path.display())))
    };
    if let Some(path) = &args.iidfile {
        write(path, made.image.id.to_string())?;
    }
    if let Some(path) = &args.metadata_file {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let told = json!({
            "containerimage.config.digest": made.image.id.to_string(),
            "containerimage.digest": made.manifest.to_string(),
            "containerimage.descriptor": {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": made.manifest.to_string(),
            },
            "image.name": names.join(","),
        });
        write(path, format!("{told:#}\n"))?;
    }
    Ok(())
}

fn archive(
    context: &Context,
    engine: &Engine,
    made: &Built,
    names: &[Reference],
    form: Form,
    path: Option<&Path>,
) -> Result<(), Failure> {
    let (store, recorder) = (engine.store(), context.recorder()?);
    let images = [(made.image.clone(), names.to_vec())];
    let write = |out: &mut File| image::save(store, &images, form, out, &Silent, &recorder).map_err(Failure::from);
    write_archive(path, write)
}

fn push(context: &Context, engine: &Engine, args: &BuildArgs, names: &[Reference]) -> Result<(), Failure> {
    if names.is_empty() {
        return Err(Failure::message("an image without a name can be pushed nowhere").hint("name it with --tag"));
    }
    let recorder = context.recorder()?;
    let client = Client::new(context.registries(args.trust.tls_verify)?, &recorder);
    for name in names {
        let options = PushOptions { packing: None };
        let pushed = match args.quiet {
            true => image::push(engine.store(), &client, name, options, &Silent, &recorder),
            false => image::push(engine.store(), &client, name, options, &Display::new(Direction::Up), &recorder),
        };
        pushed.map_err(|error| failure(error, name.domain()))?;
    }
    Ok(())
}

fn tar(solved: &Solved, path: Option<&Path>) -> Result<(), Failure> {
    write_archive(path, |out: &mut File| solved.write_tree(out).map_err(Failure::from))
}

/// Unpacks the files into a directory, which is made if need be; what is there already stays, or is replaced.
fn local(solved: &Solved, directory: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(directory)
        .map_err(|error| Failure::new(error).doing(format!("cannot make {}", directory.display())))?;
    Ok(solved.write_files(directory)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_docker_s() {
        let of = |word: &str| parse(word).map_err(|failure| failure.to_string());
        assert_eq!(of("out").unwrap(), Output::Local("out".into()));
        assert_eq!(of("-").unwrap(), Output::Tar(None));
        assert_eq!(of("type=local,dest=out").unwrap(), Output::Local("out".into()));
        assert_eq!(of("type=tar,dest=-").unwrap(), Output::Tar(None));
        let names = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(of("type=image,name=a,b,push=true").unwrap(), Output::Image { names, push: true });
        assert!(matches!(of("type=oci,dest=a.tar").unwrap(), Output::Archive { form: Form::Oci, .. }));
        assert!(matches!(of("type=docker").unwrap(), Output::Image { push: false, .. }));
        assert_eq!(of("type=cacheonly").unwrap(), Output::Nowhere);
        for wrong in ["type=local", "type=moon", "type=tar,colour=red"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
