//! Where the rules about registries lie.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Hosts, HostsError};

/// Below a user's home.
const OF_USER: &str = ".config/containers/registries.conf";
/// For all users.
const OF_SYSTEM: &str = "/etc/containers/registries.conf";

impl Hosts {
    /// Reads the rules of this machine: a file that is named, or else the user's or the system's, with the `.conf` files
    /// of the directories beside both.
    pub fn read(named: Option<&Path>, home: Option<&Path>) -> Result<Self, HostsError> {
        if let Some(path) = named {
            // What is named has to be there.
            return read_file(path)?
                .ok_or_else(|| HostsError::Read { path: path.to_owned(), source: ErrorKind::NotFound.into() });
        }
        Self::read_usual(Path::new(OF_SYSTEM), home.map(|home| home.join(OF_USER)).as_deref())
    }

    fn read_usual(system: &Path, user: Option<&Path>) -> Result<Self, HostsError> {
        let own = user.map(read_file).transpose()?.flatten();
        let mut hosts = match own {
            Some(hosts) => hosts,
            None => read_file(system)?.unwrap_or_default(),
        };
        for beside in [Some(system), user].into_iter().flatten() {
            for file in dropped_in(beside)? {
                hosts.overlay(read_file(&file)?.unwrap_or_default());
            }
        }
        Ok(hosts)
    }
}

/// Returns the `.conf` files of the directory beside a file, in the order of their names. A rule that is not read could be one
/// that forbids.
fn dropped_in(beside: &Path) -> Result<Vec<PathBuf>, HostsError> {
    let directory = beside.with_extension("conf.d");
    let read = || match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| entry.map(|entry| entry.path())).collect(),
    };
    let mut files = read().map_err(|source| HostsError::Read { path: directory.clone(), source })?;
    files.retain(|path: &PathBuf| path.extension().is_some_and(|end| end == "conf"));
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Result<Option<Hosts>, HostsError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let wrong = |source| HostsError::File { path: path.to_owned(), source: Box::new(source) };
            Hosts::parse(&text).map(Some).map_err(wrong)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HostsError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_s_file_is_read_in_place_of_the_system_s_and_dropped_in_files_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, host: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, format!("[[registry]]\nlocation = \"{host}\"\n")).unwrap();
            path
        };
        let system = file("etc/registries.conf", "system.test");
        let user = dir.path().join("home/registries.conf");
        let names = |user: &Path| {
            let hosts = Hosts::read_usual(&system, Some(user)).unwrap();
            hosts.rules.into_iter().map(|rule| rule.prefix).collect::<Vec<_>>()
        };
        assert_eq!(names(&user), ["system.test"]);
        file("etc/registries.conf.d/20.conf", "two.test");
        file("etc/registries.conf.d/10.conf", "one.test");
        file("etc/registries.conf.d/readme", "nonsense.test");
        let user = file("home/registries.conf", "user.test");
        assert_eq!(names(&user), ["user.test", "one.test", "two.test"]);
    }

    #[test]
    fn a_file_that_is_named_has_to_be_there() {
        let error = Hosts::read(Some(Path::new("/no/such/file")), None).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /no/such/file");
    }
}
