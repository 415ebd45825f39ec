//! `exec`: one more process in a container.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use oci::runtime::{Capabilities, Capability, LinuxCapabilities, Process, User};

use super::make::{connect, preserved, stay, write_pid};
use super::table::{Call, Operation};
use crate::error::{Failure, Outcome};

/// Run one more process in a container
#[derive(Debug, Default, Args)]
pub(super) struct ExecArgs {
    /// Socket that takes the terminal's other end
    #[arg(long, value_name = "PATH")]
    console_socket: Option<PathBuf>,
    /// Working directory inside the container
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Give the process a terminal
    #[arg(short, long)]
    tty: bool,
    /// User and group, as numbers: UID[:GID]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Join a further group, by number
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// File that describes the process in the form of the specification
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["env", "cwd", "user", "cap"])]
    process: Option<PathBuf>,
    /// Return when the program runs
    #[arg(short, long)]
    detach: bool,
    /// File to write the process's ID to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Label of SELinux
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// Profile of AppArmor
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// Let the process gain no privileges
    #[arg(long)]
    no_new_privs: bool,
    /// Add a capability
    #[arg(short, long, value_name = "CAP")]
    cap: Vec<String>,
    /// How many descriptors from 3 on the program inherits
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u32,
    /// The container, and what runs: ID COMMAND [ARG...]
    #[arg(value_name = "ID", required = true, num_args = 1.., trailing_var_arg = true)]
    words: Vec<String>,
}

impl Operation for ExecArgs {
    const NAME: &'static str = "exec";
    const ABOUT: &'static str = "Run one more process in a container";
    const USAGE: &'static str = "[OPTIONS] ID COMMAND [ARG...]";

    fn run(self, call: &Call<'_>) -> Outcome {
        sys::process::ensure_sealed()?;
        let runtime = call.runtime()?;
        let id = &self.words[0];
        let own = runtime.records().read_spec(id)?.process().clone().unwrap_or_default();
        let process = match &self.process {
            Some(path) => read_process(path)?,
            None => self.process(own)?,
        };
        let console = self.console_socket.as_deref().map(connect).transpose()?;
        if self.detach && process.terminal().unwrap_or(false) && console.is_none() {
            return Err(runtime::LifecycleError::NoConsole.into());
        }
        let started = runtime.exec(id, &process, preserved(self.preserve_fds), &call.recorder())?;
        if let Some(path) = &self.pid_file {
            write_pid(path, &started)?;
        }
        if let (Some(console), Some(terminal)) = (&console, &started.terminal) {
            sys::socket::send(console, b"/dev/pts/ptmx", &[terminal.as_fd()])?;
        }
        if self.detach { Ok(ExitCode::SUCCESS) } else { stay(&started) }
    }
}

fn read_process(path: &PathBuf) -> Result<Process, Failure> {
    let text =
        std::fs::read(path).map_err(|error| Failure::new(error).doing(format!("cannot read {}", path.display())))?;
    serde_json::from_slice(&text).map_err(|error| Failure::new(error).doing(format!("cannot read {}", path.display())))
}

impl ExecArgs {
    /// Describes the process: the container's own, with what is asked for in its place.
    fn process(&self, mut process: Process) -> Result<Process, Failure> {
        if self.words.len() < 2 {
            return Err(Failure::message("exec requires a command behind the container's ID"));
        }
        process.set_args(Some(self.words[1..].to_vec())).set_terminal(Some(self.tty)).set_console_size(None);
        if let Some(cwd) = &self.cwd {
            process.set_cwd(cwd.clone());
        }
        let mut env = process.env().clone().unwrap_or_default();
        env.extend(self.env.iter().cloned());
        process.set_env(Some(env));
        if let Some(user) = &self.user {
            process.set_user(parse_user(user)?);
        }
        if !self.additional_gids.is_empty() {
            let mut user = process.user().clone();
            user.set_additional_gids(Some(self.additional_gids.clone()));
            process.set_user(user);
        }
        if self.no_new_privs {
            process.set_no_new_privileges(Some(true));
        }
        if self.apparmor.is_some() {
            process.set_apparmor_profile(self.apparmor.clone());
        }
        if self.process_label.is_some() {
            process.set_selinux_label(self.process_label.clone());
        }
        if !self.cap.is_empty() {
            let wider = with_capabilities(process.capabilities().clone().unwrap_or_default(), &self.cap)?;
            process.set_capabilities(Some(wider));
        }
        Ok(process)
    }
}

fn parse_user(word: &str) -> Result<User, Failure> {
    let wrong = || Failure::message(format!("invalid user {word:?}: use UID[:GID]"));
    let (uid, gid) = word.split_once(':').unwrap_or((word, "0"));
    let mut user = User::default();
    user.set_uid(uid.parse().map_err(|_| wrong())?).set_gid(gid.parse().map_err(|_| wrong())?);
    Ok(user)
}

/// Adds capabilities to all five sets, as runc does.
fn with_capabilities(mut sets: LinuxCapabilities, names: &[String]) -> Result<LinuxCapabilities, Failure> {
    let mut added = Capabilities::new();
    for name in names {
        let bare = name.to_ascii_uppercase();
        let bare = bare.strip_prefix("CAP_").unwrap_or(&bare);
        let capability: Capability = serde_json::from_value(format!("CAP_{bare}").into())
            .map_err(|_| Failure::message(format!("unknown capability {name:?}")))?;
        added.insert(capability);
    }
    let wider = |set: &Option<Capabilities>| Some(set.iter().flatten().copied().chain(added.iter().copied()).collect());
    let (bounding, effective, permitted) = (wider(sets.bounding()), wider(sets.effective()), wider(sets.permitted()));
    let (inheritable, ambient) = (wider(sets.inheritable()), wider(sets.ambient()));
    sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    sets.set_inheritable(inheritable).set_ambient(ambient);
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_the_containers_own_with_what_is_asked_for() {
        let args = ExecArgs {
            words: ["eg", "id", "-u"].map(Into::into).into(),
            env: vec!["A=1".into()],
            user: Some("7:9".into()),
            cap: vec!["net_admin".into()],
            no_new_privs: true,
            ..ExecArgs::default()
        };
        let process = args.process(Process::default()).unwrap();
        assert_eq!(process.args().as_deref(), Some(&["id".to_owned(), "-u".to_owned()][..]));
        assert_eq!((process.user().uid(), process.user().gid()), (7, 9));
        assert!(process.env().as_ref().unwrap().contains(&"A=1".to_owned()));
        assert!(process.no_new_privileges().unwrap());
        let ambient = process.capabilities().as_ref().unwrap().ambient().clone().unwrap();
        assert!(ambient.contains(&Capability::NetAdmin));
        assert!(parse_user("alice").is_err());
    }
}
