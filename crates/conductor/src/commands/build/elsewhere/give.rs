//! Our steps for others: kept while the image is made, and given when it is.

use build::{Solved, SolvedStep};
use engine::Engine;
use image::Silent;
use image::cached::{Giving, SharedStep, give_steps};
use registry::Client;
use store::{Layer, Work};

use super::super::BuildArgs;
use super::{Gift, Wish, wishes};
use crate::context::Context;
use crate::error::Failure;
use crate::ui;
use crate::ui::transfer::{Direction, Display};

/// What `--cache-to` wants, and the steps that there are.
pub(in super::super) struct Gifts {
    wishes: Vec<Wish>,
    held: Vec<(Vec<SolvedStep>, Vec<Layer>, Work)>,
}

impl Gifts {
    /// Reads what is wanted.
    pub(in super::super) fn of(args: &BuildArgs) -> Result<Self, Failure> {
        Ok(Self { wishes: wishes(args)?, held: Vec::new() })
    }

    /// Tells whether the image itself shall list its steps.
    pub(in super::super) fn inline(args: &BuildArgs) -> Result<bool, Failure> {
        Ok(wishes(args)?.contains(&Wish::Inline))
    }

    /// Keeps the steps of a build, one of several perhaps.
    pub(in super::super) fn hold(&mut self, solved: &Solved) -> Result<(), Failure> {
        if self.wishes.iter().any(|wish| matches!(wish, Wish::Gift(_))) {
            let (work, layers) = solved.hold_steps()?;
            self.held.push((solved.solved.clone(), layers, work));
        }
        Ok(())
    }

    /// Gives the steps to all places.
    pub(in super::super) fn give(&self, context: &Context, engine: &Engine, args: &BuildArgs) -> Result<(), Failure> {
        for wish in &self.wishes {
            let Wish::Gift(gift) = wish else { continue };
            match self.give_to(gift, context, engine, args) {
                Err(failure) if gift.may_fail => {
                    ui::warn(&format!("no steps are given to {}: {}", gift.place, failure.into_cause()));
                }
                given => given.map_err(|failure| failure.doing(format!("cannot give steps to {}", gift.place)))?,
            }
        }
        Ok(())
    }

    fn give_to(&self, gift: &Gift, context: &Context, engine: &Engine, args: &BuildArgs) -> Result<(), Failure> {
        let (steps, layers) = self.chosen(gift.all);
        let Some((_, _, work)) = self.held.first().filter(|_| !steps.is_empty()) else { return Ok(()) };
        let recorder = context.recorder()?;
        let client = Client::new(context.registries(args.trust.tls_verify)?, &recorder);
        let place = gift.place.open(&client)?;
        let giving = Giving { store: engine.store(), scratch: work.path(), packing: gift.packing };
        match args.quiet {
            true => give_steps(&place, &steps, &layers, giving, &Silent)?,
            false => give_steps(&place, &steps, &layers, giving, &Display::new(Direction::Up))?,
        };
        if !args.quiet {
            ui::remark(&format!("{} steps for other builds are in {}", steps.len(), gift.place));
        }
        Ok(())
    }

    /// Chooses the steps, each once, and the layers that go with them.
    fn chosen(&self, all: bool) -> (Vec<SharedStep>, Vec<Layer>) {
        let (mut steps, mut layers): (Vec<SharedStep>, Vec<Layer>) = (Vec::new(), Vec::new());
        for (solved, held, _) in &self.held {
            for step in solved.iter().filter(|step| all || step.in_target) {
                if steps.iter().all(|known| known.key != step.key) {
                    steps.push(step.share());
                }
            }
            let wanted = held.iter().filter(|layer| steps.iter().any(|step| step.layer == layer.diff_id));
            for layer in wanted {
                if layers.iter().all(|known| known.diff_id != layer.diff_id) {
                    layers.push(layer.clone());
                }
            }
        }
        (steps, layers)
    }
}
