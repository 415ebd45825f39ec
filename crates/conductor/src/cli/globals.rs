//! The options that every command knows: before the command's name, or among its own.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use trace::Format as ExplainFormat;

use super::usage;
use crate::error::Failure;
use crate::logging::{Level, LogFormat};
use crate::personality::Face;

/// What every command knows.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Globals {
    /// Keep images and containers below this directory (default /var/lib/conductor)
    #[arg(long, value_name = "DIR", help_heading = "Global options")]
    pub(crate) root: Option<PathBuf>,
    /// Keep the state of what runs below this directory (default /run/conductor)
    #[arg(long, value_name = "DIR", help_heading = "Global options")]
    pub(crate) state: Option<PathBuf>,
    /// Print each change to the host as it is made, with the equivalent shell command: text or json
    #[arg(
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "text",
        help_heading = "Global options"
    )]
    pub(crate) explain: Option<ExplainFormat>,
    /// Log this and what is more severe to stderr: trace, debug, info, warn, error or off (default warn)
    #[arg(long, value_name = "LEVEL", help_heading = "Global options")]
    pub(crate) log_level: Option<Level>,
    /// Log in this form: text or json
    #[arg(long, value_name = "FORMAT", help_heading = "Global options")]
    pub(crate) log_format: Option<LogFormat>,
    /// Log everything that helps to find a mistake (the same as --log-level debug)
    #[arg(long, help_heading = "Global options")]
    pub(crate) debug: bool,
}

impl Globals {
    /// Lets what was typed nearer to the command win.
    pub(crate) fn overlaid(self, nearer: Self) -> Self {
        Self {
            root: nearer.root.or(self.root),
            state: nearer.state.or(self.state),
            explain: nearer.explain.or(self.explain),
            log_level: nearer.log_level.or(self.log_level),
            log_format: nearer.log_format.or(self.log_format),
            debug: nearer.debug || self.debug,
        }
    }
}

/// What stands before the command's name, and the words from there on.
#[derive(Debug, Default)]
pub(crate) struct Leading {
    pub(crate) globals: Globals,
    pub(crate) version: bool,
    pub(crate) help: bool,
    pub(crate) words: Vec<OsString>,
}

/// Splits the global options off. Most command lines have none, and then no grammar is built here.
pub(crate) fn split(face: Face, words: &[OsString]) -> Result<Leading, Failure> {
    if words.first().is_none_or(|word| !word.as_bytes().starts_with(b"-")) {
        return Ok(Leading { words: words.to_vec(), ..Leading::default() });
    }
    let matches = command(face).try_get_matches_from(words);
    matches.and_then(|matches| leading(&matches)).map_err(|error| usage::failure(&error, &command(face), 1))
}

fn leading(matches: &ArgMatches) -> Result<Leading, clap::Error> {
    let globals = Globals::from_arg_matches(matches)?;
    let ignored = LeadingOnly::from_arg_matches(matches)?;
    Ok(Leading {
        globals: Globals { debug: globals.debug || ignored.short_debug, ..globals },
        version: ignored.version,
        help: ignored.help,
        words: ignored.words,
    })
}

/// Options that mean something only before the command's name; those of Docker's client that name a daemon mean nothing here.
#[derive(Debug, Args)]
struct LeadingOnly {
    /// Print the version
    #[arg(short, long)]
    version: bool,
    /// Print this help
    #[arg(short, long)]
    help: bool,
    #[arg(short = 'D', hide = true)]
    short_debug: bool,
    #[arg(short = 'H', long, hide = true)]
    host: Vec<String>,
    #[arg(short = 'c', long, hide = true)]
    context: Option<String>,
    #[arg(long, hide = true)]
    config: Option<String>,
    #[arg(long, hide = true)]
    tls: bool,
    #[arg(long, hide = true)]
    tlsverify: bool,
    #[arg(long, hide = true)]
    tlscacert: Option<String>,
    #[arg(long, hide = true)]
    tlscert: Option<String>,
    #[arg(long, hide = true)]
    tlskey: Option<String>,
    #[arg(trailing_var_arg = true, hide = true)]
    words: Vec<OsString>,
}

/// Returns the grammar of the global options; its help is the tail of the overview.
pub(crate) fn command(face: Face) -> Command {
    let command = Command::new(face.program())
        .bin_name(face.program())
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true);
    Globals::augment_args(LeadingOnly::augment_args(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Leading, String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        split(Face::Conductor, &words).map_err(|failure| failure.lines().unwrap())
    }

    #[test]
    fn options_before_the_command_are_ours_and_the_rest_is_the_commands() {
        let leading =
            read("--root /a --state=/b --explain --log-level debug -H unix:///x run --root /c -it eg").unwrap();
        assert_eq!(leading.globals.root.as_deref(), Some("/a".as_ref()));
        assert_eq!(leading.globals.state.as_deref(), Some("/b".as_ref()));
        assert_eq!(leading.globals.explain, Some(ExplainFormat::Text));
        assert_eq!(leading.globals.log_level, Some(Level::Debug));
        assert_eq!(leading.words, ["run", "--root", "/c", "-it", "eg"]);
    }

    #[test]
    fn explain_takes_its_format_behind_an_equals_sign_only() {
        let leading = read("--explain=json ps").unwrap();
        assert_eq!((leading.globals.explain, leading.words.len()), (Some(ExplainFormat::Json), 1));
        assert!(read("--explain=yaml ps").unwrap_err().contains("use text or json"));
    }

    #[test]
    fn an_unknown_option_gets_a_suggestion() {
        assert_eq!(
            read("--explian run").unwrap_err(),
            "error: unknown flag: --explian\n  hint: did you mean --explain? See 'conductor --help'"
        );
    }

    #[test]
    fn what_was_typed_nearer_to_the_command_wins() {
        let outer = Globals { root: Some("/a".into()), debug: true, ..Globals::default() };
        let inner = Globals { root: Some("/b".into()), ..Globals::default() };
        let both = outer.overlaid(inner);
        assert_eq!((both.root, both.debug), (Some("/b".into()), true));
    }
}
