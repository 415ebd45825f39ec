//! `run`: creates a container from an image and runs a command in it.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;
use engine::{AttachOptions, AttachOutcome, Container, CreateRequest, Engine, RunOutcome, StartMode};

use super::container_args::{ContainerArgs, Here, ImageWords, Outside};
use super::create::write_cidfile;
use super::pull::ensure;
use super::{Group, Verb, network_args};
use crate::context::Context;
use crate::error::{ENGINE_FAILED, Failure, Outcome};
use crate::personality::Face;
use crate::ui;

/// Create a container from an image and run a command in it
#[derive(Debug, Default, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// Run in the background and print the container's id
    #[arg(short, long)]
    detach: bool,
    /// With --detach: return when the container is healthy, or fail when it is not
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    attach: AttachArgs,
    /// The image, and what runs: IMAGE [COMMAND] [ARG...], or IMAGE [NAME] -- COMMAND [ARG...]
    #[arg(value_name = "IMAGE", required = true, num_args = 1.., trailing_var_arg = true)]
    words: Vec<String>,
}

/// How a client stays with a container that it starts.
#[derive(Debug, Default, Args)]
pub(crate) struct AttachArgs {
    /// Attach to this stream only: stdin, stdout or stderr
    #[arg(short, long, value_name = "STREAM", ignore_case = true, value_parser = ["stdin", "stdout", "stderr"], hide_possible_values = true)]
    attach: Vec<String>,
    /// Keys that leave the container running (default ctrl-p,ctrl-q)
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Hand signals on to the command (--sig-proxy=false keeps them)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", hide_default_value = true, hide_possible_values = true, action = clap::ArgAction::Set)]
    sig_proxy: bool,
}

impl Verb for RunArgs {
    const NAME: &'static str = "run";
    const ABOUT: &'static str = "Create a container from an image and run a command in it";
    const USAGE: &'static str =
        "[OPTIONS] IMAGE [COMMAND] [ARG...]\n       {path} [OPTIONS] IMAGE [NAME] -- [COMMAND] [ARG...]";
    const AFTER_HELP: &'static str = "Examples:\n  conductor run conductor/hello\n  conductor run --rm -it mydebian bash\n  \
                                    conductor run -d --name web -m 64m --cpus 0.5 mydebian sleep infinity\n  \
                                    conductor run mydebian eg -- bash";
    const GROUP: Group = Group::Common;
    const USAGE_CODE: u8 = ENGINE_FAILED;
    const SHORT_HELP: bool = false;

    fn run(self, context: &Context) -> Outcome {
        run(self, context).map_err(|failure| failure.default_code(ENGINE_FAILED))
    }
}

