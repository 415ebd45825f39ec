//! `builder prune`: removing what builds keep.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use store::{CacheBounds, CacheItem, cache_size, plan_collect};

use super::super::container_args::flag;
use super::super::prune::confirmed;
use super::super::{Group, Verb};
use super::filter::read_filters;
use super::{TITLES, cells};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::size::human_size;
use crate::ui::table::Table;

/// Remove what builds keep
#[derive(Debug, Args)]
pub(in super::super) struct BuilderPruneArgs {
    /// Remove what images have too: their steps will be made again
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove what fits: id=, type=, description=, until=, inuse, shared, private, mutable, immutable
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Let so much stay
    #[arg(long, value_name = "SIZE", visible_alias = "keep-storage")]
    reserved_space: Option<String>,
    /// Let no more than this stay
    #[arg(long, value_name = "SIZE")]
    max_used_space: Option<String>,
    /// Remove until so much of the file system is free
    #[arg(long, value_name = "SIZE")]
    min_free_space: Option<String>,
    /// Tell all that is known of each
    #[arg(long, hide = true)]
    verbose: bool,
}

impl Verb for BuilderPruneArgs {
    const NAME: &'static str = "prune";
    const ABOUT: &'static str = "Remove what builds keep";
    const USAGE: &'static str = "[OPTIONS]";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let now = Timestamp::now();
        let (filters, bounds) = (read_filters(&self.filter, now)?, self.bounds()?);
        let what = if self.all { "all that builds keep" } else { "what builds keep that no image has" };
        if !self.force && !confirmed(&format!("This removes {what}."))? {
            return Ok(ExitCode::SUCCESS);
        }
        let store = context.store()?;
        // What died with its owner uses nothing.
        store.sweep(&context.recorder()?)?;
        let items = store.cache().items()?;
        let keep = bounds.keep(cache_size(&items), store.room()?);
        let wanted = |item: &CacheItem| (self.all || !item.shared) && filters.iter().all(|filter| filter.fits(item));
        let gone = plan_collect(&items, &wanted, keep);
        let freed = match gone.is_empty() {
            true => 0,
            false => store.cache().remove_items(&gone, &context.recorder()?)?,
        };
        let mut table = Table::with_headers(&TITLES);
        gone.iter().for_each(|item| table.push(cells(item, now)));
        let list = if gone.is_empty() { String::new() } else { table.render() };
        ui::print(&format!("{list}Total:  {}\n", human_size(freed))).map(|()| ExitCode::SUCCESS)
    }
}

impl BuilderPruneArgs {
    fn bounds(&self) -> Result<CacheBounds, Failure> {
        let size = |name: &str, word: &Option<String>| -> Result<u64, Failure> {
            word.as_deref().map_or(Ok(0), |word| flag(name, engine::parse_size(word)))
        };
        Ok(CacheBounds {
            reserved: size("reserved-space", &self.reserved_space)?,
            most: size("max-used-space", &self.max_used_space)?,
            least_free: size("min-free-space", &self.min_free_space)?,
        })
    }
}
