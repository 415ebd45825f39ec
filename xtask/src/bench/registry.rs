//! Debian's registry (the package `docker-registry`) on the loopback of a host of the bench's own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::hosts::Host;
use super::stock::TAG;
use super::subjects::{Workplace, make, text, write};
use crate::Outcome;

/// A registry. Its process ends and its files go when it is dropped.
#[derive(Debug)]
pub(super) struct Registry {
    child: Child,
    directory: PathBuf,
    host: String,
}

impl Registry {
    /// Starts an empty one.
    pub(super) fn start(place: &Workplace, host: &Host, name: &str) -> Outcome<Self> {
        let directory = place.path("images").join(format!("registry-{name}"));
        make(&directory)?;
        let config = directory.join("config.yml");
        let lines = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:0\n",
            text(&directory.join("data"))
        );
        write(&config, lines.as_bytes())?;
        let mut command = host.enter(place);
        command.args(["docker-registry", "serve"]).arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("cannot start docker-registry: {error}"))?;
        let mut registry = Self { child, directory, host: String::new() };
        let Some(stderr) = registry.child.stderr.take() else { return Err("the registry has no pipe".to_owned()) };
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        registry.host = lines.find_map(|line| address(&line)).ok_or("docker-registry does not start")?;
        // It is read to its end, so that the registry never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(registry)
    }

    /// Returns host and port.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Returns the name of an image in it.
    pub(super) fn image(&self, repository: &str) -> String {
        format!("{}/{repository}:{TAG}", self.host)
    }

    /// Takes the image of an OCI layout.
    pub(super) fn take(&self, place: &Workplace, host: &Host, layout: &Path, repository: &str) -> Outcome {
        host.succeed(place, &copy_into(layout, &self.image(repository))).map(drop)
    }
}

/// Makes the command line that copies an OCI layout to a registry.
pub(super) fn copy_into(layout: &Path, image: &str) -> Vec<String> {
    let (from, to) = (format!("oci:{}:{TAG}", text(layout)), format!("docker://{image}"));
    ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", &from, &to].map(str::to_owned).to_vec()
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Finds the address in the line in which the registry tells where it listens.
fn address(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("listening on ")?;
    Some(rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_registry_is_found_in_what_it_says() {
        let line = "level=info msg=\"listening on 127.0.0.1:41234\" go.version=go1.19";
        assert_eq!(address(line).as_deref(), Some("127.0.0.1:41234"));
        assert_eq!(address("level=info msg=\"using inmemory blob descriptor cache\""), None);
    }
}
