//! The files of networks.
//!
//! ```text
//! <root>/networks/<name>/network.json      the record; the directory reserves the name
//! <state>/networks/<id>/lock               held by whoever changes what follows, or the bridge
//!                       names              who is on the network: addresses and names, as the resolvers read them
//!                       body.json          the bridge as it was made
//! ```
//!
//! An endpoint in `names` is also the lease of its addresses: it stands there from before they are used until after.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use net::names::zone::Zone;
use serde::{Deserialize, Serialize};
use sys::Calling;
use sys::file::Durability;

use super::run::RunNetwork;
use super::{Network, NetworkError, NetworkId};
use crate::error::Doing;
use crate::layout::Layout;
use crate::{ContainerId, Error, ledger, records, remove};

/// A network's bridge as it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    /// The largest packet of its endpoints.
    pub(crate) mtu: u32,
    /// The one link by which they reach the outside, where the configuration names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) way: Option<String>,
    /// It is being made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unfinished: bool,
}

/// The right to change a network: its leases and its bridge.
#[derive(Debug)]
pub(crate) struct NetworkLock {
    layout: Layout,
    id: NetworkId,
    _lock: File,
}

impl NetworkLock {
    /// Takes it, and waits for whoever has it.
    pub(crate) fn take(layout: &Layout, id: &NetworkId) -> Result<Self, Error> {
        loop {
            if let Some(lock) = Self::open(layout, id, true)? {
                return Ok(lock);
            }
        }
    }

