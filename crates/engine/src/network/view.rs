//! Networks as `inspect` shows them, in Docker's form, and the words of `ps` and `port`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use net::firewall::Publication;
use serde::Serialize;

use super::records::NetworkLock;
use super::run::{Endpoint, RunNetwork};
use super::{Network, wishes};
use crate::layout::Layout;
use crate::{Container, Engine, Error};

/// What a container has of networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct NetworkSettings {
    pub sandbox_key: String,
    pub ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    #[serde(flatten)]
    pub addresses: AddressView,
    pub networks: BTreeMap<String, EndpointView>,
}

/// A container's addresses on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct AddressView {
    pub gateway: String,
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    pub mac_address: String,
}

/// A port of the host that leads to one of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct PortBinding {
    pub host_ip: String,
    pub host_port: String,
}

/// A container's place on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct EndpointView {
    pub aliases: Vec<String>,
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    #[serde(flatten)]
    pub addresses: AddressView,
    #[serde(rename = "DNSNames")]
    pub dns_names: Vec<String>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct NetworkView {
    pub name: String,
    pub id: String,
    pub created: String,
    pub scope: &'static str,
    pub driver: &'static str,
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    pub internal: bool,
    pub attachable: bool,
    pub ingress: bool,
    pub containers: BTreeMap<String, MemberView>,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
}

/// How a network gives addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct Ipam {
    pub driver: &'static str,
    pub options: BTreeMap<String, String>,
    pub config: Vec<IpamPool>,
}

/// One of its subnets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct IpamPool {
    pub subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<String>,
    pub gateway: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary_addresses: BTreeMap<String, String>,
}

/// Who is on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the fields are Docker's, and documented there")]
pub struct MemberView {
    pub name: String,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    pub mac_address: String,
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

impl Engine {
    /// Tells everything about a network, in Docker's form.
    pub fn inspect_network(&self, network: &Network) -> Result<NetworkView, Error> {
        self.sweep()?;
        let zone = NetworkLock::take_if_there(self.layout(), &network.id)?.map(|lock| lock.zone()).transpose()?;
        let mut containers = BTreeMap::new();
        for id in zone.unwrap_or_default().endpoints.into_keys().filter_map(|id| id.parse().ok()) {
            let Some(run) = RunNetwork::read(self.layout(), &id).unwrap_or_default() else { continue };
            let Some(endpoint) = run.on(&network.id) else { continue };
            let name = crate::records::container(self.layout(), &id).ok().flatten();
            let address = |ipv6: bool| {
                endpoint.addresses.iter().find(|address| address.addr().is_ipv6() == ipv6).map(IpNet::to_string)
            };
            containers.insert(
                id.to_string(),
                MemberView {
                    name: name.map_or_else(|| id.short().to_owned(), |container| container.name.to_string()),
                    endpoint_id: endpoint_id(id.as_str(), network.id.as_str()),
                    mac_address: endpoint.mac.to_string(),
                    ipv4_address: address(false).unwrap_or_default(),
                    ipv6_address: address(true).unwrap_or_default(),
                },
            );
        }
        Ok(NetworkView {
            name: network.name.to_string(),
            id: network.id.to_string(),
            created: network.created.to_string(),
            scope: "local",
            driver: network.driver.name(),
            enable_ipv4: true,
            enable_ipv6: network.has_ipv6(),
            ipam: Ipam {
                driver: "default",
                options: BTreeMap::new(),
                config: network.pools.iter().map(view_pool).collect(),
            },
            internal: network.internal,
            attachable: false,
            ingress: false,
            containers,
            options: network.options.clone(),
            labels: network.labels.clone(),
        })
    }

