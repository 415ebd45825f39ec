//! A tree that changes on a terminal: a line a step with its time, and below those that run the last lines of what they say.

use std::collections::VecDeque;
use std::io::{Write, stderr};
use std::time::{Duration, Instant};

use build::{Event, StepId};

/// How many lines of a running step are shown.
const TAIL: usize = 6;

/// How often it is drawn anew while much is said.
const INTERVAL: Duration = Duration::from_millis(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    Running(Instant),
    Cached,
    Done(Duration),
    Failed(Duration),
}

#[derive(Debug)]
struct Step {
    id: StepId,
    title: String,
    fate: Fate,
    tail: VecDeque<String>,
    rest: Vec<u8>,
    /// It was shown for good, above what still changes.
    settled: bool,
}

/// Shows a build on a terminal.
#[derive(Debug)]
pub(in crate::commands::build) struct Tree {
    steps: Vec<Step>,
    begun: Instant,
    drawn: Instant,
    /// How many lines are to be drawn over.
    lines: usize,
    ended: bool,
}

impl Tree {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { steps: Vec::new(), begun: now, drawn: now, lines: 0, ended: false }
    }

    pub(super) fn hear(&mut self, event: &Event<'_>) {
        let hurries = !matches!(event, Event::Output { .. } | Event::Planned { .. });
        match event {
            Event::Planned { id, title } => {
                let (id, title) = (*id, (*title).to_owned());
                let (tail, rest) = (VecDeque::new(), Vec::new());
                self.steps.push(Step { id, title, fate: Fate::Waiting, tail, rest, settled: false });
            }
            Event::Started(id) => self.set(*id, Fate::Running(Instant::now())),
            Event::Cached(id) => self.set(*id, Fate::Cached),
            Event::Done { id, took } => self.set(*id, Fate::Done(*took)),
            Event::Failed { id, took } => self.set(*id, Fate::Failed(*took)),
            Event::Output { id, bytes, .. } => self.output(*id, bytes),
            Event::Warning(text) => {
                let _ = write!(stderr().lock(), "{}warning: {text}\r\n", self.erased());
                self.lines = 0;
            }
            Event::Doing(_) => {}
            Event::Shell => return self.finish(),
        }
        if hurries || self.drawn.elapsed() >= INTERVAL {
            self.draw();
        }
    }

    fn set(&mut self, id: StepId, fate: Fate) {
        if let Some(step) = self.steps.iter_mut().find(|step| step.id == id) {
            step.fate = fate;
        }
    }

    fn output(&mut self, id: StepId, bytes: &[u8]) {
        let Some(step) = self.steps.iter_mut().find(|step| step.id == id) else { return };
        step.rest.extend_from_slice(bytes);
        while let Some(end) = step.rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let line: Vec<u8> = step.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            if !line.trim().is_empty() {
                step.tail.push_back(line);
            }
            while step.tail.len() > TAIL {
                step.tail.pop_front();
            }
        }
    }

    /// Draws what has changed over what was drawn.
    fn draw(&mut self) {
        let (width, height) = size();
        let mut text = self.erased();
        let (settled, moving) = self.render(width, height.saturating_sub(2));
        self.lines = moving.len();
        for line in settled.iter().chain(&moving) {
            text.push_str(line);
            text.push_str("\r\n");
        }
        self.drawn = Instant::now();
        let _ = stderr().lock().write_all(text.as_bytes());
    }

    /// Returns the lines that stay, and those that are drawn anew the next time.
    fn render(&mut self, width: usize, height: usize) -> (Vec<String>, Vec<String>) {
        let mut settled = Vec::new();
        for step in &mut self.steps {
            let is_over = matches!(step.fate, Fate::Cached | Fate::Done(_) | Fate::Failed(_));
            if is_over && !step.settled {
                step.settled = true;
                settled.push(line(step, width));
            }
        }
        let over = self.steps.iter().filter(|step| step.settled).count();
        let mut moving = Vec::new();
        if !self.ended {
            let all = self.steps.len();
            moving.push(cut(format!("[+] Building {:.1}s ({over}/{all})", self.begun.elapsed().as_secs_f64()), width));
        }
        for step in self.steps.iter().filter(|step| matches!(step.fate, Fate::Running(_))) {
            moving.push(line(step, width));
            let tail = step.tail.iter().map(|said| cut(format!(" => => # {}", printable(said)), width));
            moving.extend(tail);
        }
        moving.truncate(height.max(1));
        (settled, moving)
    }

    /// Returns what takes the lines away that are drawn anew.
    fn erased(&self) -> String {
        match self.lines {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
        }
    }

    /// Leaves the terminal with what is settled.
    pub(super) fn finish(&mut self) {
        self.ended = true;
        self.steps
            .iter_mut()
            .filter(|step| matches!(step.fate, Fate::Running(_)))
            .for_each(|step| step.fate = Fate::Waiting);
        self.draw();
        self.lines = 0;
    }
}

fn line(step: &Step, width: usize) -> String {
    let (mark, time) = match step.fate {
        Fate::Cached => (" => CACHED ", String::new()),
        Fate::Done(took) | Fate::Failed(took) => {
            let mark = if matches!(step.fate, Fate::Failed(_)) { " => ERROR " } else { " => " };
            (mark, format!("{:.1}s", took.as_secs_f64()))
        }
        Fate::Running(since) => (" => ", format!("{:.1}s", since.elapsed().as_secs_f64())),
        Fate::Waiting => (" => ", String::new()),
    };
    let room = width.saturating_sub(mark.chars().count() + time.len() + 1);
    let title: String = printable(&step.title).chars().take(room).collect();
    format!("{mark}{title:<room$} {time}")
}

/// What a step says must not move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect()
}

fn cut(text: String, width: usize) -> String {
    text.chars().take(width).collect()
}

fn size() -> (usize, usize) {
    let window = sys::pty::size(stderr()).ok().filter(|window| window.ws_col > 0 && window.ws_row > 0);
    window.map_or((80, 24), |window| (usize::from(window.ws_col).max(20), usize::from(window.ws_row).max(4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_stays_and_what_runs_shows_its_last_lines() {
        let mut tree = Tree::new();
        let ids = [0, 1, 2].map(|step| StepId { stage: 0, step });
        for (id, title) in ids.iter().zip(["[2/4] COPY . .", "[3/4] RUN make", "[4/4] RUN test"]) {
            tree.steps.push(Step {
                id: *id,
                title: title.into(),
                fate: Fate::Waiting,
                tail: VecDeque::new(),
                rest: Vec::new(),
                settled: false,
            });
        }
        tree.set(ids[0], Fate::Cached);
        tree.set(ids[1], Fate::Running(Instant::now()));
        tree.output(ids[1], b"cc a.c\ncc b.c\n\x1b[31mwarn");
        let (settled, moving) = tree.render(40, 20);
        assert_eq!(settled.iter().map(|line| line.trim_end()).collect::<Vec<_>>(), [" => CACHED [2/4] COPY . ."]);
        assert!(moving[0].starts_with("[+] Building 0.0s (1/3)"), "{moving:?}");
        assert!(moving[1].starts_with(" => [3/4] RUN make") && moving[1].ends_with("0.0s"), "{moving:?}");
        assert_eq!(moving[2..], [" => => # cc a.c", " => => # cc b.c"]);
        assert!(tree.render(40, 20).0.is_empty(), "what stays is drawn once");
    }
}
