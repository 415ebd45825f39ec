//! The words of a mount's `options` (runtime-spec, config.md, "Mounts"; mount(8)), sorted by what they mean to the kernel.

use sys::mount::{MountAttrFlags as Attr, Propagation};

/// A mount's options, sorted: attributes of the mount, propagation, and the data that the file system itself takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountOptions {
    /// Attributes to switch on, for the mount itself.
    pub set: Attr,
    /// Attributes to switch off, for the mount itself.
    pub clear: Attr,
    /// Attributes to switch on for the mount and all below it (`rro`, `rnosuid`, ...; Linux 5.12).
    pub recursive_set: Attr,
    /// Attributes to switch off for the mount and all below it.
    pub recursive_clear: Attr,
    /// Whether this is a bind mount, and if so whether what is mounted below the source comes along.
    pub bind: Option<Recursion>,
    /// Changes of propagation, in the order in which they were named.
    pub propagation: Vec<(Propagation, Recursion)>,
    /// Options for the file system: `key` or `key=value`.
    pub data: Vec<String>,
    /// Copy what the image has at the mount point into a new tmpfs.
    pub copy_up: bool,
}

/// Whether an operation takes the mounts below along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recursion {
    /// This mount alone.
    Single,
    /// This mount and all below it.
    Recursive,
}

impl Recursion {
    /// Tells whether the mounts below come along.
    pub fn is_recursive(self) -> bool {
        self == Self::Recursive
    }
}

impl Default for MountOptions {
    fn default() -> Self {
        let none = Attr::empty();
        Self {
            set: none,
            clear: none,
            recursive_set: none,
            recursive_clear: none,
            bind: None,
            propagation: Vec::new(),
            data: Vec::new(),
            copy_up: false,
        }
    }
}

