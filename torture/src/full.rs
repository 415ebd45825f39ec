//! Fills the disk of the store, or of the state, up to a few blocks, and lets each operation meet the end of the room at every
//! step: what exists must still be listed, stopped and removed, and nothing be left.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, fallocate};

use crate::checks::Checks;
use crate::context::{Context, Failure, IMAGE};
use crate::disk::{Mount, format, own_mounts};
use crate::leaks::Leaks;
use crate::report::{Findings, Kind};

/// The operations; `old` runs, `gone` does not.
const OPERATIONS: &[&[&str]] = &[
    &["run", "-d", "--network", "none", "--name", "new", IMAGE, "sleep", "1000"],
    &["run", "--rm", "--network", "none", "--name", "new", IMAGE, "echo", "hello"],
    &["create", "--network", "none", "--name", "new", IMAGE, "true"],
    &["start", "gone"],
    &["exec", "old", "echo", "hello"],
    &["stop", "--time", "0", "old"],
    &["rm", "-f", "old"],
];

/// The room that is left, in blocks of 4 KiB.
const STEPS: std::ops::Range<u64> = 0..24;

/// Runs the experiment.
pub(crate) fn run(context: &Context) -> Result<Findings, Failure> {
    own_mounts()?;
    let place = context.directory().join("full");
    std::fs::create_dir_all(&place).map_err(|error| Failure(error.to_string()))?;
    let image = place.join("disk.img");
    // Without room for root alone, which we are.
    format(&image, 64 << 20, &["mkfs.ext4", "-q", "-m", "0"])?;
    let disk = Mount::new(&["-o", "loop"], &image, &place.join("disk"))?;
    let state = Mount::new(&["-t", "tmpfs", "-o", "size=4m"], Path::new("tmpfs"), &place.join("state"))?;
    let own = context.placed(place.join("disk/root"), place.join("state/run"));
    own.import()?;
    let mut findings = Findings::default();
    let every = if context.short { 8 } else { 1 };
    for (round, (full, free, operation)) in plans(&place).step_by(every).enumerate() {
        one(&own, round, &full, free, operation, &mut findings)?;
        findings.rounds += 1;
    }
    state.unmount()?;
    disk.unmount()?;
    Ok(findings)
}

fn plans(place: &Path) -> impl Iterator<Item = (PathBuf, u64, &'static [&'static str])> {
    let fillers = [place.join("disk/filler"), place.join("state/filler")];
    fillers.into_iter().flat_map(|filler| {
        STEPS.flat_map(move |free| {
            OPERATIONS.iter().map({
                let filler = filler.clone();
                move |operation| (filler.clone(), free, *operation)
            })
        })
    })
}

fn one(
    context: &Context,
    round: usize,
    filler: &Path,
    free: u64,
    operation: &[&str],
    findings: &mut Findings,
) -> Result<(), Failure> {
    let before = Leaks::count(context);
    let mut checks = Checks { context, round, findings };
    checks.succeed(&["run", "-d", "--network", "none", "--name", "old", IMAGE, "sleep", "1000"])?;
    checks.succeed(&["run", "--network", "none", "--name", "gone", IMAGE, "true"])?;
    let what = format!("{} with {free} blocks left of {}", operation.join(" "), filler.display());
    fill(filler, free)?;
    let Some(output) = context.ended(operation)? else {
        checks.add(Kind::Stuck, &what);
        return Ok(());
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    checks.findings.struck += usize::from(!output.status.success());
    if context.verbose {
        println!("round {round}: {what}: {} {}", output.status, said.trim());
    }
    let room = ["no space left", "ENOSPC"];
    if !output.status.success() && !room.iter().any(|word| said.contains(word)) {
        checks.add(Kind::Lie, &format!("{what}: another reason is told: {}", said.trim()));
    }
    if output.status.success() && operation.contains(&"echo") && output.stdout != b"hello\n" {
        checks.add(Kind::Lie, &format!("{what}: success is told, and its output is not there"));
    }
    // All of this on the full disk.
    checks.running()?;
    let names = checks.names()?;
    for name in
        ["old", "gone"].iter().filter(|name| operation[0] != "rm" && !names.iter().any(|listed| listed == *name))
    {
        checks.add(Kind::Lost, &format!("{what}: {name} is gone"));
    }
    if names.iter().any(|name| name == "old") {
        checks.succeed(&["logs", "old"])?;
        checks.succeed(&["stop", "--time", "0", "old"])?;
    }
    checks.settle()?;
    std::fs::remove_file(filler).map_err(|error| Failure(error.to_string()))?;
    checks.nothing_left(&before, &what);
    Ok(())
}

/// Leaves so many blocks of a file system free.
fn fill(filler: &Path, blocks: u64) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure(format!("cannot fill {}: {error}", filler.display()));
    let above = filler.parent().unwrap_or(Path::new("/"));
    let file = File::create(filler).map_err(failed)?;
    // In ever smaller parts, since what the file system needs for itself is not known.
    let mut length: i64 = 0;
    for part in [1 << 20, 64 << 10, 4 << 10] {
        while fallocate(&file, FallocateFlags::empty(), length, part).is_ok() {
            length += part;
        }
    }
    drop(file);
    let keep = length.cast_unsigned().saturating_sub(blocks * 4096);
    File::options().write(true).open(filler).and_then(|file| file.set_len(keep)).map_err(failed)?;
    File::open(above).and_then(|directory| directory.sync_all()).map_err(failed)
}
