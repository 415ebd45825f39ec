//! `inspect`: prints everything about containers and images, as JSON or by a template.

use std::process::ExitCode;

use clap::Args;
use engine::{Engine, NetworkError};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::Value;
use serde_json::ser::PrettyFormatter;
use store::{Store, StoreError};

use super::{Group, Verb, network, report_each};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::template::Template;

/// Print everything about containers, images and networks
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Print by a template, such as '{{.State.Pid}}', or as json in one line
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Look for this kind of thing alone: container, image or network
    #[arg(long = "type", value_name = "KIND", value_parser = ["container", "image", "network"], hide_possible_values = true)]
    kind: Option<String>,
    /// The containers, images and networks
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

impl Verb for InspectArgs {
    const NAME: &'static str = "inspect";
    const ABOUT: &'static str = "Print everything about containers, images and networks";
    const USAGE: &'static str = "[OPTIONS] NAME [NAME...]";
    const AFTER_HELP: &'static str =
        "Examples:\n  conductor inspect eg\n  conductor inspect -f '{{.State.OOMKilled}}' eg";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let (engine, store) = (context.engine()?, context.store()?);
        print_all(&self.names, self.format.as_deref(), |name| match self.kind.as_deref() {
            Some("container") => container(&engine, name),
            Some("image") => image(&store, name),
            Some(_) => network::document(&engine, name),
            None => any(&engine, &store, name),
        })
    }
}

/// Print everything about containers
#[derive(Debug, Args)]
pub(crate) struct ContainerInspectArgs {
    /// Print by a template, such as '{{.State.Pid}}', or as json in one line
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// The containers
    #[arg(value_name = "CONTAINER", required = true)]
    names: Vec<String>,
}

impl Verb for ContainerInspectArgs {
    const NAME: &'static str = "inspect";
    const ABOUT: &'static str = "Print everything about containers";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        print_all(&self.names, self.format.as_deref(), |name| container(&engine, name))
    }
}

/// Print everything about images
#[derive(Debug, Args)]
pub(crate) struct ImageInspectArgs {
    /// Print by a template, such as '{{.Config.Cmd}}', or as json in one line
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<String>,
}

impl Verb for ImageInspectArgs {
    const NAME: &'static str = "inspect";
    const ABOUT: &'static str = "Print everything about images";
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let store = context.store()?;
        print_all(&self.names, self.format.as_deref(), |name| image(&store, name))
    }
}

fn container(engine: &Engine, name: &str) -> Result<Document, Failure> {
    Document::of(&engine.inspect(&engine.find(name)?)?)
}

fn image(store: &Store, name: &str) -> Result<Document, Failure> {
    Document::of(&image::inspect(store, &store.images().resolve(name)?)?)
}

/// A container comes first, then an image, then a network, as in Docker.
fn any(engine: &Engine, store: &Store, name: &str) -> Result<Document, Failure> {
    match engine.find(name) {
        Err(engine::Error::NoSuchContainer(_)) => {}
        found => return Document::of(&engine.inspect(&found?)?),
    }
    match store.images().resolve(name) {
        Err(StoreError::NotFound(_) | StoreError::Name(_)) => {}
        found => return Document::of(&image::inspect(store, &found?)?),
    }
    if let Some(document) = network::predefined(name)? {
        return Ok(document);
    }
    match engine.find_network(name) {
        Err(engine::Error::Network(NetworkError::NoSuchNetwork(_))) => {
            Err(Failure::message(format!("no such container, image or network: {name}")))
        }
        found => Document::of(&engine.inspect_network(&found?)?),
    }
}

/// One thing in JSON, indented as Docker does it.
#[derive(Debug)]
pub(crate) struct Document(String);

impl Document {
    /// Writes something down; the fields keep their order.
    pub(crate) fn of(value: &impl Serialize) -> Result<Self, Failure> {
        let mut text = Vec::new();
        let formatter = PrettyFormatter::with_indent(b"    ");
        value.serialize(&mut Serializer::with_formatter(&mut text, formatter))?;
        Ok(Self(String::from_utf8(text)?))
    }

    /// Returns the text, without a last newline.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    fn value(&self) -> Result<Value, Failure> {
        Ok(serde_json::from_str(&self.0)?)
    }
}

/// Prints what is found of several names: one JSON list, or a line each by a template.
pub(crate) fn print_all(
    names: &[String],
    format: Option<&str>,
    mut find: impl FnMut(&str) -> Result<Document, Failure>,
) -> Outcome {
    let template = format.filter(|format| *format != "json").map(Template::parse).transpose()?;
    let mut documents = Vec::new();
    let mut failures = Vec::new();
    for name in names {
        match find(name) {
            Ok(document) => documents.push(document),
            Err(failure) => failures.push(Err(failure)),
        }
    }
    ui::print(&match (template, format) {
        (Some(template), _) => lines(&documents, |value| Ok(template.render(&value)?))?,
        (None, Some(_)) => lines(&documents, |value| Ok(value.to_string()))?,
        (None, None) => list(&documents),
    })?;
    report_each(failures).map(|()| ExitCode::SUCCESS)
}

fn lines(documents: &[Document], line: impl Fn(Value) -> Result<String, Failure>) -> Result<String, Failure> {
    documents.iter().map(|document| Ok(line(document.value()?)? + "\n")).collect()
}

fn list(documents: &[Document]) -> String {
    if documents.is_empty() {
        return "[]\n".to_owned();
    }
    let indented = |document: &Document| format!("    {}", document.0.replace('\n', "\n    "));
    format!("[\n{}\n]\n", documents.iter().map(indented).collect::<Vec<_>>().join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Thing {
        b: u32,
        a: Vec<&'static str>,
    }

    #[test]
    fn documents_are_a_list_indented_by_four_that_keeps_the_order_of_fields() {
        let document = Document::of(&Thing { b: 1, a: vec!["x"] }).unwrap();
        let expected = "[\n    {\n        \"b\": 1,\n        \"a\": [\n            \"x\"\n        ]\n    }\n]\n";
        assert_eq!(list(&[document]), expected);
        assert_eq!(list(&[]), "[]\n");
    }
}