/// An attribute by its word: what it switches on and what it switches off first.
type Attribute = (&'static str, Attr, Attr);

const NONE: Attr = Attr::empty();
const ATIME: Attr = Attr::MOUNT_ATTR__ATIME;

const ATTRIBUTES: &[Attribute] = &[
    ("ro", Attr::MOUNT_ATTR_RDONLY, NONE),
    ("rw", NONE, Attr::MOUNT_ATTR_RDONLY),
    ("nosuid", Attr::MOUNT_ATTR_NOSUID, NONE),
    ("suid", NONE, Attr::MOUNT_ATTR_NOSUID),
    ("nodev", Attr::MOUNT_ATTR_NODEV, NONE),
    ("dev", NONE, Attr::MOUNT_ATTR_NODEV),
    ("noexec", Attr::MOUNT_ATTR_NOEXEC, NONE),
    ("exec", NONE, Attr::MOUNT_ATTR_NOEXEC),
    ("nodiratime", Attr::MOUNT_ATTR_NODIRATIME, NONE),
    ("diratime", NONE, Attr::MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", Attr::MOUNT_ATTR_NOSYMFOLLOW, NONE),
    ("symfollow", NONE, Attr::MOUNT_ATTR_NOSYMFOLLOW),
    // The access time is one field of the attributes, so each of its values clears the whole field first.
    ("relatime", Attr::MOUNT_ATTR_RELATIME, ATIME),
    ("norelatime", Attr::MOUNT_ATTR_RELATIME, ATIME),
    ("atime", Attr::MOUNT_ATTR_RELATIME, ATIME),
    ("noatime", Attr::MOUNT_ATTR_NOATIME, ATIME),
    ("strictatime", Attr::MOUNT_ATTR_STRICTATIME, ATIME),
    ("nostrictatime", Attr::MOUNT_ATTR_RELATIME, ATIME),
];

const PROPAGATIONS: &[(&str, Propagation)] = &[
    ("private", Propagation::Private),
    ("shared", Propagation::Shared),
    ("slave", Propagation::Slave),
    ("unbindable", Propagation::Unbindable),
];

impl MountOptions {
    /// Sorts the words of a mount's `options`. A word that is none of ours belongs to the file system.
    pub fn parse<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        words.into_iter().fold(Self::default(), |mut options, word| {
            options.take(word);
            options
        })
    }

    fn take(&mut self, word: &str) {
        match word {
            "" | "defaults" | "async" | "nomand" | "remount" => {}
            "bind" => self.bind = self.bind.or(Some(Recursion::Single)),
            "rbind" => self.bind = Some(Recursion::Recursive),
            "tmpcopyup" => self.copy_up = true,
            _ if self.take_attribute(word) || self.take_propagation(word) => {}
            _ => self.data.push(word.to_owned()),
        }
    }

    fn take_attribute(&mut self, word: &str) -> bool {
        if let Some((_, set, clear)) = ATTRIBUTES.iter().find(|(name, ..)| *name == word) {
            self.set = (self.set - *clear - (ATIME & *clear)) | *set;
            self.clear = (self.clear - *set) | *clear;
            return true;
        }
        let recursive = word.strip_prefix('r').and_then(|rest| ATTRIBUTES.iter().find(|(name, ..)| *name == rest));
        let Some((_, set, clear)) = recursive else { return false };
        self.recursive_set = (self.recursive_set - *clear) | *set;
        self.recursive_clear = (self.recursive_clear - *set) | *clear;
        true
    }

    fn take_propagation(&mut self, word: &str) -> bool {
        let find = |name: &str| PROPAGATIONS.iter().find(|(known, _)| *known == name).map(|(_, found)| *found);
        if let Some(propagation) = find(word) {
            self.propagation.push((propagation, Recursion::Single));
            return true;
        }
        let Some(propagation) = word.strip_prefix('r').and_then(find) else { return false };
        self.propagation.push((propagation, Recursion::Recursive));
        true
    }

    /// Returns the attributes that a new mount starts with.
    pub fn new_attributes(&self) -> Attr {
        self.set | self.recursive_set
    }
}

/// Parses the root's propagation (`linux.rootfsPropagation`), which names no `r`: it always counts for the whole tree.
pub fn parse_propagation(word: &str) -> Option<Propagation> {
    let word = word.strip_prefix('r').unwrap_or(word);
    PROPAGATIONS.iter().find(|(known, _)| *known == word).map(|(_, found)| *found)
}

/// Returns the words of mount(8) for a set of attributes.
pub fn attribute_words(attributes: Attr) -> Vec<&'static str> {
    let word = |attr, word| attributes.contains(attr).then_some(word);
    [
        word(Attr::MOUNT_ATTR_RDONLY, "ro"),
        word(Attr::MOUNT_ATTR_NOSUID, "nosuid"),
        word(Attr::MOUNT_ATTR_NODEV, "nodev"),
        word(Attr::MOUNT_ATTR_NOEXEC, "noexec"),
        word(Attr::MOUNT_ATTR_NOATIME, "noatime"),
        word(Attr::MOUNT_ATTR_STRICTATIME, "strictatime"),
        word(Attr::MOUNT_ATTR_NODIRATIME, "nodiratime"),
        word(Attr::MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_into_attributes_and_data() {
        let options = MountOptions::parse(["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]);
        assert_eq!(attribute_words(options.set), ["nosuid", "nodev", "noexec"]);
        assert_eq!(options.data, ["mode=1777", "size=65536k"]);
        assert_eq!(options.bind, None);
    }

    #[test]
    fn the_last_of_two_opposites_wins() {
        let options = MountOptions::parse(["ro", "rw"]);
        assert_eq!(options.set, NONE);
        assert_eq!(options.clear, Attr::MOUNT_ATTR_RDONLY);
        let options = MountOptions::parse(["noatime", "strictatime"]);
        assert_eq!(options.set, Attr::MOUNT_ATTR_STRICTATIME);
        assert_eq!(options.clear, ATIME);
    }

    #[test]
    fn a_recursive_read_only_bind_takes_everything_below_along() {
        let options = MountOptions::parse(["rbind", "rprivate", "rro"]);
        assert_eq!(options.bind, Some(Recursion::Recursive));
        assert_eq!(options.recursive_set, Attr::MOUNT_ATTR_RDONLY);
        assert_eq!(options.propagation, [(Propagation::Private, Recursion::Recursive)]);
    }

    #[test]
    fn relatime_is_no_recursive_latime() {
        assert_eq!(MountOptions::parse(["relatime"]).clear, ATIME);
        assert_eq!(MountOptions::parse(["relatime"]).recursive_clear, NONE);
        assert_eq!(MountOptions::parse(["resgid=5"]).data, ["resgid=5"]);
    }
}
