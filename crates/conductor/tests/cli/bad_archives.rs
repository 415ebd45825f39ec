//! `load` of what is damaged, contradicts itself, or was made to deceive.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};
use testkit::{Sandbox, fixture};

use crate::{IMAGE, busybox};

/// An archive of one image in the image layout, of which each part can be made wrong.
#[derive(Clone)]
struct Archive {
    files: Vec<(String, Vec<u8>)>,
}

fn digest(bytes: &[u8]) -> String {
    oci::Digest::of(bytes).to_string()
}

fn described(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(bytes), "size": bytes.len() })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The tar of a root file system with nothing in it but a file.
fn layer() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(5);
    header.set_mode(0o644);
    builder.append_data(&mut header, "etc/motd", &b"hello"[..]).unwrap();
    builder.into_inner().unwrap()
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
    let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
    serde_json::to_vec(&json!({ "architecture": "amd64", "os": "linux", "rootfs": rootfs })).unwrap()
}

impl Archive {
    /// A whole one, with a layer that is compressed.
    fn good() -> Self {
        let (layer, config) = (layer(), config(&[&layer()]));
        Self::of(&config, &gzip(&layer))
    }

    fn of(config: &[u8], blob: &[u8]) -> Self {
        let manifest = json!({
            "schemaVersion": 2,
            "config": described("config.v1+json", config),
            "layers": [described("layer.v1.tar+gzip", blob)],
        });
        Self::leading_to(&serde_json::to_vec(&manifest).unwrap()).blob(config).blob(blob)
    }

    /// One whose index leads to a document.
    fn leading_to(document: &[u8]) -> Self {
        let index = json!({ "schemaVersion": 2, "manifests": [described("manifest.v1+json", document)] });
        Self { files: Vec::new() }.file("index.json", index.to_string()).blob(document)
    }

    fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), bytes.into()));
        self
    }

    fn blob(self, bytes: &[u8]) -> Self {
        self.file(&format!("blobs/sha256/{}", digest(bytes).trim_start_matches("sha256:")), bytes)
    }

    /// Takes the file that begins with these bytes away.
    fn without(mut self, start: &[u8]) -> Self {
        let before = self.files.len();
        self.files.retain(|(path, bytes)| !path.starts_with("blobs") || !bytes.starts_with(start));
        assert_eq!(self.files.len() + 1, before);
        self
    }

    /// Replaces the bytes of the file that begins with these.
    fn with(mut self, start: &[u8], bytes: impl Into<Vec<u8>>) -> Self {
        let file = self.files.iter_mut().find(|(path, had)| path.starts_with("blobs") && had.starts_with(start));
        file.expect("a blob").1 = bytes.into();
        self
    }

    fn tar(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in &self.files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, &bytes[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }
}

const GZIP: &[u8] = &[0x1f, 0x8b];

/// Loads an archive that must be refused in certain words, and sees that nothing has changed.
fn refused(sandbox: &Sandbox, archive: &[u8], words: &str) {
    let before = sandbox.conductor(["images", "--no-trunc"]).ok();
    let files = || {
        let found = walk(&sandbox.root());
        found.into_iter().filter(|path| !path.ends_with("/lock")).collect::<Vec<_>>()
    };
    let listed = files();
    let said = sandbox.conductor(["load"]).input(archive).fails(1);
    assert!(said.contains(words), "{said}\n-- expected --\n{words}");
    assert_eq!(sandbox.conductor(["images", "--no-trunc"]).ok(), before);
    assert_eq!(files(), listed);
}

fn walk(directory: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(walk(&entry.path()));
        }
        found.push(entry.path().to_string_lossy().into_owned());
    }
    found.sort();
    found
}

#[test]
fn what_is_damaged_is_named_and_changes_nothing() {
    let sandbox = busybox();
    let (good, layer) = (Archive::good(), layer());
    let blob = gzip(&layer);
    refused(&sandbox, b"", "the archive is empty");
    refused(&sandbox, &fixture_tar(), "there is neither an index.json nor a manifest.json in it");
    refused(&sandbox, &good.tar()[..2000], "the archive ends here, inside the data of a member");
    refused(&sandbox, &b"no tar".repeat(200), "no tar header stands here");
    refused(&sandbox, &long_name(4 << 30), "more than the 1048576 that are taken");
    let whole = gzip(&good.tar());
    refused(&sandbox, &whole[..whole.len() - 1], "cannot read the archive");
    refused(&sandbox, &good.clone().without(GZIP).tar(), "is named in the archive, and is not there");
    refused(&sandbox, &good.clone().without(b"{\"arch").tar(), "is named in the archive, and is not there");
    refused(&sandbox, &good.clone().with(b"{\"arch", config(&[])).tar(), &format!("{} (", digest(&config(&[&layer]))));
    // Bytes that are right up to the last, and more than there should be.
    let trailing = [&blob[..], b"trailing"].concat();
    refused(&sandbox, &good.clone().with(GZIP, trailing).tar(), "layer blobs/sha256/");
    refused(&sandbox, &good.clone().with(GZIP, [&blob[..], &gzip(b"")].concat()).tar(), "is damaged: its bytes have");
    refused(&sandbox, &good.clone().with(GZIP, &blob[..blob.len() - 4]).tar(), "cannot be read");
    refused(&sandbox, &good.with(GZIP, gzip(b"not this layer")).tar(), "is damaged: its bytes have");
    sandbox.conductor(["run", "--rm", "--network", "none", IMAGE, "true"]).run().success();
    sandbox.assert_clean();
}

