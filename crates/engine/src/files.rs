//! The files of a run that the container sees: its host name, its hosts, its resolvers. And the image's accounts.

use std::io::Read as _;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use net::names::setup::Setup;
use net::names::upstream::{self, HostFiles};
use net::names::zone::Host;
use sys::path::Root;
use sys::{Calling, Errno};
use trace::{Explain, Step, quote};

use crate::error::Doing;
use crate::layout::Layout;
use crate::network::{self, RunNetwork};
use crate::spec::Accounts;
use crate::{Container, Engine, Error, NetworkMode};

/// A file of ours in a container: where it is seen, where it lies.
pub(crate) type SeenFile = (&'static str, PathBuf);

/// Where the files are seen, and what they are called in a run's directory.
const FILES: [(&str, &str); 3] =
    [("/etc/hostname", "hostname"), ("/etc/hosts", "hosts"), ("/etc/resolv.conf", "resolv.conf")];

/// A file of ours, and what is in it: nothing where another container has written it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) target: &'static str,
    pub(crate) source: PathBuf,
    pub(crate) text: Option<String>,
}

/// What the files of a run are made from.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    pub(crate) hostname: &'a str,
    /// What the run has of networks.
    pub(crate) network: Option<&'a RunNetwork>,
    /// The container whose network is joined: its files are seen.
    pub(crate) sharer: Option<&'a Container>,
}

/// Writes the files of a run.
pub(crate) fn write(engine: &Engine, container: &Container, names: &Names<'_>) -> Result<Vec<SeenFile>, Error> {
    let mut seen = Vec::with_capacity(FILES.len());
    for Planned { target, source, text } in plan(engine.layout(), container, names) {
        if let Some(text) = text {
            engine.recorder().record(&FileStep { target, source: &source, text: &text });
            let written = std::fs::write(&source, text).call(|| format!("write({source:?})"));
            written.doing(|| format!("write the container's {target}"))?;
        }
        seen.push((target, source));
    }
    if let Some(run) = names.network {
        write_names(engine, container, run)?;
    }
    Ok(seen)
}

/// Writes the files anew that tell of networks. They are mounted in the container, so they stay the same files.
pub(crate) fn rewrite(engine: &Engine, container: &Container, run: &RunNetwork) -> Result<(), Error> {
    write_names(engine, container, run)?;
    let hostname = crate::create::own_hostname(container);
    let names = Names { hostname, network: Some(run), sharer: None };
    for Planned { target, source, text } in plan(engine.layout(), container, &names) {
        if let (Some(text), "/etc/hosts" | "/etc/resolv.conf") = (text, target) {
            engine.recorder().record(&FileStep { target, source: &source, text: &text });
            let written = std::fs::write(&source, text).call(|| format!("write({source:?})"));
            written.doing(|| format!("write the container's {target}"))?;
        }
    }
    Ok(())
}

/// Writes down what the run's resolver may tell.
pub(crate) fn write_names(engine: &Engine, container: &Container, run: &RunNetwork) -> Result<(), Error> {
    let layout = engine.layout();
    let networks = run.endpoints.iter().filter_map(|endpoint| endpoint.network.as_ref());
    let wishes = &container.request.names;
    let host = |(name, address): (String, IpAddr)| Host { name, address };
    let peers = run.peers.iter().flat_map(|peer| peer.pairs.iter().map(|pair| (peer.name.to_string(), pair.1)));
    let setup = Setup {
        networks: networks.map(|network| network::names_file(layout, &network.id)).collect(),
        outward: run.endpoints.iter().any(|endpoint| endpoint.is_open_alone()),
        hosts: added_hosts(container, run).chain(peers).map(host).collect(),
        servers: wishes.servers.clone(),
    };
    let path = layout.run_names(&container.id);
    setup.write(&path).call(|| format!("write({path:?})")).doing(|| "write down what the container knows by name")
}

/// Returns the names that were added by hand; one without an address is the host's.
fn added_hosts<'a>(container: &'a Container, run: &'a RunNetwork) -> impl Iterator<Item = (String, IpAddr)> + 'a {
    let of_host = run.endpoints.iter().flat_map(|endpoint| endpoint.host_addresses()).next();
    let wishes = container.request.names.hosts.iter();
    wishes.filter_map(move |wish| Some((wish.name.clone(), wish.address.or(of_host)?)))
}

