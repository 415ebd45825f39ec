//! `network create`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use engine::NetworkRequest;

use super::super::container_args::{flag, key_value, labels};
use super::super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Create a network
#[derive(Debug, Args)]
pub(in super::super) struct NetworkCreateArgs {
    /// What it is made of: bridge (the default), macvlan or ipvlan
    #[arg(short, long, value_name = "DRIVER")]
    driver: Option<String>,
    /// Its subnet, as in 10.89.0.0/24; one that is free is chosen where none is given
    #[arg(long, value_name = "SUBNET", value_delimiter = ',')]
    subnet: Vec<String>,
    /// The router's address in the subnet: the host's, on a bridge
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    gateway: Vec<String>,
    /// The part of the subnet from which containers get their addresses
    #[arg(long, value_name = "RANGE", value_delimiter = ',')]
    ip_range: Vec<String>,
    /// An address that somebody else has, and that no container gets
    #[arg(long, value_name = "NAME=ADDRESS", value_delimiter = ',')]
    aux_address: Vec<String>,
    /// Let its containers reach nothing beyond it
    #[arg(long)]
    internal: bool,
    /// Give it an IPv6 subnet too
    #[arg(long)]
    ipv6: bool,
    /// Set a label
    #[arg(long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// Set an option of the driver, as in mtu=1400 or parent=eth0
    #[arg(short, long, value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// Accepted for Docker's sake, without effect: every container of this host may be attached
    #[arg(long)]
    attachable: bool,
    /// The network's name
    #[arg(value_name = "NETWORK")]
    name: String,
}

impl Verb for NetworkCreateArgs {
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Create a network";
    const USAGE: &'static str = "[OPTIONS] NETWORK";
    const AFTER_HELP: &'static str = "\
Options of a bridge: mtu, com.docker.network.bridge.name, .enable_icc, .enable_ip_masquerade, .host_binding_ipv4
Options of macvlan and ipvlan: parent (the host's link), macvlan_mode, ipvlan_mode, mtu

Examples:\n  conductor network create front\n  conductor network create --internal --subnet 10.89.7.0/24 back\n  \
                                    conductor network create -d macvlan --subnet 192.168.7.0/24 -o parent=eth0 lan";
    const GROUP: Group = Group::Network;

    fn run(self, context: &Context) -> Outcome {
        let request = self.into_request()?;
        let network = context.engine()?.create_network(&request)?;
        ui::print_line(network.id.as_str()).map(|()| ExitCode::SUCCESS)
    }
}

impl NetworkCreateArgs {
    fn into_request(self) -> Result<NetworkRequest, Failure> {
        let subnet = |text: &String| match text.contains('/') {
            true => flag("subnet", text.parse()),
            // An address alone would be a subnet of one address, of use to nobody.
            false => Err(Failure::message(format!("invalid value for --subnet: {text:?} has no prefix length"))
                .hint(format!("say how many bits are the network's, as in {text}/24"))),
        };
        let aux = |pair: &String| {
            let (name, address) = key_value("aux-address", pair)?;
            Ok((name, flag("aux-address", address.parse())?))
        };
        let options = self.opt.iter().map(|pair| match pair.split_once('=') {
            None => key_value("opt", &format!("{pair}=")),
            Some(_) => key_value("opt", pair),
        });
        Ok(NetworkRequest {
            subnets: self.subnet.iter().map(subnet).collect::<Result<_, Failure>>()?,
            gateways: self.gateway.iter().map(|text| flag("gateway", text.parse())).collect::<Result<_, _>>()?,
            ranges: self.ip_range.iter().map(|text| flag("ip-range", text.parse())).collect::<Result<_, _>>()?,
            aux: self.aux_address.iter().map(aux).collect::<Result<_, Failure>>()?,
            labels: labels(&[], &self.label, &super::super::container_args::Here)?,
            options: options.collect::<Result<BTreeMap<_, _>, _>>()?,
            name: self.name,
            driver: self.driver,
            internal: self.internal,
            ipv6: self.ipv6,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<NetworkRequest, String> {
        let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
        let read = super::super::super::read::<NetworkCreateArgs>("conductor network create", &words);
        read.and_then(|(args, _)| args.into_request()).map_err(|failure| failure.lines().unwrap())
    }

    #[test]
    fn every_option_means_something() {
        let request = read(
            "-d bridge --subnet 10.1.0.0/24,fd00:1::/64 --gateway 10.1.0.254 --ip-range 10.1.0.128/25 --internal --ipv6 \
             --aux-address printer=10.1.0.7 --label a=b --label c -o mtu=1400 -o flag --attachable front",
        );
        let expected = NetworkRequest {
            name: "front".into(),
            driver: Some("bridge".into()),
            subnets: vec!["10.1.0.0/24".parse().unwrap(), "fd00:1::/64".parse().unwrap()],
            gateways: vec!["10.1.0.254".parse().unwrap()],
            ranges: vec!["10.1.0.128/25".parse().unwrap()],
            aux: vec![("printer".into(), "10.1.0.7".parse().unwrap())],
            internal: true,
            ipv6: true,
            labels: [("a".into(), "b".into()), ("c".into(), String::new())].into(),
            options: [("mtu".into(), "1400".into()), ("flag".into(), String::new())].into(),
        };
        assert_eq!(request.unwrap(), expected);
        assert_eq!(read("front").unwrap(), NetworkRequest { name: "front".into(), ..NetworkRequest::default() });
    }

    #[test]
    fn a_wrong_word_is_named_with_its_option() {
        for (line, said) in [
            ("--subnet 10.1.0.0/33 x", "error: invalid value for --subnet\n  because: "),
            ("--subnet 10.1.0.0 x", "error: invalid value for --subnet: \"10.1.0.0\" has no prefix length\n  hint: "),
            ("--subnet 10.1/24 x", "error: invalid value for --subnet\n  because: "),
            ("--gateway here x", "error: invalid value for --gateway"),
            ("--ip-range 10.1.0.0-10.1.0.9 x", "error: invalid value for --ip-range"),
            ("--aux-address 10.1.0.7 x", "error: invalid value for --aux-address: \"10.1.0.7\" is not KEY=VALUE"),
            ("-o =x x", "error: invalid value for --opt"),
            ("", "error: 'conductor network create' requires NETWORK"),
            ("x y", "error: 'conductor network create' takes no argument \"y\""),
        ] {
            let got = read(line).unwrap_err();
            assert!(got.starts_with(said), "{line}: {got}");
        }
    }
}
