//! `RUN`.

use super::flags::Flags;
use super::instruction::command;
use super::lines::{Complaint, Statement};
use super::mount;
use crate::{CommandLine, NetworkMode, Run, Security};

pub(super) fn read(flags: &[String], rest: &str, statement: &Statement<'_>, escape: char) -> Result<Run, Complaint> {
    let mut flags = Flags::new("RUN", flags, &["mount", "network", "security", "device"])?;
    let mounts = flags.all("mount")?.iter().map(|word| mount::read(word, escape)).collect::<Result<_, _>>()?;
    let network = flags.one("network")?.map(|word| network(&word)).transpose()?;
    let security = flags.one("security")?.map(|word| security(&word)).transpose()?;
    let devices = flags.all("device")?;
    let command = command(rest)?;
    if rest.is_empty() || command == CommandLine::Exec(Vec::new()) {
        return Err(Complaint::new("RUN needs a command"));
    }
    Ok(Run { command, heredocs: statement.documents.clone(), mounts, network, security, devices })
}

fn network(word: &str) -> Result<NetworkMode, Complaint> {
    match word {
        "default" => Ok(NetworkMode::Default),
        "none" => Ok(NetworkMode::None),
        "host" => Ok(NetworkMode::Host),
        _ => Err(Complaint::new(format!("--network can be default, none or host, not {word:?}")).about(word)),
    }
}

fn security(word: &str) -> Result<Security, Complaint> {
    match word {
        "sandbox" => Ok(Security::Sandbox),
        "insecure" => Ok(Security::Insecure),
        _ => Err(Complaint::new(format!("--security can be sandbox or insecure, not {word:?}")).about(word)),
    }
}
