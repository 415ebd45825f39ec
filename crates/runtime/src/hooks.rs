//! Hooks: programs that the spec has run at points of a container's life (runtime-spec, config.md, "POSIX-platform Hooks").

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use oci::runtime::Hook;

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// It cannot be started.
    #[error("cannot run the {point} hook {path:?}")]
    Start {
        /// The point of life.
        point: &'static str,
        /// The program.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It said no.
    #[error("the {point} hook {path:?} ended with {status}: {said}")]
    Ended {
        /// The point of life.
        point: &'static str,
        /// The program.
        path: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to stderr.
        said: String,
    },
    /// It took longer than its timeout.
    #[error("the {point} hook {path:?} took longer than its {seconds} s and was killed")]
    TimedOut {
        /// The point of life.
        point: &'static str,
        /// The program.
        path: PathBuf,
        /// Its timeout.
        seconds: u64,
    },
}

/// Runs hooks one after the other; the container's state goes to their standard input. The first failure ends it.
pub fn run(point: &'static str, hooks: &[Hook], state: &str) -> Result<(), HookError> {
    hooks.iter().try_for_each(|hook| run_one(point, hook, state))
}

fn run_one(point: &'static str, hook: &Hook, state: &str) -> Result<(), HookError> {
    let path = hook.path().clone();
    let fault = |source| HookError::Start { point, path: path.clone(), source };
    let mut child = command(hook).spawn().map_err(fault)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that does not read its input closes it early, which is its right.
        let _ = stdin.write_all(state.as_bytes());
    }
    let timeout = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    if let Some(seconds) = timeout
        && !ends_within(&child, Duration::from_secs(seconds)).map_err(fault)?
    {
        // It may have ended in between; then there is nothing to kill.
        let _ = child.kill();
        let _ = child.wait();
        return Err(HookError::TimedOut { point, path, seconds });
    }
    let output = child.wait_with_output().map_err(fault)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(HookError::Ended { point, path, status: output.status, said })
}

fn command(hook: &Hook) -> Command {
    let mut command = Command::new(hook.path());
    // The spec's args are a whole argv: the first is the program's own name.
    let mut arguments = hook.args().iter().flatten();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env_clear();
    for variable in hook.env().iter().flatten() {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        command.env(name, value);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn ends_within(child: &Child, timeout: Duration) -> std::io::Result<bool> {
    let deadline = Instant::now() + timeout;
    let to_io = |error: sys::Error| std::io::Error::from_raw_os_error(error.errno().raw_os_error());
    let pidfd = sys::process::pidfd_open(child.id()).map_err(to_io)?;
    // A pidfd becomes readable when its process ends.
    let left = deadline.saturating_duration_since(Instant::now());
    sys::signal::wait_readable(&pidfd, Some(left)).map_err(to_io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::HookBuilder;

    fn hook(script: &str, timeout: i64) -> Hook {
        let args = ["sh", "-c", script].map(String::from).to_vec();
        HookBuilder::default().path("/bin/sh").args(args).env(vec!["A=b".to_owned()]).timeout(timeout).build().unwrap()
    }

    #[test]
    fn a_hook_gets_state_and_environment_and_may_refuse() {
        run("prestart", &[hook("read -r line; test \"$line\" = state && test \"$A\" = b", 10)], "state\n").unwrap();
        let error = run("prestart", &[hook("echo no >&2; exit 3", 10)], "").unwrap_err();
        assert!(error.to_string().contains("exit status: 3: no"), "{error}");
    }

    #[test]
    fn a_hook_that_takes_too_long_is_killed() {
        let error = run("poststart", &[hook("sleep 60", 1)], "").unwrap_err();
        assert!(matches!(error, HookError::TimedOut { seconds: 1, .. }), "{error}");
    }
}
