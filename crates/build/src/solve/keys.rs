//! The key of a step: what decides the layer that it makes.

use oci::Digest;
use store::ChainId;

use crate::contents::Contents;
use crate::event::StepId;
use crate::graph::{Copy, Mount, Op, Run, Source, Stage, Workdir};
use crate::key::Key;
use crate::op;

/// What is known of where files come from.
pub(crate) struct Inputs<'a> {
    pub(crate) contents: &'a Contents,
    /// The layers of a stage or an image.
    pub(crate) chain: &'a dyn Fn(Source) -> ChainId,
}

/// The key of a step over the layers below.
pub(crate) fn key(stage: &Stage, id: StepId, below: &ChainId, inputs: &Inputs<'_>) -> Digest {
    match &stage.steps[id.step].op {
        Op::Workdir(Workdir { path, user }) => {
            let mut key = Key::of("workdir");
            over(&mut key, stage, below);
            key.text(path);
            key.text(user);
            key.finish()
        }
        Op::Copy(copy) => match copy.from {
            Source::Context(_) => {
                let taken = inputs.contents.taken(id, 0).map(|taken| taken.digest);
                of_content(stage, copy, below, &taken.unwrap_or_else(|| Digest::of(b"")))
            }
            from => {
                let mut key = Key::of("copy of layers");
                over_copy(&mut key, stage, copy, below);
                op::copy::words(copy, &mut key);
                key.digest((inputs.chain)(from).digest());
                key.finish()
            }
        },
        Op::Run(run) => of_run(stage, id, run, below, inputs),
    }
}

/// The key of a copy by what it copies, wherever that comes from.
pub(crate) fn of_content(stage: &Stage, copy: &Copy, below: &ChainId, content: &Digest) -> Digest {
    let mut key = Key::of("copy");
    over_copy(&mut key, stage, copy, below);
    key.digest(content);
    key.finish()
}

fn over(key: &mut Key, stage: &Stage, below: &ChainId) {
    key.number(stage.epoch);
    key.digest(below.digest());
}

/// A layer that is made without regard to those below needs no key that knows them, unless it names a user.
fn over_copy(key: &mut Key, stage: &Stage, copy: &Copy, below: &ChainId) {
    key.number(stage.epoch);
    let names_user = copy.chown.as_deref().is_some_and(|word| !word.bytes().all(|b| b.is_ascii_digit() || b == b':'));
    if !copy.link || names_user {
        key.digest(below.digest());
    }
    op::copy::describe(copy, key);
}

fn of_run(stage: &Stage, id: StepId, run: &Run, below: &ChainId, inputs: &Inputs<'_>) -> Digest {
    let mut key = Key::of("run");
    over(&mut key, stage, below);
    op::run::describe(run, &mut key);
    let mut part = 0;
    for mount in &run.mounts {
        if let Some(from) = mount.source() {
            match from {
                Source::Context(_) => {
                    let taken = inputs.contents.taken(id, part).map(|taken| taken.digest);
                    key.digest(&taken.unwrap_or_else(|| Digest::of(b"")));
                }
                from => key.digest((inputs.chain)(*from).digest()),
            }
            part += 1;
        }
        of_mount(mount, &mut key);
    }
    key.finish()
}

/// A secret is no part of a key: what comes of another secret is not another image.
fn of_mount(mount: &Mount, key: &mut Key) {
    match mount {
        Mount::Bind { source, target, read_only, .. } => {
            key.list(&["bind", source, target]);
            key.flag(*read_only);
        }
        Mount::Cache { id, target, sharing, read_only, owner, mode, from } => {
            key.list(&["cache", id, target, &format!("{sharing:?}")]);
            key.flag(*read_only);
            key.number(owner.0);
            key.number(owner.1);
            key.number(*mode);
            key.optional(from.as_ref().map(|(_, source)| source.as_str()));
        }
        Mount::Tmpfs { target, size } => {
            key.list(&["tmpfs", target]);
            key.number(size.unwrap_or_default());
        }
        Mount::Secret { id, target, env, owner, mode, .. } => {
            key.list(&["secret", id]);
            key.optional(target.as_deref());
            key.optional(env.as_deref());
            key.number(owner.0);
            key.number(owner.1);
            key.number(*mode);
        }
        Mount::Ssh { id, target, owner, mode, .. } => {
            key.list(&["ssh", id, target]);
            key.number(owner.0);
            key.number(owner.1);
            key.number(*mode);
        }
    }
}
