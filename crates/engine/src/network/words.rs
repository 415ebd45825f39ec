//! What is open to whom, and why, in words.

use std::fmt::Write as _;

use net::firewall::Publication;

use super::records;
use super::run::{Endpoint, Medium, RunNetwork};
use super::{Driver, Network, body};
use crate::error::Doing;
use crate::{Container, Engine, Error, ledger};

/// What an endpoint is called that is on no network.
pub(crate) const OWN_LINK: &str = "its own link";

impl Engine {
    /// Tells what is open to whom: a paragraph for each network, and one for each container that has something of its own.
    /// What the kernel's table lacks, or has beside that, is told at the end.
    pub fn explain_firewall(&self) -> Result<String, Error> {
        self.sweep()?;
        let layout = self.layout();
        let mut text = String::new();
        for network in records::all(layout)?.iter().filter(|network| records::body(layout, &network.id).is_some()) {
            self.network_words(network, &mut text)?;
        }
        let mut ids = ledger::runs(layout)?;
        ids.sort();
        for id in ids {
            if let (Ok(Some(run)), Ok(Some(container))) =
                (RunNetwork::read(layout, &id), crate::records::container(layout, &id))
            {
                container_words(&container, &run, &mut text);
            }
        }
        if text.is_empty() {
            text.push_str("No network is up and no container has one: nothing is open.\n");
        }
        self.compare(&mut text)?;
        Ok(text)
    }

    fn network_words(&self, network: &Network, text: &mut String) -> Result<(), Error> {
        let subnets: Vec<_> = network.pools.iter().map(|pool| pool.subnet.to_string()).collect();
        let Driver::Bridge { link, together, masquerade, .. } = &network.driver else {
            let _ = writeln!(
                text,
                "Network {} ({}) is on a link of the host: what passes there is not seen by this firewall.",
                network.name,
                subnets.join(", ")
            );
            return Ok(());
        };
        let _ = writeln!(text, "Network {} (bridge {link}, {}):", network.name, subnets.join(", "));
        let between =
            if *together { "reach each other on all ports" } else { "do not reach each other (enable_icc=false)" };
        let _ = writeln!(text, "  its containers {between}, and the host reaches them;");
        let way = records::body(self.layout(), &network.id).and_then(|body| body.way);
        let outside = match (network.internal, way, masquerade) {
            (true, ..) => "they reach nothing beyond it (--internal);".to_owned(),
            (false, Some(way), _) => {
                format!("they reach the outside through {way} alone (default_interface), with the host's address;")
            }
            (false, None, true) => "they reach the outside with the host's address (masquerade);".to_owned(),
            (false, None, false) => "they reach the outside with their own addresses;".to_owned(),
        };
        let _ = writeln!(text, "  {outside}\n  nobody else reaches them, but for the ports that they publish.");
        Ok(())
    }

    /// Compares what is on record with what the kernel has.
    fn compare(&self, text: &mut String) -> Result<(), Error> {
        let mut firewall = body::open_firewall(self)?;
        let found = firewall.elements().doing(|| "read the firewall")?;
        let wanted = body::wanted(self)?;
        for element in wanted.iter().filter(|element| !found.contains(element)) {
            let _ = writeln!(text, "The kernel's table lacks {}: {element}; the next start puts it back.", element.set);
        }
        for element in found.iter().filter(|element| !wanted.contains(element)) {
            let _ = writeln!(text, "The kernel's table has {}: {element}, which is not on record here.", element.set);
        }
        Ok(())
    }
}

fn container_words(container: &Container, run: &RunNetwork, text: &mut String) {
    let own: Vec<_> = run.endpoints.iter().filter(|endpoint| endpoint.network.is_none()).collect();
    if run.ports.is_empty() && run.peers.is_empty() && own.is_empty() {
        return;
    }
    let _ = writeln!(text, "Container {}:", container.name);
    for endpoint in own {
        let _ = writeln!(text, "  {}", own_words(endpoint));
    }
    for port in &run.ports {
        let _ = writeln!(text, "  {}", port_sentence(port));
    }
    for peer in &run.peers {
        let _ = writeln!(text, "  it and container {} reach each other on all ports (peer);", peer.name);
    }
}

fn own_words(endpoint: &Endpoint) -> String {
    let addresses: Vec<_> = endpoint.addresses.iter().map(ToString::to_string).collect();
    let internet = matches!(endpoint.medium, Medium::Alone { internet: true, .. });
    let reach = if internet {
        "reach each other, and it reaches the outside with the host's address"
    } else {
        "reach each other, and it reaches nobody else"
    };
    format!("it and the host {reach} (addnetwork, {});", addresses.join(", "))
}

fn port_sentence(port: &Publication) -> String {
    let (transport, inside) = (port.transport, port.to);
    let who = match port.address {
        address if address.is_unspecified() => "everybody who reaches this host".to_owned(),
        address if address.is_loopback() => format!("this host alone ({address})"),
        address => format!("whoever reaches {address}"),
    };
    format!("{who} reaches {inside}/{transport} by port {} (published);", port.port)
}
