//! `system df`: how much room everything takes.

use std::process::ExitCode;

use clap::Args;
use engine::DiskUsage;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::CacheItem;

use super::super::builder::{short, type_of};
use super::super::{Group, Verb};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;
use crate::ui::list::{self, Format};
use crate::ui::size::human_size;
use crate::ui::table::Table;
use crate::ui::time::ago;

/// Tell how much room images, containers, volumes and builds take
#[derive(Debug, Args)]
pub(crate) struct DfArgs {
    /// Print in this form: json, or a template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Tell of each image, container, volume and cached step
    #[arg(short, long)]
    verbose: bool,
}

impl Verb for DfArgs {
    const NAME: &'static str = "df";
    const ABOUT: &'static str = "Tell how much room images, containers, volumes and builds take";
    const USAGE: &'static str = "[OPTIONS]";
    const GROUP: Group = Group::Engine;

    fn run(self, context: &Context) -> Outcome {
        let format = Format::parse(self.format.as_deref())?;
        let usage = context.engine()?.disk_usage()?;
        let text = match (&format, self.verbose) {
            (Format::Table, true) => verbose(&usage),
            (Format::Table, false) => table(&rows(&usage)),
            _ => list::render(&format, HEADERS, &rows(&usage))?,
        };
        ui::print(&text).map(|()| ExitCode::SUCCESS)
    }
}

const HEADERS: &[(&str, &str)] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

fn rows(usage: &DiskUsage) -> Vec<Value> {
    let row = |kind: &str, total: usize, active: usize, size: u64, reclaimable: u64| {
        let share = reclaimable.saturating_mul(100).checked_div(size).unwrap_or_default();
        json!({
            "Type": kind, "TotalCount": total.to_string(), "Active": active.to_string(), "Size": human_size(size),
            "Reclaimable": format!("{} ({share}%)", human_size(reclaimable)),
        })
    };
    let images = &usage.images;
    let active = images.images.iter().filter(|image| image.in_use).count();
    let running = usage.containers.iter().filter(|container| container.running);
    let idle = usage.containers.iter().filter(|container| !container.running);
    let used = usage.volumes.iter().filter(|volume| volume.users > 0);
    let unused = usage.volumes.iter().filter(|volume| volume.users == 0);
    vec![
        row("Images", images.images.len(), active, images.size, images.reclaimable),
        row(
            "Containers",
            usage.containers.len(),
            running.count(),
            usage.containers.iter().map(|container| container.size).sum(),
            idle.map(|container| container.size).sum(),
        ),
        row(
            "Local Volumes",
            usage.volumes.len(),
            used.count(),
            usage.volumes.iter().map(|volume| volume.size).sum(),
            unused.map(|volume| volume.size).sum(),
        ),
        row(
            "Build Cache",
            usage.cache.len(),
            usage.cache.iter().filter(|item| item.in_use).count(),
            store::cache_size(&usage.cache),
            store::cache_size(&usage.cache.iter().filter(|item| !item.in_use).cloned().collect::<Vec<_>>()),
        ),
    ]
}

fn table(rows: &[Value]) -> String {
    let titles: Vec<_> = HEADERS.iter().map(|(_, title)| *title).collect();
    let mut table = Table::with_headers(&titles);
    for row in rows {
        let cell = |(field, _): &(&str, &str)| row[*field].as_str().unwrap_or_default().to_owned();
        table.push(HEADERS.iter().map(cell).collect());
    }
    table.render()
}

fn verbose(usage: &DiskUsage) -> String {
    let mut images = Table::with_headers(&["REPOSITORY", "TAG", "IMAGE ID", "SIZE", "SHARED SIZE", "UNIQUE SIZE"]);
    for image in &usage.images.images {
        let none = || "<none>".to_owned();
        let name = image.names.first();
        images.push(vec![
            name.map_or_else(none, oci::Reference::familiar_repository),
            name.and_then(|name| name.tag().map(str::to_owned)).unwrap_or_else(none),
            image.id.short(),
            human_size(image.size),
            human_size(image.shared),
            human_size(image.size - image.shared),
        ]);
    }
    let mut containers = Table::with_headers(&["CONTAINER ID", "IMAGE", "SIZE", "STATUS", "NAMES"]);
    for container in &usage.containers {
        let status = if container.running { "running" } else { "not running" };
        containers.push(vec![
            container.id.short().to_owned(),
            container.image.clone(),
            human_size(container.size),
            status.to_owned(),
            container.name.to_string(),
        ]);
    }
    let mut volumes = Table::with_headers(&["VOLUME NAME", "LINKS", "SIZE"]);
    for volume in &usage.volumes {
        volumes.push(vec![volume.name.clone(), volume.users.to_string(), human_size(volume.size)]);
    }
    format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n{}",
        images.render(),
        containers.render(),
        volumes.render(),
        cache(&usage.cache)
    )
}

fn cache(items: &[CacheItem]) -> String {
    let now = Timestamp::now();
    let mut table = Table::with_headers(&["CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "SHARED"]);
    for item in items {
        table.push(vec![
            short(&item.id).to_owned(),
            type_of(item).to_owned(),
            human_size(item.size),
            item.created.map(|then| ago(now, then)).unwrap_or_default(),
            ago(now, item.used),
            item.shared.to_string(),
        ]);
    }
    format!("Build cache usage: {}\n\n{}", human_size(store::cache_size(items)), table.render())
}
