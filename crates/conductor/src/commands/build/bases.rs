//! Images that a build starts from: those that are here, those that registries have, and a Debian that is made here.

use std::path::PathBuf;

use attest::Material;
use build::{BaseError, Bases, Fetched};
use cdi::{Catalogue, DIRECTORIES};
use engine::Engine;
use image::{BootstrapOptions, LayoutImage, PullOptions, Silent};
use oci::{Platform, Reference};
use registry::Client;
use store::{Image, StoreError};
use trace::Recorder;

use super::fetch::{self, Repository};
use super::source::Sources;
use super::{BuildArgs, debian};
use crate::commands::pull;
use crate::context::Context;
use crate::error::Failure;
use crate::ui;
use crate::ui::transfer::{Direction, Display};

/// Finds images and files for a build.
pub(super) struct Finder<'a> {
    context: &'a Context,
    engine: &'a Engine,
    quiet: bool,
    always: bool,
    verify: Option<bool>,
    is_conductorfile: bool,
    recorder: Recorder,
    /// Where what is fetched lies meanwhile.
    work: PathBuf,
    fetched: u32,
    /// Files and repositories that were fetched.
    materials: Vec<Material>,
    /// Those that were pulled in this build are not pulled again.
    pulled: Vec<Reference>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(
        context: &'a Context,
        engine: &'a Engine,
        args: &BuildArgs,
        sources: &Sources,
    ) -> Result<Self, Failure> {
        Ok(Self {
            context,
            engine,
            quiet: args.quiet,
            always: args.pull,
            verify: args.trust.tls_verify,
            is_conductorfile: sources.is_conductorfile,
            recorder: context.recorder()?,
            work: sources.work.path().to_owned(),
            fetched: 0,
            materials: Vec::new(),
            pulled: Vec::new(),
        })
    }

    /// Returns what came from elsewhere, beside images.
    pub(super) fn materials(self) -> Vec<Material> {
        self.materials
    }

    fn client(&self) -> Result<Client<'_>, Failure> {
        Ok(Client::new(self.context.registries(self.verify)?, &self.recorder))
    }

    /// Pulls an image; a Debian that no registry gives is made here, where the file is one of ours.
    fn pull(&mut self, name: &Reference, platform: &Platform, said: Option<&Platform>) -> Result<Image, Failure> {
        let options = PullOptions { platform: said.cloned(), policy: self.context.policy()? };
        let store = self.engine.store();
        if !self.quiet {
            ui::remark(&format!("pulling {}", name.familiar()));
        }
        let foreign = *platform != Platform::host();
        let before = store.images().resolve_exactly(name).ok().filter(|before| foreign && !is_for(before, platform));
        let pulled = match self.quiet {
            true => pull::pull(self.context, store, &self.client()?, name, &options, &Silent),
            false => pull::pull(self.context, store, &self.client()?, name, &options, &Display::new(Direction::Down)),
        };
        self.pulled.push(name.clone());
        // What this machine needs keeps the name.
        if let (Ok(_), Some(before)) = (&pulled, before) {
            store.images().tag(&before.id.to_string(), name, &self.recorder)?;
        }
        match (pulled, suite(name).filter(|_| self.is_conductorfile && *platform == Platform::host())) {
            (Ok(pulled), _) => Ok(pulled.image),
            (Err(failure), None) => Err(failure),
            (Err(failure), Some(suite)) => {
                let why = failure.to_string();
                ui::remark(&format!("no registry gives {} ({why}): it is made by debootstrap", name.familiar()));
                let options = BootstrapOptions { names: vec![name.clone()], suite, ..BootstrapOptions::default() };
                debian::bootstrap(self.context, &options, self.quiet)
            }
        }
    }
}

impl Bases for Finder<'_> {
    fn image(&mut self, name: &Reference, platform: &Platform) -> Result<Image, BaseError> {
        let told = |failure: Failure| BaseError::from(failure.into_cause());
        let here = image::resolve(self.engine.store(), &name.to_string(), &Recorder::silent());
        // An image for another machine is no reason to get one where nothing else is known.
        let wanted = (*platform != Platform::host()).then_some(platform);
        match here {
            Ok(image)
                if is_for(&image, platform)
                    && (!self.always || self.pulled.contains(name) || image::is_hello(name)) =>
            {
                Ok(image)
            }
            Ok(_) | Err(StoreError::NotFound(_)) => self.pull(name, platform, wanted).map_err(told),
            Err(error) => Err(error.into()),
        }
    }

    fn layout(&mut self, image: &LayoutImage, platform: &Platform) -> Result<Image, BaseError> {
        Ok(image::take_image(self.engine.store(), image, platform, &self.recorder)?)
    }

    fn devices(&mut self) -> Catalogue {
        Catalogue::read(DIRECTORIES)
    }

    fn fetch(&mut self, address: &str, checksum: Option<&str>) -> Result<Fetched, BaseError> {
        let client = self.client().map_err(|failure| BaseError::from(failure.into_cause()))?;
        let fetched = fetch::get(self.engine.store(), &client, address, checksum)?;
        self.materials.push(Material::File { url: address.to_owned(), digest: fetch::digest(&fetched.path)? });
        Ok(fetched)
    }

    fn clone_repository(&mut self, address: &str, keep_git_dir: bool) -> Result<PathBuf, BaseError> {
        self.fetched += 1;
        let archive = self.work.join(format!("repository-{}.tar", self.fetched));
        let files = self.work.join(format!("repository-{}", self.fetched));
        let commit = Repository::parse(address).archive(&files, &archive, keep_git_dir)?;
        self.materials.push(Material::Git { url: address.to_owned(), commit });
        Ok(archive)
    }
}

fn is_for(image: &Image, platform: &Platform) -> bool {
    let config = &image.config;
    config.architecture().to_string() == platform.architecture && config.os().to_string() == platform.os
}

/// Returns the release that a name of Debian's own images means.
fn suite(name: &Reference) -> Option<String> {
    if !matches!(name.familiar_repository().as_str(), "debian" | "ubuntu") || name.digest().is_some() {
        return None;
    }
    let tag = name.tag().unwrap_or("latest");
    let tag = tag.strip_suffix("-slim").unwrap_or(tag);
    let known = match tag {
        "latest" | "stable" | "12" => "bookworm",
        "13" => "trixie",
        "11" => "bullseye",
        "unstable" => "sid",
        other => other,
    };
    known.bytes().all(|byte| byte.is_ascii_lowercase()).then(|| known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_debian_s_means_a_release() {
        let suite = |name: &str| suite(&name.parse().unwrap());
        assert_eq!(suite("debian:bookworm").as_deref(), Some("bookworm"));
        assert_eq!(suite("debian").as_deref(), Some("bookworm"));
        assert_eq!(suite("debian:trixie-slim").as_deref(), Some("trixie"));
        assert_eq!(suite("ubuntu:noble").as_deref(), Some("noble"));
        assert_eq!(suite("debian:bookworm-20240101"), None);
        assert_eq!(suite("registry.example/debian:bookworm"), None);
    }
}
