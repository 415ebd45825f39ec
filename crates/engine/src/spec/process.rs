//! The command: its words, environment, identity and privileges, from request and image together.

use std::collections::HashSet;
use std::path::PathBuf;

use oci::image::Config;
use oci::runtime::{BoxBuilder, Capability, LinuxCapabilitiesBuilder, Process, ProcessBuilder, UserBuilder};

use super::{Identity, SpecError, Wanted, incomplete, limits};
use crate::CreateRequest;

/// The path on which commands are looked up, where neither image nor request says another one.
pub(crate) const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Decides the words to execute. A new entrypoint drops the image's command, as in Docker.
pub(crate) fn plan_args(request: &CreateRequest, config: Option<&Config>) -> Vec<String> {
    let of_image = |words: Option<&Option<Vec<String>>>| words.cloned().flatten().unwrap_or_default();
    let entrypoint = request.entrypoint.clone().unwrap_or_else(|| of_image(config.map(Config::entrypoint)));
    let command = match (&request.entrypoint, request.command.is_empty()) {
        (None, true) => of_image(config.map(Config::cmd)),
        _ => request.command.clone(),
    };
    entrypoint.into_iter().chain(command).collect()
}

/// Decides the environment: ours, then the image's, then the request's, each able to replace what came before.
pub(super) fn plan_environment(wanted: &Wanted<'_>, home: &str) -> Vec<String> {
    let mut environment = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={}", wanted.hostname)];
    if wanted.request.tty {
        environment.push("TERM=xterm".to_owned());
    }
    let of_image = wanted.config().and_then(|config| config.env().as_ref());
    merge_environment(&mut environment, of_image.into_iter().flatten());
    merge_environment(&mut environment, &wanted.request.env);
    merge_environment(&mut environment, &wanted.request.secret_env);
    if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
        environment.push(format!("HOME={home}"));
    }
    environment
}

/// Replaces, adds or (for a name without `=`) removes variables.
pub(crate) fn merge_environment<'a>(environment: &mut Vec<String>, changes: impl IntoIterator<Item = &'a String>) {
    for change in changes {
        let name = change.split('=').next().unwrap_or(change);
        let same = |entry: &String| entry.split('=').next() == Some(name);
        match (environment.iter().position(same), change.contains('=')) {
            (Some(at), true) => environment[at].clone_from(change),
            (Some(at), false) => drop(environment.remove(at)),
            (None, true) => environment.push(change.clone()),
            (None, false) => {}
        }
    }
}

/// Decides the whole process.
pub(super) fn plan_process(
    wanted: &Wanted<'_>,
    identity: &Identity,
    capabilities: &HashSet<Capability>,
) -> Result<Process, SpecError> {
    let args = plan_args(wanted.request, wanted.config());
    if args.is_empty() {
        return Err(SpecError::NoCommand);
    }
    let request = wanted.request;
    let mut process = ProcessBuilder::default()
        .terminal(request.tty)
        .user(plan_user(identity))
        .env(plan_environment(wanted, &identity.home))
        .args(args)
        .cwd(plan_directory(request, wanted.config())?)
        .no_new_privileges(request.security.no_new_privileges.unwrap_or(!request.privileged));
    if let Some(score) = request.resources.oom_score_adj {
        process = process.oom_score_adj(score);
    }
    if let Some((rows, columns)) = wanted.console.filter(|_| request.tty) {
        let size = BoxBuilder::default().height(u64::from(rows)).width(u64::from(columns)).build();
        process = process.console_size(size.map_err(incomplete)?);
    }
    let mut process = process.build().map_err(incomplete)?;
    let rlimits = limits::plan_rlimits(&request.resources.ulimits);
    process
        .set_capabilities(Some(plan_capability_sets(identity.uid, capabilities)?))
        // The builder has limits of its own; a container has its caller's where nothing is said.
        .set_rlimits((!rlimits.is_empty()).then_some(rlimits));
    Ok(process)
}

pub(crate) fn plan_user(identity: &Identity) -> oci::runtime::User {
    let user = UserBuilder::default().uid(identity.uid).gid(identity.gid).umask(0o022_u32);
    let user = if identity.groups.is_empty() { user } else { user.additional_gids(identity.groups.clone()) };
    // Every field is optional to the builder, so nothing can be missing.
    user.build().unwrap_or_default()
}

fn plan_directory(request: &CreateRequest, config: Option<&Config>) -> Result<PathBuf, SpecError> {
    let of_image = config.and_then(|config| config.working_dir().clone()).filter(|dir| !dir.is_empty());
    let directory = request.workdir.clone().or(of_image).unwrap_or_else(|| "/".to_owned());
    if directory.starts_with('/') { Ok(directory.into()) } else { Err(SpecError::Directory(directory)) }
}

/// Decides the five capability sets. A user other than 0 starts with none in force, as after any exec of a program
/// without file capabilities; what it may regain through such a file stays in the bounding set.
pub(crate) fn plan_capability_sets(
    uid: u32,
    capabilities: &HashSet<Capability>,
) -> Result<oci::runtime::LinuxCapabilities, SpecError> {
    let in_force = if uid == 0 { capabilities.clone() } else { HashSet::new() };
    LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        .effective(in_force.clone())
        .permitted(in_force)
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()
        .map_err(incomplete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::image::ConfigBuilder;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn request_and_image_make_the_command_together() {
        let image = ConfigBuilder::default().entrypoint(words("/init --go")).cmd(words("serve all")).build().unwrap();
        let args = |entrypoint: Option<&str>, command: &str| {
            let entrypoint = entrypoint.map(words);
            let request = CreateRequest { entrypoint, command: words(command), ..CreateRequest::default() };
            plan_args(&request, Some(&image)).join(" ")
        };
        assert_eq!(args(None, ""), "/init --go serve all");
        assert_eq!(args(None, "stop"), "/init --go stop");
        assert_eq!(args(Some("sh"), ""), "sh");
        assert_eq!(args(Some("sh"), "-c x"), "sh -c x");
        assert_eq!(args(Some(""), "ls"), "ls");
    }

    #[test]
    fn variables_are_replaced_added_and_removed_by_name() {
        let mut environment = words("PATH=/bin A=1 B=2");
        merge_environment(&mut environment, &words("A=3 C=4=5 B"));
        assert_eq!(environment, words("PATH=/bin A=3 C=4=5"));
    }

    #[test]
    fn a_user_without_root_starts_without_capabilities() {
        let sets = plan_capability_sets(33, &HashSet::from([Capability::Chown])).unwrap();
        assert_eq!(sets.effective(), &Some(HashSet::new()));
        assert_eq!(sets.bounding(), &Some(HashSet::from([Capability::Chown])));
    }
}
