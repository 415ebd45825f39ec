//! `FROM`, and what an instruction may know of other stages.

use super::flags::Flags;
use super::lines::Complaint;
use super::words;
use crate::{Dockerfile, From, Instruction};

pub(super) fn from(flags: &[String], rest: &str) -> Result<From, Complaint> {
    let mut flags = Flags::new("FROM", flags, &["platform"])?;
    let platform = flags.one("platform")?;
    let (image, name) = match words::at_spaces(rest)[..] {
        [image] => (image, None),
        [image, word, name] if word.eq_ignore_ascii_case("as") => (image, Some(name)),
        [] => return Err(Complaint::new("FROM needs an image").hint("scratch is an empty one")),
        [_, word, ..] => return Err(Complaint::new("FROM takes IMAGE, or IMAGE AS NAME").about(word)),
    };
    if super::marker(image).is_some() {
        return Err(Complaint::new("FROM takes no here-document").about(image));
    }
    Ok(From { image: image.to_owned(), platform, name: name.map(stage_name).transpose()? })
}

fn stage_name(name: &str) -> Result<String, Complaint> {
    let lower = name.to_ascii_lowercase();
    let is_name = lower.starts_with(|c: char| c.is_ascii_lowercase())
        && lower.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte));
    let wrong = || Complaint::new(format!("{name:?} is no name for a stage")).about(name);
    is_name
        .then_some(lower)
        .ok_or_else(|| wrong().hint("begin with a letter; letters, digits, '-', '_' and '.' may follow"))
}

/// Refuses to take files from a stage that is not built by then. The stage of the instruction is the last one so far;
/// whether a name belongs to a later one shows only when that is read, see [`later`].
pub(super) fn known_before(file: &Dockerfile, instruction: &Instruction) -> Result<(), Complaint> {
    let Some(current) = file.stages.len().checked_sub(1) else { return Ok(()) };
    for name in sources(instruction) {
        let own = file.stages[current].from.value.name.as_deref();
        let earlier = file.stage_before(name, current).is_some();
        if own.is_some_and(|own| own.eq_ignore_ascii_case(name)) && !earlier {
            return Err(
                Complaint::new(format!("a stage cannot take files from itself, and {name} is this one")).about(name)
            );
        }
        if name.bytes().all(|byte| byte.is_ascii_digit()) && !earlier {
            let known = match current {
                0 => "there is none before this one".to_owned(),
                1 => "before this one there is only 0".to_owned(),
                _ => format!("before this one there are 0 to {}", current - 1),
            };
            return Err(Complaint::new(format!("there is no stage {name} to take files from")).hint(known).about(name));
        }
    }
    Ok(())
}

/// Returns the complaint of the first instruction above a stage that takes files from it.
pub(super) fn later(file: &Dockerfile) -> Option<(usize, usize, Complaint)> {
    for (current, stage) in file.stages.iter().enumerate() {
        for (number, instruction) in stage.instructions.iter().enumerate() {
            let is_later = |name: &&str| file.stage_before(name, current).is_none() && file.stage(name).is_some();
            if let Some(name) = sources(&instruction.value).into_iter().find(is_later) {
                let complaint = Complaint::new(format!("stage {name} is not built yet when its files are taken"))
                    .hint("put that stage above this one")
                    .about(name);
                return Some((current, number, complaint));
            }
        }
    }
    None
}

/// The stages or images that an instruction takes files from.
fn sources(instruction: &Instruction) -> Vec<&str> {
    match instruction {
        Instruction::Copy(copy) => copy.from.as_deref().into_iter().collect(),
        Instruction::Run(run) => run.mounts.iter().filter_map(|mount| mount.from.as_deref()).collect(),
        _ => Vec::new(),
    }
}