    /// Returns the ports that a container publishes now: the container's port with its protocol, and the host's.
    pub fn published(&self, container: &Container) -> Result<Vec<(String, PortBinding)>, Error> {
        let run = RunNetwork::read(self.layout(), &container.id)?.unwrap_or_default();
        Ok(run.ports.iter().map(|port| (inside(port), binding(port))).collect())
    }
}

fn endpoint_id(container: &str, network: &str) -> String {
    oci::Digest::of(format!("{container} {network}").as_bytes()).hex()
}

fn view_pool(pool: &super::Pool) -> IpamPool {
    IpamPool {
        subnet: pool.subnet.to_string(),
        ip_range: pool.range.map(|range| range.to_string()),
        gateway: pool.gateway.to_string(),
        auxiliary_addresses: pool.aux.iter().map(|(name, address)| (name.clone(), address.to_string())).collect(),
    }
}

/// Returns the settings of a container: those that it has, or those that it asks for while it does not run.
pub(crate) fn settings(layout: &Layout, container: &Container, pid: Option<i32>) -> Result<NetworkSettings, Error> {
    let run = RunNetwork::read(layout, &container.id)?;
    let mut settings = NetworkSettings {
        sandbox_key: pid.map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default(),
        ..NetworkSettings::default()
    };
    let Some(run) = run else {
        for wish in wishes(layout, container)?.networks {
            settings.networks.insert(wish.network, EndpointView { aliases: wish.aliases, ..EndpointView::default() });
        }
        return Ok(settings);
    };
    for port in &container.request.exposed {
        settings.ports.insert(port.to_string(), None);
    }
    for port in &run.ports {
        settings.ports.entry(inside(port)).or_default().get_or_insert_default().push(binding(port));
    }
    for endpoint in &run.endpoints {
        let (name, network_id) = match &endpoint.network {
            Some(network) => (network.name.to_string(), network.id.to_string()),
            None => (super::words::OWN_LINK.to_owned(), String::new()),
        };
        settings.networks.insert(name, view_endpoint(container, endpoint, network_id));
    }
    // Those outside any network, for tools of old: the addresses where the default routes lead.
    let first = run.endpoints.iter().find(|endpoint| endpoint.leads_out).or(run.endpoints.first());
    settings.addresses = first.map(view_addresses).unwrap_or_default();
    Ok(settings)
}

fn view_endpoint(container: &Container, endpoint: &Endpoint, network_id: String) -> EndpointView {
    let mut dns_names = vec![container.name.to_string()];
    dns_names.extend(endpoint.aliases.iter().cloned());
    dns_names.push(container.id.short().to_owned());
    EndpointView {
        aliases: endpoint.aliases.clone(),
        endpoint_id: endpoint_id(container.id.as_str(), &network_id),
        network_id,
        addresses: view_addresses(endpoint),
        dns_names,
    }
}

fn view_addresses(endpoint: &Endpoint) -> AddressView {
    let address = |ipv6: bool| endpoint.addresses.iter().find(|one| one.addr().is_ipv6() == ipv6);
    let router = |ipv6: bool| endpoint.routers.iter().find(|one| one.is_ipv6() == ipv6).map(IpAddr::to_string);
    let text = |ipv6: bool| address(ipv6).map(|one| one.addr().to_string()).unwrap_or_default();
    AddressView {
        gateway: router(false).unwrap_or_default(),
        ip_address: text(false),
        ip_prefix_len: address(false).map_or(0, IpNet::prefix_len),
        ipv6_gateway: router(true).unwrap_or_default(),
        global_ipv6_address: text(true),
        global_ipv6_prefix_len: address(true).map_or(0, IpNet::prefix_len),
        mac_address: endpoint.mac.to_string(),
    }
}

fn inside(port: &Publication) -> String {
    format!("{}/{}", port.to.port(), port.transport)
}

fn binding(port: &Publication) -> PortBinding {
    PortBinding { host_ip: port.address.to_string(), host_port: port.port.to_string() }
}

/// Returns the ports of a run as `ps` shows them: `0.0.0.0:8080->80/tcp`.
pub(crate) fn port_words(run: &RunNetwork) -> Vec<String> {
    let words = |port: &Publication| {
        let outside = std::net::SocketAddr::new(port.address, port.port);
        format!("{outside}->{}", inside(port))
    };
    run.ports.iter().map(words).collect()
}
