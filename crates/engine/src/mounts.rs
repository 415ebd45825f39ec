//! Volumes, bind mounts and tmpfs as they are asked for: the parsers of `-v`, `--mount` and `--tmpfs`.
//!
//! They read text and nothing else: whether a source exists is asked when the container is created.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ContainerName;

/// Something to mount into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequest {
    /// What is mounted.
    #[serde(flatten)]
    pub source: MountSource,
    /// Where, as an absolute path inside.
    pub target: PathBuf,
    /// Whether it cannot be written through this mount.
    #[serde(default)]
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// Its absolute path.
        path: PathBuf,
        /// Whether mounts made below it later are seen, and on which side.
        propagation: Propagation,
        /// Whether the mounts below it come along.
        recursive: bool,
    },
    /// A directory that the engine keeps.
    Volume {
        /// Its name; an anonymous volume gets one when the container is created.
        name: Option<VolumeName>,
        /// Leaves an empty volume empty, in place of filling it from the image.
        no_copy: bool,
    },
    /// A file system in memory, for as long as the container runs.
    Tmpfs {
        /// Options as mount(8) takes them, such as `size=64m`.
        options: Vec<String>,
    },
}

/// Which later mounts a bind mount and its source share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the kernel's words, explained in mount_namespaces(7)")]
pub enum Propagation {
    Private,
    #[default]
    Rprivate,
    Shared,
    Rshared,
    Slave,
    Rslave,
}

impl Propagation {
    /// Returns the word that mount(8) and the runtime-spec use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Rprivate => "rprivate",
            Self::Shared => "shared",
            Self::Rshared => "rshared",
            Self::Slave => "slave",
            Self::Rslave => "rslave",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Private, Self::Rprivate, Self::Shared, Self::Rshared, Self::Slave, Self::Rslave]
            .into_iter()
            .find(|known| known.as_str() == word)
    }
}

/// The name of a volume, of the same characters as a container's.
pub type VolumeName = ContainerName;

/// Why a mount cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// Text of no known form.
    #[error("invalid mount {0:?}: {1}")]
    Form(String, &'static str),
    /// An option that does not exist.
    #[error("invalid mount {text:?}: unknown option {option:?}")]
    Option {
        /// The whole text.
        text: String,
        /// The part that means nothing.
        option: String,
    },
    /// A target that is no place for a mount.
    #[error("invalid mount target {0:?}: use an absolute path other than /")]
    Target(String),
    /// A source that is neither a path nor a name.
    #[error("invalid volume name {0:?}: use an absolute path, one that begins with ./, or a name of [a-zA-Z0-9_.-]")]
    Source(String),
}

