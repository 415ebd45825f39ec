//! Runs an OCI bundle in the foreground: `bundle DIRECTORY [ID]`. With `EXPLAIN=1` it tells each step.

use std::path::Path;
use std::process::ExitCode;

use cgroup::Hierarchies;
use oci::runtime::Spec;
use runtime::{CreateOptions, Inputs, StartGate};
use trace::{Format, Recorder};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    sys::process::ensure_sealed()?;
    let mut arguments = std::env::args().skip(1);
    let bundle = arguments.next().ok_or("usage: bundle DIRECTORY [ID]")?;
    let id = arguments.next().unwrap_or_else(|| format!("example-{}", std::process::id()));
    let bundle = Path::new(&bundle);
    let spec = Spec::load(bundle.join("config.json"))?;
    let hierarchies = Hierarchies::detect()?;
    let cgroup = format!("conductor/{id}").parse()?;
    let inputs = Inputs { id: &id, bundle, root: None, cgroup: &cgroup, hierarchies: &hierarchies, init: false };
    let plan = runtime::plan::container(&spec, &inputs)?;
    let recorder = match std::env::var_os("EXPLAIN") {
        Some(_) => Recorder::writing(sys::path::duplicate(std::io::stderr())?, Format::Text),
        None => Recorder::silent(),
    };
    let options = CreateOptions {
        spec: &spec,
        bundle,
        stdio: None,
        gate: StartGate::Caller,
        dies_with_creator: false,
        preserve_fds: 0,
        recorder: &recorder,
    };
    let (process, cgroup) = runtime::create(&plan, &options)?.start()?;
    let status = sys::process::wait(&process.pidfd)?;
    cgroup.remove()?;
    Ok(ExitCode::from(u8::try_from(status.code()).unwrap_or(255)))
}
