//! The networks of a container that is only explained: decided as at a start, nothing leased, nothing made.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;
use net::firewall::{FirewallStep, Publication, State};
use net::link::LinkStep;
use trace::{Explain, Step};

use super::acquire::{choose_addresses, endpoint_on, wishes};
use super::decide::{self, Surroundings};
use super::records::{self, Body};
use super::run::RunNetwork;
use super::{Driver, Network, NetworkError, body};
use crate::error::Doing;
use crate::{Container, Engine, Error};

/// The networks of a container that is not made.
#[derive(Debug)]
pub(crate) struct ImaginedNetwork {
    pub(crate) run: RunNetwork,
    /// What is done on the host, before and after the namespace is there.
    pub(crate) steps: Vec<Step>,
    /// The shell commands that undo what outlives the namespace, last first.
    pub(crate) undo: Vec<String>,
}

impl Engine {
    /// Decides the networks of a container in the namespace that has the file `namespace`; `None` where it asks for none.
    pub(crate) fn imagine_network(
        &self,
        container: &Container,
        namespace: &Path,
    ) -> Result<Option<ImaginedNetwork>, Error> {
        let wishes = wishes(self.layout(), container)?;
        if wishes.is_empty() {
            return Ok(None);
        }
        let host = net::link::Network::read(None).doing(|| "look at the host's network")?;
        let run = RunNetwork { answers: true, ..RunNetwork::default() };
        let mut imagined = ImaginedNetwork { run, steps: Vec::new(), undo: Vec::new() };
        let mut firewall = body::open_firewall(self)?;
        if firewall.state().doing(|| "look at the firewall")? == State::Missing {
            imagined.steps.push(FirewallStep::Make.explain());
            imagined.undo.push(FirewallStep::Remove.explain().shell);
        }
        for attachment in &wishes.networks {
            let network = self.imagine_body(&attachment.network, &host, &mut firewall, &mut imagined)?;
            let zone = records::zone(self.layout(), &network.id)?;
            let addresses = choose_addresses(&network, attachment, &zone)?;
            let mtu = network.mtu.unwrap_or_else(|| body::way_out_mtu(self, &host));
            let endpoint = endpoint_on(&network, attachment, addresses, mtu, imagined.run.free_name())?;
            imagined.run.endpoints.push(endpoint);
        }
        imagined.run.choose_way_out();
        imagined.publish(&wishes.ports)?;
        for endpoint in &imagined.run.endpoints {
            imagined.steps.extend(endpoint.steps(namespace).iter().map(LinkStep::explain));
        }
        let elements = imagined.run.elements();
        if !elements.is_empty() {
            let what = "open what leads to a container";
            imagined.steps.push(FirewallStep::add(what, elements.clone()).explain());
            imagined.undo.push(FirewallStep::remove(what, elements).explain().shell);
        }
        imagined.undo.reverse();
        Ok(Some(imagined))
    }

    /// Decides a network's bridge and rules, as far as they are not there.
    fn imagine_body(
        &self,
        asked: &str,
        host: &net::link::Network,
        firewall: &mut net::firewall::Firewall<'_>,
        imagined: &mut ImaginedNetwork,
    ) -> Result<Network, Error> {
        let network = match self.known_network(asked)? {
            Some(network) => network,
            None => {
                let others = records::all(self.layout())?;
                let pools = self.pools();
                let around = Surroundings { host, others: &others, pools: &pools };
                decide::plan_default(self.default_network_id(), &around)?
            }
        };
        let Driver::Bridge { link, .. } = &network.driver else { return Ok(network) };
        if host.link(link).is_none() {
            let mtu = network.mtu.unwrap_or_else(|| body::way_out_mtu(self, host));
            let steps = body::bridge_steps(&network, link, mtu);
            imagined.steps.extend(steps.iter().map(LinkStep::explain));
            imagined.undo.extend(steps.iter().take(1).filter_map(LinkStep::undo).map(|step| step.explain().shell));
        }
        if !network.internal {
            imagined.steps.extend(body::forwarding_steps(network.has_ipv6(), host));
        }
        let way = self.settings().and_then(|settings| settings.default_interface.clone());
        let rules = body::network_rules(&network, &Body { way, ..Body::default() });
        if let Some(first) = rules.first()
            && !firewall.holds(first).doing(|| "look at the firewall")?
        {
            let what = "let a network reach what it may";
            imagined.steps.push(FirewallStep::add(what, rules.clone()).explain());
            imagined.undo.push(FirewallStep::remove(what, rules).explain().shell);
        }
        Ok(network)
    }
}

impl ImaginedNetwork {
    /// Decides the ports: one that is to be chosen is told as 0.
    fn publish(&mut self, requests: &[super::PortRequest]) -> Result<(), Error> {
        let Some(endpoint) = self.run.publishing().cloned() else {
            return match requests.first() {
                None => Ok(()),
                Some(request) => {
                    let why = "the container is on no network that leads outside".to_owned();
                    Err(NetworkError::Port { port: request.to_string(), why }.into())
                }
            };
        };
        for request in requests {
            let unspecified = |address: &IpNet| match address {
                IpNet::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
                IpNet::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
            };
            let outside: Vec<_> = match request.address {
                Some(address) => vec![address],
                None => endpoint.addresses.iter().map(unspecified).collect(),
            };
            for address in outside {
                let Some(inside) = endpoint.address(address.is_ipv6()) else { continue };
                self.run.ports.push(Publication {
                    address,
                    port: request.host.map_or(0, |(first, _)| first),
                    transport: request.transport,
                    to: SocketAddr::new(inside, request.container),
                    gateway: endpoint.host_addresses().into_iter().find(|one| one.is_ipv6() == address.is_ipv6()),
                });
            }
        }
        Ok(())
    }
}
