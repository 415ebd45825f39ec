//! Carrying out a plan: making the directories, enabling controllers, writing values, attaching the device program.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use sys::{Calling, Errno};
use trace::Recorder;

use crate::cgroup::CgroupError;
use crate::devices::{self, DevicePolicy};
use crate::files;
use crate::hierarchy::ControllerSet;
use crate::path::CgroupPath;
use crate::plan::{CgroupPlan, Warning};
use crate::processes::pids_below;
use crate::step::{CgroupStep, Missing, Setting, enabling};

/// What came of the steps so far.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// The directories that were made, in order.
    pub(crate) made: Vec<PathBuf>,
    /// What turned out to be impossible on this kernel.
    pub(crate) warnings: Vec<Warning>,
}

/// Applies every step of the plan; `applied` tells how far it came, also when it fails.
pub(crate) fn apply(plan: &CgroupPlan, recorder: &Recorder, applied: &mut Applied) -> Result<(), CgroupError> {
    let mut refused = Vec::new();
    for step in plan.steps() {
        recorder.record(step);
        match step {
            CgroupStep::MakeDirectory { dir, depth, cpuset } => {
                if make(dir, *depth, *cpuset)? {
                    applied.made.push(dir.clone());
                } else {
                    take_over(dir, plan.path())?;
                }
            }
            CgroupStep::EnableControllers { parents, required, wished } => enable(parents, *required, *wished)?,
            CgroupStep::Set(setting) => match set(setting, &mut applied.warnings) {
                Err(CgroupError::Set { source, .. }) if may_pass_later(source.errno()) => refused.push(setting),
                result => result?,
            },
            CgroupStep::ListDevices { dir, policy } => list_devices(dir, policy)?,
            CgroupStep::FilterDevices { dir, policy } => filter_devices(dir, policy)?,
            // Processes join by themselves, through the `Entry` they are given.
            CgroupStep::Join { .. } => {}
        }
    }
    // Limits hold each other (memory and memory with swap, quota and period and burst), and in which order a change of
    // both is valid depends on the values that stand. So what was refused is tried once more after all others.
    refused.into_iter().try_for_each(|setting| set(setting, &mut applied.warnings))
}

fn may_pass_later(errno: Errno) -> bool {
    matches!(errno, Errno::INVAL | Errno::BUSY)
}

/// Makes the directory; returns whether it was missing.
fn make(dir: &Path, depth: usize, cpuset: bool) -> Result<bool, CgroupError> {
    let failed = |dir: &Path, source| CgroupError::Make { dir: dir.to_owned(), source };
    let mut made = true;
    match mkdir(dir) {
        Ok(()) => {}
        Err(error) if error.errno() == Errno::EXIST => made = false,
        Err(error) if error.errno() == Errno::NOENT && depth > 1 => {
            for parent in own_ancestors(dir, depth) {
                match mkdir(parent) {
                    Err(error) if error.errno() != Errno::EXIST => return Err(failed(parent, error)),
                    _ if cpuset => inherit_cpuset(parent).map_err(|source| failed(parent, source))?,
                    _ => {}
                }
            }
            mkdir(dir).map_err(|source| failed(dir, source))?;
        }
        Err(error) => return Err(failed(dir, error)),
    }
    if cpuset {
        ensure_cpuset(dir, depth).map_err(|source| failed(dir, source))?;
    }
    Ok(made)
}

