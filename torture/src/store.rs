//! What the experiments on images share: a registry, archives, a container that runs meanwhile, and what must be true of a
//! store whatever has happened to those who wrote it.

use std::path::Path;

use testkit::fixture;
use testkit::registry::Real;

use crate::checks::Checks;
use crate::context::{Context, DEADLINE, Failure, IMAGE};
use crate::report::Kind;

/// The registry as names call it, wherever it listens.
const REGISTRY: &str = "registry.test";

/// An image of two layers in the registry.
pub(crate) const REMOTE: &str = "registry.test/fresh";

/// An image that is pushed.
pub(crate) const PUSHED: &str = "registry.test/pushed";

/// The archive of an image of two layers that no other image has; its name is `fresh`.
pub(crate) const ARCHIVE: &str = "fresh.tar";

/// The archive of the lower one of the two.
pub(crate) const ROOT: &str = "fresh-root.tar";

/// A container that runs meanwhile and has changed something.
pub(crate) const OLD: &str = "old";

/// Debian's registry on loopback, with what the experiments pull.
#[derive(Debug)]
pub(crate) struct Remote(Real);

impl Remote {
    /// Starts it, tells the program where it is, and makes the archives in the current directory and what is to be pulled. The
    /// registry ends when this is dropped.
    pub(crate) fn start(checks: &mut Checks<'_>) -> Result<Self, Failure> {
        let real = Real::start();
        let directory = checks.context.directory().join(".config/containers");
        let text = format!("[[registry]]\nprefix = {REGISTRY:?}\nlocation = {:?}\ninsecure = true\n", real.host());
        let written = std::fs::create_dir_all(&directory)
            .and_then(|()| std::fs::write(directory.join("registries.conf"), text))
            .and_then(|()| std::fs::File::create(ROOT).map(|file| fixture::programs_tar(file, &[])));
        written.map_err(|error| Failure(error.to_string()))?;
        checks.succeed(&["import", ROOT, "lower"])?;
        let change = "head -c 300000 /bin/busybox > /upper";
        checks.succeed(&["run", "--network", "none", "--name", "upper", "lower", "sh", "-c", change])?;
        checks.succeed(&["commit", "upper", "fresh"])?;
        checks.succeed(&["save", "-o", ARCHIVE, "fresh"])?;
        publish(checks, "fresh", REMOTE)?;
        checks.succeed(&["rm", "upper"])?;
        settle(checks)?;
        Ok(Self(real))
    }

    /// Lets the registry forget what was pushed.
    pub(crate) fn forget(&self) {
        let repositories = self.0.directory().join("data/docker/registry/v2/repositories");
        let _ = std::fs::remove_dir_all(repositories.join("pushed"));
    }
}

/// Pushes an image under another name.
pub(crate) fn publish(checks: &mut Checks<'_>, name: &str, remote: &str) -> Result<(), Failure> {
    checks.succeed(&["tag", name, remote])?;
    checks.succeed(&["push", "-q", remote]).map(drop)
}

/// Starts the container that runs meanwhile, unless it does.
pub(crate) fn ensure_old(checks: &mut Checks<'_>) -> Result<(), Failure> {
    if checks.names()?.iter().any(|name| name == OLD) {
        return Ok(());
    }
    let words = ["run", "-d", "--network", "none", "--name", OLD, IMAGE, "sleep", "100000"];
    checks.succeed(&words)?;
    let change = "echo changed > /changed; rm /etc/group; mkdir -p /a/b; head -c 200000 /bin/busybox > /a/b/big";
    checks.succeed(&["exec", OLD, "sh", "-c", change]).map(drop)
}

