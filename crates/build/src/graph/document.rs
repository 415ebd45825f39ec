//! What an image says of itself: its configuration as Docker keeps it, with what the specification does not know, and its
//! history. It is kept as JSON, so that nothing of a base image is lost.

use dockerfile::HealthCheck;
use jiff::Timestamp;
use oci::{Digest, Platform};
use serde_json::{Map, Value, json};

use super::command;

/// The configuration of an image that is being built, but for its layers.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    root: Map<String, Value>,
    config: Map<String, Value>,
    history: Vec<Value>,
}

impl Document {
    /// Starts with nothing but the search path, as `FROM scratch` does.
    pub(crate) fn scratch(platform: &Platform) -> Self {
        let mut root = Map::new();
        root.insert("architecture".into(), platform.architecture.clone().into());
        root.insert("os".into(), platform.os.clone().into());
        if let Some(variant) = &platform.variant {
            root.insert("variant".into(), variant.clone().into());
        }
        let mut config = Map::new();
        config.insert("Env".into(), json!([image::documents::DEFAULT_PATH]));
        config.insert("WorkingDir".into(), "/".into());
        Self { root, config, history: Vec::new() }
    }

    /// Starts with what an image says.
    pub(crate) fn of_image(bytes: &[u8]) -> serde_json::Result<Self> {
        let mut root: Map<String, Value> = serde_json::from_slice(bytes)?;
        let object = |value: Option<Value>| if let Some(Value::Object(map)) = value { map } else { Map::new() };
        let mut config = object(root.remove("config"));
        let history = match root.remove("history") {
            Some(Value::Array(steps)) => steps,
            _ => Vec::new(),
        };
        // What Docker's daemon says of the container that an image was committed from is not true of the next image.
        for stale in ["container", "container_config", "docker_version", "id", "parent", "rootfs", "created"] {
            root.remove(stale);
        }
        // Neither is the list of the steps that made it.
        root.remove(image::cached::FIELD);
        if config.get("Env").is_none_or(Value::is_null) {
            config.insert("Env".into(), json!([image::documents::DEFAULT_PATH]));
        }
        Ok(Self { root, config, history })
    }

    /// Returns the variables, `NAME=VALUE` each.
    pub(crate) fn env(&self) -> Vec<String> {
        self.words("Env")
    }

    pub(crate) fn workdir(&self) -> &str {
        self.config.get("WorkingDir").and_then(Value::as_str).filter(|path| !path.is_empty()).unwrap_or("/")
    }

    pub(crate) fn user(&self) -> &str {
        self.config.get("User").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns what runs commands in shell form.
    pub(crate) fn shell(&self) -> Vec<String> {
        let own = self.words("Shell");
        if own.is_empty() { vec!["/bin/sh".into(), "-c".into()] } else { own }
    }

    /// Takes away the instructions that wait for whoever builds on the image.
    pub(crate) fn take_triggers(&mut self) -> Vec<String> {
        let triggers = self.words("OnBuild");
        self.config.remove("OnBuild");
        triggers
    }

    pub(crate) fn add_trigger(&mut self, text: &str) {
        let mut triggers = self.words("OnBuild");
        triggers.push(text.to_owned());
        self.config.insert("OnBuild".into(), triggers.into());
    }

    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.config.insert(key.into(), value.into());
    }

    pub(crate) fn forget(&mut self, key: &str) {
        self.config.remove(key);
    }

    pub(crate) fn set_author(&mut self, author: &str) {
        self.root.insert("author".into(), author.into());
    }

    /// Adds a name to a map of names, such as those of volumes.
    pub(crate) fn add(&mut self, key: &str, name: &str) {
        self.entry(key).insert(name.to_owned(), json!({}));
    }

    pub(crate) fn label(&mut self, name: &str, value: &str) {
        self.entry("Labels").insert(name.to_owned(), value.into());
    }

    fn entry(&mut self, key: &str) -> &mut Map<String, Value> {
        let slot = self.config.entry(key).or_insert_with(|| json!({}));
        if !slot.is_object() {
            *slot = json!({});
        }
        match slot {
            Value::Object(map) => map,
            _ => unreachable!("it was just made a map"),
        }
    }

    /// Sets the health check in Docker's form; durations are in nanoseconds.
    pub(crate) fn set_health(&mut self, check: &HealthCheck, shell: &[String]) {
        let HealthCheck::Check { command: line, interval, timeout, start_period, start_interval, retries } = check
        else {
            return self.set("Healthcheck", json!({ "Test": ["NONE"] }));
        };
        let mut test: Vec<String> = vec!["CMD".into()];
        match line {
            dockerfile::CommandLine::Exec(words) => test.extend(words.clone()),
            // Docker's word for "by the image's shell", where that is the usual one.
            dockerfile::CommandLine::Shell(text) if shell == ["/bin/sh", "-c"] => {
                test = vec!["CMD-SHELL".into(), text.clone()];
            }
            line @ dockerfile::CommandLine::Shell(_) => test.extend(command(line, shell)),
        }
        let mut health = Map::new();
        health.insert("Test".into(), test.into());
        let durations = [
            ("Interval", interval),
            ("Timeout", timeout),
            ("StartPeriod", start_period),
            ("StartInterval", start_interval),
        ];
        for (key, duration) in durations {
            if let Some(duration) = duration {
                health.insert(key.into(), u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).into());
            }
        }
        if let Some(retries) = retries {
            health.insert("Retries".into(), (*retries).into());
        }
        self.set("Healthcheck", health);
    }

    /// Adds a line to the history; `layer` says whether it goes with one.
    pub(crate) fn remember(&mut self, created_by: &str, layer: bool) {
        let mut step = Map::new();
        step.insert("created_by".into(), created_by.into());
        step.insert("comment".into(), COMMENT.into());
        if !layer {
            step.insert("empty_layer".into(), true.into());
        }
        self.history.push(step.into());
    }

    /// Drops the lines of the history that were added after the first `kept`, and puts one in their place.
    pub(crate) fn squash_history(&mut self, kept: usize) {
        self.history.truncate(kept);
        self.remember("squashed", true);
    }

    pub(crate) fn history_length(&self) -> usize {
        self.history.len()
    }

    fn words(&self, key: &str) -> Vec<String> {
        let Some(Value::Array(words)) = self.config.get(key) else { return Vec::new() };
        words.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    }

    /// Returns the document with its layers, made at `epoch`; the same nouns give the same bytes.
    pub(crate) fn complete(&self, layers: &[Digest], epoch: u64) -> serde_json::Result<Vec<u8>> {
        let seconds = i64::try_from(epoch).unwrap_or(i64::MAX);
        let created = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string();
        let mut history = self.history.clone();
        for step in &mut history {
            if let Value::Object(step) = step {
                step.entry("created").or_insert_with(|| created.clone().into());
            }
        }
        let mut root = self.root.clone();
        let diff_ids: Vec<String> = layers.iter().map(ToString::to_string).collect();
        root.insert("config".into(), self.config.clone().into());
        root.insert("created".into(), created.into());
        root.insert("history".into(), history.into());
        root.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": diff_ids }));
        // The map keeps its keys sorted.
        serde_json::to_vec(&root)
    }
}

/// Who wrote a line of the history.
const COMMENT: &str = "conductor.dockerfile.v1";
