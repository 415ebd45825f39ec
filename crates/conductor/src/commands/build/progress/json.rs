//! One JSON object a line, in the shape of BuildKit's `rawjson`: vertexes and logs.

use std::collections::HashMap;
use std::io::{Write, stderr};

use build::{Event, StepId};
use jiff::Timestamp;
use oci::Digest;
use serde_json::{Value, json};

/// Shows a build to another program.
#[derive(Debug, Default)]
pub(in crate::commands::build) struct Json {
    titles: HashMap<StepId, String>,
    started: HashMap<StepId, Timestamp>,
}

impl Json {
    pub(super) fn hear(&mut self, event: &Event<'_>) {
        if let Some(value) = self.value(event, Timestamp::now()) {
            let _ = writeln!(stderr().lock(), "{value}");
        }
    }

    fn value(&mut self, event: &Event<'_>, now: Timestamp) -> Option<Value> {
        Some(match event {
            Event::Planned { id, title } => {
                self.titles.insert(*id, (*title).to_owned());
                return None;
            }
            Event::Started(id) => {
                self.started.insert(*id, now);
                self.vertex(*id, &json!({ "started": now }))
            }
            Event::Cached(id) => self.vertex(*id, &json!({ "started": now, "completed": now, "cached": true })),
            Event::Done { id, .. } => self.vertex(*id, &json!({ "completed": now })),
            Event::Failed { id, .. } => self.vertex(*id, &json!({ "completed": now, "error": "the step failed" })),
            Event::Output { id, error, bytes } => {
                let data = base64(bytes);
                let stream = if *error { 2 } else { 1 };
                json!({ "logs": [{ "vertex": self.digest(*id), "stream": stream, "data": data, "timestamp": now }] })
            }
            Event::Warning(text) => json!({ "warnings": [{ "short": text }] }),
            Event::Doing(_) | Event::Shell => return None,
        })
    }

    fn digest(&self, id: StepId) -> String {
        Digest::of(format!("{}/{}", id.stage, id.step).as_bytes()).to_string()
    }

    fn vertex(&self, id: StepId, more: &Value) -> Value {
        let mut vertex = json!({ "digest": self.digest(id), "name": self.titles.get(&id) });
        if let (Value::Object(vertex), Value::Object(more)) = (&mut vertex, more) {
            if let Some(started) = self.started.get(&id) {
                vertex.insert("started".into(), json!(started));
            }
            vertex.extend(more.clone());
        }
        json!({ "vertexes": [vertex] })
    }
}

/// Bytes as JSON has them (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { letter.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_everybody_reads_them() {
        for (bytes, text) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("abcdef", "YWJjZGVm")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_step_is_a_vertex() {
        let mut json = Json::default();
        let id = StepId { stage: 0, step: 1 };
        assert!(json.value(&Event::Planned { id, title: "[2/2] RUN a" }, Timestamp::UNIX_EPOCH).is_none());
        let value = json.value(&Event::Cached(id), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(value["vertexes"][0]["name"], "[2/2] RUN a");
        assert_eq!(value["vertexes"][0]["cached"], true);
    }
}
