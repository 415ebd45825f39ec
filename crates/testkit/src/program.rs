//! The program under test: how it is called, and what came of it.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::PATIENCE;

/// A call of the program, put together word by word.
#[derive(Debug)]
pub struct Conductor {
    command: Command,
    input: Vec<u8>,
}

impl Conductor {
    /// Makes a call of the program at `path`.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        Self { command: Command::new(path), input: Vec::new() }
    }

    /// Adds one word.
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.command.arg(word);
        self
    }

    /// Adds words.
    pub fn args<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command.args(words);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the directory that it starts in.
    pub fn dir(mut self, path: impl AsRef<Path>) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Gives it something to read; without, its stdin is empty.
    pub fn input(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.input = text.into();
        self
    }

    /// Returns the call itself, for a [`crate::Terminal`] or for a process that the test wants to hold.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to its end, and to the end of its output: whoever still holds stdout or stderr keeps the test waiting,
    /// as they would keep a person's shell waiting.
    pub fn run(mut self) -> Ran {
        let call = told(&self.command);
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("cannot start {call}: {error}"));
        let pidfd = sys::process::pidfd_open(child.id()).expect("a pidfd of the program");
        let stdout = read_in_background(child.stdout.take().expect("its stdout"));
        let stderr = read_in_background(child.stderr.take().expect("its stderr"));
        let mut stdin = child.stdin.take().expect("its stdin");
        let input = std::mem::take(&mut self.input);
        // One that does not read its input is no failure of the test.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let ended = sys::signal::wait_readable(&pidfd, Some(PATIENCE)).expect("poll");
        if !ended {
            let _ = child.kill();
        }
        let status = child.wait().expect("its exit status");
        assert!(ended, "{call} did not end within {PATIENCE:?}");
        let _ = writer.join();
        let code = status.code().unwrap_or_else(|| {
            use std::os::unix::process::ExitStatusExt;
            128 + status.signal().unwrap_or(0)
        });
        let text = |output: Output, name| {
            let bytes = output.recv_timeout(PATIENCE);
            let bytes = bytes.unwrap_or_else(|_| panic!("{call} has ended, and somebody still holds its {name}"));
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Ran { stdout: text(stdout, "stdout"), stderr: text(stderr, "stderr"), code, call: call.clone() }
    }

    /// Runs it and expects success; returns what it printed, without the last newline.
    pub fn ok(self) -> String {
        self.run().success().stdout.trim_end_matches('\n').to_owned()
    }

    /// Runs it and expects this exit code; returns what it said on stderr.
    pub fn fails(self, code: i32) -> String {
        self.run().code(code).stderr
    }
}

type Output = std::sync::mpsc::Receiver<Vec<u8>>;

fn read_in_background(mut from: impl Read + Send + 'static) -> Output {
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

fn told(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// What came of a call.
#[derive(Debug)]
pub struct Ran {
    /// What it printed.
    pub stdout: String,
    /// What it remarked.
    pub stderr: String,
    code: i32,
    call: String,
}

impl Ran {
    /// Expects exit code 0.
    #[track_caller]
    pub fn success(self) -> Self {
        self.code(0)
    }

    /// Expects an exit code; 128 and the signal's number for a killed program.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        let Self { stdout, stderr, code, call } = &self;
        assert_eq!(*code, expected, "{call}\n-- stdout --\n{stdout}\n-- stderr --\n{stderr}");
        self
    }

    /// Returns the exit code.
    pub fn exit_code(&self) -> i32 {
        self.code
    }

    /// Expects a piece of text on stdout.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let Self { stdout, stderr, call, .. } = &self;
        assert!(stdout.contains(text), "{call} does not say {text:?}\n-- stdout --\n{stdout}\n-- stderr --\n{stderr}");
        self
    }

    /// Expects a piece of text on stderr.
    #[track_caller]
    pub fn remarks(self, text: &str) -> Self {
        let Self { stderr, call, .. } = &self;
        assert!(stderr.contains(text), "{call} does not remark {text:?}\n-- stderr --\n{stderr}");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Conductor {
        Conductor::new("/bin/sh").args(["-c", script])
    }

    #[test]
    fn input_output_and_code_come_through() {
        let ran = shell("cat; echo remark >&2; exit 3").input("text").run().code(3);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("text", "remark\n"));
    }

    #[test]
    fn a_killed_program_counts_as_a_shell_counts_it() {
        shell("kill -KILL $$").run().code(137);
    }
}
