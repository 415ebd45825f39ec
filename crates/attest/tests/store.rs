//! Files of an image in a store: a package list is read from the layer that has it, through links of another.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use attest::{ImageFiles, ImageTree, Subject, sbom};
use oci::Digest;
use store::{Documents, Durability, Image, Store};
use tar::EntryType;
use trace::Recorder;

/// A file, or a symbolic link and its target.
type Part<'a> = (EntryType, &'a str, &'a str);

fn layer(parts: &[Part<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, path, text) in parts {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        if kind.is_symlink() {
            header.set_size(0);
            builder.append_link(&mut header, path, text).unwrap();
        } else {
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn image(store: &Store, layers: &[&[Part<'_>]]) -> Image {
    let mut work = store.begin(Durability::Durable).unwrap();
    let mut kept = Vec::new();
    for parts in layers {
        let mut writer = work.layer().unwrap();
        writer.append(&layer(parts)).unwrap();
        kept.push(work.finish(writer).unwrap());
    }
    let diff_ids: Vec<_> = kept.iter().map(|layer| layer.diff_id).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "created": "2025-01-01T00:00:00Z",
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = config.to_string().into_bytes();
    let manifest = format!("{{\"schemaVersion\":2,\"config\":{{\"digest\":\"{}\"}}}}", Digest::of(&config));
    let documents = Documents { config, manifest: manifest.into_bytes(), listed_in: None };
    work.commit(&documents, &["app:1".parse().unwrap()], &Recorder::silent()).unwrap()
}

#[test]
fn the_packages_of_an_image_are_those_of_its_highest_layer() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Store::open(&directory.path().join("store"));
    let lower: &[Part<'_>] = &[
        (EntryType::Symlink, "etc/os-release", "../usr/lib/os-release"),
        (EntryType::Regular, "usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
        (EntryType::Regular, "var/lib/dpkg/status", "Package: old\nVersion: 1\n"),
        (EntryType::Symlink, "srv/loop", "loop"),
    ];
    let upper: &[Part<'_>] = &[
        (EntryType::Regular, "var/lib/dpkg/status", "Package: new\nVersion: 2\n"),
        (EntryType::Symlink, "usr/lib/dpkg", "../../var/lib/dpkg"),
    ];
    let image = image(&store, &[lower, upper]);
    let tree = ImageTree::open(&store, &image).unwrap();
    let paths: Vec<_> = tree.paths().unwrap().into_iter().map(|path| String::from_utf8(path).unwrap()).collect();
    assert_eq!(paths, ["usr/lib/os-release", "var/lib/dpkg/status"]);
    for nothing in ["srv/loop", "var/lib", "not/there", "usr/lib/os-release/below"] {
        assert_eq!(tree.read(nothing.as_bytes(), 1 << 20).unwrap(), None, "{nothing}");
    }
    assert_eq!(tree.read(b"var/lib/dpkg/status", 3).unwrap(), None, "it is too long");

    let platform = "linux/amd64".parse().unwrap();
    let subject = Subject { name: "app:1", id: Some(&image.id), platform: &platform, version: "0" };
    let document = sbom(&tree, &subject, image.created).unwrap();
    let found = &document["packages"][1]["externalRefs"][0]["referenceLocator"];
    assert_eq!(
        (found, document["packages"].as_array().unwrap().len()),
        (&"pkg:deb/debian/new@2?distro=debian-12".into(), 2)
    );
}
