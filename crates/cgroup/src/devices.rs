//! Which devices a container may use: the OCI rules, made into one policy, and the policy in v1's words.
//!
//! Rules are read in order and the last that speaks of an access decides it; what no rule speaks of is denied, as runc has
//! it. The policy for v2, where the kernel asks a program, is compiled in [`program`].

mod program;

use std::fmt;

use oci::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

pub(crate) use program::compile;

/// Ways to use a device, as bits of `BPF_DEVCG_ACC_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access(u8);

impl Access {
    const MKNOD: Self = Self(1);
    const READ: Self = Self(2);
    const WRITE: Self = Self(4);
    const ALL: Self = Self(7);

    fn parse(text: &str) -> Option<Self> {
        let bits = text.chars().try_fold(0, |bits, letter| match letter {
            'm' => Some(bits | Self::MKNOD.0),
            'r' => Some(bits | Self::READ.0),
            'w' => Some(bits | Self::WRITE.0),
            _ => None,
        })?;
        Some(if bits == 0 { Self::ALL } else { Self(bits) })
    }

    fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(Self::READ, "r"), (Self::WRITE, "w"), (Self::MKNOD, "m")];
        letters.into_iter().filter(|(bit, _)| self.overlaps(*bit)).try_for_each(|(_, letter)| f.write_str(letter))
    }
}

/// Block or character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Block,
    Char,
}

/// A set of devices: all of a kind, of a major number, or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Devices {
    kind: Kind,
    major: Option<i32>,
    minor: Option<i32>,
}

impl Devices {
    fn contains(&self, other: &Self) -> bool {
        let covers = |mine: Option<i32>, theirs: Option<i32>| mine.is_none() || mine == theirs;
        self.kind == other.kind && covers(self.major, other.major) && covers(self.minor, other.minor)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let meet = |mine: Option<i32>, theirs: Option<i32>| mine.is_none() || theirs.is_none() || mine == theirs;
        self.kind == other.kind && meet(self.major, other.major) && meet(self.minor, other.minor)
    }
}

/// One rule: these devices, in these ways, allowed or denied. It prints as v1 takes it: `c 1:3 rwm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRule {
    allow: bool,
    devices: Devices,
    access: Access,
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.devices.kind == Kind::Block { 'b' } else { 'c' };
        let number = |number: Option<i32>| number.map_or("*".to_owned(), |number| number.to_string());
        write!(f, "{kind} {}:{} {}", number(self.devices.major), number(self.devices.minor), self.access)
    }
}

/// What the rules come to: an answer for everything, and the rules that still differ from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePolicy {
    allow_by_default: bool,
    rules: Vec<DeviceRule>,
}

/// Why device rules make no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A type, number or access that does not exist.
    #[error("device rule \"{0}\" is not one: use as in c 1:3 rwm")]
    Rule(String),
    /// v1 knows a default and exceptions, and no exceptions to those.
    #[error("device rule \"{rule}\" cannot be kept on cgroup v1, since \"{earlier}\" before it speaks of more devices")]
    TooFineForV1 {
        /// The rule at fault.
        rule: String,
        /// The rule that it makes an exception to.
        earlier: String,
    },
}

/// The devices that every container has, as the OCI runtime specification lists them, and the making of nodes, which by
/// itself gives no access.
const ALWAYS_ALLOWED: [(Kind, Option<i32>, Option<i32>, Access); 10] = [
    (Kind::Char, None, None, Access::MKNOD),
    (Kind::Block, None, None, Access::MKNOD),
    (Kind::Char, Some(1), Some(3), Access::ALL), // null
    (Kind::Char, Some(1), Some(5), Access::ALL), // zero
    (Kind::Char, Some(1), Some(7), Access::ALL), // full
    (Kind::Char, Some(1), Some(8), Access::ALL), // random
    (Kind::Char, Some(1), Some(9), Access::ALL), // urandom
    (Kind::Char, Some(5), Some(0), Access::ALL), // tty
    (Kind::Char, Some(5), Some(2), Access::ALL), // ptmx
    (Kind::Char, Some(136), None, Access::ALL),  // pts/*
];

