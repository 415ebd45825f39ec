//! `import` of tars that GNU tar made.

use std::fs::File;

use image::{ImportError, ImportOptions, import, inspect};
use jiff::Timestamp;
use oci::Digest;
use trace::Recorder;

use crate::fixture::{Sandbox, bash, read, view};

fn options(names: &[&str], changes: &[&str]) -> ImportOptions {
    ImportOptions {
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        changes: changes.iter().map(|change| change.parse().unwrap()).collect(),
        message: Some("made by a test".into()),
        platform: None,
        created: Timestamp::from_second(1_700_000_000).unwrap(),
    }
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    bash(
        sandbox.directory.path(),
        "mkdir -p r/etc r/bin; echo eg > r/etc/hostname; head -c 300000 /dev/zero | tr '\\0' x > r/bin/big
         ln r/bin/big r/bin/same; ln -s ../etc/hostname r/bin/link; tar -C r -cf r.tar .; gzip -k r.tar; zstd -qk r.tar",
    );
    sandbox
}

#[test]
fn a_tar_is_kept_byte_for_byte_and_mounted() {
    let sandbox = sandbox();
    let tar = std::fs::read(sandbox.path("r.tar")).unwrap();
    let image = import(&sandbox.store, tar.as_slice(), &options(&["eg"], &[]), &Recorder::silent()).unwrap();
    assert_eq!(std::fs::read(&image.layers[0].path).unwrap(), tar);
    assert_eq!(image.layers[0].diff_id, Digest::of(&tar));
    let mounted = view(&image);
    assert_eq!(read(&mounted, "bin/link"), b"eg\n");
    assert_eq!(read(&mounted, "bin/same"), vec![b'x'; 300_000]);
    assert_eq!(sandbox.in_flight(), 0);
}

#[test]
fn what_is_compressed_is_the_same_image() {
    let sandbox = sandbox();
    let imported = |file: &str, name: &str| {
        let tar = File::open(sandbox.path(file)).unwrap();
        import(&sandbox.store, tar, &options(&[name], &[]), &Recorder::silent()).unwrap()
    };
    let plain = imported("r.tar", "one");
    assert_eq!(imported("r.tar.gz", "two").id, plain.id, "the same tar and the same options are the same image");
    assert_eq!(imported("r.tar.zst", "three").id, plain.id);
    assert_eq!(sandbox.store.images().names_of(&plain.id).unwrap().len(), 3);
}

#[test]
fn the_image_is_described_as_docker_does() {
    let sandbox = sandbox();
    let changes = ["CMD [\"/bin/big\", \"-x\"]", "ENV A=1", "EXPOSE 80", "LABEL b=2", "WORKDIR /etc", "USER 7"];
    let tar = File::open(sandbox.path("r.tar")).unwrap();
    let image = import(&sandbox.store, tar, &options(&["eg", "registry.example/eg:v1"], &changes), &Recorder::silent())
        .unwrap();
    let told = serde_json::to_value(inspect(&sandbox.store, &image).unwrap()).unwrap();
    assert_eq!(told["Id"], image.id.to_string());
    assert_eq!(told["RepoTags"], serde_json::json!(["eg:latest", "registry.example/eg:v1"]));
    assert_eq!(told["Created"], "2023-11-14T22:13:20Z");
    assert_eq!(told["Comment"], "made by a test");
    assert_eq!(told["Config"]["Cmd"], serde_json::json!(["/bin/big", "-x"]));
    assert_eq!(told["Config"]["ExposedPorts"], serde_json::json!({"80/tcp": {}}));
    assert_eq!(told["Config"]["Labels"], serde_json::json!({"b": "2"}));
    assert_eq!(told["Config"]["WorkingDir"], "/etc");
    assert_eq!(told["Size"], image.layers[0].size);
    assert_eq!(told["RootFS"]["Layers"], serde_json::json!([image.layers[0].diff_id.to_string()]));
    assert_eq!(told["Os"], "linux");
}

#[test]
fn what_is_no_tar_leaves_nothing() {
    let sandbox = sandbox();
    let tar = std::fs::read(sandbox.path("r.tar")).unwrap();
    let zipped = std::fs::read(sandbox.path("r.tar.gz")).unwrap();
    let nonsense = vec![b'n'; 10_000];
    for bytes in [&b""[..], &nonsense, &tar[..100_000], &zipped[..zipped.len() / 2]] {
        import(&sandbox.store, bytes, &options(&["eg"], &[]), &Recorder::silent()).unwrap_err();
        assert_eq!(sandbox.in_flight(), 0);
    }
    // What only looks as if it were compressed is a broken stream.
    for start in [&b"\xfd7zXZ rest"[..], b"\x28\xb5\x2f\xfd rest", b"BZh91AY rest"] {
        let error = import(&sandbox.store, start, &options(&["eg"], &[]), &Recorder::silent()).unwrap_err();
        assert!(matches!(error, ImportError::Read(_)), "{error:?}");
    }
    assert!(sandbox.store.images().list().unwrap().is_empty());
    for directory in [sandbox.store.layout().layers(), sandbox.store.layout().blobs()] {
        assert_eq!(std::fs::read_dir(directory).unwrap().count(), 0);
    }
}
