//! Files from elsewhere: by HTTP, kept with what its server said of it, and by Git.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use build::{BaseError, Fetched};
use jiff::fmt::rfc2822;
use oci::{Digest, Hasher};
use registry::Client;
use serde::{Deserialize, Serialize};
use store::Store;

/// What is known of a file that was fetched.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    etag: Option<String>,
    modified: Option<String>,
    name: String,
}

/// Gets a file, or finds that the one that is kept is still the same.
pub(super) fn get(
    store: &Store,
    client: &Client<'_>,
    address: &str,
    checksum: Option<&str>,
) -> Result<Fetched, BaseError> {
    let wanted = checksum.map(str::parse::<Digest>).transpose()?;
    let kept = store.cache().fetched(&Digest::of(address.as_bytes()).hex(), address)?;
    let (file, note) = (kept.path().join("file"), kept.path().join("known.json"));
    let known: Option<Known> =
        std::fs::read(&note).ok().filter(|_| file.is_file()).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    // What is known by its digest need not be asked for again.
    if let (Some(known), Some(wanted)) = (&known, &wanted)
        && digest(&file)? == *wanted
    {
        return Ok(fetched(file, known));
    }
    let mut headers = Vec::new();
    if let Some(known) = &known {
        headers.extend(known.etag.clone().map(|etag| ("If-None-Match", etag)));
        headers.extend(known.modified.clone().map(|time| ("If-Modified-Since", time)));
    }
    let page = client.get(address, &headers)?;
    if let (true, Some(known)) = (page.is_unchanged(), &known) {
        check(&file, wanted.as_ref(), address)?;
        return Ok(fetched(file, known));
    }
    let header = |name: &str| page.header(name).map(ToOwned::to_owned);
    let known = Known {
        etag: header("etag"),
        modified: header("last-modified"),
        name: page.header("content-disposition").and_then(named).unwrap_or_else(|| last_name(address)),
    };
    let beside = kept.path().join(format!("file.{}", std::process::id()));
    let written = write(&mut page.into_reader(), &beside).and_then(|()| check(&beside, wanted.as_ref(), address));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    std::fs::rename(&beside, &file)?;
    std::fs::write(&note, serde_json::to_vec(&known)?)?;
    Ok(fetched(file, &known))
}

fn fetched(path: PathBuf, known: &Known) -> Fetched {
    let modified = known.modified.as_deref().and_then(|text| rfc2822::parse(text).ok());
    let modified = modified.and_then(|time| u64::try_from(time.timestamp().as_second()).ok());
    Fetched { path, name: known.name.clone(), modified }
}

fn write(source: &mut impl Read, path: &Path) -> Result<(), BaseError> {
    let mut file = File::create(path)?;
    std::io::copy(source, &mut file)?;
    file.flush()?;
    Ok(())
}

fn check(path: &Path, wanted: Option<&Digest>, address: &str) -> Result<(), BaseError> {
    let Some(wanted) = wanted else { return Ok(()) };
    let found = digest(path)?;
    if found == *wanted { Ok(()) } else { Err(format!("{address} is {found}, and {wanted} was wanted").into()) }
}

pub(super) fn digest(path: &Path) -> Result<Digest, BaseError> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, Hasher::default(), vec![0; 128 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// The name that a server gives a file.
fn named(disposition: &str) -> Option<String> {
    let (_, rest) = disposition.split_once("filename=")?;
    let name = rest.split(';').next()?.trim().trim_matches('"');
    let name = name.rsplit('/').next()?;
    (!name.is_empty() && name != "." && name != "..").then(|| name.to_owned())
}

/// The name that an address gives a file.
fn last_name(address: &str) -> String {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    path.split_once('/').and_then(|(_, path)| path.rsplit('/').next()).unwrap_or_default().to_owned()
}

/// A repository's address in its parts: `ADDRESS[#REF[:DIRECTORY]]`, or the same as a query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Repository {
    address: String,
    reference: Option<String>,
    directory: Option<String>,
}