impl DevicePolicy {
    /// Makes the policy of a new container: the OCI rules, and after them the devices that every container has.
    pub fn for_container(rules: &[LinuxDeviceCgroup]) -> Result<Self, DeviceError> {
        let mut policy = Self::of(rules)?;
        for (kind, major, minor, access) in ALWAYS_ALLOWED {
            policy.push(DeviceRule { allow: true, devices: Devices { kind, major, minor }, access });
        }
        Ok(policy)
    }

    /// Makes the policy of the OCI rules alone.
    fn of(rules: &[LinuxDeviceCgroup]) -> Result<Self, DeviceError> {
        let mut policy = Self { allow_by_default: false, rules: Vec::new() };
        for rule in rules {
            let wrong = || DeviceError::Rule(rule.to_string());
            let access = Access::parse(rule.access().as_deref().unwrap_or("")).ok_or_else(wrong)?;
            let (major, minor) = (number(rule.major(), wrong)?, number(rule.minor(), wrong)?);
            let kinds: &[Kind] = match rule.typ().unwrap_or_default() {
                // As in v1, a rule about every type is one about every number.
                LinuxDeviceType::A if access == Access::ALL => {
                    policy = Self { allow_by_default: rule.allow(), rules: Vec::new() };
                    continue;
                }
                LinuxDeviceType::A => &[Kind::Block, Kind::Char],
                LinuxDeviceType::B => &[Kind::Block],
                LinuxDeviceType::C | LinuxDeviceType::U => &[Kind::Char],
                LinuxDeviceType::P => return Err(wrong()),
            };
            for kind in kinds {
                policy.push(DeviceRule { allow: rule.allow(), devices: Devices { kind: *kind, major, minor }, access });
            }
        }
        Ok(policy)
    }

    fn push(&mut self, rule: DeviceRule) {
        // A rule that says again what was decided would only make the program longer.
        let undecided =
            self.rules.iter().any(|earlier| earlier.allow != rule.allow && earlier.devices.overlaps(&rule.devices));
        if undecided || rule.allow != self.allow_by_default {
            self.rules.push(rule);
        }
    }

    /// Tells whether everything is allowed, so that nothing needs to be asked.
    pub fn is_open(&self) -> bool {
        self.allow_by_default && self.rules.iter().all(|rule| rule.allow)
    }

    /// Tells whether what no rule speaks of is allowed.
    pub(crate) fn allows_by_default(&self) -> bool {
        self.allow_by_default
    }

    /// Returns what v1 is told when everything is denied or allowed: the file, of `devices.allow` and `devices.deny`.
    pub(crate) fn v1_default_file(&self) -> &'static str {
        v1_file(self.allow_by_default)
    }

    /// Returns the file in which v1 is told the exceptions.
    pub(crate) fn v1_exceptions_file(&self) -> &'static str {
        v1_file(!self.allow_by_default)
    }

    /// Returns the exceptions to the default, which is all that v1 can hold.
    pub(crate) fn v1_exceptions(&self) -> Result<Vec<DeviceRule>, DeviceError> {
        let mut exceptions: Vec<DeviceRule> = Vec::new();
        for rule in &self.rules {
            if rule.allow != self.allow_by_default {
                match exceptions.iter_mut().find(|earlier| earlier.devices == rule.devices) {
                    Some(earlier) => earlier.access = Access(earlier.access.0 | rule.access.0),
                    None => exceptions.push(*rule),
                }
                continue;
            }
            for earlier in exceptions.iter_mut().filter(|e| e.devices.overlaps(&rule.devices)) {
                if rule.devices.contains(&earlier.devices) {
                    earlier.access = Access(earlier.access.0 & !rule.access.0);
                } else if earlier.access.overlaps(rule.access) {
                    return Err(DeviceError::TooFineForV1 { rule: rule.to_string(), earlier: earlier.to_string() });
                }
            }
            exceptions.retain(|earlier| earlier.access.0 != 0);
        }
        Ok(exceptions)
    }

    /// Tells the policy in a few words.
    pub(crate) fn describe(&self) -> String {
        let (default, other) = if self.allow_by_default { ("allow", "deny") } else { ("deny", "allow") };
        let rules = self.rules.iter().map(|rule| {
            let word = if rule.allow == self.allow_by_default { format!("{default} ") } else { String::new() };
            format!("{word}{rule}")
        });
        format!("{default} all devices, {other} {}", rules.collect::<Vec<_>>().join(", "))
    }
}

