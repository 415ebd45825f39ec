//! Carrying out what `conductor.sh` was asked for.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use engine::{
    AttachOptions, Container, ContainerName, CreateRequest, Engine, ExecRequest, RemoveOptions, StartMode, StopOptions,
    Summary,
};
use jiff::Timestamp;

use super::grammar::Intent;
use super::rootfs::RootfsLink;
use super::{help, images};
use crate::commands::run::exit_code;
use crate::commands::{addnetwork, prune};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::time::since;

/// Carries an intent out.
pub(super) fn act(intent: Intent, context: &Context) -> Outcome {
    match intent {
        Intent::Help(verb) => ui::print(&help::text(verb.as_deref())).map(|()| ExitCode::SUCCESS),
        Intent::Run { image, name, command } => run(context, image, &name, command),
        Intent::List => list(context),
        Intent::Stop { name } => stop(context, &name),
        Intent::Exec { name, command } => exec(context, &name, command),
        Intent::AddNetwork { name, internet, expose } => addnetwork::add_network(context, &name, internet, &expose),
        Intent::Peer { first, second } => addnetwork::make_peers(context, &first, &second),
        Intent::Build { image, file } => images::create(context, image, file),
        Intent::Images => images::list(context),
        Intent::RemoveImage { image } => images::remove(context, &image),
        Intent::RemoveCache => prune::remove_cache(context),
    }
}

fn run(context: &Context, image: String, name: &str, command: Vec<String>) -> Outcome {
    let name: ContainerName = name.parse()?;
    let here =
        std::env::current_dir().map_err(|error| Failure::new(error).doing("cannot find the current directory"))?;
    let link = RootfsLink::plan(&here, &name);
    let streams = Streams::here();
    let request = plan_run(image, name, command, streams, &link);
    let options = streams.attach();
    let engine = context.starting_engine()?;
    let (container, warnings) = engine.create(request)?;
    warnings.iter().for_each(|warning| ui::warn(warning));
    let attached = link
        .create(&engine.rootfs_link(&container)?, engine.recorder())
        .and_then(|()| engine.start(&container, StartMode::Attached(options)).map_err(Failure::starting));
    match attached {
        Ok(attached) => Ok(attached.map_or(ExitCode::SUCCESS, exit_code)),
        Err(failure) => {
            // A container that never ran would only hold its name.
            discard(&engine, &container);
            Err(failure)
        }
    }
}

/// What the caller's standard input is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streams {
    /// Somebody types at a terminal.
    Terminal,
    /// It is a pipe or a file.
    Pipe,
    /// It is a terminal, but we are a job in its background (`run IMAGE NAME -- sleep infinity &`): to read from it would
    /// stop us. The container's input stays open, so that a shell in it waits.
    Background,
}

impl Streams {
    fn here() -> Self {
        let stdin = std::io::stdin();
        match (stdin.is_terminal(), std::io::stdout().is_terminal()) {
            (true, _) if !sys::pty::is_in_foreground(&stdin) => Self::Background,
            (true, true) => Self::Terminal,
            _ => Self::Pipe,
        }
    }

    fn attach(self) -> AttachOptions {
        let proxy_signals = self != Self::Terminal;
        AttachOptions { stdin: self != Self::Background, proxy_signals, ..AttachOptions::default() }
    }
}

/// The container of the founding documents: the host's name, no network, and it stays when its command has ended.
fn plan_run(
    image: String,
    name: ContainerName,
    command: Vec<String>,
    streams: Streams,
    link: &RootfsLink,
) -> CreateRequest {
    CreateRequest {
        image,
        name: Some(name),
        hostname: host_name(),
        command,
        labels: [link.label()].into(),
        tty: streams == Streams::Terminal,
        open_stdin: true,
        stdin_once: streams != Streams::Background,
        ..CreateRequest::default()
    }
}

/// The documents' sample session shows the host's name in the container's prompt; where it is unknown, the engine's choice.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn discard(engine: &Engine, container: &Container) {
    let _ = engine.remove(container, RemoveOptions { force: true, volumes: true });
    if let Some(link) = RootfsLink::of(&container.request.labels) {
        link.remove(engine.recorder());
    }
}

fn list(context: &Context) -> Outcome {
    let mut containers = context.engine()?.list(true)?;
    let now = Timestamp::now();
    containers.retain(|container| !is_just_starting(container, now));
    ui::print(&listing(&containers)).map(|()| ExitCode::SUCCESS)
}

/// A script waits for a name to be listed and then executes in it: what is on its way to run is not listed before it runs.
fn is_just_starting(container: &Summary, now: Timestamp) -> bool {
    container.state.status == engine::Status::Created && since(now, container.created) < Duration::from_secs(10)
}

