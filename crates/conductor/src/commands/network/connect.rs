//! `network connect` and `network disconnect`.

use std::process::ExitCode;

use clap::Args;
use engine::{Attachment, NetworkError};

use super::super::container_args::flag;
use super::super::network_args::host_name;
use super::super::{Group, Verb};
use super::Predefined;
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Put a container on a network, whether it runs or not
#[derive(Debug, Args)]
pub(in super::super) struct ConnectArgs {
    /// Give the container a further name on the network
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// IPv4 address on the network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// IPv6 address on the network
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<String>,
    /// The network
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Verb for ConnectArgs {
    const NAME: &'static str = "connect";
    const ABOUT: &'static str = "Put a container on a network, whether it runs or not";
    const USAGE: &'static str = "[OPTIONS] NETWORK CONTAINER";
    const AFTER_HELP: &'static str = "Example:\n  conductor network connect --alias db back web";
    const GROUP: Group = Group::Network;

    fn run(self, context: &Context) -> Outcome {
        let attachment = self.attachment()?;
        let engine = context.engine()?;
        engine.connect(&engine.find(&self.container)?, &attachment)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl ConnectArgs {
    fn attachment(&self) -> Result<Attachment, Failure> {
        if let Some(one) = Predefined::named(&self.network) {
            let word = one.name();
            return Err(Failure::message(format!("no container can be connected to {word}: it is no network of ours"))
                .hint(format!("a container is given it when it is made: conductor run --network {word} IMAGE")));
        }
        Ok(Attachment {
            network: self.network.clone(),
            aliases: self.alias.iter().map(|alias| host_name("alias", alias)).collect::<Result<_, _>>()?,
            ip: self.ip.as_deref().map(|text| flag("ip", text.parse())).transpose()?,
            ip6: self.ip6.as_deref().map(|text| flag("ip6", text.parse())).transpose()?,
            mac: None,
        })
    }
}

/// Take a container off a network, whether it runs or not
#[derive(Debug, Args)]
pub(in super::super) struct DisconnectArgs {
    /// Be content when the container is not on the network
    #[arg(short, long)]
    force: bool,
    /// The network
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Verb for DisconnectArgs {
    const NAME: &'static str = "disconnect";
    const ABOUT: &'static str = "Take a container off a network, whether it runs or not";
    const USAGE: &'static str = "[OPTIONS] NETWORK CONTAINER";
    const GROUP: Group = Group::Network;

    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        match engine.disconnect(&engine.find(&self.container)?, &self.network) {
            Err(engine::Error::Network(error @ NetworkError::NotConnected { .. })) if self.force => {
                ui::warn(&error.to_string());
            }
            done => done?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Attachment, String> {
        let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
        let read = super::super::super::read::<ConnectArgs>("conductor network connect", &words);
        read.and_then(|(args, _)| args.attachment()).map_err(|failure| failure.lines().unwrap())
    }

    #[test]
    fn a_place_is_asked_for() {
        let expected = Attachment {
            aliases: vec!["db".into(), "store".into()],
            ip: "10.1.0.5".parse().ok(),
            ip6: "fd00::5".parse().ok(),
            ..Attachment::to("back")
        };
        assert_eq!(read("--alias db --alias store --ip 10.1.0.5 --ip6 fd00::5 back web").unwrap(), expected);
        for (line, said) in [
            ("host web", "error: no container can be connected to host"),
            ("--ip 10 back web", "error: invalid value for --ip"),
            ("--alias= back web", "error: invalid value for --alias"),
            ("back", "error: 'conductor network connect' requires CONTAINER"),
        ] {
            let got = read(line).unwrap_err();
            assert!(got.starts_with(said), "{line}: {got}");
        }
    }
}
