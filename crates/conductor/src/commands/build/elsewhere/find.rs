//! Steps from elsewhere. What a place lists is read when the build begins; a layer comes when a step asks for it.

use std::cell::RefCell;
use std::collections::HashSet;

use build::Elsewhere;
use image::cached::{KnownSteps, SharedStep, bring_step, known_steps};
use oci::{Digest, Platform};
use registry::Client;
use store::{Layer, Work};

use super::super::BuildArgs;
use super::{Place, sources};
use crate::context::Context;
use crate::error::Failure;
use crate::ui;

/// The places that `--cache-from` names, with what they list.
pub(in super::super) struct Found<'a> {
    context: &'a Context,
    verify: Option<bool>,
    places: Vec<(Place, KnownSteps)>,
    /// Layers that could not be had are not asked for again.
    failed: RefCell<HashSet<Digest>>,
}

impl<'a> Found<'a> {
    /// Reads what the places list. One that cannot be read is no reason not to build.
    pub(in super::super) fn open(
        context: &'a Context,
        args: &BuildArgs,
        wanted: Option<&Platform>,
    ) -> Result<Self, Failure> {
        let verify = args.trust.tls_verify;
        let wanted = wanted.cloned().unwrap_or_else(Platform::host);
        let mut found = Self { context, verify, places: Vec::new(), failed: RefCell::default() };
        for place in sources(args)? {
            match found.list(&place, &wanted) {
                Ok(known) => found.places.push((place, known)),
                Err(failure) => ui::warn(&format!("no steps are taken from {place}: {}", words(failure))),
            }
        }
        Ok(found)
    }

    fn list(&self, place: &Place, wanted: &Platform) -> Result<KnownSteps, Failure> {
        if let Place::Registry(name) = place {
            // A step of somebody's is as much as a layer of somebody's image, and nobody signs it.
            let judge = self.context.policy()?.judge(name)?;
            if !judge.is_content() {
                return Err(Failure::message("the policy demands signatures, and a list of steps has none"));
            }
        }
        let recorder = self.context.recorder()?;
        let client = Client::new(self.context.registries(self.verify)?, &recorder);
        known_steps(&place.open(&client)?, wanted).map_err(Failure::from)
    }

    /// Each layer is asked for over connections of its own: the process that asks may be one that was begun since.
    fn bring(&self, place: &Place, known: &KnownSteps, step: &SharedStep, work: &mut Work) -> Result<Layer, Failure> {
        let recorder = self.context.recorder()?;
        let client = Client::new(self.context.registries(self.verify)?, &recorder);
        bring_step(&place.open(&client)?, known, step, work).map_err(Failure::from)
    }
}

impl Elsewhere for Found<'_> {
    fn step(&self, key: &Digest, work: &mut Work) -> Option<Layer> {
        if self.failed.borrow().contains(key) {
            return None;
        }
        for (place, known) in &self.places {
            let Some(step) = known.find(key) else { continue };
            match self.bring(place, known, step, work) {
                Ok(layer) => return Some(layer),
                Err(failure) => {
                    ui::warn(&format!("{} is not taken from {place}: {}", step.what, words(failure)));
                    self.failed.borrow_mut().insert(*key);
                }
            }
        }
        None
    }
}

/// Tells a failure and all its causes in one line.
fn words(failure: Failure) -> String {
    let cause = failure.into_cause();
    let mut text = cause.to_string();
    let mut next = cause.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}