impl MountRequest {
    /// Reads the value of `-v`: `[SOURCE:]TARGET[:OPTIONS]`; a source that begins with `.` is taken from `directory`.
    pub fn parse_volume(text: &str, directory: &Path) -> Result<Self, MountError> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts[..] {
            [target] => (None, target, ""),
            [source, target] => (Some(source), target, ""),
            [source, target, options] => (Some(source), target, options),
            _ => return Err(MountError::Form(text.to_owned(), "use [SOURCE:]TARGET[:OPTIONS]")),
        };
        let source = match source {
            None => MountSource::Volume { name: None, no_copy: false },
            Some(source) => volume_source(source, directory)?,
        };
        let mut mount = Self { source, target: parse_target(target)?, read_only: false };
        let unknown = |option: &str| MountError::Option { text: text.to_owned(), option: option.to_owned() };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            mount.set_volume_option(option).ok_or_else(|| unknown(option))?;
        }
        Ok(mount)
    }

    fn set_volume_option(&mut self, option: &str) -> Option<()> {
        match (option, &mut self.source) {
            ("ro", _) => self.read_only = true,
            ("rw", _) => self.read_only = false,
            // SELinux labels: without SELinux they change nothing, and scripts carry them everywhere.
            ("z" | "Z", _) => {}
            ("nocopy", MountSource::Volume { no_copy, .. }) => *no_copy = true,
            ("rbind", MountSource::Bind { recursive, .. }) => *recursive = true,
            ("bind", MountSource::Bind { recursive, .. }) => *recursive = false,
            (word, MountSource::Bind { propagation, .. }) => *propagation = Propagation::parse(word)?,
            _ => return None,
        }
        Some(())
    }

    /// Reads the value of `--mount`: `type=bind|volume|tmpfs,source=...,target=...[,OPTION...]`.
    pub fn parse_mount(text: &str, directory: &Path) -> Result<Self, MountError> {
        let fields = Fields::read(text)?;
        let target = fields.target.ok_or_else(|| MountError::Form(text.to_owned(), "target=PATH is missing"))?;
        let source = match fields.kind {
            "bind" => {
                let path = fields.source.ok_or_else(|| MountError::Form(text.to_owned(), "source=PATH is missing"))?;
                bind(&normal(&directory.join(path)))
            }
            "volume" => MountSource::Volume { name: fields.source.map(volume_name).transpose()?, no_copy: false },
            "tmpfs" if fields.source.is_some() => {
                return Err(MountError::Form(text.to_owned(), "a tmpfs has no source"));
            }
            "tmpfs" => MountSource::Tmpfs { options: Vec::new() },
            _ => return Err(MountError::Form(text.to_owned(), "type is bind, volume or tmpfs")),
        };
        let mut mount = Self { source, target: parse_target(target)?, read_only: false };
        for (key, value) in fields.options {
            let unknown = || MountError::Option { text: text.to_owned(), option: key.to_owned() };
            mount.set_mount_option(key, value).ok_or_else(unknown)?;
        }
        Ok(mount)
    }

    fn set_mount_option(&mut self, key: &str, value: Option<&str>) -> Option<()> {
        match (key, value, &mut self.source) {
            ("readonly" | "ro", value, _) => self.read_only = truth(value)?,
            ("bind-propagation", Some(word), MountSource::Bind { propagation, .. }) => {
                *propagation = Propagation::parse(word)?;
            }
            ("bind-nonrecursive", value, MountSource::Bind { recursive, .. }) => *recursive = !truth(value)?,
            // Read-only is recursive in any case.
            ("bind-recursive", Some("enabled" | "readonly"), MountSource::Bind { recursive, .. }) => *recursive = true,
            ("bind-recursive", Some("disabled"), MountSource::Bind { recursive, .. }) => *recursive = false,
            ("volume-nocopy", value, MountSource::Volume { no_copy, .. }) => *no_copy = truth(value)?,
            ("tmpfs-size", Some(size), MountSource::Tmpfs { options }) => {
                options.push(format!("size={}", crate::resources::parse_size(size).ok()?));
            }
            ("tmpfs-mode", Some(mode), MountSource::Tmpfs { options }) => {
                u32::from_str_radix(mode, 8).ok()?;
                options.push(format!("mode={mode}"));
            }
            ("consistency", Some(_), _) => {}
            _ => return None,
        }
        Some(())
    }

    /// Reads the value of `--tmpfs`: `TARGET[:OPTIONS]`.
    pub fn parse_tmpfs(text: &str) -> Result<Self, MountError> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let mut mount = Self {
            source: MountSource::Tmpfs { options: Vec::new() },
            target: parse_target(target)?,
            read_only: false,
        };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            mount
                .set_tmpfs_option(option)
                .ok_or_else(|| MountError::Option { text: text.to_owned(), option: option.to_owned() })?;
        }
        Ok(mount)
    }

    fn set_tmpfs_option(&mut self, option: &str) -> Option<()> {
        const FLAGS: [&str; 10] =
            ["exec", "noexec", "suid", "nosuid", "dev", "nodev", "noatime", "relatime", "strictatime", "nosymfollow"];
        const KEYS: [&str; 6] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"];
        let MountSource::Tmpfs { options } = &mut self.source else { return None };
        match option.split_once('=') {
            None if option == "ro" => self.read_only = true,
            None if option == "rw" => self.read_only = false,
            None if FLAGS.contains(&option) => options.push(option.to_owned()),
            Some((key, _)) if KEYS.contains(&key) => options.push(option.to_owned()),
            _ => return None,
        }
        Some(())
    }
}

/// The fields of a `--mount`, sorted into those that every kind has and the rest.
struct Fields<'a> {
    kind: &'a str,
    source: Option<&'a str>,
    target: Option<&'a str>,
    options: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, MountError> {
        let mut fields = Self { kind: "volume", source: None, target: None, options: Vec::new() };
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("type", kind)) => fields.kind = kind,
                Some(("source" | "src", source)) if !source.is_empty() => fields.source = Some(source),
                Some(("target" | "dst" | "destination", target)) => fields.target = Some(target),
                Some((key, value)) => fields.options.push((key, Some(value))),
                None if field.is_empty() => return Err(MountError::Form(text.to_owned(), "a field is empty")),
                None => fields.options.push((field, None)),
            }
        }
        Ok(fields)
    }
}

fn truth(value: Option<&str>) -> Option<bool> {
    match value {
        None | Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        Some(_) => None,
    }
}