/// Takes a directory that was there: prepared by the caller, or left by a container of the same name. One with processes
/// is somebody's, and in one that is frozen nothing could start.
fn take_over(dir: &Path, path: &CgroupPath) -> Result<(), CgroupError> {
    let failed = |source| CgroupError::Make { dir: dir.to_owned(), source };
    let pids = pids_below(dir).map_err(failed)?;
    if !pids.is_empty() {
        return Err(CgroupError::Occupied { path: path.clone(), pids });
    }
    for (file, thawed) in [("cgroup.freeze", "0"), ("freezer.state", "THAWED")] {
        match files::write(&dir.join(file), thawed) {
            Err(error) if error.errno() != Errno::NOENT => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(())
}

fn mkdir(dir: &Path) -> sys::Result<()> {
    std::fs::create_dir(dir).call(|| format!("mkdir({})", dir.display()))
}

/// Returns the directories above `dir` that are not above the mount, from the top.
fn own_ancestors(dir: &Path, depth: usize) -> impl Iterator<Item = &Path> {
    let mut above: Vec<_> = dir.ancestors().skip(1).take(depth - 1).collect();
    above.reverse();
    above.into_iter()
}

/// Gives a v1 cgroup the CPUs of the one above, if it has none: nothing can run in it without. Our own parents are made
/// with `clone_children`, so that usually one read finds that nothing is to do.
fn ensure_cpuset(dir: &Path, depth: usize) -> sys::Result<()> {
    if !files::read(&dir.join("cpuset.cpus"))?.trim().is_empty() {
        return Ok(());
    }
    own_ancestors(dir, depth).chain([dir]).try_for_each(inherit_cpuset)
}

fn inherit_cpuset(dir: &Path) -> sys::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (mine, above) = (dir.join(file), dir.parent().unwrap_or(dir).join(file));
        if files::read(&mine)?.trim().is_empty() {
            files::write(&mine, files::read(&above)?.trim())?;
        }
    }
    files::write(&dir.join("cgroup.clone_children"), "1")
}

fn enable(parents: &[PathBuf], required: ControllerSet, wished: ControllerSet) -> Result<(), CgroupError> {
    let all: ControllerSet = required.iter().chain(wished.iter()).collect();
    // What is enabled in the last parent is enabled in all above it.
    if parents.last().is_some_and(|parent| enabled(parent).contains_all(all)) {
        return Ok(());
    }
    parents.iter().try_for_each(|parent| enable_in(parent, all, required))
}

fn enabled(dir: &Path) -> ControllerSet {
    // An unreadable file only means that enabling is tried.
    ControllerSet::parse(&files::read(&dir.join("cgroup.subtree_control")).unwrap_or_default(), ' ')
}

fn enable_in(dir: &Path, all: ControllerSet, required: ControllerSet) -> Result<(), CgroupError> {
    let file = dir.join("cgroup.subtree_control");
    if files::write(&file, &enabling(all)).is_ok() {
        return Ok(());
    }
    // One that cannot be enabled makes the kernel refuse all of them.
    for controller in all.iter() {
        match files::write(&file, &format!("+{controller}")) {
            Err(source) if required.contains(controller) => {
                return Err(CgroupError::Enable { controller, dir: dir.to_owned(), source });
            }
            _ => {}
        }
    }
    Ok(())
}

fn set(setting: &Setting, warnings: &mut Vec<Warning>) -> Result<(), CgroupError> {
    for (file, value) in &setting.targets {
        match files::write(file, value) {
            Err(error) if error.errno() == Errno::NOENT => {}
            Err(source) => {
                return Err(CgroupError::Set { option: setting.option.to_string(), value: value.clone(), source });
            }
            Ok(()) => return Ok(()),
        }
    }
    let (option, file) = (setting.option.to_string(), name_of_first(setting));
    match setting.missing {
        Missing::Refuse => Err(CgroupError::NoFile { option, file }),
        Missing::Warn => {
            warnings.push(Warning::NoFile { option, file });
            Ok(())
        }
        Missing::Ignore => Ok(()),
    }
}

