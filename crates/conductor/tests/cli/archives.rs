//! `save` and `load`, beside the other tools that write and read archives of images.

use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{Conductor, Sandbox};

use crate::{IMAGE, busybox};

pub(crate) fn shell(script: &str) -> String {
    Conductor::new("sh").args(["-ec", script]).ok()
}

/// Runs a shell script with Podman in the sandbox's directory, in a mount namespace and with a store of its own.
pub(crate) fn with_podman(sandbox: &Sandbox, script: &str) -> String {
    let setup = format!(
        "mount --make-rprivate /; mount -t tmpfs tmpfs /run; cd {:?}
         printf '[containers]\\ndefault_ulimits=[]\\n' > containers.conf; export CONTAINERS_CONF=$PWD/containers.conf
         podman() {{ command podman --root $PWD/podman --runroot $PWD/podman-run --storage-driver vfs \"$@\"; }}\n",
        sandbox.work()
    );
    Conductor::new("unshare").args(["--mount", "sh", "-ec", &(setup + script)]).ok()
}

/// A store: the sandbox's own, or another one below its directory.
pub(crate) struct Store<'s> {
    sandbox: &'s Sandbox,
    pub(crate) root: PathBuf,
    state: PathBuf,
}

impl<'s> Store<'s> {
    pub(crate) fn own(sandbox: &'s Sandbox) -> Self {
        Self { sandbox, root: sandbox.root(), state: sandbox.state() }
    }

    pub(crate) fn other(sandbox: &'s Sandbox, name: &str) -> Self {
        let directory = sandbox.work().join(name);
        Self { sandbox, root: directory.join("root"), state: directory.join("state") }
    }

    pub(crate) fn conductor(&self, words: &[&str]) -> Conductor {
        self.sandbox.bare().arg("--root").arg(&self.root).arg("--state").arg(&self.state).args(words)
    }

    /// The words by which a shell calls it.
    fn line(&self) -> String {
        format!("{} --root {:?} --state {:?}", env!("CARGO_BIN_EXE_conductor"), self.root, self.state)
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.conductor(&["images", "-q", "--no-trunc"]).ok().lines().map(str::to_owned).collect()
    }

    pub(crate) fn inspect(&self, image: &str) -> Value {
        let document: Value = serde_json::from_str(&self.conductor(&["image", "inspect", image]).ok()).unwrap();
        document[0].clone()
    }

    pub(crate) fn load(&self, archive: &Path) -> String {
        self.conductor(&["load", "-i"]).arg(archive).ok()
    }

    pub(crate) fn runs(&self, image: &str) {
        assert_eq!(self.conductor(&["run", "--rm", "--network", "none", image, "echo", "hi"]).ok(), "hi");
    }

    /// What is in the directories that hold images, their parts, and what is under way.
    pub(crate) fn left(&self) -> String {
        shell(&format!(
            "cd {:?}; find blobs/sha256 layers/sha256 indexes images names tmp compressed -mindepth 1 | sort",
            self.root
        ))
    }

    /// Everything below it that is no directory, but for its locks and marks.
    fn files(&self) -> String {
        shell(&format!(
            "find {:?}/blobs {0:?}/layers {0:?}/indexes {0:?}/images {0:?}/names {0:?}/tmp | sort",
            self.root
        ))
    }
}

/// Saves the image under two names.
fn saved(store: &Store<'_>, options: &[&str]) -> PathBuf {
    store.conductor(&["tag", IMAGE, NAME]).run().success();
    let archive = store.root.with_extension("tar");
    store.conductor(&["save", "-o"]).arg(&archive).args(options).args([IMAGE, NAME]).run().success();
    archive
}

/// A name as others give it.
const NAME: &str = "registry.example:5000/team/box:1.0";

#[test]
fn what_is_saved_comes_back_the_same() {
    let sandbox = busybox();
    let (here, there) = (Store::own(&sandbox), Store::other(&sandbox, "there"));
    let archive = saved(&here, &[]);
    assert_eq!(there.load(&archive), "Loaded image: busybox:latest\nLoaded image: registry.example:5000/team/box:1.0");
    let (mine, theirs) = (here.inspect(IMAGE), there.inspect(IMAGE));
    for key in ["Id", "RepoTags", "RepoDigests", "RootFS", "Config", "Created", "Size", "Descriptor"] {
        assert_eq!(mine[key], theirs[key], "{key}");
    }
    there.runs(IMAGE);
    // The same images are the same archive, whoever writes it, and however it is written.
    let again = saved(&there, &[]);
    assert_eq!(std::fs::read(&archive).unwrap(), std::fs::read(&again).unwrap());
    let piped = sandbox.work().join("piped.tar");
    shell(&format!("{} save {IMAGE} {NAME} | cat > {piped:?}", there.line()));
    assert_eq!(std::fs::read(&archive).unwrap(), std::fs::read(&piped).unwrap());
    // What is there already is kept, and nothing is left beside it.
    let before = there.files();
    there.load(&archive);
    assert_eq!(there.files(), before);
    sandbox.assert_clean();
}

#[test]
fn archives_come_compressed_and_through_pipes() {
    let sandbox = busybox();
    let here = Store::own(&sandbox);
    let archive = saved(&here, &[]);
    for compress in ["gzip", "zstd", "xz", "bzip2"] {
        let there = Store::other(&sandbox, compress);
        shell(&format!("{compress} -q1 < {archive:?} | {} load -q", there.line()));
        assert_eq!(there.ids(), here.ids(), "{compress}");
    }
}

#[test]
fn the_tools_of_the_oci_take_our_archives() {
    let sandbox = busybox();
    let archive = saved(&Store::own(&sandbox), &["--format", "oci-archive"]);
    let layout = sandbox.work().join("layout");
    shell(&format!("mkdir {layout:?}; tar -xf {archive:?} -C {layout:?}; test ! -e {layout:?}/manifest.json"));
    shell(&format!("oci-image-tool validate --type image --ref name=docker.io/library/busybox:latest {layout:?}"));
    let bundle = sandbox.work().join("bundle");
    shell(&format!(
        "umoci unpack --image {layout:?}:docker.io/library/busybox:latest {bundle:?}; test -x {bundle:?}/rootfs/bin/sh"
    ));
    shell(&format!("umoci stat --image {layout:?}:docker.io/library/busybox:latest"));
}

#[test]
fn skopeo_takes_our_archives_and_we_take_its() {
    let sandbox = busybox();
    let here = Store::own(&sandbox);
    let archive = saved(&here, &[]);
    let id = here.ids().remove(0);
    let copy = |from: &str, to: &str, options: &str| shell(&format!("skopeo copy -q {options} {from} {to}"));
    let at = |name: &str| sandbox.work().join(name).to_string_lossy().into_owned();
    let ours = archive.to_string_lossy().into_owned();
    copy(&format!("oci-archive:{ours}:docker.io/library/busybox:latest"), &format!("dir:{}", at("plain")), "");
    let config = std::fs::read(sandbox.work().join("plain").join(id.trim_start_matches("sha256:"))).unwrap();
    assert!(!config.is_empty());
    let forms =
        [("--dest-compress --dest-compress-format gzip", "gz"), ("--dest-compress --dest-compress-format zstd", "zst")];
    for (options, name) in forms {
        let to = at(&format!("{name}.tar"));
        copy(
            &format!("oci-archive:{ours}:docker.io/library/busybox:latest"),
            &format!("oci-archive:{to}:localhost/box:{name}"),
            options,
        );
        let kind = shell(&format!("skopeo inspect --raw oci-archive:{to}:localhost/box:{name}"));
        assert!(kind.contains(if name == "gz" { "tar+gzip" } else { "tar+zstd" }), "{kind}");
        let there = Store::other(&sandbox, name);
        assert_eq!(there.load(Path::new(&to)), format!("Loaded image: localhost/box:{name}"));
        assert_eq!(there.ids(), [id.as_str()]);
        // The manifest is kept as it came.
        let digest = shell(&format!("skopeo inspect --format '{{{{.Digest}}}}' oci-archive:{to}:localhost/box:{name}"));
        assert_eq!(there.inspect(&id)["Descriptor"]["digest"], digest.as_str());
        there.runs(&id);
    }
    // Docker's own form has no manifest of the OCI's, and another media type.
    let docker = at("docker.tar");
    copy(&format!("docker-archive:{ours}"), &format!("docker-archive:{docker}:localhost/box:docker"), "");
    let there = Store::other(&sandbox, "docker");
    assert_eq!(there.load(Path::new(&docker)), "Loaded image: localhost/box:docker");
    assert_eq!(there.inspect("box:docker")["RootFS"], here.inspect(IMAGE)["RootFS"]);
}

#[test]
fn podman_takes_our_archives_and_we_take_its() {
    let sandbox = busybox();
    let here = Store::own(&sandbox);
    let archive = saved(&here, &[]);
    let id = here.ids().remove(0);
    let work = sandbox.work();
    let script = format!(
        "podman load -q -i {archive:?} > /dev/null
         podman images --no-trunc --quiet | sort -u
         podman save -q -o docker.tar busybox:latest
         podman save -q --format oci-archive -o oci.tar busybox:latest
         podman save -q -m -o several.tar busybox:latest registry.example:5000/team/box:1.0"
    );
    let seen = with_podman(&sandbox, &script);
    assert_eq!(seen, id);
    let two = "Loaded image: localhost/busybox:latest\nLoaded image: registry.example:5000/team/box:1.0";
    // A name without a domain is for Podman one of this machine.
    let one = "Loaded image: localhost/busybox:latest";
    // Podman took it by Docker's form, so for the OCI's it writes the configuration anew.
    let raw = shell(&format!("skopeo inspect --raw oci-archive:{:?}", work.join("oci.tar")));
    let raw: Value = serde_json::from_str(&raw).unwrap();
    let anew = raw["config"]["digest"].as_str().unwrap().to_owned();
    for (name, id, loaded) in [("docker.tar", &id, one), ("oci.tar", &anew, one), ("several.tar", &id, two)] {
        let there = Store::other(&sandbox, &format!("from-{name}"));
        assert_eq!(there.load(&work.join(name)), loaded, "{name}");
        assert_eq!(there.ids(), [id.as_str()], "{name}");
        there.runs(IMAGE);
    }
}

#[test]
fn an_image_layout_may_be_a_directory() {
    let sandbox = busybox();
    let here = Store::own(&sandbox);
    let (layout, theirs) = (sandbox.work().join("layout"), sandbox.work().join("theirs"));
    here.conductor(&["save", "--format", "oci-dir", "-o"]).arg(&layout).arg(IMAGE).run().success();
    shell(&format!("skopeo copy -q oci:{layout:?} oci:{theirs:?}:box:1"));
    for (directory, name) in [(&layout, "docker"), (&theirs, "skopeo")] {
        let there = Store::other(&sandbox, name);
        there.load(directory);
        assert_eq!(there.ids(), here.ids(), "{name}");
        there.runs(&here.ids()[0]);
    }
    let said = here.conductor(&["save", "--format", "oci-dir", "-o"]).arg(&layout).arg(IMAGE).fails(1);
    assert!(said.contains("cannot write") && said.contains("not empty"), "{said}");
    shell(&format!("rm {layout:?}/blobs/sha256/$(cat {layout:?}/index.json | grep -o '[0-9a-f]\\{{64\\}}' | head -1)"));
    assert!(here.conductor(&["load", "-i"]).arg(&layout).fails(1).contains("is not there"));
    assert!(here.conductor(&["load", "-i"]).arg(sandbox.root()).fails(1).contains("no archive of images"));
    sandbox.assert_clean();
}

#[test]
fn a_file_is_whole_or_not_there() {
    let sandbox = busybox();
    let full = sandbox.work().join("full");
    shell(&format!("mkdir {full:?}; mount -t tmpfs -o size=512k tmpfs {full:?}"));
    let target = full.join("a.tar");
    let said = sandbox.conductor(["save", "-o"]).arg(&target).arg(IMAGE).fails(1);
    assert!(said.contains("cannot write the archive") && said.contains("no space left on device"), "{said}");
    assert_eq!(shell(&format!("ls -A {full:?}; umount {full:?}")), "");
    assert!(
        sandbox.conductor(["save", "-o", "/nowhere/a.tar", IMAGE]).fails(1).contains("cannot write /nowhere/a.tar")
    );
    assert!(sandbox.conductor(["save", "nobody"]).fails(1).contains("no such image: nobody"));
    sandbox.assert_clean();
}
