//! Images in the grammar of `conductor.sh`.

use std::process::ExitCode;

use oci::Reference;
use store::Listed;

use super::act::date;
use crate::commands::build::BuildArgs;
use crate::commands::{Verb, rmi};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;
use crate::ui::size::human_size;

/// Builds an image.
pub(super) fn create(context: &Context, image: String, file: Option<String>) -> Outcome {
    BuildArgs::of_words(image, file).run(context)
}

/// Lists images.
pub(super) fn list(context: &Context) -> Outcome {
    ui::print(&listing(&context.store()?.images().list()?)).map(|()| ExitCode::SUCCESS)
}

/// Removes an image.
pub(super) fn remove(context: &Context, image: &str) -> Outcome {
    rmi::remove(&context.engine()?, &context.store()?, image, false)?;
    Ok(ExitCode::SUCCESS)
}

/// Two header lines, which the documents' `images | tail -n +3 | while read name size date` leaves out.
fn listing(images: &[Listed]) -> String {
    let rows: Vec<_> = images.iter().flat_map(names).collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max("NAME".len());
    let line = |name: &str, size: &str, date: &str| format!("{name:<width$}   {size:<8}   {date}\n");
    let head = line("NAME", "SIZE", "DATE") + &line("----", "----", "----");
    let row = |(name, image): &(String, &Listed)| line(name, &human_size(image.size), &date(image.created));
    rows.iter().map(row).fold(head, |text, line| text + &line)
}

/// Returns a row for each name of an image; one that has none goes by its id.
fn names(image: &Listed) -> Vec<(String, &Listed)> {
    match image.names.is_empty() {
        true => vec![(image.id.short(), image)],
        false => image.names.iter().map(|name| (short(name), image)).collect(),
    }
}

/// The documents know no tags: the usual one is left away.
fn short(name: &Reference) -> String {
    match name.tag() {
        Some("latest") => name.familiar_repository(),
        _ => name.familiar(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::Digest;

    #[test]
    fn the_clean_reset_loop_finds_names_below_two_header_lines() {
        let image = Listed {
            id: Digest::of(b"config"),
            digest: Digest::of(b"manifest"),
            digests: vec![Digest::of(b"manifest"); 2],
            names: vec!["mydebian".parse().unwrap(), "other:v1".parse().unwrap()],
            size: 182_300_000,
            created: "2026-01-02T03:04:05Z".parse().unwrap(),
        };
        assert_eq!(
            listing(&[image]),
            "NAME       SIZE       DATE\n----       ----       ----\n\
             mydebian   182MB      2026-01-02 03:04:05 UTC\nother:v1   182MB      2026-01-02 03:04:05 UTC\n"
        );
        assert_eq!(listing(&[]).lines().count(), 2);
    }
}
