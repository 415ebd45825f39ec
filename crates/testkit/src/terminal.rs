//! A real terminal with the program on it: what a person types and sees.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// A pseudo-terminal on which a program runs, as the leader of a session of its own.
pub struct Terminal {
    screen: File,
    child: Child,
    /// What a person would see.
    picture: vt100::Parser,
    /// All that was printed.
    printed: Vec<u8>,
    /// How much of it has been waited for.
    seen: usize,
    patience: Duration,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("child", &self.child).finish_non_exhaustive()
    }
}

impl Terminal {
    /// Starts a program on a new terminal of 24 rows and 80 columns.
    pub fn start(command: &Command) -> Self {
        let pair = sys::pty::open(Path::new("/dev/ptmx")).expect("a terminal");
        sys::pty::set_size(&pair.master, 24, 80).expect("a window size");
        // setsid(1) makes stdin the controlling terminal of a new session and then becomes the program.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg("--wait").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            session.current_dir(directory);
        }
        let end = || pair.slave.try_clone().expect("a copy of the terminal");
        session.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
        let child = session.spawn().expect("setsid(1) of util-linux");
        let picture = vt100::Parser::new(24, 80, 0);
        Self { screen: pair.master.into(), child, picture, printed: Vec::new(), seen: 0, patience: PATIENCE }
    }

    /// Sets how long a wait may last, for what takes longer than [`PATIENCE`].
    pub fn waits_up_to(&mut self, patience: Duration) -> &mut Self {
        self.patience = patience;
        self
    }

    /// Types text, which may hold control characters: `\x03` is Ctrl-C.
    pub fn types(&mut self, text: &str) -> &mut Self {
        self.screen.write_all(text.as_bytes()).expect("typing into the terminal");
        self
    }

    /// Types a line.
    pub fn enters(&mut self, line: &str) -> &mut Self {
        self.types(&format!("{line}\r"))
    }

    /// Changes the window's size.
    pub fn resize(&mut self, rows: u16, columns: u16) -> &mut Self {
        sys::pty::set_size(&self.screen, rows, columns).expect("a window size");
        self.picture.screen_mut().set_size(rows, columns);
        self
    }

    /// Waits until the picture on the screen fits: programs that fill it say nothing in order.
    #[track_caller]
    pub fn shows(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> &mut Self {
        let start = Instant::now();
        loop {
            let rows: Vec<_> = self.picture.screen().rows(0, u16::MAX).collect();
            let picture = rows.iter().map(|row| row.trim_end()).collect::<Vec<_>>().join("\n");
            if fits(&picture) {
                return self;
            }
            let open = self.read();
            assert!(open && start.elapsed() < self.patience, "the screen never showed {what}, but:\n{picture}");
        }
    }

    /// Waits until this text is printed, after all that was waited for before; returns what came up to its end.
    #[track_caller]
    pub fn sees(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let news = &self.printed[self.seen..];
            if let Some(at) = news.windows(text.len().max(1)).position(|window| window == text.as_bytes()) {
                let end = self.seen + at + text.len();
                let came = String::from_utf8_lossy(&self.printed[self.seen..end]).into_owned();
                self.seen = end;
                return came;
            }
            let open = self.read();
            assert!(open && start.elapsed() < self.patience, "never saw {text:?}, but:\n{}", self.screen_text());
        }
    }

    /// Waits until the program ends, and returns its exit code.
    #[track_caller]
    pub fn ends(&mut self) -> i32 {
        let pidfd = sys::process::pidfd_open(self.child.id()).expect("a pidfd of the program");
        let start = Instant::now();
        // Its output has to be read all the while, else it waits for us.
        while !sys::signal::wait_readable(&pidfd, Some(Duration::ZERO)).expect("poll") {
            self.read();
            assert!(start.elapsed() < self.patience, "it does not end:\n{}", self.screen_text());
        }
        let status = self.child.wait().expect("its exit status");
        while sys::signal::wait_readable(&self.screen, Some(Duration::ZERO)).unwrap_or(false) && self.read() {}
        status.code().unwrap_or(-1)
    }

    /// Returns all that was printed so far, with carriage returns taken out.
    pub fn screen_text(&self) -> String {
        String::from_utf8_lossy(&self.printed).replace('\r', "")
    }

    /// Reads what there is, or waits a little for it; false when the program's end is closed.
    fn read(&mut self) -> bool {
        let slice = Duration::from_millis(50);
        if !sys::signal::wait_readable(&self.screen, Some(slice)).expect("poll") {
            return true;
        }
        let mut bytes = [0; 4096];
        // A terminal whose last program has gone answers EIO.
        let count = self.screen.read(&mut bytes).unwrap_or(0);
        self.printed.extend_from_slice(&bytes[..count]);
        self.picture.process(&bytes[..count]);
        count > 0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_on_a_terminal_can_be_talked_to() {
        let mut shell = Command::new("/bin/sh");
        shell.env("PS1", "ready> ").arg("-i");
        let mut terminal = Terminal::start(&shell);
        terminal.sees("ready> ");
        terminal.enters("tty; echo $((6 * 7))").sees("/dev/pts/");
        terminal.sees("42");
        terminal.enters("exit 5");
        assert_eq!(terminal.ends(), 5);
    }

    #[test]
    fn control_c_interrupts_what_runs_in_the_foreground() {
        let mut sleep = Command::new("/bin/sh");
        sleep.args(["-c", "trap 'echo caught; exit 4' INT; echo waiting; while :; do sleep 1; done"]);
        let mut terminal = Terminal::start(&sleep);
        terminal.sees("waiting");
        terminal.types("\x03").sees("caught");
        assert_eq!(terminal.ends(), 4);
    }
}
