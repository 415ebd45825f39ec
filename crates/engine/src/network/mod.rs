//! Networks: nouns on record, places of containers on them, and what leads to and from those.
//!
//! A [`Network`] is a file; its bridge and its rules are made when a container first needs them (`body`). A start leases
//! addresses and takes ports (`acquire`), makes the links once the container's namespace is there (`up`), and hands the
//! sockets that keep the ports, and those of the resolver, to the monitor. The end of a run takes all of it back
//! (`release`); so does whoever settles a run whose monitor died. `live` changes a container that runs.
//!
//! Start reading at `acquire`; `run` draws what a run has.

mod acquire;
mod body;
mod decide;
mod error;
mod holder;
mod imagine;
mod live;
mod noun;
mod pool;
mod ports;
mod records;
mod release;
mod run;
mod up;
mod verbs;
mod view;
mod wish;
mod words;

use crate::layout::Layout;
use crate::{ContainerId, ContainerName, Error};

/// The id of a network: of the same form as a container's.
pub type NetworkId = ContainerId;
/// The name of a network: of the same form as a container's.
pub type NetworkName = ContainerName;

pub(crate) use acquire::{Acquired, wishes};
pub(crate) use body::put_back;
pub use error::NetworkError;
pub(crate) use imagine::ImaginedNetwork;
pub use noun::{DEFAULT_NETWORK, Driver, Network, NetworkRequest, Pool};
pub use pool::AddressPool;
pub(crate) use records::names_file;
pub(crate) use release::{Closing, release};
pub(crate) use run::RunNetwork;
pub(crate) use up::{RESOLVER, Resolver};
pub use view::{AddressView, EndpointView, Ipam, IpamPool, MemberView, NetworkSettings, NetworkView, PortBinding};
pub(crate) use view::{port_words, settings};
pub use wish::{Attachment, ExposedPort, HostWish, HostWishError, NameWishes, PortError, PortRequest};

/// Writes the ports of a run where `ps` finds them.
pub(crate) fn note_ports(layout: &Layout, id: &ContainerId, run: &RunNetwork) -> Result<(), Error> {
    let path = layout.run_state(id);
    let Some(state) = crate::records::read::<crate::records::Run>(&path)? else { return Ok(()) };
    let state = crate::records::Run { ports: view::port_words(run), ..state };
    crate::records::write(&path, &state, sys::file::Durability::Cached)
}
