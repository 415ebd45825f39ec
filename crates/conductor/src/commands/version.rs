//! `version`: what runs here.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Group, Verb};
use crate::context::Context;
use crate::error::Outcome;
use crate::personality::Face;
use crate::ui;
use crate::ui::list::Format;

/// Print the version
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Print in this form: json, or a template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns what `--version` prints.
pub(crate) fn one_line(face: Face) -> String {
    match face {
        Face::Docker("docker") => format!("Docker version {VERSION}, build conductor"),
        Face::Docker(name) => format!("{name} version {VERSION} (conductor)"),
        other => format!("{} version {VERSION}", other.program()),
    }
}

impl Verb for VersionArgs {
    const NAME: &'static str = "version";
    const ABOUT: &'static str = "Print the version";
    const USAGE: &'static str = "[OPTIONS]";
    const GROUP: Group = Group::Engine;

    fn run(self, _context: &Context) -> Outcome {
        let kernel = kernel_release();
        let value = json!({
            "Version": VERSION,
            "Os": "linux",
            "Arch": architecture(),
            "KernelVersion": kernel,
            "Client": {"Version": VERSION, "Os": "linux", "Arch": architecture()},
            "Server": {"Version": VERSION, "Os": "linux", "Arch": architecture(), "KernelVersion": kernel},
        });
        let text = match Format::parse(self.format.as_deref())? {
            Format::Table => format!(
                "Conductor:\n Version:  {VERSION}\n OS/Arch:  linux/{}\n Kernel:   {kernel}\n Daemon:   none\n",
                architecture()
            ),
            format => ui::list::render(&format, &[], &[value])?,
        };
        ui::print(&text).map(|()| ExitCode::SUCCESS)
    }
}

/// Returns the machine's architecture in Go's words, as images have it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Returns the version of the running kernel.
pub(crate) fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}