fn v1_file(allow: bool) -> &'static str {
    if allow { "devices.allow" } else { "devices.deny" }
}

/// Reads a device number; none and -1 stand for all.
fn number(number: Option<i64>, wrong: impl Fn() -> DeviceError) -> Result<Option<i32>, DeviceError> {
    match number {
        None | Some(-1) => Ok(None),
        Some(number) => i32::try_from(number).ok().filter(|n| *n >= 0).map(Some).ok_or_else(wrong),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn rule(text: &str) -> LinuxDeviceCgroup {
        let mut words = text.split([' ', ':']);
        let mut next = || words.next().unwrap();
        let number = |word: &str| if word == "*" { None } else { Some(word.parse().unwrap()) };
        let allow = next() == "allow";
        let typ = match next() {
            "a" => LinuxDeviceType::A,
            "b" => LinuxDeviceType::B,
            "c" => LinuxDeviceType::C,
            _ => LinuxDeviceType::P,
        };
        let (major, minor) = (number(next()), number(next()));
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(allow).set_typ(Some(typ)).set_major(major).set_minor(minor).set_access(Some(next().to_owned()));
        rule
    }

    pub(crate) fn policy(rules: &[&str]) -> DevicePolicy {
        DevicePolicy::of(&rules.iter().map(|text| rule(text)).collect::<Vec<_>>()).unwrap()
    }

    fn exceptions(rules: &[&str]) -> Result<Vec<String>, DeviceError> {
        Ok(policy(rules).v1_exceptions()?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn v1_is_told_exceptions_to_a_default() {
        let told = exceptions(&["deny a *:* rwm", "allow c 1:3 r", "allow c 1:3 w", "allow b 8:* rm", "deny b 8:* m"]);
        assert_eq!(told.unwrap(), ["c 1:3 rw", "b 8:* r"]);
        let told = exceptions(&["deny c 5:1 rwm", "allow a *:* rwm", "deny c 1:3 rw"]);
        assert_eq!(told.unwrap(), ["c 1:3 rw"]);
        assert_eq!(exceptions(&["allow c 1:3 rwm", "deny c *:* rwm"]).unwrap(), [""; 0]);
    }

    #[test]
    fn an_exception_to_an_exception_is_refused_on_v1() {
        let error = exceptions(&["allow c 1:* rwm", "deny c 1:3 w"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "device rule \"c 1:3 w\" cannot be kept on cgroup v1, since \"c 1:* rwm\" before it speaks of more devices"
        );
        assert_eq!(exceptions(&["allow c 1:* r", "deny c 1:3 w"]).unwrap(), ["c 1:* r"]);
    }

    #[test]
    fn a_container_has_the_devices_of_the_specification() {
        let policy = DevicePolicy::for_container(&[rule("deny a *:* rwm")]).unwrap();
        let told: Vec<_> = policy.v1_exceptions().unwrap().iter().map(ToString::to_string).collect();
        assert!(told.contains(&"c 1:3 rwm".to_owned()) && told.contains(&"c 136:* rwm".to_owned()), "{told:?}");
        assert!(!policy.is_open());
        assert!(DevicePolicy::for_container(&[rule("allow a *:* rwm")]).unwrap().is_open());
    }

    #[test]
    fn a_rule_about_no_device_is_refused() {
        for text in ["allow p 1:3 rwm", "allow c 1:3 x", "allow c 4294967296:3 r", "allow c -2:3 r"] {
            let error = DevicePolicy::of(&[rule(text)]).unwrap_err();
            assert!(matches!(error, DeviceError::Rule(_)), "{text}");
        }
    }
}
