//! `history`: what made an image, step by step.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use oci::image::History;
use serde_json::{Value, json};
use store::Image;

use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::list::{self, Format};
use crate::ui::size::human_size;
use crate::ui::table::Table;
use crate::ui::time::{ago, plain};

/// Show what made an image
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Print in this form: table, json, or a template such as '{{.CreatedBy}}: {{.Size}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print sizes and times for people; --human=false prints bytes and times whole
    #[arg(
        short = 'H',
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        default_value_t = true,
        default_missing_value = "true",
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    human: bool,
    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
}

const HEADERS: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

/// How much of a command is shown, as in Docker.
const SHORT: usize = 45;

impl Verb for HistoryArgs {
    const NAME: &'static str = "history";
    const ABOUT: &'static str = "Show what made an image";
    const USAGE: &'static str = "[OPTIONS] IMAGE";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let format = Format::parse(self.format.as_deref())?;
        let image = context.store()?.images().resolve(&self.image)?;
        ui::print(&self.render(&steps(&image), &format, Timestamp::now())?).map(|()| ExitCode::SUCCESS)
    }
}

/// One step of the making.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    /// The image that it ended with, which is known of the last step alone.
    id: Option<oci::Digest>,
    created: Option<Timestamp>,
    created_by: String,
    size: u64,
    comment: String,
}

/// Returns the steps, the last first. A step that made no layer has the size 0; layers of which the history does not tell
/// (archives made by other tools) are steps of which nothing else is known.
fn steps(image: &Image) -> Vec<Made> {
    let mut layers = image.layers.iter().map(|layer| layer.size);
    let told = image.config.history().iter().flatten();
    let mut steps: Vec<_> = told.map(|step| made(step, &mut layers)).collect();
    steps.extend(layers.map(|size| Made {
        id: None,
        created: None,
        created_by: String::new(),
        size,
        comment: String::new(),
    }));
    if let Some(last) = steps.last_mut() {
        last.id = Some(image.id);
    }
    steps.reverse();
    steps
}

fn made(step: &History, layers: &mut impl Iterator<Item = u64>) -> Made {
    let is_empty = step.empty_layer().unwrap_or(false);
    Made {
        id: None,
        created: step.created().as_deref().and_then(|text| text.parse().ok()),
        created_by: step.created_by().clone().unwrap_or_default(),
        size: if is_empty { 0 } else { layers.next().unwrap_or(0) },
        comment: step.comment().clone().unwrap_or_default(),
    }
}

impl HistoryArgs {
    fn render(&self, steps: &[Made], format: &Format, now: Timestamp) -> Result<String, Failure> {
        let rows: Vec<_> = steps.iter().map(|step| self.fields(step, now)).collect();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        if self.quiet {
            return Ok(rows.iter().map(|row| text(row, "ID") + "\n").collect());
        }
        if !matches!(format, Format::Table) {
            return list::render(format, HEADERS, &rows);
        }
        let created = if self.human { ("CreatedSince", "CREATED") } else { ("CreatedAt", "CREATED AT") };
        let columns = [("ID", "IMAGE"), created, ("CreatedBy", "CREATED BY"), ("Size", "SIZE"), ("Comment", "COMMENT")];
        let mut table = Table::with_headers(&columns.map(|(_, header)| header));
        for row in &rows {
            table.push(columns.iter().map(|(key, _)| text(row, key)).collect());
        }
        Ok(table.render())
    }

    fn fields(&self, step: &Made, now: Timestamp) -> Value {
        let id = step
            .id
            .map_or_else(|| "<missing>".to_owned(), |id| if self.no_trunc { id.to_string() } else { id.short() });
        let created_by = step.created_by.replace('\t', " ");
        let created_by = if self.no_trunc { created_by } else { shortened(&created_by) };
        json!({
            "ID": id,
            "CreatedSince": step.created.map_or_else(|| "N/A".to_owned(), |created| ago(now, created)),
            "CreatedAt": step.created.map_or_else(|| "N/A".to_owned(), plain),
            "CreatedBy": created_by,
            "Size": if self.human { human_size(step.size) } else { step.size.to_string() },
            "Comment": step.comment,
        })
    }
}

fn shortened(command: &str) -> String {
    if command.chars().count() <= SHORT {
        return command.to_owned();
    }
    command.chars().take(SHORT - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use oci::Digest;
    use oci::image::{HistoryBuilder, ImageConfiguration};
    use store::{ChainId, Layer};

    use super::*;

    fn image(history: &[(&str, bool)], layers: &[u64]) -> Image {
        let step = |(by, empty): &(&str, bool)| {
            let step = HistoryBuilder::default().created("1970-01-01T00:00:00Z").created_by((*by).to_owned());
            step.empty_layer(*empty).build().unwrap()
        };
        let mut config = ImageConfiguration::default();
        config.set_history(Some(history.iter().map(step).collect()));
        let layer =
            |size: &u64| Layer { diff_id: Digest::of(&size.to_le_bytes()), size: *size, path: "/nowhere".into() };
        Image {
            id: Digest::of(b"image"),
            manifest: Digest::of(b"manifest"),
            listed_in: None,
            config,
            layers: layers.iter().map(layer).collect(),
            chain: ChainId::of([]),
            index: "/nowhere".into(),
            size: layers.iter().sum(),
            created: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn steps_without_a_layer_have_no_size() {
        let steps = steps(&image(&[("ADD rootfs", false), ("CMD sh", true), ("RUN make", false)], &[2000, 30]));
        let told: Vec<_> = steps.iter().map(|step| (step.created_by.as_str(), step.size)).collect();
        assert_eq!(told, [("RUN make", 30), ("CMD sh", 0), ("ADD rootfs", 2000)]);
        assert!(steps[0].id.is_some() && steps[1].id.is_none());
    }

    #[test]
    fn layers_of_which_nothing_is_told_are_shown() {
        let steps = steps(&image(&[], &[5, 7]));
        assert_eq!(steps.iter().map(|step| step.size).collect::<Vec<_>>(), [7, 5]);
    }

    #[test]
    fn long_commands_are_shortened_by_characters() {
        assert_eq!(shortened("RUN true"), "RUN true");
        assert_eq!(shortened(&"é".repeat(50)).chars().count(), SHORT);
    }
}