/// An archive that begins with a name of so many bytes, of which only the beginning comes.
fn long_name(size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(size);
    header.set_cksum();
    [&header.as_bytes()[..], &[b'a'; 4096]].concat()
}

fn fixture_tar() -> Vec<u8> {
    let mut bytes = Vec::new();
    fixture::busybox_tar(&mut bytes);
    bytes
}

#[test]
fn what_contradicts_itself_is_refused() {
    let sandbox = busybox();
    let (layer, other) = (layer(), config(&[b"another"]));
    refused(&sandbox, &Archive::of(&other, &gzip(&layer)).tar(), "and the configuration of the image says");
    let two = config(&[&layer, &layer]);
    refused(&sandbox, &Archive::of(&two, &gzip(&layer)).tar(), "names 2 layers, and the manifest 1");
    let nonsense = b"no tar at all".repeat(100);
    refused(&sandbox, &Archive::of(&config(&[&nonsense]), &gzip(&nonsense)).tar(), "cannot index the layers");
    refused(&sandbox, &Archive::of(b"{}", &gzip(&layer)).tar(), "cannot be read");
    let lead = |document: Value| Archive::leading_to(document.to_string().as_bytes()).tar();
    let (config, blob) = (described("config.v1+json", b"{}"), described("layer.v1.tar", b""));
    let two_faced = json!({ "config": config, "layers": [blob], "manifests": [] });
    refused(&sandbox, &lead(two_faced), "both layers and manifests");
    refused(&sandbox, &lead(json!({ "fsLayers": [] })), "neither layers nor manifests");
    refused(
        &sandbox,
        &lead(json!({ "config": described("other+json", b""), "layers": [] })),
        "not an image that could be run",
    );
    let odd = json!({ "config": config, "layers": [described("layer.v1.tar+rar", b"")] });
    refused(&sandbox, &lead(odd), "which cannot be read");
    let foreign = json!({ "digest": digest(b""), "size": 0, "platform": { "os": "plan9", "architecture": "amd64" } });
    refused(&sandbox, &lead(json!({ "manifests": [foreign] })), "only for plan9/amd64");
    refused(&sandbox, &Archive { files: Vec::new() }.file("index.json", "{").tar(), "it is not a manifest");
    refused(
        &sandbox,
        &Archive { files: Vec::new() }.file("manifest.json", "[{}]").tar(),
        "manifest.json cannot be read",
    );
    let item = json!([{ "Config": "c.json", "RepoTags": ["UPPER:1"], "Layers": [] }]).to_string();
    let named = Archive { files: Vec::new() }.file("manifest.json", item).file("c.json", "{}");
    refused(&sandbox, &named.tar(), "it must be in lower case");
    sandbox.assert_clean();
}

#[test]
fn images_for_another_machine_are_not_taken_for_the_one_that_is_asked_for() {
    let sandbox = busybox();
    let archive = Archive::good().tar();
    let load = |platform: &str| sandbox.conductor(["load", "--platform", platform]).input(archive.clone());
    let said = load("linux/arm64").fails(1);
    assert!(said.contains("it has no image for linux/arm64, only for linux/amd64"), "{said}");
    assert!(load("linux/").fails(1).contains("is not a platform: say OS/ARCHITECTURE"));
    load("amd64").run().success();
    sandbox.assert_clean();
}

#[test]
fn indexes_without_end_and_documents_without_measure_are_refused() {
    let sandbox = busybox();
    // A chain of indexes longer than anybody needs; none can lead back to itself, since its digest stands in it.
    let mut document = json!({ "manifests": [] }).to_string();
    let mut archive = Archive { files: Vec::new() }.blob(document.as_bytes());
    for _ in 0..6 {
        document = json!({ "manifests": [described("index.v1+json", document.as_bytes())] }).to_string();
        archive = archive.blob(document.as_bytes());
    }
    let archive = archive.file("index.json", document);
    refused(&sandbox, &archive.tar(), "the indexes in it lead from one to the other more than 4 times");
    let large = vec![b'{'; 4 << 20];
    let many = (0..9).fold(Archive::good(), |archive, number| archive.file(&format!("{number}"), large.clone()));
    refused(&sandbox, &many.tar(), "its documents and the names of its files take more than");
    sandbox.assert_clean();
}

