//! `system prune`, `container prune`, `image prune` and `rmcache`: removing what nobody uses.

use std::cell::RefCell;
use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use clap::Args;
use oci::Digest;

use super::network::prune_networks;
use super::rmi::report;
use super::{Group, Reach, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::size::human_size;

/// Remove what nobody uses: stopped containers, networks without any, images without a name, leftovers
#[derive(Debug, Args)]
pub(crate) struct SystemPruneArgs {
    /// Remove every image that no container uses
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

impl Verb for SystemPruneArgs {
    const NAME: &'static str = "prune";
    const ABOUT: &'static str =
        "Remove what nobody uses: stopped containers, networks without any, images without a name, leftovers";
    const USAGE: &'static str = "[OPTIONS]";
    const GROUP: Group = Group::Engine;

    fn run(self, context: &Context) -> Outcome {
        let images = if self.all { "every image that no container uses" } else { "every image without a name" };
        let what = format!("every container that does not run, every network that none is on, and {images}");
        if !self.force && !confirmed(&format!("This removes {what}."))? {
            return Ok(ExitCode::SUCCESS);
        }
        prune_containers(context)?;
        prune_networks(&context.engine()?, |_| true)?;
        prune_images(context, self.all)
    }
}

/// Remove every container that does not run
#[derive(Debug, Args)]
pub(crate) struct ContainerPruneArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

impl Verb for ContainerPruneArgs {
    const NAME: &'static str = "prune";
    const ABOUT: &'static str = "Remove every container that does not run";
    const USAGE: &'static str = "[OPTIONS]";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        if self.force || confirmed("This removes every container that does not run.")? {
            prune_containers(context)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Remove images that have no name and no container
#[derive(Debug, Args)]
pub(crate) struct ImagePruneArgs {
    /// Remove every image that no container uses
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

impl Verb for ImagePruneArgs {
    const NAME: &'static str = "prune";
    const ABOUT: &'static str = "Remove images that have no name and no container";
    const USAGE: &'static str = "[OPTIONS]";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let images = if self.all { "every image that no container uses" } else { "every image without a name" };
        if !self.force && !confirmed(&format!("This removes {images}."))? {
            return Ok(ExitCode::SUCCESS);
        }
        prune_images(context, self.all)
    }
}

/// Remove what is kept to make builds faster, and leftovers of builds that were cut short
#[derive(Debug, Args)]
pub(crate) struct RmCacheArgs {}

impl Verb for RmCacheArgs {
    const NAME: &'static str = "rmcache";
    const ABOUT: &'static str =
        "Remove what is kept to make builds faster, and leftovers of builds that were cut short";
    const USAGE: &'static str = "";
    const GROUP: Group = Group::Image;
    const REACH: Reach = Reach::Ours;

    fn run(self, context: &Context) -> Outcome {
        remove_cache(context)
    }
}

/// Removes content that belongs to no image.
pub(crate) fn remove_cache(context: &Context) -> Outcome {
    context.store()?.sweep(&context.recorder()?)?;
    Ok(ExitCode::SUCCESS)
}

fn prune_containers(context: &Context) -> Result<(), Failure> {
    let removed = context.engine()?.prune()?;
    ui::print(&removed.iter().map(|container| format!("Deleted: {}\n", container.id)).collect::<String>())
}

fn prune_images(context: &Context, all: bool) -> Outcome {
    let (engine, store) = (context.engine()?, context.store()?);
    let unknown = RefCell::new(None);
    let users = |id: &Digest| {
        engine.usage_of_image(id, |error| {
            unknown.borrow_mut().get_or_insert(error);
        })
    };
    let removed = store.images().prune(all, &users, engine.recorder())?;
    report(&removed)?;
    ui::print_line(&format!("Total reclaimed space: {}", human_size(removed.freed)))?;
    match unknown.into_inner() {
        Some(error) => {
            Err(Failure::new(error).doing("cannot tell of all images whether a container uses them: they stay"))
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Asks on the terminal; where nobody can answer, nothing is removed.
pub(crate) fn confirmed(warning: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::message("nobody is there to confirm the removal").hint("--force removes without asking"));
    }
    ui::remark(&format!("{warning}\nGo on? [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