/// No header, so that the documents' `ps | while read name date` sees containers alone.
fn listing(containers: &[Summary]) -> String {
    if containers.is_empty() {
        return "No containers\n".to_owned();
    }
    let width = containers.iter().map(|container| container.name.as_str().len()).max().unwrap_or(0);
    let line = |container: &Summary| {
        let mark = match container.state.status {
            engine::Status::Running => "",
            engine::Status::Created => " (created)",
            engine::Status::Exited => " (exited)",
            engine::Status::Restarting => " (restarting)",
            engine::Status::Dead => " (damaged)",
        };
        let when = date(container.state.started_at.unwrap_or(container.created));
        format!("{:<width$}   {when}{mark}\n", container.name.as_str())
    };
    containers.iter().map(line).collect()
}

/// Returns a date as the lists of `conductor.sh` have it.
pub(super) fn date(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn stop(context: &Context, name: &str) -> Outcome {
    let engine = context.engine()?;
    let container = engine.find(name)?;
    let pid = engine.state(&container)?.pid;
    let deaf =
        pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok()).is_some_and(|s| is_deaf(&s));
    // A shell or a sleep as the first process never hears SIGTERM: to wait for it would only take ten seconds.
    let options = StopOptions { timeout: deaf.then_some(0), ..StopOptions::default() };
    for stopped in engine.stop(std::slice::from_ref(&container), options) {
        match stopped {
            // One whose command has ended needs no stopping; it is removed below like the others.
            Ok(()) | Err(engine::Error::NotRunning(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    engine.remove(&container, RemoveOptions { force: true, volumes: true })?;
    if let Some(link) = RootfsLink::of(&container.request.labels) {
        link.remove(engine.recorder());
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells from a process's status whether SIGTERM is lost on it: the first process of a PID namespace hears only what it
/// catches, or blocks in order to read it from a descriptor (pid_namespaces(7)).
fn is_deaf(status: &str) -> bool {
    const TERM: u64 = 1 << 14;
    let mask = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    match (mask("SigCgt:"), mask("SigBlk:")) {
        (Some(caught), Some(blocked)) => (caught | blocked) & TERM == 0,
        _ => false,
    }
}

fn exec(context: &Context, name: &str, command: Vec<String>) -> Outcome {
    let streams = Streams::here();
    let engine = context.starting_engine()?;
    let (tty, stdin) = (streams == Streams::Terminal, streams != Streams::Background);
    let request = ExecRequest { command, tty, stdin, ..ExecRequest::default() };
    engine.exec(&engine.find(name)?, &request).map(exit_code).map_err(Failure::starting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{ContainerId, State, Status};

    fn container(name: &str, status: Status) -> Summary {
        Summary {
            id: ContainerId::from_bytes([1; 32]),
            name: name.parse().unwrap(),
            image: "mydebian".into(),
            args: vec!["bash".into()],
            created: "2026-01-02T03:04:05Z".parse().unwrap(),
            labels: [].into(),
            ports: Vec::new(),
            state: State { status, ..State::default() },
        }
    }

    #[test]
    fn the_clean_reset_loop_reads_a_name_and_a_date_from_each_line() {
        assert_eq!(listing(&[]), "No containers\n");
        assert_eq!(
            listing(&[container("eg", Status::Running), container("second", Status::Exited)]),
            "eg       2026-01-02 03:04:05 UTC\nsecond   2026-01-02 03:04:05 UTC (exited)\n"
        );
    }

    #[test]
    fn what_is_about_to_run_is_listed_when_it_runs() {
        let created = container("eg", Status::Created);
        let after = |seconds: i64| created.created + jiff::SignedDuration::from_secs(seconds);
        assert!(is_just_starting(&created, after(1)));
        assert!(!is_just_starting(&created, after(60)));
        assert!(!is_just_starting(&container("eg", Status::Running), after(1)));
    }

    #[test]
    fn a_container_of_the_documents_has_no_network_and_stays() {
        let link = RootfsLink::plan("/work".as_ref(), &"eg".parse().unwrap());
        let request =
            plan_run("mydebian".into(), "eg".parse().unwrap(), vec!["/bin/bash".into()], Streams::Terminal, &link);
        assert_eq!(request.network, engine::NetworkMode::None);
        assert!(request.tty && request.open_stdin && !request.remove_on_exit);
        assert_eq!(request.labels["conductor.rootfs"], "/work/.containers/eg/rootfs");
    }

    #[test]
    fn a_job_in_the_background_leaves_the_terminal_alone() {
        let link = RootfsLink::plan("/work".as_ref(), &"c1".parse().unwrap());
        let request = plan_run("x".into(), "c1".parse().unwrap(), vec!["sleep".into()], Streams::Background, &link);
        assert!(!request.tty && request.open_stdin && !request.stdin_once);
        assert!(!Streams::Background.attach().stdin && Streams::Pipe.attach().stdin);
    }

    #[test]
    fn a_first_process_that_neither_catches_nor_blocks_sigterm_is_deaf_to_it() {
        assert!(is_deaf("SigBlk:\t0000000000000000\nSigCgt:\t0000000000000001\n"));
        assert!(!is_deaf("SigBlk:\t0000000000000000\nSigCgt:\t0000000000004000\n"));
        assert!(!is_deaf("SigBlk:\t0000000000004000\nSigCgt:\t0000000000000000\n"));
        assert!(!is_deaf("Name:\tsh\n"));
    }
}
