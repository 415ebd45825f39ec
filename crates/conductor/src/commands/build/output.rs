//! Where what was built goes: `--output`, `--push`, and the files that tell of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use build::{BuildRequest, Built, ImageWish, Solved};
use engine::Engine;
use image::{Form, PushError, PushOptions, Silent, TransferProgress};
use oci::{Digest, Platform, Reference};
use registry::Client;
use serde_json::json;
use store::Image;

use super::BuildArgs;
use super::attestations::{Attestations, Said};
use super::elsewhere::Gifts;
use crate::commands::container_args::key_value;
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
pub(super) struct Part {
    pub(super) platform: Option<Platform>,
    pub(super) request: BuildRequest,
    pub(super) solved: Solved,
    /// What came from elsewhere, beside images.
    pub(super) materials: Vec<attest::Material>,
}

/// What delivers need to know.
pub(super) struct Delivery<'a> {
    pub(super) context: &'a Context,
    pub(super) engine: &'a Engine,
    pub(super) args: &'a BuildArgs,
    pub(super) attestations: Attestations,
    pub(super) begun: Instant,
}

impl Delivery<'_> {
    /// Delivers what was built.
    pub(super) fn deliver(&self, outputs: &Outputs, parts: Vec<Part>) -> Outcome {
        let names = self.names(outputs)?;
        let several = parts.len() > 1;
        for output in &outputs.0 {
            for part in &parts {
                let below =
                    part.platform.as_ref().filter(|_| several).map(|platform| platform.to_string().replace('/', "_"));
                match output {
                    Output::Local(directory) => self.local(part, &directory.join(below.unwrap_or_default()))?,
                    Output::Tar(_) if several => {
                        return Err(Failure::message("a tar holds the files of one machine alone"));
                    }
                    Output::Tar(path) => tar(self.engine, &part.solved, path.as_deref())?,
                    _ => {}
                }
            }
        }
        let wanted = |output: &&Output| matches!(output, Output::Image { .. } | Output::Archive { .. });
        let images: Vec<_> = outputs.0.iter().filter(wanted).collect();
        if images.is_empty() {
            return super::success();
        }
        let made = self.images(parts, &names)?;
        self.tell_files(&made, &names)?;
        for output in images {
            self.send(output, &made, &names)?;
        }
        match (self.args.quiet, made.as_slice()) {
            (true, made) => made.iter().try_for_each(|(_, made)| ui::print_line(&made.image.id.to_string()))?,
            (false, made) => made.iter().for_each(|(_, made)| ui::remark(&summary(made, &names, self.begun))),
        }
        super::success()
    }

    /// Returns all names that were given, each once.
    fn names(&self, outputs: &Outputs) -> Result<Vec<Reference>, Failure> {
        let word = self.args.source.iter().filter(|_| self.args.conductorfile.is_some());
        let of_outputs = outputs.0.iter().flat_map(|output| match output {
            Output::Image { names, .. } | Output::Archive { names, .. } => names.as_slice(),
            _ => &[],
        });
        let mut names: Vec<Reference> = Vec::new();
        for name in self.args.tag.iter().chain(word).chain(of_outputs) {
            let name = name.parse()?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Makes the images. Of several, this machine's has the names, and a list of them all.
    fn images(&self, parts: Vec<Part>, names: &[Reference]) -> Result<Vec<(Said, Built)>, Failure> {
        let (several, recorder) = (parts.len() > 1, self.context.recorder()?);
        let mut made = Vec::new();
        for part in parts {
            let host = Platform::host();
            let own = part.platform.as_ref().is_none_or(|platform| platform.architecture == host.architecture);
            let names = if several && !own { Vec::new() } else { names.to_vec() };
            let inline_cache = Gifts::inline(self.args)?;
            let annotations = annotations(&self.args.annotation)?;
            let wish = ImageWish { names, squash: part.request.squash, inline_cache, annotations };
            let said = Said::of(&part);
            made.push((said, part.solved.into_image(self.engine.store(), &wish, &recorder)?));
        }
        if several {
            let client = Client::new(self.context.registries(self.args.trust.tls_verify)?, &recorder);
            let images: Vec<_> = made.iter().map(|(_, made)| made.image.clone()).collect();
            for name in names {
                image::list_images(self.engine.store(), &client, name, &images, &recorder)?;
            }
        }
        Ok(made)
    }

    fn send(&self, output: &Output, made: &[(Said, Built)], names: &[Reference]) -> Result<(), Failure> {
        let (store, recorder) = (self.engine.store(), self.context.recorder()?);
        let images: Vec<_> = made.iter().map(|(_, made)| made.image.clone()).collect();
        let bundled = images.len() > 1 || self.attestations.any();
        let say = |image: &Image, manifest: &Digest| {
            let (said, _) = made.iter().find(|(_, made)| made.image.id == image.id)?;
            self.attestations.companion(store, image, manifest, said, names.first())
        };
        match output {
            Output::Archive { form: Form::Oci, path, .. } if bundled => {
                write_archive(path.as_deref(), |out: &mut File| {
                    image::save_index(store, &images, names, &say, out, &Silent).map(drop).map_err(Failure::from)
                })
            }
            Output::Archive { form, path, .. } => {
                let images: Vec<_> = images.into_iter().map(|image| (image, names.to_vec())).collect();
                write_archive(path.as_deref(), |out: &mut File| {
                    image::save(store, &images, *form, out, &Silent, &recorder).map_err(Failure::from)
                })
            }
            Output::Image { push: true, .. } if bundled => self.push(names, |client, name, progress| {
                image::push_index(store, client, name, &images, &say, progress).map(drop)
            }),
            Output::Image { push: true, .. } => self.push(names, |client, name, progress| {
                let options = PushOptions { packing: None };
                image::push(store, client, name, options, progress, &recorder).map(drop)
            }),
            Output::Image { .. } if self.attestations.any() => {
                ui::warn("what is attested goes with an image that leaves: --push, or --output type=oci,dest=FILE");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn push(
        &self,
        names: &[Reference],
        push: impl Fn(&Client<'_>, &Reference, &dyn TransferProgress) -> Result<(), PushError>,
    ) -> Result<(), Failure> {
        if names.is_empty() {
            return Err(Failure::message("an image without a name can be pushed nowhere").hint("name it with --tag"));
        }
        let recorder = self.context.recorder()?;
        let client = Client::new(self.context.registries(self.args.trust.tls_verify)?, &recorder);
        for name in names {
            let pushed = match self.args.quiet {
                true => push(&client, name, &Silent),
                false => push(&client, name, &Display::new(Direction::Up)),
            };
            pushed.map_err(|error| failure(error, name.domain()))?;
        }
        Ok(())
    }

    /// Unpacks the files into a directory, which is made if need be; what is there already stays, or is replaced.
    fn local(&self, part: &Part, directory: &Path) -> Result<(), Failure> {
        let doing = |error: std::io::Error| Failure::new(error).doing(format!("cannot write {}", directory.display()));
        std::fs::create_dir_all(directory).map_err(doing)?;
        part.solved.write_files(self.engine, directory)?;
        if self.attestations.any() {
            let image = part.solved.unnamed_image()?;
            let said = Said::of(part);
            for (name, document) in self.attestations.files(self.engine.store(), &image, &said)? {
                std::fs::write(directory.join(name), document).map_err(doing)?;
            }
        }
        Ok(())
    }

    /// Writes what other programs want to know of the image.
    fn tell_files(&self, made: &[(Said, Built)], names: &[Reference]) -> Result<(), Failure> {
        let write = |path: &Path, text: String| {
            let doing = |error: std::io::Error| Failure::new(error).doing(format!("cannot write {}", path.display()));
            std::fs::write(path, text).map_err(doing)
        };
        let Some((_, first)) = made.first() else { return Ok(()) };
        if let Some(path) = &self.args.iidfile {
            write(path, first.image.id.to_string())?;
        }
        if let Some(path) = &self.args.metadata_file {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            let told = json!({
                "containerimage.config.digest": first.image.id.to_string(),
                "containerimage.digest": first.manifest.to_string(),
                "containerimage.descriptor": {
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "digest": first.manifest.to_string(),
                },
                "image.name": names.join(","),
            });
            write(path, format!("{told:#}\n"))?;
        }
        Ok(())
    }
}

/// A remark may say where it goes; here that is the image's manifest, whatever else there is.
fn annotations(words: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let plain = |word: &String| key_value("annotation", word.strip_prefix("manifest:").unwrap_or(word));
    words.iter().map(plain).collect()
}

fn summary(made: &Built, names: &[Reference], begun: Instant) -> String {
    let names: Vec<_> = names.iter().map(Reference::familiar).collect();
    let told = if names.is_empty() { "an image without a name".to_owned() } else { names.join(", ") };
    let (id, size) = (made.image.id.short(), human_size(made.image.size));
    format!("built {told} ({id}, {size}) in {:.1} s", begun.elapsed().as_secs_f64())
}

fn tar(engine: &Engine, solved: &Solved, path: Option<&Path>) -> Result<(), Failure> {
    write_archive(path, |out: &mut File| solved.write_tree(engine, out).map_err(Failure::from))
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
