//! What `--log-driver` and `--log-opt` said: where a container's output is kept, and how.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::tag::{Tag, TagError};

/// What becomes of a container's output. What was not said is the driver's own choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogOptions {
    /// Where it is kept.
    pub driver: LogDriver,
    /// The size in bytes at which a file is put aside and a new one begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// How many files are kept, the newest included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_file: Option<u32>,
    /// Whether files that were put aside are packed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress: Option<bool>,
    /// How entries of the journal name the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// The labels that entries of the journal carry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The variables of the environment that entries of the journal carry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
}

/// Where the output is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// In files of JSON lines.
    #[default]
    JsonFile,
    /// In compact files that are packed when they are put aside.
    Local,
    /// In the journal of systemd.
    Journald,
    /// Nowhere.
    None,
}

/// Why a log option cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogOptionError {
    /// A driver that does not exist.
    #[error("unknown log driver {0:?}: use json-file, local, journald or none")]
    Driver(String),
    /// A key or a value that means nothing to this driver.
    #[error("the log driver {driver} has no option {option:?}: {}", driver.known())]
    Option {
        /// The driver.
        driver: LogDriver,
        /// The option as it was given.
        option: String,
    },
    /// A tag that names what there is not.
    #[error(transparent)]
    Tag(#[from] TagError),
}

impl LogDriver {
    /// Returns Docker's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::Journald => "journald",
            Self::None => "none",
        }
    }

    fn known(self) -> &'static str {
        match self {
            Self::JsonFile => "use max-size=SIZE (as in 10m) or max-file=NUMBER",
            Self::Local => "use max-size=SIZE (as in 10m), max-file=NUMBER or compress=true|false",
            Self::Journald => "use tag=TEMPLATE, labels=NAME,... or env=NAME,...",
            Self::None => "it has none",
        }
    }
}

impl fmt::Display for LogDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LogDriver {
    type Err = LogOptionError;

    fn from_str(name: &str) -> Result<Self, LogOptionError> {
        let all = [Self::JsonFile, Self::Local, Self::Journald, Self::None];
        all.into_iter().find(|driver| driver.name() == name).ok_or_else(|| LogOptionError::Driver(name.to_owned()))
    }
}

impl LogOptions {
    /// Returns the options of a driver of which nothing was said.
    pub fn of(driver: LogDriver) -> Self {
        Self { driver, ..Self::default() }
    }

    /// Adds what one `--log-opt` says.
    pub fn set(&mut self, option: &str) -> Result<(), LogOptionError> {
        use LogDriver::{Journald, JsonFile, Local};
        let unknown = || LogOptionError::Option { driver: self.driver, option: option.to_owned() };
        let names = |list: &str| list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        match (self.driver, option.split_once('=').ok_or_else(unknown)?) {
            (JsonFile | Local, ("max-size", "-1")) => self.max_size = Some(u64::MAX),
            (JsonFile | Local, ("max-size", size)) => {
                self.max_size = Some(crate::resources::parse_size(size).map_err(|_| unknown())?.max(1));
            }
            (JsonFile | Local, ("max-file", number)) => {
                self.max_file = Some(number.parse().ok().filter(|number| *number > 0).ok_or_else(unknown)?);
            }
            (Local, ("compress", word)) => self.compress = Some(word.parse().map_err(|_| unknown())?),
            (Journald, ("tag", tag)) => self.tag = Some(tag.parse()?),
            (Journald, ("labels", list)) => self.labels = names(list),
            (Journald, ("env", list)) => self.env = names(list),
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// Returns the size at which a file is put aside; for `local` Docker's, for JSON one that fits no less.
    pub(crate) fn max_size(&self) -> u64 {
        const MIB: u64 = 1024 * 1024;
        self.max_size.unwrap_or(if self.driver == LogDriver::Local { 20 * MIB } else { 10 * MIB })
    }

    /// Returns how many files are kept.
    pub(crate) fn max_file(&self) -> u32 {
        self.max_file.unwrap_or(if self.driver == LogDriver::Local { 5 } else { 3 })
    }

    pub(crate) fn compress(&self) -> bool {
        self.compress.unwrap_or(self.driver == LogDriver::Local)
    }

    /// Returns the options in the words of `--log-opt`.
    pub(crate) fn words(&self) -> Vec<(&'static str, String)> {
        let list = |names: &[String]| Some(names.join(",")).filter(|list| !list.is_empty());
        let files = matches!(self.driver, LogDriver::JsonFile | LogDriver::Local);
        let words = [
            ("max-size", files.then(|| self.max_size().to_string())),
            ("max-file", files.then(|| self.max_file().to_string())),
            ("compress", (self.driver == LogDriver::Local).then(|| self.compress().to_string())),
            ("tag", self.tag.as_ref().map(ToString::to_string)),
            ("labels", list(&self.labels)),
            ("env", list(&self.env)),
        ];
        words.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(driver: &str, options: &[&str]) -> Result<LogOptions, LogOptionError> {
        let mut log = LogOptions::of(driver.parse()?);
        options.iter().try_for_each(|option| log.set(option)).map(|()| log)
    }

    #[test]
    fn options_are_docker_s_and_belong_to_their_driver() {
        let log = set("json-file", &["max-size=1k", "max-file=2"]).unwrap();
        assert_eq!((log.max_size(), log.max_file(), log.compress()), (1024, 2, false));
        let log = set("local", &["max-size=-1", "compress=false"]).unwrap();
        assert_eq!((log.max_size(), log.max_file(), log.compress()), (u64::MAX, 5, false));
        let log = set("journald", &["tag={{.Name}}", "labels=a,b", "env=C"]).unwrap();
        assert_eq!(log.words(), [("tag", "{{.Name}}".into()), ("labels", "a,b".into()), ("env", "C".into())]);
        for (driver, option) in [
            ("json-file", "max-file=0"),
            ("json-file", "max-size=x"),
            ("json-file", "compress"),
            ("json-file", "compress=true"),
            ("local", "compress=yes"),
            ("local", "tag=x"),
            ("journald", "max-size=1m"),
            ("none", "max-file=3"),
        ] {
            let error = set(driver, &[option]).unwrap_err().to_string();
            assert!(error.contains(driver) && error.contains(option), "{error}");
        }
        assert!(set("journald", &["tag={{.Nothing}}"]).is_err());
    }

    #[test]
    fn an_unknown_driver_is_told_which_there_are() {
        let error = "syslog".parse::<LogDriver>().unwrap_err().to_string();
        for driver in [LogDriver::JsonFile, LogDriver::Local, LogDriver::Journald, LogDriver::None] {
            assert!(error.contains(driver.name()), "{error}");
            assert_eq!(serde_json::to_value(driver).unwrap(), driver.name());
        }
    }

    #[test]
    fn what_was_not_said_is_the_driver_s_own_choice() {
        let log: LogOptions = serde_json::from_str("{\"driver\":\"local\"}").unwrap();
        assert_eq!((log.max_size(), log.max_file(), log.compress()), (20 << 20, 5, true));
        let log: LogOptions =
            serde_json::from_str("{\"driver\":\"json-file\",\"max_size\":10485760,\"max_file\":3}").unwrap();
        assert_eq!((log.max_size(), log.max_file(), log.compress()), (10 << 20, 3, false));
        assert_eq!(log.words(), LogOptions::default().words());
    }
}
