//! `system boot`: what runs again after a reboot, and the one unit of systemd that sees to it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use engine::{BootOutcome, Booted};

use super::super::{Group, Reach, Verb, report_each};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Start after a reboot what restart policies ask for
#[derive(Debug, Args)]
pub(crate) struct BootArgs {
    /// run: start the containers whose policy is always, or unless-stopped and not stopped; install: write the systemd
    /// unit that does so at each boot
    #[arg(value_name = "run|install", value_parser = ["run", "install"], hide_possible_values = true)]
    action: String,
    /// Where install writes the unit
    #[arg(long, value_name = "DIR", default_value = "/etc/systemd/system", hide_default_value = true)]
    unit_dir: PathBuf,
}

impl Verb for BootArgs {
    const NAME: &'static str = "boot";
    const ABOUT: &'static str = "Start after a reboot what restart policies ask for";
    const USAGE: &'static str = "run | install [--unit-dir DIR]";
    const GROUP: Group = Group::Engine;
    const REACH: Reach = Reach::Ours;

    fn run(self, context: &Context) -> Outcome {
        if self.action == "install" { install(context, &self.unit_dir) } else { run(context) }
    }
}

fn run(context: &Context) -> Outcome {
    let tell = |Booted { container, outcome }: Booted| match outcome {
        Ok(BootOutcome::Started) => ui::print_line(&format!("{} started", container.name)),
        Ok(BootOutcome::Removed) => ui::print_line(&format!("{} removed", container.name)),
        Err(error) => Err(Failure::starting(error)),
    };
    let booted = context.starting_engine()?.boot()?;
    report_each(booted.into_iter().map(tell)).map(|()| ExitCode::SUCCESS)
}

/// The unit's name.
const UNIT: &str = "conductor-boot.service";

fn install(context: &Context, directory: &Path) -> Outcome {
    let program = std::env::current_exe().map_err(|error| Failure::new(error).doing("cannot find our own binary"))?;
    let program = installed(program);
    let text = unit(&program, &context.root()?, &context.state()?);
    let wants = directory.join("multi-user.target.wants");
    let path = directory.join(UNIT);
    let failed = |what: String| move |error| Failure::new(error).doing(what);
    std::fs::create_dir_all(&wants).map_err(failed(format!("cannot make {}", wants.display())))?;
    sys::file::replace(&path, text.as_bytes(), sys::file::Durability::Synced)?;
    let link = wants.join(UNIT);
    match std::os::unix::fs::symlink(Path::new("..").join(UNIT), &link) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(failed(format!("cannot make {}", link.display()))(error));
        }
        _ => {}
    }
    ui::print_line(&path.display().to_string())?;
    ui::remark("it runs at the next boot; systemctl daemon-reload lets systemd know of it now");
    Ok(ExitCode::SUCCESS)
}

/// The binary runs from a mount of its own, whose path means nothing elsewhere: argv tells where it was found.
fn installed(running: PathBuf) -> PathBuf {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = match called.components().count() {
        0 | 1 => std::env::split_paths(&path).map(|directory| directory.join(&called)).find(|path| path.is_file()),
        _ => std::path::absolute(&called).ok().filter(|path| path.is_file()),
    };
    found.unwrap_or(running)
}

fn unit(program: &Path, root: &Path, state: &Path) -> String {
    let quoted = |path: &Path| format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""));
    let [program, root, state] = [program, root, state].map(quoted);
    format!(
        "# Written by: conductor system boot install\n\
         [Unit]\n\
         Description=Containers that run again after a reboot\n\
         Documentation=man:conductor-system-boot(1)\n\
         After=local-fs.target network-online.target\n\
         Wants=network-online.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         # Monitors go on when the command has returned, and when the unit is stopped.\n\
         KillMode=process\n\
         ExecStart={program} --root {root} --state {state} system boot run\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_names_binary_and_directories() {
        let text = unit(Path::new("/usr/local/bin/conductor"), Path::new("/var/lib/my \"c\""), Path::new("/run/c"));
        assert!(text.contains(
            "\nExecStart=\"/usr/local/bin/conductor\" --root \"/var/lib/my \\\"c\\\"\" --state \"/run/c\" system boot run\n"
        ));
        assert!(text.contains("\nWantedBy=multi-user.target\n"));
    }
}
