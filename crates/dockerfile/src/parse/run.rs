//! `RUN`.

use super::flags::{Flags, boolean};
use super::instruction::command;
use super::lines::{Complaint, Statement};
use super::mount;
use crate::{CommandLine, Device, NetworkMode, Run, Security};

pub(super) fn read(flags: &[String], rest: &str, statement: &Statement<'_>, escape: char) -> Result<Run, Complaint> {
    let mut flags = Flags::new("RUN", flags, &["mount", "network", "security", "device"])?;
    let mounts = flags.all("mount")?.iter().map(|word| mount::read(word, escape)).collect::<Result<_, _>>()?;
    let network = flags.one("network")?.map(|word| network(&word)).transpose()?;
    let security = flags.one("security")?.map(|word| security(&word)).transpose()?;
    let devices = flags.all("device")?.iter().map(|word| device(word)).collect::<Result<_, _>>()?;
    let command = command(rest)?;
    if rest.is_empty() || command == CommandLine::Exec(Vec::new()) {
        return Err(Complaint::new("RUN needs a command"));
    }
    Ok(Run { command, heredocs: statement.documents.clone(), mounts, network, security, devices })
}

/// Reads `NAME[,required]`; the name may have an `=` of its own.
fn device(word: &str) -> Result<Device, Complaint> {
    let (mut name, mut required) = (None, false);
    for field in word.split(',').filter(|field| !field.is_empty()) {
        let wrong = || Complaint::new(format!("--device takes NAME[,required], not {field:?}")).about(word);
        match field.split_once('=') {
            Some((key, value)) if key.eq_ignore_ascii_case("required") => {
                required = boolean(value).ok_or_else(wrong)?;
            }
            Some((key, value)) if key.eq_ignore_ascii_case("name") => name = Some(value.to_owned()),
            None if field.eq_ignore_ascii_case("required") => required = true,
            _ if name.is_none() => name = Some(field.to_owned()),
            _ => return Err(wrong()),
        }
    }
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Complaint::new("--device needs a name, as in vendor.com/class=name").about(word))?;
    Ok(Device { name, required })
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
