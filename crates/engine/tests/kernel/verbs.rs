//! The verbs as commands, for tests that need a process of their own to call them.

use std::io::{stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use engine::{
    AttachOptions, AttachOutcome, Container, CreateRequest, Engine, Error, ExecRequest, LogsRequest, RemoveOptions,
    Settings, StartMode, StopOptions,
};
use trace::{Format, Recorder};

/// Calls a verb: ROOT STATE VERB WORD...
pub(crate) fn main(words: &[&str]) -> ExitCode {
    let [root, state, verb, rest @ ..] = words else { panic!("verb ROOT STATE VERB") };
    let recorder = match std::env::var_os("EXPLAIN") {
        Some(_) => Recorder::writing(std::os::fd::AsFd::as_fd(&stderr()).try_clone_to_owned().unwrap(), Format::Text),
        None => Recorder::silent(),
    };
    let engine = Engine::open(Path::new(root), Path::new(state), recorder).unwrap();
    let snapshotter = std::env::var("SNAPSHOTTER").map(|word| serde_json::from_value(word.into()).unwrap());
    let engine = match snapshotter {
        Ok(snapshotter) => engine.with_settings(Settings { snapshotter, ..Settings::default() }),
        Err(_) => engine,
    };
    match call(&engine, verb, rest) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            chain.for_each(|error| eprintln!("{error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn call(engine: &Engine, verb: &str, rest: &[&str]) -> Result<u8, Error> {
    let found = || engine.find(rest[0]);
    match verb {
        "run" => run(engine, rest[0]),
        "run-detached" => {
            let outcome = engine.run(request(rest[0]), StartMode::Detached)?;
            outcome.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            println!("{}", outcome.container.id);
            Ok(0)
        }
        "create" => engine.create(request(rest[0])).map(|(container, _)| println!("{}", container.id)).map(|()| 0),
        "start" => engine.start(&found()?, StartMode::Detached).map(|_| 0),
        "attach" => Ok(code(engine.attach(&found()?, &with_input())?)),
        "exec" => {
            let request =
                ExecRequest { command: rest[1..].iter().map(|w| (*w).to_owned()).collect(), ..exec_request() };
            Ok(code(engine.exec(&found()?, &request)?))
        }
        "stop" => stop(engine, rest),
        "kill" => engine.kill(&found()?, rest[1].parse().unwrap()).map(|()| 0),
        "wait" => engine.wait(&found()?).map(|code| println!("{code}")).map(|()| 0),
        "rm" => engine.remove(&found()?, RemoveOptions::default()).map(|()| 0),
        "rmf" => match found() {
            Err(Error::Damaged { id, .. }) => engine.remove_damaged(&id).map(|()| 0),
            found => engine.remove(&found?, RemoveOptions { force: true, volumes: true }).map(|()| 0),
        },
        "logs" => engine.logs(&found()?, &LogsRequest::default(), &mut stdout(), &mut stderr()).map(|()| 0),
        "follow" => {
            let request = LogsRequest { follow: true, ..LogsRequest::default() };
            engine.logs(&found()?, &request, &mut stdout(), &mut stderr()).map(|()| 0)
        }
        "inspect" => {
            engine.inspect(&found()?).map(|view| println!("{}", serde_json::to_string(&view).unwrap())).map(|()| 0)
        }
        "boot" => {
            for engine::Booted { container, outcome } in engine.boot()? {
                println!("{} {:?}", container.name, outcome?);
            }
            Ok(0)
        }
        "ps" => ps(engine, false),
        "ps-a" => ps(engine, true),
        "image" => {
            crate::sandbox::import_image(engine);
            Ok(0)
        }
        "script" => engine.script(request(rest[0])).map(|script| println!("{script}")).map(|()| 0),
        "explain" => engine.explain(request(rest[0])).map(|()| 0),
        other => panic!("no verb {other}"),
    }
}

fn request(json: &str) -> CreateRequest {
    serde_json::from_str(json).unwrap()
}

fn with_input() -> AttachOptions {
    AttachOptions { stdin: true, ..AttachOptions::default() }
}

fn exec_request() -> ExecRequest {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    ExecRequest {
        tty: is_set("TTY"),
        stdin: is_set("STDIN"),
        user: std::env::var("RUN_AS").ok(),
        privileged: is_set("PRIVILEGED"),
        ..ExecRequest::default()
    }
}

fn run(engine: &Engine, json: &str) -> Result<u8, Error> {
    let request = request(json);
    let options = AttachOptions { stdin: request.open_stdin, ..AttachOptions::default() };
    let outcome = engine.run(request, StartMode::Attached(options))?;
    outcome.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(outcome.attached.map_or(0, code))
}

fn stop(engine: &Engine, names: &[&str]) -> Result<u8, Error> {
    let timeout = std::env::var("GRACE").ok().map(|seconds| seconds.parse().unwrap());
    let containers: Vec<Container> = names.iter().map(|name| engine.find(name)).collect::<Result<_, _>>()?;
    for result in engine.stop(&containers, StopOptions { signal: None, timeout }) {
        result?;
    }
    Ok(0)
}

fn ps(engine: &Engine, all: bool) -> Result<u8, Error> {
    for summary in engine.list(all)? {
        println!("{} {} {}", summary.name, summary.state.status.as_str(), summary.args.join(" "));
    }
    Ok(0)
}

fn code(outcome: AttachOutcome) -> u8 {
    match outcome {
        AttachOutcome::Exited(code) => code,
        AttachOutcome::Detached => 0,
    }
}