fn volume_source(source: &str, directory: &Path) -> Result<MountSource, MountError> {
    if source.starts_with('/') {
        return Ok(bind(&normal(Path::new(source))));
    }
    if source == "." || source == ".." || source.starts_with("./") || source.starts_with("../") {
        return Ok(bind(&normal(&directory.join(source))));
    }
    Ok(MountSource::Volume { name: Some(volume_name(source)?), no_copy: false })
}

fn bind(path: &Path) -> MountSource {
    MountSource::Bind { path: path.to_owned(), propagation: Propagation::default(), recursive: true }
}

fn volume_name(name: &str) -> Result<VolumeName, MountError> {
    name.parse().map_err(|_| MountError::Source(name.to_owned()))
}

fn parse_target(target: &str) -> Result<PathBuf, MountError> {
    let path = normal(Path::new(target));
    let good = target.starts_with('/') && path.parent().is_some() && !target.contains('\0');
    if good { Ok(path) } else { Err(MountError::Target(target.to_owned())) }
}

/// Takes `.`, `..` and double slashes out of an absolute path, by its letters alone.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, part| {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            other => clean.push(other),
        }
        clean
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(text: &str) -> Result<MountRequest, MountError> {
        MountRequest::parse_volume(text, Path::new("/home/me"))
    }

    fn mount(text: &str) -> Result<MountRequest, MountError> {
        MountRequest::parse_mount(text, Path::new("/home/me"))
    }

    #[test]
    fn a_source_with_a_slash_is_a_path_and_one_without_is_a_volume() {
        assert_eq!(volume("/src:/dst").unwrap().source, bind(Path::new("/src")));
        assert_eq!(volume("./src:/dst").unwrap().source, bind(Path::new("/home/me/src")));
        assert_eq!(volume("../src:/dst").unwrap().source, bind(Path::new("/home/src")));
        let named = MountSource::Volume { name: Some("data".parse().unwrap()), no_copy: false };
        assert_eq!(volume("data:/dst").unwrap().source, named);
        assert_eq!(volume("/dst").unwrap().source, MountSource::Volume { name: None, no_copy: false });
    }

    #[test]
    fn a_target_is_absolute_and_not_the_root() {
        for bad in ["/src:dst", "/src:/", "/src:/a/..", "data:", ":/dst", "a/b:/dst", "/a:/b:ro:rw", "/a:/b:sideways"] {
            assert!(volume(bad).is_err(), "{bad:?} was taken");
        }
        assert_eq!(volume("/a:/b//./c/../d").unwrap().target, Path::new("/b/d"));
    }

    #[test]
    fn options_of_a_volume_are_docker_s() {
        assert!(volume("/a:/b:ro,z").unwrap().read_only);
        let shared = volume("/a:/b:rshared").unwrap().source;
        assert!(matches!(shared, MountSource::Bind { propagation: Propagation::Rshared, .. }));
        assert!(matches!(volume("a1:/b:nocopy").unwrap().source, MountSource::Volume { no_copy: true, .. }));
        assert!(volume("a1:/b:rshared").is_err());
    }

    #[test]
    fn the_long_form_says_the_same_in_fields() {
        assert_eq!(mount("type=bind,src=/a,dst=/b,readonly").unwrap(), volume("/a:/b:ro").unwrap());
        assert_eq!(mount("type=volume,source=data,target=/b").unwrap(), volume("data:/b").unwrap());
        assert_eq!(mount("target=/b").unwrap(), volume("/b").unwrap());
        let tmpfs = mount("type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1777").unwrap();
        assert_eq!(tmpfs.source, MountSource::Tmpfs { options: vec!["size=67108864".into(), "mode=1777".into()] });
        for bad in [
            "type=bind,target=/b",
            "type=bind,source=/a",
            "type=npipe,source=/a,target=/b",
            "type=tmpfs,source=/a,target=/b",
            "type=bind,source=/a,target=/b,color=red",
            "type=bind,source=/a,target=/b,",
            "type=volume,source=/a,target=/b",
        ] {
            assert!(mount(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_tmpfs_takes_the_options_of_tmpfs_alone() {
        let tmpfs = MountRequest::parse_tmpfs("/run:rw,size=64m,noexec").unwrap();
        assert_eq!(tmpfs.source, MountSource::Tmpfs { options: vec!["size=64m".into(), "noexec".into()] });
        assert!(MountRequest::parse_tmpfs("/run:lowerdir=/etc").is_err());
        assert!(MountRequest::parse_tmpfs("run").is_err());
    }
}
