//! `port`: which ports of the host lead to a container.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use clap::Args;
use engine::network::{ExposedPort, PortBinding};

use super::container_args::flag;
use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// List the ports of the host that lead to a container
#[derive(Debug, Args)]
pub(crate) struct PortArgs {
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Tell only what leads to this port of the container
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<String>,
}

impl Verb for PortArgs {
    const NAME: &'static str = "port";
    const ABOUT: &'static str = "List the ports of the host that lead to a container";
    const USAGE: &'static str = "CONTAINER [PORT[/PROTOCOL]]";
    const AFTER_HELP: &'static str = "Examples:\n  conductor port web\n  conductor port web 80/tcp";
    const GROUP: Group = Group::Network;

    fn run(self, context: &Context) -> Outcome {
        let port = self.port.as_deref().map(one_port).transpose()?;
        let engine = context.engine()?;
        let published = engine.published(&engine.find(&self.container)?)?;
        ui::print(&render(&self.container, published, port.as_deref())?).map(|()| ExitCode::SUCCESS)
    }
}

/// Reads a port of the container; the protocol is TCP where none is said.
fn one_port(word: &str) -> Result<String, Failure> {
    let ports = ExposedPort::parse(word).map_err(Failure::new)?;
    match ports.as_slice() {
        [port] => Ok(port.to_string()),
        _ => flag("PORT", Err(std::io::Error::other(format!("{word:?} names several ports")))),
    }
}

fn render(name: &str, mut published: Vec<(String, PortBinding)>, port: Option<&str>) -> Result<String, Failure> {
    published.sort_by_cached_key(|(inside, binding)| (number(inside), inside.clone(), number(&binding.host_port)));
    let Some(port) = port else {
        let line = |(inside, binding): &(String, PortBinding)| format!("{inside} -> {}\n", outside(binding));
        return Ok(published.iter().map(line).collect());
    };
    let lines: String =
        published.iter().filter(|(inside, _)| inside == port).map(|(_, binding)| outside(binding) + "\n").collect();
    if lines.is_empty() {
        return Err(Failure::message(format!("no port of the host leads to {port} of {name}"))
            .hint(format!("'conductor port {name}' lists what is published")));
    }
    Ok(lines)
}

/// Ports are sorted as numbers, so that 80 comes before 8080 and 443 between them.
fn number(port: &str) -> u16 {
    port.split('/').next().and_then(|digits| digits.parse().ok()).unwrap_or(u16::MAX)
}

fn outside(binding: &PortBinding) -> String {
    match (binding.host_ip.parse::<IpAddr>(), binding.host_port.parse()) {
        (Ok(address), Ok(port)) => SocketAddr::new(address, port).to_string(),
        _ => format!("{}:{}", binding.host_ip, binding.host_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> Vec<(String, PortBinding)> {
        let one = |inside: &str, host_ip: &str, host_port: &str| {
            (inside.to_owned(), PortBinding { host_ip: host_ip.to_owned(), host_port: host_port.to_owned() })
        };
        vec![
            one("443/tcp", "127.0.0.1", "8443"),
            one("80/tcp", "0.0.0.0", "8080"),
            one("80/tcp", "::", "8080"),
            one("80/udp", "0.0.0.0", "8080"),
        ]
    }

    #[test]
    fn the_lines_are_docker_s() {
        assert_eq!(
            render("web", published(), None).unwrap(),
            "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n80/udp -> 0.0.0.0:8080\n443/tcp -> 127.0.0.1:8443\n"
        );
        let port = one_port("80").unwrap();
        assert_eq!(render("web", published(), Some(&port)).unwrap(), "0.0.0.0:8080\n[::]:8080\n");
        assert_eq!(render("web", Vec::new(), None).unwrap(), "");
        let said = render("web", published(), Some("81/tcp")).unwrap_err().lines().unwrap();
        assert!(said.starts_with("error: no port of the host leads to 81/tcp of web\n  hint: "), "{said}");
        for bad in ["x", "80-81", "0", "80/icmp"] {
            assert!(one_port(bad).is_err(), "{bad}");
        }
    }
}
