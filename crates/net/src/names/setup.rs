//! What one endpoint's resolver may see: a file that is replaced when its endpoint joins or leaves a network.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file::{self, Content, Watched};
use super::message::{Answer, Query};
use super::upstream::{HostFiles, Nameserver};
use super::zone::{self, Host, Zone};

/// What one endpoint's resolver may see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The files of the zones of its networks, in the order in which they are asked.
    pub networks: Vec<PathBuf>,
    /// It leads outside by a link that is on no network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outward: bool,
    /// Names for this endpoint alone (`--add-host`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// The name servers to ask about other names (`--dns`); the host's where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<Nameserver>,
}

impl Setup {
    /// Reads a setup from its file's text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// Replaces the file; the endpoint's lock is the caller's.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        file::replace(path, &serde_json::to_vec(self)?)
    }
}

/// The files behind an endpoint's names, each read anew when it has changed.
#[derive(Debug)]
pub(super) struct Names {
    setup: Watched<Setup>,
    zones: Vec<Watched<Zone>>,
    host: HostFiles,
    turn: usize,
}

/// What becomes of a question.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is answered here.
    Answer(Answer),
    /// These are asked, each for so long.
    Ask(Vec<SocketAddr>, std::time::Duration),
}

impl Names {
    pub(super) fn new(setup: PathBuf, host: HostFiles) -> Self {
        Self { setup: Watched::new(setup), zones: Vec::new(), host, turn: 0 }
    }

    /// Decides what becomes of a question, by what the files say now.
    pub(super) fn judge(&mut self, query: &Query<'_>) -> Verdict {
        let Some(is_inward) = self.refresh() else { return Verdict::Answer(Answer::Failure) };
        let Some(setup) = self.setup.last() else { return Verdict::Answer(Answer::Failure) };
        self.turn = self.turn.wrapping_add(1);
        let zones = self.zones.iter().filter_map(Watched::last);
        if let Some(name) = query.name()
            && let Some(answer) = zone::resolve(&setup.hosts, zones, &name, query.wanted(), self.turn)
        {
            return Verdict::Answer(answer);
        }
        if is_inward {
            // Behind networks that lead nowhere there are no other names. A refusal would be as true, but makes some
            // clients wait and ask again.
            return Verdict::Answer(Answer::NoSuchName);
        }
        let (servers, patience) = self.host.servers(&setup.servers);
        if servers.is_empty() { Verdict::Answer(Answer::Failure) } else { Verdict::Ask(servers, patience) }
    }

    /// Forgets what was read, to be small.
    pub(super) fn forget(&mut self) {
        self.setup.forget();
        self.zones = Vec::new();
        self.host.forget();
    }

    /// Looks at all files and tells whether nothing leads outside; `None` when one of them cannot be read,
    /// and so nobody can say whether a name is ours.
    fn refresh(&mut self) -> Option<bool> {
        let Content::Is(setup) = self.setup.look(Setup::parse) else { return None };
        let is_same = setup.networks.iter().eq(self.zones.iter().map(Watched::path));
        if !is_same {
            self.zones = setup.networks.iter().map(Watched::new).collect();
        }
        let mut is_inward = !setup.outward;
        for zone in &mut self.zones {
            match zone.look(Zone::parse) {
                Content::Is(zone) => is_inward &= zone.internal,
                // The network has just been removed.
                Content::Missing => {}
                Content::Unreadable => return None,
            }
        }
        Some(is_inward)
    }
}
