//! `system prune`, `container prune`, `image prune` and `rmcache`: removing what nobody uses.

use std::cell::RefCell;
use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use clap::Args;
use oci::Digest;
use store::plan_collect;

use super::network::prune_networks;
use super::rmi::report;
use super::{Group, Reach, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::size::human_size;

/// Remove what nobody uses: stopped containers, networks without any, images without a name, what builds keep
#[derive(Debug, Args)]
pub(crate) struct SystemPruneArgs {
    /// Remove every image that no container uses, and all that builds keep
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

impl Verb for SystemPruneArgs {
    const NAME: &'static str = "prune";
    const ABOUT: &'static str =
        "Remove what nobody uses: stopped containers, networks without any, images without a name, what builds keep";
    const USAGE: &'static str = "[OPTIONS]";
    const GROUP: Group = Group::Engine;

    fn run(self, context: &Context) -> Outcome {
        let images = if self.all { "every image that no container uses" } else { "every image without a name" };
        let cache = if self.all { "all that builds keep" } else { "what builds keep that no image has" };
        let what = format!("every container that does not run, every network that none is on, {images}, and {cache}");
        if !self.force && !confirmed(&format!("This removes {what}."))? {
            return Ok(ExitCode::SUCCESS);
        }
        prune_containers(context)?;
        prune_networks(&context.engine()?, |_| true)?;
        let images = remove_images(context, self.all)?;
        let cache = prune_cache(context, self.all)?;
        images.tell(cache)
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
        remove_images(context, self.all)?.tell(0)
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

/// Removes all that builds keep and nobody uses at the moment, and content that belongs to no image.
pub(crate) fn remove_cache(context: &Context) -> Outcome {
    let (store, recorder) = (context.store()?, context.recorder()?);
    // What died with its owner uses nothing.
    store.sweep(&recorder)?;
    let items = store.cache().items()?;
    let gone = plan_collect(&items, &|_| true, 0);
    let freed = store.cache().remove_items(&gone, &recorder)?;
    ui::print_line(&format!("Total reclaimed space: {}", human_size(freed)))?;
    Ok(ExitCode::SUCCESS)
}

/// Removes what builds keep: what no image has, or all of it; returns how much that was.
fn prune_cache(context: &Context, all: bool) -> Result<u64, Failure> {
    let store = context.store()?;
    store.sweep(&context.recorder()?)?;
    let items = store.cache().items()?;
    let gone = plan_collect(&items, &|item| all || !item.shared, 0);
    if gone.is_empty() {
        return Ok(0);
    }
    let freed = store.cache().remove_items(&gone, &context.recorder()?)?;
    let ids: Vec<_> = gone.iter().map(|item| item.id.as_str()).collect();
    ui::print(&format!("Deleted build cache objects:\n{}\n\n", ids.join("\n")))?;
    Ok(freed)
}

fn prune_containers(context: &Context) -> Result<(), Failure> {
    let removed = context.engine()?.prune()?;
    ui::print(&removed.iter().map(|container| format!("Deleted: {}\n", container.id)).collect::<String>())
}

/// What became of images.
struct RemovedImages {
    freed: u64,
    /// Why it is not known of all of them whether a container uses them.
    unknown: Option<engine::Error>,
}

fn remove_images(context: &Context, all: bool) -> Result<RemovedImages, Failure> {
    let (engine, store) = (context.engine()?, context.store()?);
    let unknown = RefCell::new(None);
    let users = |id: &Digest| {
        engine.usage_of_image(id, |error| {
            unknown.borrow_mut().get_or_insert(error);
        })
    };
    let removed = store.images().prune(all, &users, engine.recorder())?;
    report(&removed)?;
    Ok(RemovedImages { freed: removed.freed, unknown: unknown.into_inner() })
}

impl RemovedImages {
    /// Tells how much came back, with what else did.
    fn tell(self, more: u64) -> Outcome {
        ui::print_line(&format!("Total reclaimed space: {}", human_size(self.freed + more)))?;
        match self.unknown {
            Some(error) => {
                Err(Failure::new(error).doing("cannot tell of all images whether a container uses them: they stay"))
            }
            None => Ok(ExitCode::SUCCESS),
        }
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