fn run(args: RunArgs, context: &Context) -> Outcome {
    let (cidfile, wait, wish) = (args.container.cidfile.clone(), args.wait, args.container.pull.clone());
    let (request, mode) = args.into_request(context.face, &Here)?;
    let engine = context.starting_engine()?;
    network_args::warning(&request).into_iter().for_each(ui::warn);
    check_terminal(&request, &mode)?;
    ensure(context, &request.image, &wish)?;
    let outcome = match cidfile {
        None => engine.run(request, mode).map_err(Failure::starting)?,
        Some(path) => run_with_cidfile(&engine, request, mode, &path)?,
    };
    outcome.warnings.iter().for_each(|warning| ui::warn(warning));
    match outcome.attached {
        None => {
            ui::print_line(outcome.container.id.as_str())?;
            if wait {
                engine.await_health(&outcome.container).map_err(|error| unwell(&outcome.container, error))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(attached) => Ok(exit_code(attached)),
    }
}

/// The container runs on, or has ended: either way it is there to be looked at.
fn unwell(container: &Container, error: engine::Error) -> Failure {
    let hint = format!("see 'conductor logs {name}' and 'conductor inspect {name}'", name = container.name);
    match error {
        engine::Error::Requirement { name, why } => {
            Failure::message(format!("container {name} {why}")).code(1).hint(hint)
        }
        error => Failure::from(error).code(1),
    }
}

/// The id must be in its file before the command runs, so creating and starting are two steps here.
fn run_with_cidfile(
    engine: &Engine,
    request: CreateRequest,
    mode: StartMode,
    path: &std::path::Path,
) -> Result<RunOutcome, Failure> {
    let (container, warnings) = engine.create(request)?;
    if let Err(failure) = write_cidfile(path, &container.id) {
        engine.remove(&container, engine::RemoveOptions { force: true, volumes: true })?;
        return Err(failure);
    }
    let attached = engine.start(&container, mode).map_err(Failure::starting)?;
    Ok(RunOutcome { container, warnings, attached })
}

/// Turns how an attachment ended into the exit code of the command.
pub(crate) fn exit_code(attached: AttachOutcome) -> ExitCode {
    match attached {
        AttachOutcome::Exited(code) => ExitCode::from(code),
        AttachOutcome::Detached => ExitCode::SUCCESS,
    }
}

/// A terminal inside needs one outside, if what is typed here is to be sent there.
fn check_terminal(request: &CreateRequest, mode: &StartMode) -> Result<(), Failure> {
    match mode {
        StartMode::Attached(options) if request.tty && options.stdin && !std::io::stdin().is_terminal() => {
            Err(Failure::new(engine::Error::NotATerminal).code(1))
        }
        _ => Ok(()),
    }
}

impl RunArgs {
    /// Turns the words into what they mean.
    pub(crate) fn into_request(self, face: Face, outside: &dyn Outside) -> Result<(CreateRequest, StartMode), Failure> {
        let words = ImageWords::sort(self.words, matches!(face, Face::Docker(_)));
        if self.wait && !self.detach {
            return Err(Failure::message("--wait is for containers in the background: add --detach"));
        }
        if self.detach && !self.attach.attach.is_empty() {
            return Err(Failure::message("conflicting options: --attach and --detach"));
        }
        let interactive = self.container.interactive;
        let tty = self.container.tty;
        let mode = match self.detach {
            true => StartMode::Detached,
            false => StartMode::Attached(self.attach.options(interactive, tty)?),
        };
        let stdin_once = matches!(&mode, StartMode::Attached(options) if options.stdin);
        let request = self.container.into_request(words, outside)?;
        // `-a stdin` without `-i` opens the input too.
        Ok((CreateRequest { open_stdin: request.open_stdin || stdin_once, stdin_once, ..request }, mode))
    }
}

impl AttachArgs {
    /// Returns the streams to attach: those named, or output always and input where it was asked for.
    pub(crate) fn options(&self, interactive: bool, tty: bool) -> Result<AttachOptions, Failure> {
        let named = |stream: &str| self.attach.iter().any(|word| word.eq_ignore_ascii_case(stream));
        let all = self.attach.is_empty();
        Ok(AttachOptions {
            stdin: if all { interactive } else { named("stdin") },
            output: all || named("stdout") || named("stderr"),
            detach_keys: detach_keys(self.detach_keys.as_deref())?,
            // On a terminal ctrl-c is a key: the container's own terminal makes a signal of it.
            proxy_signals: self.sig_proxy && !tty,
        })
    }
}

/// Reads the value of `--detach-keys`.
pub(crate) fn detach_keys(word: Option<&str>) -> Result<engine::DetachKeys, Failure> {
    super::container_args::flag("detach-keys", word.map(str::parse).transpose()).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::path::{Path, PathBuf};

    use super::*;
    use engine::{MountSource, NetworkMode, Seccomp, Signal};

    /// A world that a test makes up.
    struct Elsewhere;

    impl Outside for Elsewhere {
        fn variable(&self, name: &str) -> Option<String> {
            (name == "HOME").then(|| "/root".to_owned())
        }

        fn text(&self, path: &Path) -> io::Result<String> {
            match path.to_str() {
                Some("env") => Ok("# comment\n\nA=1\nHOME\nNONE\n  B=two words \n".to_owned()),
                Some("bad") => Ok("a b=c\n".to_owned()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        }

        fn directory(&self) -> io::Result<PathBuf> {
            Ok("/here".into())
        }
    }

    fn read(face: Face, words: &[&str]) -> Result<(CreateRequest, StartMode), String> {
        let words: Vec<_> = words.iter().map(Into::into).collect();
        let (args, _) =
            super::super::read::<RunArgs>("conductor run", &words).map_err(|failure| failure.lines().unwrap())?;
        args.into_request(face, &Elsewhere).map_err(|failure| failure.lines().unwrap())
    }

    fn run(line: &str) -> CreateRequest {
        read(Face::Conductor, &line.split(' ').collect::<Vec<_>>()).unwrap().0
    }

    fn wrong(line: &str) -> String {
        read(Face::Conductor, &line.split(' ').collect::<Vec<_>>()).unwrap_err()
    }

    #[test]
    fn behind_the_image_everything_is_the_command_s() {
        let request = run("--rm -it mydebian ls --rm -x --name y");
        assert_eq!(request.image, "mydebian");
        assert_eq!(request.command, ["ls", "--rm", "-x", "--name", "y"]);
        assert_eq!(request.name, None);
        assert!(request.remove_on_exit && request.tty && request.open_stdin);
    }

    #[test]
    fn two_dashes_end_our_own_arguments() {
        let ours = run("mydebian eg -- bash -c ls");
        assert_eq!((ours.name.unwrap().as_str(), ours.command.len()), ("eg", 3));
        let unnamed = run("mydebian -- bash");
        assert_eq!((unnamed.name, unnamed.command), (None, vec!["bash".to_owned()]));
        let nothing = run("mydebian eg --");
        assert_eq!((nothing.name.unwrap().as_str(), nothing.command.len()), ("eg", 0));
        // Further on, it belongs to the command.
        assert_eq!(run("mydebian sh -c x -- y").command, ["sh", "-c", "x", "--", "y"]);
        let docker = read(Face::Docker("docker"), &["mydebian", "grep", "--", "x"]).unwrap().0;
        assert_eq!((docker.name, docker.command.len()), (None, 3));
        assert!(wrong("mydebian /bin/grep -- x").contains("hint: in 'conductor run', -- ends our own arguments"));
        assert!(wrong("--name a1 mydebian b1 -- x").starts_with("error: the container has two names"));
    }

    #[test]
    fn every_option_of_the_issue_means_something() {
        let request = run(
            "--name web --hostname h -e A=1 -e HOME -e NONE --env-file env -w /tmp -u 1:2 -v ./src:/dst:ro \
             --mount type=volume,source=data,target=/data --tmpfs /t:size=1m --read-only --cap-add NET_ADMIN,SYS_TIME \
             --cap-drop ALL --security-opt seccomp=list.json --security-opt no-new-privileges=false --privileged --init \
             --entrypoint /bin/sh --label a=b -l c --cpus 0.5 --cpuset-cpus 0-1 -m 64m --memory-swap -1 --pids-limit 100 \
             --shm-size 1m --network host --stop-signal INT --stop-timeout 3 --ulimit nofile=10:20 --log-driver json-file \
             --log-opt max-size=1k --pull never --sysctl net.a=1 --oom-score-adj -5 --group-add staff mydebian id",
        );
        assert_eq!(request.name.unwrap().as_str(), "web");
        let words = [request.hostname, request.workdir, request.user].map(Option::unwrap);
        assert_eq!(words, ["h", "/tmp", "1:2"]);
        assert_eq!(request.entrypoint, Some(vec!["/bin/sh".to_owned()]));
        assert_eq!(
            (request.cap_add, request.cap_drop),
            (vec!["NET_ADMIN".into(), "SYS_TIME".into()], vec!["ALL".into()])
        );
        assert!(request.read_only && request.privileged && request.init);
        let limits = request.resources;
        assert_eq!(
            (limits.nano_cpus, limits.memory, limits.memory_swap),
            (Some(500_000_000), Some(64 << 20), Some(-1))
        );
        assert_eq!((limits.pids_limit, limits.shm_size, limits.oom_score_adj), (Some(100), Some(1 << 20), Some(-5)));
        assert_eq!((limits.cpuset_cpus.as_deref(), limits.ulimits.len()), (Some("0-1"), 1));
        assert_eq!((request.stop_timeout, request.log.max_size, request.mounts.len()), (Some(3), Some(1024), 3));
        assert_eq!(request.stop_signal, Some("SIGINT".parse::<Signal>().unwrap()));
        assert_eq!(request.network, NetworkMode::Host);
        assert_eq!(request.security.seccomp, Seccomp::Profile("/here/list.json".into()));
        assert!(matches!(&request.mounts[0].source, MountSource::Bind { path, .. } if path == Path::new("/here/src")));
        assert_eq!(request.labels, BTreeMap::from([("a".into(), "b".into()), ("c".into(), String::new())]));
        assert_eq!(request.env, ["A=1", "HOME=/root", "B=two words ", "A=1", "HOME=/root", "NONE"]);
    }

    #[test]
    fn switches_take_truth_values_as_docker_s_do() {
        assert!(run("--rm=true -i=true x").remove_on_exit);
        assert!(!run("--rm=false x").remove_on_exit);
        assert!(!run("-it=false x").tty);
    }

    #[test]
    fn the_streams_follow_the_options() {
        let mode = |line: &str| read(Face::Conductor, &line.split(' ').collect::<Vec<_>>()).unwrap();
        let streams = |line: &str| match mode(line).1 {
            StartMode::Attached(options) => Some((options.stdin, options.output, options.proxy_signals)),
            StartMode::Detached => None,
        };
        assert_eq!(streams("x"), Some((false, true, true)));
        assert_eq!(streams("-i x"), Some((true, true, true)));
        assert_eq!(streams("-it x"), Some((true, true, false)));
        assert_eq!(streams("--sig-proxy=false x"), Some((false, true, false)));
        assert_eq!(streams("-a stdin x"), Some((true, false, true)));
        assert_eq!(streams("-a stdout -a stderr -i x"), Some((false, true, true)));
        assert_eq!(streams("-d x"), None);
        assert!(mode("-i x").0.stdin_once && !mode("-di x").0.stdin_once && mode("-di x").0.open_stdin);
        assert!(wrong("-d -a stdin x").contains("conflicting options"));
    }

    #[test]
    fn a_wrong_word_is_named_with_its_option() {
        for (line, message) in [
            ("--nmae x y", "error: unknown flag: --nmae\n  hint: did you mean --name? See 'conductor run --help'"),
            ("-m 64q x", "error: invalid value for --memory\n  because: invalid size \"64q\""),
            ("--cpus many x", "error: invalid value for --cpus\n  because:"),
            ("--network container: x", "error: invalid value for --network\n  because: unknown network"),
            ("--name a/b x", "error: invalid container name \"a/b\""),
            ("--name .. x", "error: invalid container name \"..\""),
            ("--env-file gone x", "error: cannot read --env-file gone"),
            ("--env-file bad x", "error: invalid value for --env-file: \"a b=c\" has no name before its value"),
            ("-e =x x", "error: invalid value for --env"),
            ("--pids-limit x y", "error: invalid value 'x' for '--pids-limit <NUMBER>'"),
            ("--stop-signal FOO x", "error: invalid value for --stop-signal\n  because: unknown signal \"FOO\""),
            ("--detach-keys ctrl-pp x", "error: invalid value for --detach-keys"),
            ("--rm", "error: 'conductor run' requires IMAGE..."),
            ("--name", "error: a value is required for '--name <NAME>' but none was supplied"),
        ] {
            let got = wrong(line);
            assert!(got.starts_with(message), "{line}: {got}");
        }
    }
}