/// Makes sure that the container goes on: one that stands still answers nobody. It is made anew where it does not.
pub(crate) fn goes_on(checks: &mut Checks<'_>, what: &str) -> Result<(), Failure> {
    let wrong = match checks.context.ended(&["exec", OLD, "cat", "/changed"])? {
        Some(output) if output.stdout == b"changed\n" => return Ok(()),
        Some(output) => (Kind::Lost, String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        None => (Kind::Stuck, format!("it stands still for {DEADLINE:?}")),
    };
    checks.add(wrong.0, &format!("{what}: the container does not go on: {}", wrong.1));
    checks.succeed(&["rm", "-f", OLD])?;
    ensure_old(checks)
}

/// Returns the names and IDs of all images.
pub(crate) fn listed(checks: &mut Checks<'_>) -> Result<Vec<(String, String)>, Failure> {
    let output = checks.succeed(&["images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}"])?;
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    Ok(text.lines().filter_map(|line| line.split_once(' ')).map(|(name, id)| (name.into(), id.into())).collect())
}

/// Leaves the image with which all began, and no other, nor a layer that came lately.
pub(crate) fn settle(checks: &mut Checks<'_>) -> Result<(), Failure> {
    for name in checks.names()?.iter().filter(|name| *name != OLD) {
        checks.succeed(&["rm", "-f", name])?;
    }
    for (name, id) in listed(checks)?.iter().filter(|(name, _)| name != IMAGE) {
        checks.succeed(&["rmi", if name == "<none>" { id } else { name }])?;
    }
    checks.succeed(&["image", "prune", "-f"]).map(drop)
}

/// Makes sure that every listed image is whole and runs, that what is left of the dead is only what belongs to nobody, and
/// that nothing of it is there after the next writer.
pub(crate) fn whole(checks: &mut Checks<'_>, what: &str) -> Result<Vec<(String, String)>, Failure> {
    let images = sound(checks, what)?;
    swept(checks, what)?;
    Ok(images)
}

/// The same, as far as it goes without another writer.
pub(crate) fn sound(checks: &mut Checks<'_>, what: &str) -> Result<Vec<(String, String)>, Failure> {
    let images = listed(checks)?;
    if !images.iter().any(|(name, _)| name == IMAGE) {
        checks.add(Kind::Lost, &format!("{what}: another image is gone"));
    }
    if let Some(wrong) = damaged(checks.context, &images) {
        checks.add(Kind::Lie, &format!("{what}: {wrong}"));
    }
    strays_alone(checks, what)?;
    for (_, id) in &images {
        checks.succeed(&["run", "--rm", "--pull", "never", "--network", "none", id, "true"])?;
    }
    Ok(images)
}

/// Makes sure that a check finds nothing but what belongs to no image: the next writer removes that.
pub(crate) fn strays_alone(checks: &mut Checks<'_>, what: &str) -> Result<(), Failure> {
    let Some(output) = checks.context.ended(&["system", "check"])? else {
        checks.add(Kind::Stuck, &format!("{what}: system check"));
        return Ok(());
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // Each finding is a line, and what is to be done about it a second one; the last line is the summary.
    let wrong: Vec<&str> = said.lines().filter(|line| !line.starts_with("  ") && !is_harmless(line)).collect();
    if !wrong.is_empty() {
        checks.add(Kind::Lie, &format!("{what}: the check finds: {}", wrong.join("; ")));
    } else if said.is_empty() {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        checks.add(Kind::Lie, &format!("{what}: the check fails: {}", error.trim()));
    }
    Ok(())
}

fn is_harmless(line: &str) -> bool {
    line.ends_with(" belongs to no image") || line.contains(" layers, ") && line.contains(" read: ")
}

/// Lets a writer come by, after whom all must be whole and nobody's work be left.
pub(crate) fn swept(checks: &mut Checks<'_>, what: &str) -> Result<(), Failure> {
    checks.succeed(&["rmcache"])?;
    tidy(checks, what)
}

/// Makes sure that all is whole and nobody's work is left, after a writer.
pub(crate) fn tidy(checks: &mut Checks<'_>, what: &str) -> Result<(), Failure> {
    let said = checks.succeed(&["system", "check"])?.map(|output| output.stdout).unwrap_or_default();
    if !String::from_utf8_lossy(&said).ends_with(": all whole\n") {
        let said = String::from_utf8_lossy(&said).into_owned();
        checks.add(Kind::Lie, &format!("{what}: after the next writer the check says {}", said.trim()));
    }
    for left in entries(&checks.context.root().join("tmp")) {
        checks.add(Kind::Leak, &format!("{what}: work is left: {left}"));
    }
    Ok(())
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
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
