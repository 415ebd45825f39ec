//! What must be true after a round, whatever went wrong in it.

use std::process::Output;
use std::time::{Duration, Instant};

use crate::context::{Context, Failure, IMAGE};
use crate::leaks::{Leaks, processes};
use crate::report::{Findings, Kind};

/// The checks of one round, which write what they find.
#[derive(Debug)]
pub(crate) struct Checks<'a> {
    pub(crate) context: &'a Context,
    pub(crate) round: usize,
    pub(crate) findings: &'a mut Findings,
}

impl Checks<'_> {
    /// Adds a finding.
    pub(crate) fn add(&mut self, kind: Kind, sentence: &str) {
        self.findings.add(kind, self.context.seed, self.round, sentence);
    }

    /// Runs a command that must succeed; `None`, and a finding, if it does not.
    pub(crate) fn succeed(&mut self, words: &[&str]) -> Result<Option<Output>, Failure> {
        match self.context.ended(words)? {
            Some(output) if output.status.success() => return Ok(Some(output)),
            Some(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                self.add(Kind::Lie, &format!("{} failed: {}", words.join(" "), said.trim()));
            }
            None => self.add(Kind::Stuck, &words.join(" ")),
        }
        Ok(None)
    }

    /// Makes sure that what `ps` lists as running lives, and that every monitor that lives has a container in the list.
    pub(crate) fn running(&mut self) -> Result<(), Failure> {
        let start = Instant::now();
        loop {
            let Some(wrong) = self.untruth()? else { return Ok(()) };
            // A container that is just ending, or is just started again by its policy, is given a moment.
            if start.elapsed() > Duration::from_secs(1) {
                self.add(Kind::Lie, &wrong);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Says what is not true of what `ps` says, if anything.
    fn untruth(&mut self) -> Result<Option<String>, Failure> {
        let Some(listed) = self.succeed(&["ps", "--no-trunc", "--format", "{{.ID}} {{.State}}"])? else {
            return Ok(None);
        };
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        for (id, state) in listed.lines().filter_map(|line| line.split_once(' ')) {
            let Some(inspected) = self.context.ended(&["inspect", "-f", "{{.State.Pid}}", id])? else {
                return Ok(Some(format!("inspect {id} is stuck")));
            };
            if !inspected.status.success() {
                let said = String::from_utf8_lossy(&inspected.stderr).into_owned();
                return Ok(Some(format!("ps lists {id}, and inspect fails: {said}")));
            }
            let pid = String::from_utf8_lossy(&inspected.stdout).trim().to_owned();
            // Podman's state is the sentence that we call the status.
            if (state == "running" || state.starts_with("Up")) && !lives(&pid) {
                return Ok(Some(format!("ps lists {id} as running, and its process {pid} does not live")));
            }
        }
        let unseen = processes(self.context).into_iter().find(|(_, words)| {
            let engine = self.context.engine;
            engine.id_of(words).is_some_and(|id| engine.is_monitor(words) && !listed.contains(&id))
        });
        Ok(unseen.map(|(pid, words)| format!("{pid} runs unseen: {}", words.get(..120).unwrap_or(&words))))
    }

    /// Returns the names of all containers.
    pub(crate) fn names(&mut self) -> Result<Vec<String>, Failure> {
        let output = self.succeed(&["ps", "-a", "--format", "{{.Names}}"])?;
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }

    /// Removes every container there is.
    pub(crate) fn settle(&mut self) -> Result<(), Failure> {
        for name in self.names()? {
            let words: Vec<&str> = self.context.engine.removal().iter().copied().chain([name.as_str()]).collect();
            self.succeed(&words)?;
        }
        Ok(())
    }

    /// Makes sure that nothing is left, once what was on its way out has had its time.
    pub(crate) fn nothing_left(&mut self, before: &Leaks, what: &str) {
        self.nothing_left_but(before, what, |_| false);
    }

    /// The same of all but files: those of builds go with the next build.
    pub(crate) fn nothing_held(&mut self, before: &Leaks, what: &str) {
        self.nothing_left_but(before, what, |left| left.starts_with("file: "));
    }

    fn nothing_left_but(&mut self, before: &Leaks, what: &str, passed_over: impl Fn(&str) -> bool) {
        let start = Instant::now();
        let mut swept = false;
        loop {
            let mut left = Leaks::count(self.context).more_than(before);
            left.retain(|left| !passed_over(left));
            if left.is_empty() {
                return;
            }
            // The next command that creates looks after all, a second after the last that did so.
            if start.elapsed() > Duration::from_millis(1200) && !std::mem::replace(&mut swept, true) {
                let _ = self.context.ended(&["create", "--network", "none", "--name", "swept", IMAGE, "true"]);
                let _ = self.context.ended(&["rm", "swept"]);
            }
            // Long enough for what others on this machine make and remove meanwhile: what leaked stays.
            if start.elapsed() > Duration::from_secs(10) {
                left.iter().for_each(|left| self.add(Kind::Leak, &format!("{what} left {left}")));
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Tells whether a process runs, and is not merely waiting to be reaped.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}
