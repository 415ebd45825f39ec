//! The machine an image is for, in all the words that an index or a configuration has for it.

use serde::{Deserialize, Serialize};

use crate::Platform;

/// A platform, and what of it only some systems know (image-spec, image-index.md, "platform").
///
/// It reads from a configuration as well, which has the same words among others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system, architecture and variant.
    #[serde(flatten)]
    pub platform: Platform,
    /// The version of the operating system, such as `10.0.17763.1577` of Windows.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What the operating system must be able to do, such as `win32k`.
    #[serde(rename = "os.features", default, skip_serializing_if = "Option::is_none")]
    pub os_features: Option<Vec<String>>,
    /// What the processor must be able to do; Docker's lists know it, and the image-spec keeps the word free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
}

/// What is to be said otherwise about a machine; what is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineChange {
    /// The operating system.
    pub os: Option<String>,
    /// The architecture; the kernel's names of processors are known too.
    pub architecture: Option<String>,
    /// The variant; an empty one takes it away.
    pub variant: Option<String>,
    /// The version of the operating system.
    pub os_version: Option<String>,
    /// What the operating system must be able to do, all of it.
    pub os_features: Vec<String>,
}

/// Why a machine cannot be said to be so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// No machine has such a word.
    #[error("{word:?} is no {what}: use one of {}", .known.join(", "))]
    Unknown {
        /// What it should be.
        what: &'static str,
        /// The word.
        word: String,
        /// The words that there are.
        known: &'static [&'static str],
    },
    /// The variant could not stand in a platform.
    #[error("{0:?} is no variant of a processor: use letters, digits, '-', '_' and '.', as in v8")]
    Variant(String),
    /// The image tells no machine, and half of one is not enough.
    #[error("nothing is known of its machine yet: say its architecture")]
    NoArchitecture,
}

/// Go's names of operating systems, which the image-spec demands, and what BuildKit writes where there is none.
const SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "unknown",
];
/// Go's names of processors, and what BuildKit writes where there is none.
const PROCESSORS: &[&str] = &[
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
    "s390x", "wasm", "unknown",
];

impl Machine {
    /// Makes a machine of which no more is known than its platform.
    pub fn new(platform: Platform) -> Self {
        Self { platform, os_version: None, os_features: None, features: None }
    }

    /// Returns the machine without words that say nothing: Go writes some of them empty.
    #[must_use]
    pub fn without_empty_words(self) -> Self {
        let Platform { os, architecture, variant } = self.platform;
        let platform = Platform { os, architecture, variant: variant.filter(|word| !word.is_empty()) };
        let os_version = self.os_version.filter(|word| !word.is_empty());
        let filled = |words: Option<Vec<String>>| words.filter(|words| !words.is_empty());
        Self { platform, os_version, os_features: filled(self.os_features), features: filled(self.features) }
    }
}

impl MachineChange {
    /// Returns the machine as it is to be called; nothing where nothing was known and nothing is said.
    pub fn applied_to(&self, machine: Option<Machine>) -> Result<Option<Machine>, MachineError> {
        let machine = match (machine, &self.architecture) {
            (Some(machine), _) => machine,
            (None, Some(word)) => {
                Machine::new(Platform { os: "linux".into(), architecture: processor(word)?, variant: None })
            }
            (None, None) if *self == Self::default() => return Ok(None),
            (None, None) => return Err(MachineError::NoArchitecture),
        };
        let mut platform = machine.platform.clone();
        if let Some(word) = &self.architecture {
            let architecture = processor(word)?;
            // A variant is one of its processor.
            if architecture != platform.architecture {
                platform.variant = None;
            }
            platform.architecture = architecture;
        }
        if let Some(word) = &self.os {
            platform.os = known("operating system", word, SYSTEMS)?;
        }
        if let Some(word) = &self.variant {
            platform.variant = variant(word)?;
        }
        let os_version = self.os_version.clone().or(machine.os_version.clone());
        let os_features =
            if self.os_features.is_empty() { machine.os_features.clone() } else { Some(self.os_features.clone()) };
        Ok(Some(Machine { platform, os_version, os_features, ..machine }.without_empty_words()))
    }
}

fn processor(word: &str) -> Result<String, MachineError> {
    // Whatever is no word of a platform is no name of a processor either.
    let read = word.parse::<Platform>().map(|platform| platform.architecture);
    known("architecture", &read.unwrap_or_else(|_| word.to_owned()), PROCESSORS)
}

fn known(what: &'static str, word: &str, known: &'static [&'static str]) -> Result<String, MachineError> {
    match known.contains(&word) {
        true => Ok(word.to_owned()),
        false => Err(MachineError::Unknown { what, word: word.to_owned(), known }),
    }
}

fn variant(word: &str) -> Result<Option<String>, MachineError> {
    if word.is_empty() {
        return Ok(None);
    }
    let read = format!("linux/arm/{word}").parse::<Platform>();
    read.map(|platform| platform.variant).map_err(|_| MachineError::Variant(word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(architecture: &str, variant: &str) -> MachineChange {
        let given = |word: &str| Some(word.to_owned()).filter(|word| !word.is_empty());
        MachineChange { architecture: given(architecture), variant: given(variant), ..MachineChange::default() }
    }

    #[test]
    fn a_configuration_tells_its_machine() {
        let config = r#"{"architecture": "amd64", "os": "windows", "os.version": "10.0", "variant": "", "rootfs": {}}"#;
        let machine = serde_json::from_str::<Machine>(config).unwrap().without_empty_words();
        let written = serde_json::to_string(&machine).unwrap();
        assert_eq!(written, r#"{"os":"windows","architecture":"amd64","os.version":"10.0"}"#);
        assert!(serde_json::from_str::<Machine>("{}").is_err());
    }

    #[test]
    fn what_is_not_said_stays_and_a_variant_goes_with_its_processor() {
        let arm = Machine::new("linux/arm/v7".parse().unwrap());
        let told = |change: MachineChange| change.applied_to(Some(arm.clone())).unwrap().unwrap().platform.to_string();
        assert_eq!(told(MachineChange::default()), "linux/arm/v7");
        assert_eq!(told(change("", "v6")), "linux/arm/v6");
        assert_eq!(told(change("aarch64", "")), "linux/arm64");
        assert_eq!(told(MachineChange { os: Some("windows".into()), ..change("amd64", "v3") }), "windows/amd64/v3");
    }

    #[test]
    fn a_machine_that_nothing_is_known_of_needs_its_processor() {
        assert_eq!(MachineChange::default().applied_to(None), Ok(None));
        assert_eq!(change("", "v7").applied_to(None), Err(MachineError::NoArchitecture));
        let told = change("riscv64", "").applied_to(None).unwrap().unwrap().platform;
        assert_eq!(told.to_string(), "linux/riscv64");
    }

    #[test]
    fn words_that_no_machine_has_are_refused() {
        let arm = || Some(Machine::new("linux/arm".parse().unwrap()));
        let refused = change("arm65", "").applied_to(arm()).unwrap_err().to_string();
        assert!(refused.starts_with("\"arm65\" is no architecture: use one of 386, amd64, "), "{refused}");
        let windows = MachineChange { os: Some("Windows".into()), ..MachineChange::default() };
        assert!(windows.applied_to(arm()).unwrap_err().to_string().contains("no operating system"));
        assert_eq!(change("", "v 7").applied_to(arm()), Err(MachineError::Variant("v 7".into())));
    }
}