#[test]
fn paths_that_lead_out_lead_nowhere() {
    let sandbox = busybox();
    let (layer, config) = (layer(), config(&[&layer()]));
    let name = digest(&config);
    let path = format!("{}.json", name.trim_start_matches("sha256:"));
    let item =
        json!([{ "Config": path, "RepoTags": ["deceit:1"], "Layers": ["../../../../one/layer.tar"] }]).to_string();
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in [("manifest.json", item.as_bytes()), (&path, &config), ("two/layer.tar", &layer)] {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, bytes).unwrap();
    }
    // As Docker wrote layers that two images have; and one that would lead to a file of the host.
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header.clone(), "one/layer.tar", "../two/layer.tar").unwrap();
    builder.append_link(&mut header, "blobs", "/etc").unwrap();
    let archive = builder.into_inner().unwrap();
    let loaded = sandbox.conductor(["load"]).input(archive).ok();
    assert_eq!(loaded, "Loaded image: deceit:1");
    let listed = sandbox.conductor(["image", "inspect", "--format", "{{.Id}}", "deceit:1"]).ok();
    assert_eq!(listed, name);
    sandbox.assert_clean();
}

#[test]
fn a_load_that_is_killed_leaves_nothing() {
    let sandbox = busybox();
    let archive = Archive::good().file("large", vec![7; 8 << 20]).tar();
    let store = |name: &str| std::fs::read_dir(sandbox.root().join(name)).unwrap().count();
    let before = [store("layers/sha256"), store("blobs/sha256"), store("images")];
    for part in [700, 3000, archive.len() - 4000] {
        let mut command = sandbox.conductor(["load"]).into_command();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(&archive[..part]).unwrap();
        testkit::until("it has begun", || (store("tmp") > 0).then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(store("tmp"), 1, "what was in flight is left");
        // The next who writes takes it away, and the archive loads when it is whole.
        assert!(sandbox.conductor(["load"]).input(&archive[..part]).fails(1).contains("the archive ends here"));
        assert_eq!(store("tmp"), 0);
        assert_eq!([store("layers/sha256"), store("blobs/sha256"), store("images")], before);
    }
    let said = sandbox.conductor(["load"]).input(archive).ok();
    assert!(said.starts_with("Loaded image ID: sha256:"), "{said}");
    sandbox.assert_clean();
}

#[test]
fn an_archive_may_come_a_little_at_a_time() {
    let sandbox = busybox();
    let archive = Archive::good().tar();
    let command = || {
        let mut command = sandbox.conductor(["load", "-q"]).into_command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    // What is read at once ends a byte behind each header, where nothing tells yet what comes.
    let stops = (0..archive.len() / 512).map(|block| block * 512 + 1);
    for bytes in [archive.clone(), gzip(&archive)] {
        let mut child = command();
        let mut stdin = child.stdin.take().unwrap();
        let mut at = 0;
        for stop in stops.clone().filter(|stop| *stop < bytes.len()).chain([bytes.len()]) {
            stdin.write_all(&bytes[at..stop]).unwrap();
            at = stop;
            // The pipe is empty when it has been read.
            testkit::until("the reader has taken it", || (unread(&stdin) == 0).then_some(()));
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert!(output.stdout.starts_with(b"sha256:"), "{output:?}");
    }
    sandbox.assert_clean();
}

fn unread(pipe: &std::process::ChildStdin) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap()
}

#[test]
fn the_tar_of_a_root_is_told_from_an_archive_without_being_taken_apart() {
    let sandbox = busybox();
    let mut builder = tar::Builder::new(Vec::new());
    for number in 0..2000 {
        let mut header = tar::Header::new_ustar();
        header.set_size(9);
        builder.append_data(&mut header, format!("usr/share/doc/{number}"), &b"some text"[..]).unwrap();
    }
    let archive = builder.into_inner().unwrap();
    let words = ["--explain", "load"];
    let said = sandbox.conductor(words).input(archive).fails(1);
    assert!(said.contains("becomes an image by `conductor import`"), "{said}");
    sandbox.assert_clean();
}

#[test]
fn many_that_load_the_same_at_once_and_one_that_removes_it_agree() {
    let sandbox = busybox();
    let layer = layer();
    let config = config(&[&layer]);
    let id = digest(&config);
    let archive = Archive::of(&config, &gzip(&layer)).tar();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(sandbox.conductor(["load"]).input(archive.clone()).ok().contains(&id)));
        }
        scope.spawn(|| {
            for _ in 0..20 {
                let _ = sandbox.conductor(["rmi", &id]).run();
            }
        });
    });
    // Whoever was last, what is listed is whole, and nothing is in flight.
    sandbox.conductor(["load"]).input(archive).run().success();
    assert!(sandbox.conductor(["images", "-q", "--no-trunc"]).ok().contains(&id));
    assert_eq!(std::fs::read_dir(sandbox.root().join("tmp")).unwrap().count(), 0);
    sandbox.conductor(["rmi", &id]).run().success();
    sandbox.assert_clean();
}
