//! `network firewall`: what is open to whom, and why.

use std::process::ExitCode;

use clap::Args;

use super::super::{Group, Reach, Verb};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;

/// Tell in words what is open to whom, and why
#[derive(Debug, Args)]
pub(in super::super) struct FirewallArgs {}

impl Verb for FirewallArgs {
    const NAME: &'static str = "firewall";
    const ABOUT: &'static str = "Tell in words what is open to whom, and why";
    const USAGE: &'static str = "";
    const GROUP: Group = Group::Network;
    const REACH: Reach = Reach::Ours;

    fn run(self, context: &Context) -> Outcome {
        ui::print(&context.engine()?.explain_firewall()?).map(|()| ExitCode::SUCCESS)
    }
}