impl Repository {
    pub(super) fn parse(text: &str) -> Self {
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        if let Some((address, fragment)) = text.split_once('#') {
            let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
            return Self { address: address.into(), reference: filled(reference), directory: filled(directory) };
        }
        let Some((address, query)) = text.split_once('?') else {
            return Self { address: text.into(), ..Self::default() };
        };
        let value = |wanted: &[&str]| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(name, _)| wanted.contains(name)).find_map(|(_, value)| filled(value))
        };
        Self {
            address: address.into(),
            reference: value(&["ref", "branch", "tag", "commit"]),
            directory: value(&["subdir"]),
        }
    }

    /// Checks the wanted revision out into a new directory; returns where its files are.
    pub(super) fn check_out(&self, into: &Path, keep_git_dir: bool) -> Result<PathBuf, BaseError> {
        std::fs::create_dir_all(into)?;
        git(into, &["init", "--quiet", "."])?;
        // An address is no option, whatever it begins with.
        git(into, &["remote", "add", "--", "origin", &self.address])?;
        let reference = self.reference.as_deref().unwrap_or("HEAD");
        if reference.starts_with('-') {
            return Err(format!("{reference} is no revision").into());
        }
        // A server may give no part of a history, and no single commit that is the tip of nothing.
        let shallow = git(into, &["fetch", "--quiet", "--depth=1", "origin", reference]);
        if shallow.or_else(|_| git(into, &["fetch", "--quiet", "origin", reference])).is_ok() {
            git(into, &["checkout", "--quiet", "--detach", "FETCH_HEAD"])?;
        } else {
            git(into, &["fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"])?;
            git(into, &["checkout", "--quiet", "--detach", reference])?;
        }
        git(into, &["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"])?;
        if !keep_git_dir {
            std::fs::remove_dir_all(into.join(".git"))?;
        }
        let root = sys::path::Root::open(into)?;
        match &self.directory {
            None => Ok(into.to_owned()),
            // A link of the repository leads nowhere else.
            Some(directory) => {
                root.resolve_without_links(Path::new(directory))?;
                Ok(into.join(directory.trim_start_matches('/')))
            }
        }
    }

    /// Fetches a repository as an uncompressed archive of its files; returns the commit.
    pub(super) fn archive(&self, work: &Path, archive: &Path, keep_git_dir: bool) -> Result<String, BaseError> {
        let files = self.check_out(work, true)?;
        let commit = git(work, &["rev-parse", "HEAD"])?;
        if !keep_git_dir {
            std::fs::remove_dir_all(work.join(".git"))?;
        }
        let directory = File::open(files)?;
        let mut out = File::create(archive)?;
        image::write_tree(directory.as_fd(), &image::Cleaning::none(), &mut out)?;
        Ok(commit.trim().to_owned())
    }
}

/// Runs git, which asks nobody anything; returns what it says.
fn git(directory: &Path, words: &[&str]) -> Result<String, BaseError> {
    let mut command = Command::new("git");
    command.args(["-c", "protocol.ext.allow=never", "-c", "advice.detachedHead=false"]).args(words);
    command.current_dir(directory).env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => BaseError::from("git is not installed: apt-get install git"),
        _ => error.into(),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("git {} failed: {}", words[0], said.trim()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_repository_names_revision_and_directory() {
        let parts = |text: &str| {
            let Repository { address, reference, directory } = Repository::parse(text);
            (address, reference.unwrap_or_default(), directory.unwrap_or_default())
        };
        let of = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(parts("https://h/a.git"), of("https://h/a.git", "", ""));
        assert_eq!(parts("https://h/a.git#v1:src"), of("https://h/a.git", "v1", "src"));
        assert_eq!(parts("git@h:a.git#:src"), of("git@h:a.git", "", "src"));
        assert_eq!(parts("https://h/a.git?ref=v2&subdir=x"), of("https://h/a.git", "v2", "x"));
    }

    #[test]
    fn a_file_is_named_by_its_server_or_by_its_address() {
        assert_eq!(named("attachment; filename=\"a.txt\"").as_deref(), Some("a.txt"));
        assert_eq!(named("attachment; filename=../../b").as_deref(), Some("b"));
        assert_eq!(named("inline"), None);
        assert_eq!(last_name("http://h/a/b.tar.gz?x=1"), "b.tar.gz");
        assert_eq!(last_name("http://h"), "");
    }
}
