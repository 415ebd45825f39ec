//! How layers on their way are shown: a bar each on a terminal, a line each elsewhere, nothing where that is asked for.

use std::collections::HashMap;
use std::io::{IsTerminal, stderr};
use std::sync::Mutex;

use image::{News, TransferProgress};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::remark;
use super::size::human_size;

/// Where layers go: to a registry or from there, into an archive or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Down,
    Up,
    Load,
    Save,
}

/// Shows a transfer on stderr.
#[derive(Debug)]
pub(crate) struct Display {
    direction: Direction,
    bars: Option<MultiProgress>,
    layers: Mutex<HashMap<String, Shown>>,
}

/// A layer as it is shown.
#[derive(Debug, Default)]
struct Shown {
    size: u64,
    bar: Option<ProgressBar>,
}

impl Display {
    /// Begins to show a transfer.
    pub(crate) fn new(direction: Direction) -> Self {
        let bars = stderr().is_terminal().then(MultiProgress::new);
        Self { direction, bars, layers: Mutex::default() }
    }

    fn bar(&self, layer: &str) -> Option<ProgressBar> {
        // It is drawn as soon as it is added.
        let bar = ProgressBar::no_length().with_style(style("{prefix} {msg}")).with_prefix(layer.to_owned());
        Some(self.bars.as_ref()?.add(bar))
    }

    fn words(&self, news: News, size: u64) -> Option<String> {
        Some(match (news, self.direction) {
            (News::Exists, Direction::Down) => "is here already".to_owned(),
            (News::Exists, _) => "is there already".to_owned(),
            (News::Mounted, _) => "mounted from another repository".to_owned(),
            (News::Waiting, _) => "waits: somebody else brings it".to_owned(),
            (News::Packing(_), _) => "compressing".to_owned(),
            (News::Broken, _) => "cannot be read".to_owned(),
            (News::Begun(_), direction) => direction.words().0.to_owned(),
            (News::Done, direction) => format!("{} {}", direction.words().1, human_size(size)),
            _ => return None,
        })
    }
}

impl Direction {
    /// Returns what is said of a layer that is on its way, and of one that has come to its end.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Down => ("pulling", "pulled"),
            Self::Up => ("pushing", "pushed"),
            Self::Load => ("loading", "loaded"),
            Self::Save => ("saving", "saved"),
        }
    }
}

impl TransferProgress for Display {
    fn tell(&self, layer: &str, news: News) {
        let mut layers = self.layers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // What is read of an archive's documents is no layer's.
        if matches!(news, News::Moved(_)) && !layers.contains_key(layer) {
            return;
        }
        let shown = layers.entry(layer.to_owned()).or_insert_with(|| Shown { size: 0, bar: self.bar(layer) });
        if let News::Begun(size) | News::Packing(size) = news {
            shown.size = size;
        }
        let words = self.words(news, shown.size);
        match (&shown.bar, news) {
            (Some(bar), News::Moved(more)) => bar.inc(more),
            (Some(bar), News::Begun(size) | News::Packing(size)) => {
                bar.set_message(words.unwrap_or_default());
                bar.set_length(size);
                bar.set_position(0);
                bar.set_style(style(
                    "{prefix} {msg} [{bar:24}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}",
                ));
            }
            (Some(bar), News::Waiting) => bar.set_message(words.unwrap_or_default()),
            (Some(bar), _) => {
                bar.set_style(style("{prefix} {msg}"));
                bar.finish_with_message(words.unwrap_or_default());
            }
            // A line when something ends, and one when it takes longer than people like to wait without knowing why.
            (None, News::Begun(_) | News::Moved(_) | News::Packing(_)) => {}
            (None, _) => words.iter().for_each(|words| remark(&format!("{layer} {words}"))),
        }
    }
}

/// The templates are ours, so one that cannot be read is a mistake that the tests find.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_can_be_read() {
        for template in ["{prefix} {msg}", "{prefix} {msg} [{bar:24}] {decimal_bytes}/{decimal_total_bytes} {eta}"] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
