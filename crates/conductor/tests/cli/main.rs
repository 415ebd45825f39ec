//! The whole program, driven as a person or a script drives it: a file a command.
//!
//! Each test has a [`Sandbox`] with its own `--root` and `--state`, and ends by counting what is left. Most run a small image
//! of busybox, imported from an archive that the testkit writes.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod archives;
mod bad_archives;
mod bad_input;
mod build;
mod build_cache;
mod building;
mod commit;
mod devices;
mod exec;
mod explain;
mod founding;
mod full_screen;
mod image_files;
mod images;
mod limits;
mod logs;
mod manifests;
mod net_beside;
mod net_founding;
mod net_isolation;
mod net_names;
mod net_ports;
mod network;
mod oci_runtime;
mod pipes;
mod policies;
mod ps;
mod registries;
mod run;
mod scale;
mod signatures;
mod snapshotter;
mod stop;
mod store;
mod terminal;

use testkit::{Sandbox, fixture};

/// The image of busybox in a sandbox made by [`busybox`].
const IMAGE: &str = "busybox";

/// Makes a sandbox without any image.
fn sandbox() -> Sandbox {
    Sandbox::new(env!("CARGO_BIN_EXE_conductor"))
}

/// Makes a sandbox with the image of busybox.
fn busybox() -> Sandbox {
    let sandbox = sandbox();
    let archive = fixture::busybox_tar_file(&sandbox.work());
    sandbox.conductor(["import"]).arg(archive).arg(IMAGE).run().success();
    sandbox
}

/// Runs a shell script in a new container that is removed afterwards, and returns what it prints.
fn in_container(sandbox: &Sandbox, options: &[&str], script: &str) -> String {
    on_a_network(sandbox, &[&["--network", "none"], options].concat(), script)
}

/// The same with a network: the default one, unless the options name another.
fn on_a_network(sandbox: &Sandbox, options: &[&str], script: &str) -> String {
    sandbox.conductor(["run", "--rm"]).args(options).args([IMAGE, "sh", "-c", script]).ok()
}
