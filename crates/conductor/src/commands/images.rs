//! `images`: lists images.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use oci::{Digest, Reference};
use serde_json::{Value, json};
use store::Listed;

use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::list::{self, Format};
use crate::ui::size::human_size;
use crate::ui::table::Table;
use crate::ui::time::{ago, plain};

/// List images
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Accepted for Docker's sake: there are no intermediate images to hide
    #[arg(short, long, hide = true)]
    all: bool,
    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Show the digests of manifests
    #[arg(long)]
    digests: bool,
    /// Print in this form: table, json, or a template such as '{{.Repository}}:{{.Tag}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// List those that fit: reference=, dangling=
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// List images of this name alone
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

const HEADERS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
];

impl Verb for ImagesArgs {
    const NAME: &'static str = "images";
    const ABOUT: &'static str = "List images";
    const USAGE: &'static str = "[OPTIONS] [NAME]";
    const GROUP: Group = Group::Common;

    fn run(self, context: &Context) -> Outcome {
        let format = Format::parse(self.format.as_deref())?;
        let filters = self.filters()?;
        let images = context.store()?.images().list()?;
        let rows: Vec<_> =
            images.iter().flat_map(Row::all_of).filter(|row| filters.iter().all(|f| f.fits(row))).collect();
        ui::print(&self.render(&rows, &format, Timestamp::now())?).map(|()| ExitCode::SUCCESS)
    }
}

/// One name of an image; an image without a name has a row too.
#[derive(Debug)]
struct Row<'i> {
    image: &'i Listed,
    name: Option<&'i Reference>,
    digest: Digest,
}

impl<'i> Row<'i> {
    fn all_of(image: &'i Listed) -> Vec<Self> {
        match image.names.is_empty() {
            true => vec![Self { image, name: None, digest: image.digest }],
            false => {
                let names = image.names.iter().zip(&image.digests);
                names.map(|(name, digest)| Self { image, name: Some(name), digest: *digest }).collect()
            }
        }
    }

    fn repository(&self) -> String {
        self.name.map_or_else(|| "<none>".to_owned(), Reference::familiar_repository)
    }

    fn tag(&self) -> &str {
        self.name.and_then(Reference::tag).unwrap_or("<none>")
    }
}

impl ImagesArgs {
    fn filters(&self) -> Result<Vec<Filter>, Failure> {
        let named = self.name.iter().cloned().map(Filter::Reference);
        named.map(Ok).chain(self.filter.iter().map(|word| Filter::parse(word))).collect()
    }

    fn render(&self, rows: &[Row<'_>], format: &Format, now: Timestamp) -> Result<String, Failure> {
        let id = |row: &Row<'_>| match self.no_trunc {
            true => row.image.id.to_string(),
            false => row.image.id.short(),
        };
        if self.quiet {
            let mut ids: Vec<_> = rows.iter().map(id).collect();
            ids.dedup();
            return Ok(ids.iter().map(|id| format!("{id}\n")).collect());
        }
        if !matches!(format, Format::Table) {
            let rows: Vec<_> = rows.iter().map(|row| fields(row, id(row), now)).collect();
            return list::render(format, HEADERS, &rows);
        }
        let mut headers = vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
        if self.digests {
            headers.insert(2, "DIGEST");
        }
        let mut table = Table::with_headers(&headers);
        for row in rows {
            let mut cells = vec![row.repository(), row.tag().to_owned()];
            cells.extend(self.digests.then(|| row.digest.to_string()));
            cells.extend([id(row), ago(now, row.image.created), human_size(row.image.size)]);
            table.push(cells);
        }
        Ok(table.render())
    }
}

fn fields(row: &Row<'_>, id: String, now: Timestamp) -> Value {
    json!({
        "ID": id,
        "Repository": row.repository(),
        "Tag": row.tag(),
        "Digest": row.digest.to_string(),
        "CreatedSince": ago(now, row.image.created),
        "CreatedAt": plain(row.image.created),
        "Size": human_size(row.image.size),
    })
}

/// One `--filter`, or the name behind the options.
#[derive(Debug)]
enum Filter {
    Reference(String),
    Dangling(bool),
}

impl Filter {
    fn parse(word: &str) -> Result<Self, Failure> {
        match word.split_once('=') {
            Some(("reference", pattern)) => Ok(Self::Reference(pattern.to_owned())),
            Some(("dangling", "true" | "1")) => Ok(Self::Dangling(true)),
            Some(("dangling", "false" | "0")) => Ok(Self::Dangling(false)),
            _ => Err(Failure::message(format!(
                "invalid value for --filter: {word:?}: use reference=PATTERN or dangling=true"
            ))),
        }
    }

    fn fits(&self, row: &Row<'_>) -> bool {
        match self {
            Self::Dangling(wanted) => row.name.is_none() == *wanted,
            Self::Reference(pattern) => row.name.is_some_and(|name| {
                let repository = name.familiar_repository();
                glob(pattern, &repository) || glob(pattern, &name.familiar()) || glob(pattern, &name.to_string())
            }),
        }
    }
}

/// Tells whether a text fits a pattern in which `*` stands for anything but a slash, and `?` for one character.
fn glob(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return text.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    match first {
        '*' => {
            let ends = text.char_indices().map(|(at, c)| (at, c == '/')).chain([(text.len(), true)]);
            for (at, stops) in ends {
                if glob(rest, &text[at..]) {
                    return true;
                }
                if stops {
                    return false;
                }
            }
            false
        }
        '?' => text.chars().next().is_some_and(|c| c != '/' && glob(rest, &text[c.len_utf8()..])),
        _ => text.strip_prefix(first).is_some_and(|text| glob(rest, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(names: &[&str]) -> Listed {
        Listed {
            id: Digest::of(b"config"),
            digest: Digest::of(b"manifest"),
            digests: vec![Digest::of(b"manifest"); 2],
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
            size: 182_300_000,
            created: "2026-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn images(line: &str) -> String {
        let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
        let (args, _) = super::super::read::<ImagesArgs>("conductor images", &words).unwrap();
        let listed = [image(&["mydebian", "localhost:5000/a/b:v1"]), image(&[])];
        let filters = args.filters().unwrap();
        let rows: Vec<_> =
            listed.iter().flat_map(Row::all_of).filter(|row| filters.iter().all(|f| f.fits(row))).collect();
        let format = Format::parse(args.format.as_deref()).unwrap();
        args.render(&rows, &format, "2026-01-02T00:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn the_table_is_docker_s() {
        insta::assert_snapshot!(images(""), @r"
        REPOSITORY           TAG       IMAGE ID       CREATED        SIZE
        mydebian             latest    b79606fb3afe   24 hours ago   182MB
        localhost:5000/a/b   v1        b79606fb3afe   24 hours ago   182MB
        <none>               <none>    b79606fb3afe   24 hours ago   182MB
        ");
    }

    #[test]
    fn names_and_filters_choose() {
        assert_eq!(images("--format {{.Repository}} mydebian"), "mydebian\n");
        assert_eq!(images("--format {{.Repository}} mydebian:other"), "");
        assert_eq!(images("-q --filter dangling=true").lines().count(), 1);
        assert_eq!(images("--format {{.Tag}} --filter reference=my*"), "latest\n");
        assert_eq!(images("--format {{.Tag}} --filter reference=*/a/?"), "v1\n");
    }
}
