//! Lets every system call of a command on images fail once, and kills the command at every one once.
//!
//! Whatever happens, each image that is listed must be whole: every file of the store has the digest that is its name, and the
//! image runs. What a command said it did is done, and the same command succeeds when the cause is gone.

use std::path::Path;

use testkit::fixture;

use crate::checks::Checks;
use crate::context::{Context, Failure, IMAGE};
use crate::faults::{Fault, chosen, faults_of, struck, tells_success, told};
use crate::leaks::Leaks;
use crate::report::{Findings, Kind};

/// The operations. Paths are below the harness's directory; `fresh` has a layer that no other image has.
const OPERATIONS: &[&[&str]] = &[
    &["load", "-i", ARCHIVE],
    &["save", "-o", SAVED, IMAGE],
    &["import", ROOT, "fresh"],
    &["tag", IMAGE, "fresh"],
    &["rmi", "fresh"],
];

const ROOT: &str = "fresh-root.tar";
const ARCHIVE: &str = "fresh.tar";
const SAVED: &str = "saved.tar";

/// Runs the experiment.
pub(crate) fn run(context: &Context) -> Result<Findings, Failure> {
    std::env::set_current_dir(context.directory()).map_err(|error| Failure(error.to_string()))?;
    let mut findings = Findings::default();
    prepare(&mut Checks { context, round: 0, findings: &mut findings })?;
    let mut faults = Vec::new();
    for operation in OPERATIONS {
        let mut checks = Checks { context, round: 0, findings: &mut findings };
        begin(&mut checks, operation)?;
        faults.extend(faults_of(context, operation)?);
        settle(&mut checks)?;
    }
    for (round, fault) in chosen(context, faults, "images").iter().enumerate() {
        one(context, round, fault, &mut findings)?;
        findings.rounds += 1;
    }
    Ok(findings)
}

/// Makes the archives that are imported and loaded.
fn prepare(checks: &mut Checks<'_>) -> Result<(), Failure> {
    let file = std::fs::File::create(ROOT).map_err(|error| Failure(error.to_string()))?;
    fixture::programs_tar(file, &[]);
    checks.succeed(&["import", ROOT, "fresh"])?;
    checks.succeed(&["save", "-o", ARCHIVE, "fresh"])?;
    settle(checks)
}

fn begin(checks: &mut Checks<'_>, operation: &[&str]) -> Result<(), Failure> {
    if operation[0] == "rmi" {
        checks.succeed(&["load", "-q", "-i", ARCHIVE])?;
    }
    Ok(())
}

/// Leaves the image with which all began, and no other.
fn settle(checks: &mut Checks<'_>) -> Result<(), Failure> {
    for (name, id) in listed(checks)?.iter().filter(|(name, _)| name != IMAGE) {
        checks.succeed(&["rmi", if name == "<none>" { id } else { name }])?;
    }
    let _ = std::fs::remove_file(SAVED);
    Ok(())
}

fn listed(checks: &mut Checks<'_>) -> Result<Vec<(String, String)>, Failure> {
    let output = checks.succeed(&["images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}"])?;
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    Ok(text.lines().filter_map(|line| line.split_once(' ')).map(|(name, id)| (name.into(), id.into())).collect())
}

fn one(context: &Context, round: usize, fault: &Fault, findings: &mut Findings) -> Result<(), Failure> {
    let before = Leaks::count(context);
    let mut checks = Checks { context, round, findings };
    begin(&mut checks, fault.operation)?;
    let what = told(fault);
    let (end, output) = struck(&mut checks, fault, &what)?;
    let success = tells_success(&mut checks, fault, end, &output, &what);
    let images = listed(&mut checks)?;
    if !images.iter().any(|(name, _)| name == IMAGE) {
        checks.add(Kind::Lost, &format!("{what}: another image is gone"));
    }
    let has_fresh = images.iter().any(|(name, _)| name == "fresh");
    if success && fault.operation[0] != "save" && has_fresh == (fault.operation[0] == "rmi") {
        checks.add(Kind::Lie, &format!("{what}: success is told, and it is not so"));
    }
    if let Some(wrong) = damaged(context, &images) {
        checks.add(Kind::Lie, &format!("{what}: {wrong}"));
    }
    for (_, id) in &images {
        checks.succeed(&["run", "--rm", "--network", "none", id, "true"])?;
    }
    if fault.operation[0] == "save" {
        archive(&mut checks, success, &what)?;
    }
    if let Some(left) = half_written() {
        checks.add(Kind::Leak, &format!("{what} left {left}"));
    }
    // With the cause gone the same command goes through; a removal may have been done before the fault.
    if fault.operation[0] != "rmi" || has_fresh {
        checks.succeed(fault.operation)?;
    }
    settle(&mut checks)?;
    checks.nothing_left(&before, &what);
    Ok(())
}

/// Makes sure that an archive that is there is whole, whatever was said.
fn archive(checks: &mut Checks<'_>, success: bool, what: &str) -> Result<(), Failure> {
    if Path::new(SAVED).exists() {
        checks.succeed(&["load", "-q", "-i", SAVED])?;
    } else if success {
        checks.add(Kind::Lie, &format!("{what}: success is told, and the archive is not there"));
    }
    Ok(())
}

/// Takes away what is left of an archive beside its place, and says what it was.
fn half_written() -> Option<String> {
    let entries = std::fs::read_dir(".").into_iter().flatten().flatten();
    let name = entries.filter_map(|entry| entry.file_name().into_string().ok()).find(|name| name.starts_with('.'))?;
    let _ = std::fs::remove_file(&name);
    Some(name)
}

/// Says which file of the store is not what its name says, and which image lacks one.
fn damaged(context: &Context, images: &[(String, String)]) -> Option<String> {
    let root = context.root();
    for kind in ["layers", "blobs"] {
        for entry in std::fs::read_dir(root.join(kind).join("sha256")).ok()?.flatten() {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            if oci::Digest::of(&bytes).hex() != entry.file_name().to_string_lossy() {
                return Some(format!("{} is damaged", entry.path().display()));
            }
        }
    }
    let has = |id: &str| root.join("images").join(id.trim_start_matches("sha256:")).exists();
    images.iter().find(|(_, id)| !has(id)).map(|(name, _)| format!("{name} is listed and has no record"))
}
