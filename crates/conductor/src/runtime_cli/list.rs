//! `list` and `ps`: which containers there are, and which processes are in one.

use std::collections::HashSet;
use std::process::{Command, ExitCode};

use clap::Args;
use serde_json::json;

use super::lifecycle::{created, document};
use super::table::{Call, Operation};
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::table::Table;

/// List containers
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print in this form: table or json
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"], hide_default_value = true, hide_possible_values = true)]
    format: String,
    /// Print IDs alone
    #[arg(short, long)]
    quiet: bool,
}

impl Operation for ListArgs {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = "List containers";
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, call: &Call<'_>) -> Outcome {
        let runtime = call.runtime()?;
        let ids = runtime.records().ids();
        if self.quiet {
            return ui::print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>()).map(|()| ExitCode::SUCCESS);
        }
        if self.format == "json" {
            // One that is being made or deleted at this moment has no document.
            let documents: Vec<_> = ids.iter().filter_map(|id| document(&runtime, id).ok()).collect();
            return ui::print_line(&json!(documents).to_string()).map(|()| ExitCode::SUCCESS);
        }
        let mut table = Table::with_headers(&["ID", "PID", "STATUS", "BUNDLE", "CREATED"]);
        for record in ids.iter().filter_map(|id| runtime.records().read(id).ok()) {
            let status = runtime.status(&record);
            let pid = if status == runtime::Status::Stopped { 0 } else { record.pid };
            let bundle = record.bundle.display().to_string();
            table.push(vec![record.id.clone(), pid.to_string(), status.to_string(), bundle, created(&record)]);
        }
        ui::print(&table.render()).map(|()| ExitCode::SUCCESS)
    }
}

/// List the processes of a container
#[derive(Debug, Args)]
pub(super) struct PsArgs {
    /// Print in this form: table or json
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"], hide_default_value = true, hide_possible_values = true)]
    format: String,
    /// The container's ID, and options of ps(1)
    #[arg(value_name = "ID", required = true, num_args = 1.., trailing_var_arg = true)]
    words: Vec<String>,
}

impl Operation for PsArgs {
    const NAME: &'static str = "ps";
    const ABOUT: &'static str = "List the processes of a container";
    const USAGE: &'static str = "[OPTIONS] ID [OPTIONS OF PS]";

    fn run(self, call: &Call<'_>) -> Outcome {
        let runtime = call.runtime()?;
        let record = runtime.records().read(&self.words[0])?;
        let pids = runtime.cgroup(&record)?.pids()?;
        if self.format == "json" {
            return ui::print_line(&json!(pids).to_string()).map(|()| ExitCode::SUCCESS);
        }
        let options = if self.words.len() > 1 { self.words[1..].to_vec() } else { vec!["-ef".to_owned()] };
        let ran = Command::new("ps").args(options).output();
        let ran = ran
            .map_err(|error| Failure::new(error).doing("cannot run ps").hint("install procps, or use --format json"))?;
        if !ran.status.success() {
            return Err(Failure::message(format!("ps: {}", String::from_utf8_lossy(&ran.stderr).trim())));
        }
        ui::print(&only(&String::from_utf8_lossy(&ran.stdout), &pids.into_iter().collect())?)
            .map(|()| ExitCode::SUCCESS)
    }
}

/// Keeps the header of ps(1) and the lines of these processes.
fn only(listing: &str, pids: &HashSet<u32>) -> Result<String, Failure> {
    let header = listing.lines().next().unwrap_or_default();
    let column = header.split_whitespace().position(|word| word == "PID");
    let column = column.ok_or_else(|| Failure::message("ps printed no column PID"))?;
    let ours = |line: &&str| {
        line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok()).is_some_and(|pid| pids.contains(&pid))
    };
    let lines = std::iter::once(header).chain(listing.lines().skip(1).filter(ours));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_containers_processes_are_kept() {
        let listing =
            "UID          PID    PPID CMD\nroot           1       0 init\nroot          42       1 sleep 42\n";
        assert_eq!(
            only(listing, &HashSet::from([42])).unwrap(),
            "UID          PID    PPID CMD\nroot          42       1 sleep 42\n"
        );
        assert!(only("CMD\ninit\n", &HashSet::new()).is_err());
    }
}