/// Decides the files of a run. A container that joins another one's network sees the files of that one.
pub(crate) fn plan(layout: &Layout, container: &Container, names: &Names<'_>) -> Vec<Planned> {
    let run = layout.run(names.sharer.map_or(&container.id, |other| &other.id));
    let [name, hosts_file, resolvers] = FILES.map(|(target, file)| (target, run.join(file)));
    let planned =
        |(target, source): (&'static str, PathBuf), text: String| Planned { target, source, text: Some(text) };
    if names.sharer.is_some() {
        let seen = [name, hosts_file, resolvers].into_iter().filter(|(_, source)| source.exists());
        return seen.map(|(target, source)| Planned { target, source, text: None }).collect();
    }
    let mut files = vec![planned(name, format!("{}\n", names.hostname))];
    let wishes = &container.request.names;
    match (&container.request.network, names.network) {
        // The host's network comes with the host's names.
        (NetworkMode::Host, _) => {
            let of_host = std::fs::read_to_string("/etc/hosts").unwrap_or_else(|_| hosts(names.hostname, &[]));
            let none = RunNetwork::default();
            let added = added_hosts(container, &none);
            let added: String = added.map(|(name, address)| format!("{address}\t{name}\n")).collect();
            files.push(planned(hosts_file, of_host + &added));
            let own = (!wishes.servers.is_empty()).then(|| {
                let servers = wishes.servers.iter().map(|server| format!("nameserver {server}\n"));
                servers.collect::<String>()
            });
            let of_host = own.or_else(|| std::fs::read_to_string("/etc/resolv.conf").ok());
            files.extend(of_host.map(|text| planned(resolvers, text)));
        }
        (_, Some(network)) if !network.endpoints.is_empty() => {
            let own: Vec<_> = network.addresses().collect();
            let mut text = hosts(names.hostname, &own);
            text.extend(added_hosts(container, network).map(|(name, address)| format!("{address}\t{name}\n")));
            files.push(planned(hosts_file, text));
            let asked = upstream::Wishes { search: wishes.search.clone(), options: wishes.options.clone() };
            let of_host = HostFiles::default().read();
            let text = match network.answers {
                true => of_host.for_endpoint(network::RESOLVER.into(), &asked),
                // A shell script leaves nobody behind who could answer.
                false => of_host.servers.iter().map(|server| format!("nameserver {server}\n")).collect(),
            };
            files.push(planned(resolvers, text));
        }
        // Without a network there is nobody to ask for names; there may be one later.
        _ => {
            files.push(planned(hosts_file, hosts(names.hostname, &[])));
            files.push(planned(resolvers, "# This container is on no network.\n".to_owned()));
        }
    }
    files
}

impl Planned {
    /// Tells how the file is written; nothing where another container has done it.
    pub(crate) fn step(&self) -> Option<Step> {
        let text = self.text.as_deref()?;
        Some(FileStep { target: self.target, source: &self.source, text }.explain())
    }
}

/// Writes a file that the container sees.
struct FileStep<'a> {
    target: &'a str,
    source: &'a Path,
    text: &'a str,
}

impl Explain for FileStep<'_> {
    fn explain(&self) -> Step {
        let source = self.source.to_string_lossy();
        let shell = format!("printf '%s' {} > {}", quote(self.text), quote(&source));
        Step::host(format!("write the container's {}", self.target), shell)
    }
}

/// Writes a hosts file; the container is known by its addresses, or by one of loopback where it has none.
fn hosts(hostname: &str, own: &[IpAddr]) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\n\
                    ff02::2\tip6-allrouters\n"
        .to_owned();
    match own {
        [] => text.push_str(&format!("127.0.1.1\t{hostname}\n")),
        own => text.extend(own.iter().map(|address| format!("{address}\t{hostname}\n"))),
    }
    text
}

/// The longest account file that is read: ten thousand users, and no gigabytes of nonsense.
const LONGEST: u64 = 1024 * 1024;

/// Reads an image's users and groups, as the container has changed them.
pub(crate) fn accounts(view: BorrowedFd<'_>, upper: &Path) -> Result<Accounts, Error> {
    let doing = || "read the image's users";
    let image = Root::from_fd(view.try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)").doing(doing)?);
    let changes = Root::open(upper).ok();
    let read = |path: &str| {
        let changed = changes.as_ref().and_then(|changes| text_at(changes, path).transpose());
        changed.unwrap_or_else(|| Ok(text_at(&image, path)?.unwrap_or_default()))
    };
    Ok(Accounts { passwd: read("etc/passwd").doing(doing)?, group: read("etc/group").doing(doing)? })
}

/// Reads the users and groups of a running container.
pub(crate) fn accounts_of(root: &Root) -> Result<Accounts, Error> {
    let read = |path| text_at(root, path).map(Option::unwrap_or_default).doing(|| "read the container's users");
    Ok(Accounts { passwd: read("etc/passwd")?, group: read("etc/group")? })
}

/// Reads a file below a root; `None` when there is none. A whiteout (a device in the upper directory) is an empty file.
fn text_at(root: &Root, path: &str) -> sys::Result<Option<String>> {
    let file = match root.open_file(Path::new(path)) {
        Ok(file) => file,
        Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        // A device without a driver, as a whiteout is.
        Err(error) if matches!(error.errno(), Errno::NXIO | Errno::NODEV) => return Ok(Some(String::new())),
        Err(error) => return Err(error),
    };
    if sys::path::file_type(file.as_fd())? != sys::path::FileType::RegularFile {
        return Ok(Some(String::new()));
    }
    // Room for an ordinary file, so that it takes one read.
    let mut bytes = Vec::with_capacity(4096);
    file.take(LONGEST).read_to_end(&mut bytes).call(|| format!("read({path:?})"))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root(passwd: Option<&str>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        if let Some(text) = passwd {
            std::fs::create_dir(dir.path().join("etc")).unwrap();
            std::fs::write(dir.path().join("etc/passwd"), text).unwrap();
        }
        dir
    }

    #[test]
    fn a_container_s_own_users_come_before_the_image_s() {
        let (image, upper) = (root(Some("old")), root(Some("new")));
        let view = Root::open(image.path()).unwrap();
        assert_eq!(accounts(view.as_fd(), upper.path()).unwrap().passwd, "new");
        assert_eq!(accounts(view.as_fd(), Path::new("/nonexistent")).unwrap().passwd, "old");
        assert_eq!(accounts(view.as_fd(), root(None).path()).unwrap().passwd, "old");
    }

    #[test]
    fn a_link_that_leads_outside_finds_nothing() {
        let image = tempfile::tempdir().unwrap();
        symlink("/etc", image.path().join("etc")).unwrap();
        let view = Root::open(image.path()).unwrap();
        assert_eq!(accounts(view.as_fd(), Path::new("/nonexistent")).unwrap(), Accounts::default());
    }
}
