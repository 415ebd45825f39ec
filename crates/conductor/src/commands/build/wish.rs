//! From typed words to a [`BuildRequest`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use build::{BuildRequest, ContextSource, DeviceRights, NoCache, Secret, StepNetwork};
use engine::{HostWish, Ulimit};
use oci::Platform;

use super::BuildArgs;
use super::source::Sources;
use crate::commands::container_args::flag;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Returns the machines that are built for: one that nobody named is this one.
pub(super) fn platforms(args: &BuildArgs) -> Result<Vec<Option<Platform>>, Failure> {
    if args.platform.is_empty() {
        return Ok(vec![None]);
    }
    args.platform.iter().map(|word| flag("platform", word.parse()).map(Some)).collect()
}

/// Turns the words into a request for one machine.
pub(super) fn request(
    args: &BuildArgs,
    sources: &Sources,
    platform: Option<Platform>,
) -> Result<BuildRequest, Failure> {
    let given = build_args(args)?;
    let epoch = match given.get("SOURCE_DATE_EPOCH").cloned().or_else(|| std::env::var("SOURCE_DATE_EPOCH").ok()) {
        None => None,
        Some(word) => Some(word.parse().map_err(|_| {
            Failure::message(format!("SOURCE_DATE_EPOCH is {word:?}, which is no number of seconds since 1970"))
        })?),
    };
    let (insecure, devices) = rights(&args.allow)?;
    let no_cache = match (args.no_cache, args.no_cache_filter.is_empty()) {
        (true, _) => NoCache::All,
        (false, false) => NoCache::Stages(args.no_cache_filter.clone()),
        (false, true) => NoCache::Nothing,
    };
    Ok(BuildRequest {
        file: sources.file.clone(),
        context: sources.context.clone(),
        ignore: sources.ignore.clone(),
        contexts: sources.contexts.clone(),
        args: given,
        target: args.target.clone(),
        platform,
        labels: args.label.iter().map(|word| label(word)).collect(),
        no_cache,
        network: network(&args.network)?,
        hosts: args.add_host.iter().map(|word| flag("add-host", word.parse::<HostWish>())).collect::<Result<_, _>>()?,
        ulimits: args.ulimit.iter().map(|word| flag("ulimit", word.parse::<Ulimit>())).collect::<Result<_, _>>()?,
        shm_size: args.shm_size.as_deref().map(|word| flag("shm-size", engine::parse_size(word))).transpose()?,
        secrets: args.secret.iter().map(|word| secret(word)).collect::<Result<_, _>>()?,
        agents: args.ssh.iter().map(|word| agent(word)).collect::<Result<_, _>>()?,
        insecure,
        devices,
        epoch,
        squash: args.squash,
        debug_shell: args.debug_shell,
    })
}

/// Reads what `--allow` allows: whether commands may do all, and which devices they may have. `network.host` is always allowed:
/// whoever builds here is root.
fn rights(allowed: &[String]) -> Result<(bool, DeviceRights), Failure> {
    let (mut insecure, mut devices) = (false, DeviceRights::None);
    for word in allowed {
        match (word.as_str(), word.split_once('=')) {
            ("security.insecure", _) => insecure = true,
            ("network.host", _) => {}
            ("device", _) => devices = DeviceRights::All,
            (_, Some(("device", name))) => match &mut devices {
                DeviceRights::All => {}
                DeviceRights::Some(names) => names.push(name.to_owned()),
                DeviceRights::None => devices = DeviceRights::Some(vec![name.to_owned()]),
            },
            _ => {
                return Err(Failure::message(format!("--allow {word}: there is no such right"))
                    .hint("there are security.insecure, network.host, device and device=NAME"));
            }
        }
    }
    Ok((insecure, devices))
}

/// Docker says `KEY` for a label without a value.
fn label(word: &str) -> (String, String) {
    word.split_once('=').map_or_else(|| (word.to_owned(), String::new()), |(key, value)| (key.into(), value.into()))
}

