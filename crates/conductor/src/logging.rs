//! Structured logging for those who look for a mistake; everybody else pays one comparison a line.

use std::str::FromStr;
use std::{fmt, io};

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::globals::Globals;

/// How severe a line must be to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Off,
}

impl FromStr for Level {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match word {
            "trace" => Self::Trace,
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "error" | "fatal" => Self::Error,
            "off" => Self::Off,
            _ => return Err("use trace, debug, info, warn, error or off".to_owned()),
        })
    }
}

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Trace => LevelFilter::TRACE,
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
            Self::Off => LevelFilter::OFF,
        }
    }
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Words for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("use text or json".to_owned()),
        }
    }
}

/// Returns the level that the options ask for.
pub(crate) fn level(globals: &Globals) -> Level {
    match globals.log_level {
        Some(level) => level,
        None if globals.debug => Level::Debug,
        None => Level::Warn,
    }
}

/// Starts logging to stderr.
pub(crate) fn start(globals: &Globals) {
    let builder = tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level(globals).filter());
    let color = io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    // A second start in one process would fail, and leaves the first as it is.
    let _ = match globals.log_format {
        Some(LogFormat::Json) => builder.json().try_init(),
        None if globals.log_level.is_none() && !globals.debug => {
            builder.with_ansi(false).event_format(Sentences).try_init()
        }
        _ => builder.with_ansi(color).try_init(),
    };
}

/// Lines for whoever has not asked for a log, in the form of all that we say: neither time nor place.
struct Sentences;

impl<S, N> FormatEvent<S, N> for Sentences
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let word = if *event.metadata().level() == tracing::Level::ERROR { "error" } else { "warning" };
        write!(to, "{word}: ")?;
        context.format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}
