//! Lines, each with the number of its step in front, as BuildKit's plain form has them.

use std::collections::HashMap;
use std::io::{Write, stderr};

use build::{Event, StepId};

/// Shows a build in lines.
#[derive(Debug, Default)]
pub(in crate::commands::build) struct Plain {
    steps: HashMap<StepId, Step>,
    begun: u32,
}

#[derive(Debug, Default)]
struct Step {
    title: String,
    /// Its number, once something was said of it.
    number: Option<u32>,
    /// When it was begun.
    started: Option<std::time::Instant>,
    /// The beginning of a line that has not ended.
    rest: Vec<u8>,
}

impl Plain {
    pub(super) fn hear(&mut self, event: &Event<'_>) {
        let text = self.lines(event);
        let _ = stderr().lock().write_all(text.as_bytes());
    }

    fn lines(&mut self, event: &Event<'_>) -> String {
        match event {
            Event::Planned { id, title } => {
                let step = Step { title: (*title).to_owned(), ..Step::default() };
                self.steps.insert(*id, step);
                String::new()
            }
            Event::Started(id) => {
                let heading = self.heading(*id);
                self.step(*id).started = Some(std::time::Instant::now());
                heading
            }
            Event::Output { id, bytes, .. } => self.output(*id, bytes),
            Event::Cached(id) => {
                let heading = self.heading(*id);
                format!("{heading}#{} CACHED\n\n", self.number(*id))
            }
            Event::Done { id, took } => {
                let rest = self.rest(*id);
                format!("{rest}#{} DONE {:.1}s\n\n", self.number(*id), took.as_secs_f64())
            }
            Event::Failed { id, .. } => {
                let (heading, rest) = (self.heading(*id), self.rest(*id));
                format!("{heading}{rest}#{} ERROR\n\n", self.number(*id))
            }
            Event::Warning(text) => format!("warning: {text}\n"),
            Event::Doing(_) | Event::Shell => String::new(),
        }
    }

    fn step(&mut self, id: StepId) -> &mut Step {
        self.steps.entry(id).or_default()
    }

    /// The first line about a step says which it is.
    fn heading(&mut self, id: StepId) -> String {
        if self.step(id).number.is_some() {
            return String::new();
        }
        let number = self.number(id);
        format!("#{number} {}\n", self.step(id).title)
    }

    fn number(&mut self, id: StepId) -> u32 {
        if let Some(number) = self.step(id).number {
            return number;
        }
        self.begun += 1;
        self.step(id).number = Some(self.begun);
        self.begun
    }

    fn output(&mut self, id: StepId, bytes: &[u8]) -> String {
        let number = self.number(id);
        let step = self.step(id);
        let since = step.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
        step.rest.extend_from_slice(bytes);
        let mut text = String::new();
        while let Some(end) = step.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = step.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            text.push_str(&format!("#{number} {since:.3} {}\n", line.trim_end_matches(['\n', '\r'])));
        }
        text
    }

    fn rest(&mut self, id: StepId) -> String {
        let is_open = !self.step(id).rest.is_empty();
        if is_open { self.output(id, b"\n") } else { String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_line_bears_the_number_of_its_step() {
        let mut plain = Plain::default();
        let (first, second) = (StepId { stage: 0, step: 0 }, StepId { stage: 0, step: 1 });
        let events = [
            Event::Planned { id: first, title: "[2/3] COPY a b" },
            Event::Planned { id: second, title: "[3/3] RUN make" },
            Event::Cached(first),
            Event::Started(second),
            Event::Output { id: second, error: false, bytes: b"one\ntw" },
            Event::Output { id: second, error: true, bytes: b"o" },
            Event::Done { id: second, took: Duration::from_millis(1234) },
        ];
        let text: String = events.iter().map(|event| plain.lines(event)).collect();
        insta::with_settings!({ filters => [(r"0\.\d{3}", "TIME")] }, {
            insta::assert_snapshot!(text, @r"
            #1 [2/3] COPY a b
            #1 CACHED

            #2 [3/3] RUN make
            #2 TIME one
            #2 TIME two
            #2 DONE 1.2s
            ");
        });
    }
}
