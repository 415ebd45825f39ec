//! Names: what an endpoint's resolver answers itself, and what it asks the host's resolvers.
//!
//! A [`zone`] is the names of one network, a file that is replaced when an endpoint comes or goes; a [`setup`] is what one
//! endpoint's resolver may see: the zones of its networks, fixed names, the name servers to ask. [`upstream`] reads the
//! host's resolv.conf and writes the endpoint's. [`message`] is the only place that looks into packets. [`server`] holds
//! the sockets: it has no thread, never waits, and is told when one of its descriptors is ready.
//!
//! Who brings an endpoint up opens [`server::Sockets`] in its network ([`redirect::listen`]), leads port 53 to them
//! ([`redirect::lead`]), writes its setup, and hands sockets and setup to the process that stays with it; who connects or
//! disconnects it replaces the zone and the setup, and tells nobody.
//!
//! Start reading at [`server::Server`].

pub mod file;
pub mod message;
pub mod redirect;
pub mod server;
pub mod setup;
pub mod upstream;
pub mod zone;