    /// Takes it where the network has a state; `None` where it has none.
    pub(crate) fn take_if_there(layout: &Layout, id: &NetworkId) -> Result<Option<Self>, Error> {
        let directory = layout.network_state(id);
        while records::exists(&directory)? {
            if let Some(lock) = Self::open(layout, id, false)? {
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    /// Opens and locks the file; `None` when it has been removed meanwhile.
    fn open(layout: &Layout, id: &NetworkId, make: bool) -> Result<Option<Self>, Error> {
        let doing = || "lock a network";
        let directory = layout.network_state(id);
        let path = directory.join("lock");
        if make {
            ledger::ensure_directory(&directory).doing(doing)?;
        }
        let opened = File::options().write(true).create(true).truncate(false).open(&path);
        let lock = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.call(|| format!("open({path:?}, O_CREAT)")).doing(doing)?,
        };
        lock.lock().call(|| format!("flock({path:?}, LOCK_EX)")).doing(doing)?;
        let same = |there: std::fs::Metadata| {
            use std::os::unix::fs::MetadataExt;
            lock.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
        };
        let is_there = std::fs::metadata(&path).is_ok_and(same);
        Ok(is_there.then(|| Self { layout: layout.clone(), id: id.clone(), _lock: lock }))
    }

    /// Reads who is on the network.
    pub(crate) fn zone(&self) -> Result<Zone, Error> {
        zone(&self.layout, &self.id)
    }

    /// Writes it.
    pub(crate) fn write_zone(&self, zone: &Zone) -> Result<(), Error> {
        zone.write(&names_file(&self.layout, &self.id)).doing(|| "write down who is on a network")
    }

    /// Takes a container out of it. Where there is no room for another file, this one is written over, which then is shorter.
    pub(crate) fn take_out(&self, id: &ContainerId) -> Result<(), Error> {
        let mut zone = self.zone()?;
        if zone.endpoints.remove(id.as_str()).is_none() || self.write_zone(&zone).is_ok() {
            return Ok(());
        }
        let doing = || "write down who is on a network";
        let text = serde_json::to_vec(&zone).doing(doing)?;
        let mut file = File::options().write(true).open(names_file(&self.layout, &self.id)).doing(doing)?;
        file.write_all(&text).and_then(|()| file.set_len(text.len() as u64)).doing(doing)
    }

    pub(crate) fn write_body(&self, body: &Body) -> Result<(), Error> {
        records::write(&self.layout.network_state(&self.id).join(BODY), body, Durability::Cached)
    }

    /// Removes the record of a bridge that could not be made.
    pub(crate) fn forget_body(&self) {
        let _ = std::fs::remove_file(self.layout.network_state(&self.id).join(BODY));
    }

    /// Removes all that the network has in the state directory, and with it the lock.
    pub(crate) fn remove(self) -> Result<(), Error> {
        remove::remove_tree(&self.layout.network_state(&self.id)).doing(|| "remove the state of a network")
    }
}

const NAMES: &str = "names";
const BODY: &str = "body.json";

/// Reads who is on a network. Where that is damaged, the runs' own records tell: an address must not be given twice.
pub(crate) fn zone(layout: &Layout, id: &NetworkId) -> Result<Zone, Error> {
    let doing = || "read who is on a network";
    let text = match std::fs::read(names_file(layout, id)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Zone::default()),
        text => text.doing(doing)?,
    };
    if let Some(zone) = Zone::parse(&text) {
        return Ok(zone);
    }
    tracing::warn!(network = id.short(), "who is on a network is damaged, and is gathered anew");
    let mut zone = Zone::default();
    for run in ledger::runs(layout)? {
        let Ok(Some(network)) = RunNetwork::read(layout, &run) else { continue };
        let Ok(Some(container)) = records::container(layout, &run) else { continue };
        if let Some(endpoint) = network.all_endpoints().find(|endpoint| endpoint.is_on(id)) {
            zone.endpoints.insert(run.to_string(), endpoint.named(&container));
        }
    }
    Ok(zone)
}

/// Reads how a network's bridge was made; `None` when it was not, or the record is damaged.
pub(crate) fn body(layout: &Layout, id: &NetworkId) -> Option<Body> {
    records::read(&layout.network_state(id).join(BODY)).ok().flatten()
}

/// Returns the file of a network's names.
pub(crate) fn names_file(layout: &Layout, id: &NetworkId) -> PathBuf {
    layout.network_state(id).join(NAMES)
}

/// Takes the right to make networks: subnets are chosen by one at a time.
pub(crate) fn lock_all(layout: &Layout) -> Result<File, Error> {
    let directory = layout.networks();
    let doing = || "lock the networks";
    ledger::ensure_directory(&directory).doing(doing)?;
    let lock = File::open(&directory).call(|| format!("open({directory:?})")).doing(doing)?;
    lock.lock().call(|| format!("flock({directory:?}, LOCK_EX)")).doing(doing)?;
    Ok(lock)
}

/// Returns all networks on record, by name. One whose record is damaged is told and passed over.
pub(crate) fn all(layout: &Layout) -> Result<Vec<Network>, Error> {
    let names = ledger::names_in(&layout.networks()).doing(|| "list the networks")?;
    let mut networks = Vec::new();
    for name in names.into_iter().filter(|name| !name.starts_with('.')) {
        match named(layout, &name) {
            Ok(Some(network)) => networks.push(network),
            // It is just being made or removed.
            Ok(None) => {}
            Err(error) => tracing::warn!("{error}"),
        }
    }
    networks.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(networks)
}

/// Returns the network of this name; `None` when there is none.
pub(crate) fn named(layout: &Layout, name: &str) -> Result<Option<Network>, Error> {
    if name.parse::<super::NetworkName>().is_err() {
        return Ok(None);
    }
    let path = layout.network(name).join("network.json");
    records::read(&path).map_err(|error| {
        let why = crate::error::Chain::write(&error).replace('\n', ": ");
        NetworkError::Damaged { name: name.to_owned(), why }.into()
    })
}

/// Finds a network by its name, its id, or the beginning of that.
pub(crate) fn find(layout: &Layout, asked: &str) -> Result<Network, Error> {
    if let Some(network) = named(layout, asked)? {
        return Ok(network);
    }
    let no_such = || NetworkError::NoSuchNetwork(asked.to_owned());
    let is_prefix = !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut found = all(layout)?;
    found.retain(|network| is_prefix && network.id.as_str().starts_with(asked));
    match found.len() {
        0 => Err(no_such().into()),
        1 => found.pop().ok_or_else(|| no_such().into()),
        count => Err(NetworkError::Ambiguous { prefix: asked.to_owned(), count }.into()),
    }
}

/// Puts a network on record; its name is free while the caller holds the lock of all.
pub(crate) fn write(layout: &Layout, network: &Network) -> Result<(), Error> {
    let directory = layout.network(network.name.as_str());
    let doing = || format!("put network {} on record", network.name);
    ledger::ensure_directory(&directory).doing(doing)?;
    records::write(&directory.join("network.json"), network, Durability::Synced)?;
    sys::file::sync_dir(&layout.networks()).doing(doing)
}

/// Takes a network off the record: by a rename, so that nobody sees half of it.
pub(crate) fn forget_name(layout: &Layout, name: &str) -> Result<(), Error> {
    let directory = layout.network(name);
    let removed = layout.networks().join(format!(".{name}.{}", std::process::id()));
    let doing = || format!("remove network {name}");
    match std::fs::rename(&directory, &removed) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // A full disk may refuse the rename of what is to make room.
        Err(_) => remove::remove_tree(&directory).doing(doing),
        Ok(()) => remove::remove_tree(&removed).doing(doing),
    }
}