/// Values of ARGs: a name alone takes its value from our environment. The proxies of our own are handed on, as Docker's client
/// does where it is configured so; they change no image.
pub(super) fn build_args(args: &BuildArgs) -> Result<BTreeMap<String, String>, Failure> {
    let mut given = BTreeMap::new();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"] {
        for name in [name.to_owned(), name.to_ascii_lowercase()] {
            if let Ok(value) = std::env::var(&name) {
                given.insert(name, value);
            }
        }
    }
    for word in &args.build_arg {
        match word.split_once('=') {
            Some(("", _)) => {
                return Err(Failure::message(format!("invalid value for --build-arg: {word:?} has no name")));
            }
            Some((name, value)) => drop(given.insert(name.to_owned(), value.to_owned())),
            None => {
                if let Ok(value) = std::env::var(word) {
                    given.insert(word.clone(), value);
                }
            }
        }
    }
    Ok(given)
}

fn network(word: &str) -> Result<StepNetwork, Failure> {
    match word {
        "default" | "bridge" => Ok(StepNetwork::Default),
        "none" => Ok(StepNetwork::None),
        "host" => Ok(StepNetwork::Host),
        other => Err(Failure::message(format!("invalid value for --network: {other:?}; use default, none or host"))),
    }
}

/// `id=NAME[,src=FILE|,env=VARIABLE][,type=file|env]`; a name alone means a variable of that name, or else a file.
fn secret(word: &str) -> Result<(String, Secret), Failure> {
    let fault = |what: &str| {
        Failure::message(format!("invalid value for --secret: {what}"))
            .hint("say id=NAME,src=FILE or id=NAME,env=VARIABLE")
    };
    let (mut id, mut source, mut variable, mut kind) = (None, None, None, None);
    for field in word.split(',') {
        match field.split_once('=') {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => source = Some(value.to_owned()),
            Some(("env", value)) => variable = Some(value.to_owned()),
            Some(("type", value)) => kind = Some(value.to_owned()),
            _ => return Err(fault(&format!("{field:?} is no field of a secret"))),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| fault("it has no id"))?;
    let secret = match (kind.as_deref(), source, variable) {
        (Some("env"), source, variable) => Secret::Variable(variable.or(source).unwrap_or_else(|| id.clone())),
        (None | Some("file"), Some(source), None) => Secret::File(source.into()),
        (None, None, Some(variable)) => Secret::Variable(variable),
        (None, None, None) if std::env::var_os(&id).is_some() => Secret::Variable(id.clone()),
        (None | Some("file"), None, None) => Secret::File(id.clone().into()),
        _ => return Err(fault("it is a file or a variable, and nothing else")),
    };
    match &secret {
        Secret::File(path) if !path.is_file() => Err(fault(&format!("there is no file {}", path.display()))),
        Secret::Variable(name) if std::env::var_os(name).is_none() => {
            Err(fault(&format!("the variable {name} is not set")))
        }
        _ => Ok((id, secret)),
    }
}

/// `default` or `NAME[=SOCKET]`; without a socket it is that of our own agent.
fn agent(word: &str) -> Result<(String, PathBuf), Failure> {
    let (name, socket) =
        word.split_once('=').map_or((word, None), |(name, socket)| (name, Some(PathBuf::from(socket))));
    let own = || std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
    let socket = socket.or_else(own).ok_or_else(|| {
        Failure::message(format!("invalid value for --ssh: {word:?} names no socket, and SSH_AUTH_SOCK is not set"))
            .hint("start an agent with: eval $(ssh-agent); ssh-add")
    })?;
    use std::os::unix::fs::FileTypeExt;
    match socket.metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => Ok((name.to_owned(), socket)),
        Ok(_) => {
            Err(Failure::message(format!("invalid value for --ssh: {} is no socket of an agent", socket.display()))
                .hint("add the key to an agent: ssh-add KEY"))
        }
        Err(error) => Err(Failure::new(error).doing(format!("invalid value for --ssh: {}", socket.display()))),
    }
}

