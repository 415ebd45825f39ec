//! Lets every system call of a command on images fail once, and kills the command at every one once, in each of its threads.
//!
//! Whatever happens, each image that is listed must be whole: every file of the store has the digest that is its name, the
//! image runs, and `system check` says the same. What a command said it did is done, the container that it was about goes on,
//! and the same command succeeds when the cause is gone.

use std::path::Path;

use crate::checks::Checks;
use crate::context::{Context, Failure, IMAGE};
use crate::faults::{Fault, chosen, faults_of, struck, tell_progress, tells_success, told};
use crate::leaks::Leaks;
use crate::report::{Findings, Kind};
use crate::store::{ARCHIVE, OLD, PUSHED, REMOTE, ROOT, Remote, ensure_old, goes_on, settle, whole};

/// The operations. `fresh` has two layers that no other image has; `gone` is a container of it that does not run.
const OPERATIONS: &[&[&str]] = &[
    &["load", "-i", ARCHIVE],
    &["save", "-o", SAVED, IMAGE],
    &["import", ROOT, "fresh"],
    &["tag", IMAGE, "fresh"],
    &["rmi", "fresh"],
    &["pull", REMOTE],
    &["push", PUSHED],
    &["commit", OLD, "fresh"],
    &["export", "-o", SAVED, OLD],
    &["diff", OLD],
    &["image", "prune", "-a", "-f"],
    &["system", "prune", "-a", "-f"],
];

const SAVED: &str = "saved.tar";

/// The same in every round.
struct Scene {
    remote: Remote,
    /// What `diff` says when nothing goes wrong.
    differences: Vec<u8>,
    /// The archive that `export` writes when nothing goes wrong.
    exported: oci::Digest,
}

/// Runs the experiment.
pub(crate) fn run(context: &Context) -> Result<Findings, Failure> {
    let place = context.directory().join("images");
    let there = std::fs::create_dir_all(&place).and_then(|()| std::env::set_current_dir(&place));
    there.map_err(|error| Failure(error.to_string()))?;
    let mut findings = Findings::default();
    let mut checks = Checks { context, round: 0, findings: &mut findings };
    ensure_old(&mut checks)?;
    let remote = Remote::start(&mut checks)?;
    let differences = checks.succeed(&["diff", OLD])?.map(|output| output.stdout).unwrap_or_default();
    checks.succeed(&["export", "-o", SAVED, OLD])?;
    let scene = Scene { remote, differences, exported: digest_of_saved() };
    clear(&mut checks)?;
    let mut faults = Vec::new();
    for operation in OPERATIONS.iter().filter(|operation| context.wants(operation)) {
        begin(&mut checks, &scene, operation)?;
        faults.extend(faults_of(context, operation)?);
        clear(&mut checks)?;
    }
    let faults = chosen(context, faults, "images", 80);
    for (round, fault) in faults.iter().enumerate() {
        one(context, &scene, round, fault, &mut findings)?;
        findings.rounds += 1;
        tell_progress("images", &findings, faults.len());
    }
    Checks { context, round: 0, findings: &mut findings }.settle()?;
    Ok(findings)
}

fn begin(checks: &mut Checks<'_>, scene: &Scene, operation: &[&str]) -> Result<(), Failure> {
    if matches!(operation[0], "rmi" | "push" | "image" | "system") {
        checks.succeed(&["load", "-q", "-i", ARCHIVE])?;
    }
    if operation[0] == "push" {
        scene.remote.forget();
        checks.succeed(&["tag", "fresh", PUSHED])?;
    }
    if operation[0] == "system" {
        checks.succeed(&["create", "--network", "none", "--name", "gone", "fresh", "true"])?;
    }
    Ok(())
}

fn clear(checks: &mut Checks<'_>) -> Result<(), Failure> {
    let _ = std::fs::remove_file(SAVED);
    settle(checks)
}

fn one(context: &Context, scene: &Scene, round: usize, fault: &Fault, findings: &mut Findings) -> Result<(), Failure> {
    let mut checks = Checks { context, round, findings };
    let before = Leaks::count(context);
    begin(&mut checks, scene, fault.operation)?;
    let what = told(fault);
    let (end, output) = struck(&mut checks, fault, &what)?;
    let success = tells_success(&mut checks, fault, end, &output, &what);
    goes_on(&mut checks, &what)?;
    let images = whole(&mut checks, &what)?;
    let has = |wanted: &str| images.iter().any(|(name, _)| name == wanted);
    let done = match fault.operation {
        ["load" | "import" | "tag" | "commit", ..] => has("fresh"),
        ["pull", ..] => has(REMOTE),
        ["rmi" | "image" | "system", ..] => !has("fresh") && !checks.names()?.iter().any(|name| name == "gone"),
        ["diff", ..] => output.stdout == scene.differences,
        _ => true,
    };
    if success && !done {
        checks.add(Kind::Lie, &format!("{what}: success is told, and it is not so"));
    }
    match fault.operation[0] {
        "save" | "export" => archive(&mut checks, scene, fault.operation[0], success, &what)?,
        // It is there for others, and has every layer.
        "push" if success => {
            checks.succeed(&["rmi", "fresh", PUSHED])?;
            checks.succeed(&["image", "prune", "-f"])?;
            checks.succeed(&["pull", "-q", PUSHED])?;
        }
        _ => {}
    }
    if let Some(left) = half_written() {
        checks.add(Kind::Leak, &format!("{what} left {left}"));
    }
    // With the cause gone the same command goes through; a removal may have been done before the fault.
    if fault.operation[0] != "rmi" || has("fresh") {
        checks.succeed(fault.operation)?;
    }
    clear(&mut checks)?;
    checks.nothing_left(&before, &what);
    Ok(())
}

/// Makes sure that an archive that is there is whole, whatever was said.
fn archive(checks: &mut Checks<'_>, scene: &Scene, of: &str, success: bool, what: &str) -> Result<(), Failure> {
    if !Path::new(SAVED).exists() {
        if success {
            checks.add(Kind::Lie, &format!("{what}: success is told, and the archive is not there"));
        }
        return Ok(());
    }
    if of == "save" {
        return checks.succeed(&["load", "-q", "-i", SAVED]).map(drop);
    }
    if digest_of_saved() != scene.exported {
        checks.add(Kind::Lie, &format!("{what}: the archive is another one than without the fault"));
    }
    Ok(())
}

/// Returns the digest of all but the first header: it is the root's, which is made anew for each export, and tells when.
fn digest_of_saved() -> oci::Digest {
    let bytes = std::fs::read(SAVED).unwrap_or_default();
    oci::Digest::of(bytes.get(512..).unwrap_or_default())
}

/// Takes away what is left of an archive beside its place, and says what it was.
fn half_written() -> Option<String> {
    let entries = std::fs::read_dir(".").into_iter().flatten().flatten();
    let name = entries.filter_map(|entry| entry.file_name().into_string().ok()).find(|name| name.starts_with('.'))?;
    let _ = std::fs::remove_file(&name);
    Some(name)
}
