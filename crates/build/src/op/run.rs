//! `RUN`: a command runs over the layers so far, and its changes become a layer.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use engine::{
    AttachOptions, CreateRequest, DeviceRequest, Engine, LogDriver, LogOptions, NetworkMode, Resources, Security,
};
use image::{Difference, DifferenceKind};
use oci::image::ImageConfiguration;
use store::{Layer, Stack, Work};
use sys::Calling;

use super::mounts::Mounted;
use crate::StepNetwork;
use crate::graph::Run;
use crate::key::Key;

/// Why a command could not be run, or its layer not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RunError {
    #[error(transparent)]
    Engine(#[from] engine::Error),
    #[error("cannot read what the command changed")]
    Differences(#[from] image::DifferenceError),
    #[error("cannot write the layer")]
    Tree(#[from] image::TreeError),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error("cannot read what lies below")]
    Index(#[from] store::erofs::IndexError),
    #[error("cannot prepare the command")]
    System(#[from] sys::Error),
}

/// What a command runs with.
pub(crate) struct Running<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) work: &'a mut Work,
    pub(crate) below: &'a Stack,
    pub(crate) epoch: u64,
    /// A name for the directory of its changes that no other step of this work has.
    pub(crate) name: String,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) enum Ran {
    Layer(Layer),
    Failed(u8),
}

/// Puts into a key what decides the changes of a command, beside what is mounted.
pub(crate) fn describe(run: &Run, key: &mut Key) {
    key.list(&run.args);
    key.list(&run.env);
    key.text(&run.workdir);
    key.text(&run.user);
    key.flag(run.script.is_some());
    if let Some((path, content)) = &run.script {
        key.text(path);
        key.text(content);
    }
    key.number(match run.network {
        _ if !run.chose_network => 0_u8,
        StepNetwork::Default => 0,
        StepNetwork::None => 1,
        StepNetwork::Host => 2,
    });
    key.flag(run.insecure);
    // What its vendor says of a device is a matter of the machine, as the machine itself is.
    key.list(&run.devices.iter().map(ToString::to_string).collect::<Vec<_>>());
    key.number(run.hosts.len() as u64);
    run.hosts.iter().for_each(|host| key.text(&format!("{host:?}")));
    key.number(run.ulimits.len() as u64);
    run.ulimits.iter().for_each(|limit| key.text(&format!("{limit:?}")));
    key.number(run.shm_size.unwrap_or_default());
}

/// Runs a command, and writes the layer of what it changed.
pub(crate) fn run(run: &Run, mounted: &Mounted, running: Running<'_>) -> Result<Ran, RunError> {
    let Running { engine, work, below, epoch, name } = running;
    let image = work.mountable(below, ImageConfiguration::default())?;
    let scratch = work.path().join(name);
    std::fs::create_dir(&scratch).call(|| format!("mkdir({})", scratch.display()))?;
    let request = request(run, mounted, &scratch, &image.chain.digest().short());
    let options = AttachOptions { proxy_signals: false, ..AttachOptions::default() };
    let outcome = engine.run_step(image.clone(), request, options)?;
    outcome.warnings.iter().for_each(|warning| {
        let _ = sys::path::write_stderr(format!("warning: {warning}\n").as_bytes());
    });
    if outcome.code != 0 {
        return Ok(Ran::Failed(outcome.code));
    }
    let index = image::open_index(&image)?;
    let mut writer = work.layer()?;
    let upper = scratch.join("upper");
    let upper: OwnedFd = File::open(&upper).call(|| format!("open({})", upper.display()))?.into();
    let found = image::differences(upper.as_fd(), &index, &outcome.unseen)?;
    let paths = without_ways(found, &outcome.unseen);
    image::write_changes(upper.as_fd(), &paths, Some(epoch), &mut writer)?;
    let layer = work.finish(writer)?;
    // The work takes away what cannot be removed now.
    let _ = std::fs::remove_dir_all(&scratch);
    Ok(Ran::Layer(layer))
}

/// Opens a shell over the changes that a failed command has left.
pub(crate) fn shell(run: &Run, mounted: &Mounted, running: Running<'_>) -> Result<(), RunError> {
    let Running { engine, work, below, name, .. } = running;
    let image = work.mountable(below, ImageConfiguration::default())?;
    let scratch = work.path().join(name);
    // The kernel refuses a work directory that was used without syncs.
    let _ = std::fs::remove_dir_all(scratch.join("work"));
    std::fs::create_dir(scratch.join("work")).call(|| "mkdir(work)")?;
    let request = request(run, mounted, &scratch, &image.chain.digest().short());
    let tty = sys::pty::is_terminal(std::io::stdin());
    let request = CreateRequest {
        command: Vec::new(),
        entrypoint: Some(vec!["/bin/sh".into()]),
        tty,
        open_stdin: true,
        stdin_once: true,
        ..request
    };
    let options = AttachOptions { stdin: true, ..AttachOptions::default() };
    engine.run_step(image, request, options)?;
    Ok(())
}

fn request(run: &Run, mounted: &Mounted, scratch: &Path, image: &str) -> CreateRequest {
    CreateRequest {
        image: image.to_owned(),
        hostname: (run.network != StepNetwork::Host).then(|| HOSTNAME.to_owned()),
        entrypoint: Some(run.args.clone()),
        // A variable of the image hides an argument; those that are passed hide nothing.
        env: run.passed.iter().chain(&run.env).cloned().collect(),
        secret_env: mounted.env.clone(),
        workdir: Some(run.workdir.clone()),
        user: (!run.user.is_empty()).then(|| run.user.clone()),
        mounts: mounted.requests.clone(),
        // Package managers and the like run programs with set-user-id bits.
        security: Security { no_new_privileges: Some(false), ..Security::default() },
        privileged: run.insecure,
        devices: run.devices.iter().cloned().map(DeviceRequest::Named).collect(),
        network: match run.network {
            StepNetwork::Default => NetworkMode::Networks,
            StepNetwork::None => NetworkMode::None,
            StepNetwork::Host => NetworkMode::Host,
        },
        names: engine::NameWishes { hosts: run.hosts.clone(), ..engine::NameWishes::default() },
        resources: Resources {
            ulimits: run.ulimits.clone(),
            shm_size: run.shm_size,
            pids_limit: Some(-1),
            ..Resources::default()
        },
        log: LogOptions::of(LogDriver::None),
        scratch: Some(scratch.to_owned()),
        ..CreateRequest::default()
    }
}

/// The host name of every step: a name that differed would find its way into layers.
const HOSTNAME: &str = "buildkitsandbox";

/// Leaves out the directories that were made only to lead to places of mounts.
fn without_ways(found: Vec<Difference>, unseen: &BTreeSet<Vec<u8>>) -> BTreeSet<Vec<u8>> {
    let leads = |path: &[u8]| {
        let start = [path, b"/"].concat();
        unseen.iter().any(|place| place.starts_with(&start))
    };
    let mut kept: BTreeSet<Vec<u8>> = BTreeSet::new();
    // From below: what is in a directory is judged before the directory itself.
    for difference in found.into_iter().rev() {
        let path = difference.path;
        let start = [path.as_slice(), b"/"].concat();
        let holds = kept.range(start.clone()..).next().is_some_and(|next| next.starts_with(&start));
        if difference.kind == DifferenceKind::Added && !holds && leads(&path) {
            continue;
        }
        kept.insert(path);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_made_for_a_mount_alone_is_no_change() {
        let difference = |path: &str, kind| Difference { path: path.as_bytes().to_vec(), kind };
        let (added, changed) = (DifferenceKind::Added, DifferenceKind::Changed);
        let found = vec![
            difference("etc", added),
            difference("root", added),
            difference("root/.cache", added),
            difference("srv", added),
            difference("srv/x", added),
            difference("usr", changed),
        ];
        let unseen =
            ["etc/hosts", "root/.cache/pip", "srv/data", "usr/m"].iter().map(|p| p.as_bytes().to_vec()).collect();
        let kept: Vec<_> =
            without_ways(found, &unseen).into_iter().map(|path| String::from_utf8(path).unwrap()).collect();
        assert_eq!(kept, ["srv", "srv/x", "usr"]);
    }
}