/// Says what is to be said of the file.
pub(super) fn check(args: &BuildArgs, sources: &Sources) -> Outcome {
    let (warnings, _) = advice(args, sources)?;
    for warning in &warnings {
        ui::print_line(&told(warning, &sources.file.name, &sources.file.text))?;
    }
    match warnings.len() {
        0 => {
            ui::remark("Check complete, no warnings found.");
            Ok(ExitCode::SUCCESS)
        }
        count => {
            ui::remark(&format!("Check complete, {} been found!", counted(count)));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Says that there is something to be said, before a build; where the file wants it so, that is an error.
pub(super) fn advise(args: &BuildArgs, sources: &Sources) -> Result<(), Failure> {
    let (warnings, insists) = advice(args, sources)?;
    if warnings.is_empty() {
        return Ok(());
    }
    if insists {
        warnings.iter().for_each(|warning| ui::remark(&told(warning, &sources.file.name, &sources.file.text)));
        let what = format!("{} been found, and the file says # check=error=true", counted(warnings.len()));
        return Err(Failure::message(what));
    }
    if !args.quiet {
        ui::remark(&format!("{} been found: conductor build --check tells", counted(warnings.len())));
    }
    Ok(())
}

fn counted(count: usize) -> String {
    if count == 1 { "1 warning has".to_owned() } else { format!("{count} warnings have") }
}

/// Asks for advice; tells whether the file wants to obey it.
fn advice(args: &BuildArgs, sources: &Sources) -> Result<(Vec<dockerfile::Warning>, bool), Failure> {
    let text = &sources.file.text;
    let fault = |fault: dockerfile::Fault| Failure::message(fault.render(&sources.file.name, text));
    let file = dockerfile::parse(text).map_err(fault)?;
    let ignored = match (&sources.ignore, &sources.context) {
        (Some(text), _) => Some(text.clone()),
        (None, ContextSource::Directory(path)) => build::patterns_of(path).map_err(Failure::new)?,
        _ => None,
    };
    let fault = |fault: dockerfile::Fault| Failure::message(fault.to_string());
    let ignore = ignored.map(|text| dockerfile::Ignore::parse(&text).map_err(fault)).transpose()?;
    let inputs = dockerfile::CheckInputs {
        target: args.target.as_deref(),
        build_args: build_args(args)?,
        ignore: ignore.as_ref(),
        ..dockerfile::CheckInputs::default()
    };
    Ok((dockerfile::check(&file, &inputs), file.directives.check.error))
}

/// A remark with the lines that it is about.
pub(super) fn told(warning: &dockerfile::Warning, file: &str, text: &[u8]) -> String {
    let lines = String::from_utf8_lossy(text);
    let (first, last) = (warning.span.first as usize, warning.span.last as usize);
    let shown = lines.lines().enumerate().skip(first.saturating_sub(1)).take(last + 1 - first);
    let shown: String = shown.map(|(number, line)| format!("\n  {:>4} | {line}", number + 1)).collect();
    format!("WARNING: {} - {}\n{}\n{file}:{first}{shown}\n", warning.rule.name(), warning.rule.url(), warning.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_file_or_a_variable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let of = |word: &str| secret(word).map_err(|failure| failure.to_string());
        assert_eq!(of(&format!("id=a,src={path}")).unwrap(), ("a".into(), Secret::File(path.into())));
        assert_eq!(of("id=a,env=PATH").unwrap(), ("a".into(), Secret::Variable("PATH".into())));
        assert_eq!(of("id=PATH").unwrap().1, Secret::Variable("PATH".into()));
        for wrong in ["src=x", "id=a,src=/nowhere", "id=a,env=NOT_SET_AT_ALL", "id=a,colour=red", ""] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
