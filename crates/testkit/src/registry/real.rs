//! Debian's registry (the package `docker-registry`) as a process of its own, on loopback.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use tempfile::TempDir;

use super::Pair;
use crate::PATIENCE;

/// How the registry is to be.
#[derive(Debug, Default)]
pub struct RealOptions<'o> {
    /// The server's certificate; without it there is no TLS.
    pub tls: Option<&'o Pair>,
    /// The authority, as PEM, that clients have to show a certificate of.
    pub clients: Option<&'o str>,
    /// Who may use it, and by which password; everybody if nothing is said.
    pub login: Option<(&'o str, &'o str)>,
    /// Whether it is a mirror of another one, by its address.
    pub mirror_of: Option<&'o str>,
}

/// A registry. Its process ends and its files go when it is dropped.
#[derive(Debug)]
pub struct Real {
    child: Child,
    directory: TempDir,
    host: String,
}

impl Real {
    /// Starts one that is open to everybody.
    pub fn start() -> Self {
        Self::with(&RealOptions::default())
    }

    /// Starts one.
    pub fn with(options: &RealOptions<'_>) -> Self {
        let directory = tempfile::Builder::new().prefix("conductor-registry-").tempdir().expect("a directory");
        let config = directory.path().join("config.yml");
        std::fs::write(&config, configuration(directory.path(), options)).expect("the registry's configuration");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).current_dir(directory.path()).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("docker-registry of the package docker-registry");
        let stderr = child.stderr.take().expect("what the registry says");
        let (told, tell) = mpsc::channel();
        // It is read to its end, so that the registry never waits for a reader.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        let mut said = String::new();
        let host = loop {
            match tell.recv_timeout(PATIENCE) {
                Ok(line) => match address(&line) {
                    Some(host) => break host,
                    None => said = said + &line + "\n",
                },
                Err(error) => {
                    let _ = child.kill();
                    panic!("the registry does not start ({error}):\n{said}");
                }
            }
        };
        Self { child, directory, host }
    }

    /// Returns host and port: `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the directory in which it keeps all.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(directory: &Path, options: &RealOptions<'_>) -> String {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).expect("a file of the registry");
        path.display().to_string()
    };
    let mut text = format!(
        "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
         rootdirectory: {}\n  delete:\n    enabled: true\n  maintenance:\n    uploadpurging:\n      enabled: false\n",
        directory.join("data").display()
    );
    // Writing to a string cannot fail.
    if let Some((user, password)) = options.login {
        let hash = bcrypt::hash(password, 4).expect("a hash");
        let path = write("htpasswd", &format!("{user}:{hash}\n"));
        let _ = write!(text, "auth:\n  htpasswd:\n    realm: test\n    path: {path}\n");
    }
    if let Some(mirrored) = options.mirror_of {
        let _ = write!(text, "proxy:\n  remoteurl: {mirrored}\n");
    }
    text += "http:\n  addr: 127.0.0.1:0\n";
    if let Some(pair) = options.tls {
        let (certificate, key) = (write("server.crt", &pair.certificate), write("server.key", &pair.key));
        let _ = write!(text, "  tls:\n    certificate: {certificate}\n    key: {key}\n");
        if let Some(authority) = options.clients {
            let _ = write!(text, "    clientcas:\n      - {}\n", write("clients.crt", authority));
        }
    }
    text
}

/// Finds the address in the line in which the registry tells where it listens.
fn address(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("listening on ")?;
    Some(rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect())
}