fn name_of_first(setting: &Setting) -> String {
    let name = setting.targets.first().and_then(|(file, _)| file.file_name());
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Tells v1 the policy. In an update the container keeps what both policies allow at every moment: additions come first,
/// then what is no longer allowed goes.
fn list_devices(dir: &Path, policy: &DevicePolicy) -> Result<(), CgroupError> {
    let failed = |source| CgroupError::Devices { dir: dir.to_owned(), source };
    let exceptions: Vec<_> = policy.v1_exceptions()?.iter().map(ToString::to_string).collect();
    let standing = files::read(&dir.join("devices.list")).map_err(failed)?;
    let default = dir.join(policy.v1_default_file());
    let fresh = standing.trim() == "a *:* rwm" || policy.allows_by_default();
    if fresh {
        files::write(&default, "a").map_err(failed)?;
    }
    let file = dir.join(policy.v1_exceptions_file());
    let mut open = files::open_for_writing(&file).map_err(failed)?;
    for rule in &exceptions {
        files::write_to(&mut open, &file, rule).map_err(failed)?;
    }
    let gone = standing.lines().filter(|_| !fresh).filter_map(|rule| narrowed(rule.trim(), &exceptions));
    gone.into_iter().try_for_each(|rule| files::write(&default, &rule)).map_err(failed)
}

/// Returns what of a standing rule must be denied: for a device that is still allowed something, only the other ways.
fn narrowed(standing: &str, exceptions: &[String]) -> Option<String> {
    let (devices, access) = standing.rsplit_once(' ')?;
    let kept = exceptions.iter().filter_map(|rule| rule.rsplit_once(' ')).find(|(kept, _)| *kept == devices);
    let kept = kept.map_or("", |(_, access)| access);
    let lost: String = access.chars().filter(|way| !kept.contains(*way)).collect();
    (!lost.is_empty()).then(|| format!("{devices} {lost}"))
}

/// Attaches the policy's program, in one step in the place of the one that is there.
fn filter_devices(dir: &Path, policy: &DevicePolicy) -> Result<(), CgroupError> {
    attach(dir, policy).map_err(|source| CgroupError::Devices { dir: dir.to_owned(), source })
}

fn attach(dir: &Path, policy: &DevicePolicy) -> sys::Result<()> {
    let cgroup = std::fs::File::open(dir).call(|| format!("open({}, O_DIRECTORY)", dir.display()))?;
    let program = sys::bpf::load_device_program(&devices::compile(policy))?;
    let standing = sys::bpf::attached_device_programs(cgroup.as_fd())?;
    let standing = standing.into_iter().map(sys::bpf::program_by_id).collect::<sys::Result<Vec<_>>>()?;
    let (first, rest) = match standing.split_first() {
        Some((first, rest)) => (Some(first.as_fd()), rest),
        None => (None, [].as_slice()),
    };
    sys::bpf::attach_device_program(cgroup.as_fd(), program.as_fd(), first)?;
    rest.iter().try_for_each(|program| sys::bpf::detach_device_program(cgroup.as_fd(), program.as_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Cgroup;
    use crate::hierarchy::{Controller, Hierarchies, Hierarchy};
    use crate::plan::plan;

    /// A tree of a kernel that has the controllers and none of their files: plain directories will do.
    fn create(mount: &Path, resources: &str) -> Result<Vec<String>, CgroupError> {
        let controllers = [Controller::Io, Controller::Memory].into_iter().collect();
        let host = Hierarchies::new(vec![Hierarchy { mount: mount.to_owned(), controllers }], None);
        let resources = serde_json::from_str(resources).unwrap();
        let plan = plan(&"top/web".parse().unwrap(), Some(&resources), &host).unwrap();
        let cgroup = Cgroup::create(&plan, &Recorder::silent())?;
        Ok(cgroup.warnings().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_kernel_without_the_file_of_a_lesser_limit_is_told_of() {
        let mount = tempfile::tempdir().unwrap();
        let told = create(mount.path(), r#"{"blockIO": {"weight": 100}}"#).unwrap();
        assert_eq!(
            told,
            [
                "devices cannot be enforced: the host has no cgroup controller devices",
                "blockIO.weight cannot be enforced: the kernel has no blkio.weight"
            ]
        );
    }

    #[test]
    fn a_kernel_without_the_file_of_a_limit_is_an_error_that_leaves_nothing() {
        let mount = tempfile::tempdir().unwrap();
        let error = create(mount.path(), r#"{"memory": {"limit": 4096}}"#).unwrap_err();
        assert_eq!(error.to_string(), "cannot set memory.limit: the kernel has no memory.limit_in_bytes");
        assert_eq!(std::fs::read_dir(mount.path().join("top")).unwrap().count(), 0);
    }

    #[test]
    fn an_update_of_devices_denies_only_what_is_lost() {
        let kept = ["c 1:3 rwm".to_owned(), "c 5:1 r".to_owned()];
        assert_eq!(narrowed("c 1:3 rwm", &kept), None);
        assert_eq!(narrowed("c 5:1 rw", &kept).as_deref(), Some("c 5:1 w"));
        assert_eq!(narrowed("c 9:9 m", &kept).as_deref(), Some("c 9:9 m"));
    }
}
