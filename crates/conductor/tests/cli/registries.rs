//! `pull`, `push`, `login` and `logout`, with Debian's registry and with one that misbehaves, beside Skopeo and Podman.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::Conductor;
use testkit::registry::{Authority, Fault, Memory, Real, RealOptions, Reply, Server};

use crate::archives::{Store, shell, with_podman};
use crate::{IMAGE, busybox, sandbox};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The digest that a registry has for a name.
pub(crate) fn digest(name: &str) -> String {
    shell(&format!("skopeo inspect --raw --tls-verify=false docker://{name} | sha256sum | sed 's/ .*//; s/^/sha256:/'"))
}

pub(crate) fn copy(options: &str, from: &str, to: &str) {
    shell(&format!(
        "skopeo copy -q --src-tls-verify=false --dest-tls-verify=false {options} docker://{from} docker://{to}"
    ));
}

/// Pushes busybox under a name, and returns the digest that it has there.
pub(crate) fn pushed(store: &Store<'_>, name: &str) -> String {
    store.conductor(&["tag", IMAGE, name]).run().success();
    store.conductor(&["push", "-q", name]).run().success();
    digest(name)
}

#[test]
fn an_image_goes_out_and_comes_back_the_same() {
    let sandbox = busybox();
    let (registry, here) = (Real::start(), Store::own(&sandbox));
    let name = format!("{}/team/box:1", registry.host());
    here.conductor(&["tag", IMAGE, &name]).run().success();
    let said = here.conductor(&["push", &name]).run().success();
    let there = digest(&name);
    assert!(said.stdout.contains(&format!("1: digest: {there} size: ")), "{}", said.stdout);
    // Known by that digest now, and pushed again nothing moves.
    assert_eq!(here.inspect(&name)["Descriptor"]["digest"], there.as_str());
    here.conductor(&["push", &name]).run().success().remarks("is there already");
    let other = Store::other(&sandbox, "other");
    let said = other.conductor(&["pull", &name]).ok();
    assert_eq!(said, format!("Digest: {there}\nStatus: Downloaded newer image for {name}\n{name}"));
    assert_eq!(other.ids(), here.ids());
    other.runs(&name);
    let found = other.conductor(&["search", "--format", "{{.Name}}", &format!("{}/bo", registry.host())]).ok();
    assert_eq!(found, format!("{}/team/box", registry.host()));
    let table = other.conductor(&["search", &format!("{}/box", registry.host())]).ok();
    assert!(table.starts_with("NAME\n") && table.ends_with("/team/box"), "{table}");
    assert!(other.conductor(&["search", "box"]).fails(1).contains("no registry is named"));
    let said = other.conductor(&["pull", &name]).ok();
    assert_eq!(said, format!("Digest: {there}\nStatus: Image is up to date for {name}\n{name}"));
    assert_eq!(
        other.conductor(&["pull", "-q", &format!("{}/team/box@{there}", registry.host())]).ok().len(),
        name.len() + 70
    );
    // What is removed leaves nothing, the names by digest included.
    other.conductor(&["rmi", "-f", &other.ids()[0]]).run().success();
    assert_eq!(other.left(), "");
    drop(registry);
    let said = other.conductor(&["pull", &name]).fails(1);
    assert!(said.contains("connection refused (ECONNREFUSED)") || said.contains("Connection refused"), "{said}");
    sandbox.assert_clean();
}

#[test]
fn round_trips_with_skopeo_and_podman_keep_every_digest() {
    let sandbox = busybox();
    let (one, two, here) = (Real::start(), Real::start(), Store::own(&sandbox));
    let plain = format!("{}/box:oci-gzip", one.host());
    pushed(&here, &plain);
    for (tag, options) in [("oci-zstd", "--format oci --dest-compress-format zstd"), ("docker-gzip", "--format v2s2")] {
        // Skopeo reuses what a registry has, so the form is made on one that has nothing, of layers without compression.
        let (fresh, directory) = (Real::start(), sandbox.work().join(tag));
        shell(&format!("skopeo copy -q --src-tls-verify=false --dest-decompress docker://{plain} dir:{directory:?}"));
        let made = format!("{}/box:1", fresh.host());
        shell(&format!("skopeo copy -q --dest-tls-verify=false {options} dir:{directory:?} docker://{made}"));
        copy("--preserve-digests", &made, &format!("{}/box:{tag}", one.host()));
    }
    let said = |tag: &str| shell(&format!("skopeo inspect --raw --tls-verify=false docker://{}/box:{tag}", one.host()));
    assert!(
        said("oci-zstd").contains("tar+zstd") && said("docker-gzip").contains("vnd.docker"),
        "{}",
        said("oci-zstd")
    );
    let there = Store::other(&sandbox, "there");
    for tag in ["oci-gzip", "oci-zstd", "docker-gzip"] {
        let from = format!("{}/box:{tag}", one.host());
        there.conductor(&["pull", "-q", &from]).run().success();
        // To the same registry it is mounted, to another one copied; neither changes a byte.
        for to in [format!("{}/again/{tag}:1", one.host()), format!("{}/box:{tag}", two.host())] {
            there.conductor(&["tag", &from, &to]).run().success();
            there.conductor(&["push", &to]).run().success();
            assert_eq!(digest(&to), digest(&from), "{to}");
            copy("--preserve-digests", &to, &format!("{}/of-skopeo/{tag}:1", two.host()));
        }
        let back = Store::other(&sandbox, &format!("back-{tag}"));
        let name = format!("{}/of-skopeo/{tag}:1", two.host());
        assert!(back.conductor(&["pull", &name]).ok().contains(&digest(&from)));
        back.runs(&name);
    }
    // All of them are one image here, and each name keeps its own digest.
    assert_eq!(there.ids().len(), 1);
    let listed = there.conductor(&["images", "--digests"]).ok();
    for tag in ["oci-gzip", "oci-zstd", "docker-gzip"] {
        let line = listed.lines().find(|line| line.starts_with(&format!("{}/box ", two.host())) && line.contains(tag));
        assert!(
            line.is_some_and(|line| line.contains(&digest(&format!("{}/box:{tag}", one.host())))),
            "{tag}: {listed}"
        );
    }
    // Podman takes ours, and we take its.
    let script = format!(
        "podman pull -q --tls-verify=false {plain} > id; podman tag $(cat id) {0}/of-podman:1
         podman push -q --tls-verify=false {0}/of-podman:1 2> said || {{ cat said; exit 1; }}; cat id",
        two.host()
    );
    let id = with_podman(&sandbox, &script);
    assert_eq!(format!("sha256:{id}"), here.ids()[0]);
    let name = format!("{}/of-podman:1", two.host());
    let back = Store::other(&sandbox, "of-podman");
    assert!(back.conductor(&["pull", &name]).ok().contains(&digest(&name)));
    assert_eq!(back.ids(), here.ids());
    back.runs(&name);
    drop((one, two));
    sandbox.assert_clean();
}

#[test]
fn credentials_are_tried_kept_used_and_forgotten() {
    let sandbox = busybox();
    let authority = Authority::new("tests");
    let pair = authority.server(&["127.0.0.1", "localhost"]);
    let options = RealOptions { tls: Some(&pair), login: Some(("me", "secret")), ..RealOptions::default() };
    let registry = Real::with(&options);
    let home = sandbox.work().join("home");
    std::fs::create_dir_all(&home).unwrap();
    let bundle = authority.write(&home);
    let with = |words: &[&str]| {
        let store = Store::own(&sandbox);
        store
            .conductor(words)
            .env("HOME", &home)
            .env("DOCKER_CONFIG", home.join(".docker"))
            .env("SSL_CERT_FILE", &bundle)
    };
    let name = format!("{}/private:1", registry.host());
    with(&["tag", IMAGE, &name]).run().success();
    let said = with(&["push", &name]).fails(1);
    assert!(said.contains(&format!("hint: conductor login {}", registry.host())), "{said}");
    let wrong = with(&["login", "-u", "me", "--password-stdin", registry.host()]).input("wrong\n").fails(1);
    assert!(wrong.contains("log in to") && !wrong.contains("wrong\n"), "{wrong}");
    assert!(!home.join(".docker/config.json").exists());
    let login = with(&["login", "-u", "me", "--password-stdin", registry.host()]).input("secret\n").run().success();
    assert_eq!(login.stdout.trim(), "Login Succeeded");
    let mode = shell(&format!("stat -c %a {:?}", home.join(".docker/config.json")));
    assert_eq!(mode, "600");
    with(&["push", "-q", &name]).run().success();
    let other = Store::other(&sandbox, "other");
    let pull = |store: &Store<'_>| {
        store.conductor(&["pull", "-q", &name]).env("DOCKER_CONFIG", home.join(".docker")).env("SSL_CERT_FILE", &bundle)
    };
    pull(&other).run().success();
    let trusting = Store::other(&sandbox, "trusting");
    let unproved = |words: &[&str]| {
        let command = trusting.conductor(words).env("DOCKER_CONFIG", home.join(".docker"));
        command.env("SSL_CERT_FILE", home.join("none"))
    };
    let refused = unproved(&["pull", "-q", &name]).fails(1);
    assert!(refused.contains("hint: --tls-verify=false"), "{refused}");
    unproved(&["pull", "-q", "--tls-verify=false", &name]).run().success();
    // Skopeo uses what we kept.
    shell(&format!(
        "skopeo inspect --authfile {:?} --cert-dir {:?} docker://{name}",
        home.join(".docker/config.json"),
        home
    ));
    with(&["logout", registry.host()]).run().success();
    assert!(with(&["push", "-q", &name]).fails(1).contains("hint: conductor login"));
    let untrusted = Store::own(&sandbox).conductor(&["pull", &name]).env("SSL_CERT_FILE", "/dev/null").fails(1);
    assert!(untrusted.contains("certificate") || untrusted.contains("/dev/null"), "{untrusted}");
    drop(registry);
    sandbox.assert_clean();
}

/// An image that a test has in its hands: two layers, one configuration, a manifest under `box:1`.
struct Made {
    memory: Arc<Memory>,
    server: Server,
    layers: [(oci::Digest, usize); 2],
    /// How many milliseconds it takes its time before it gives a blob.
    wait: Arc<AtomicU64>,
}

impl Made {
    fn new() -> Self {
        let memory = Arc::new(Memory::default());
        let wait = Arc::new(AtomicU64::new(0));
        let (answering, waiting) = (Arc::clone(&memory), Arc::clone(&wait));
        let server = Server::start(move |request| {
            if request.path.contains("/blobs/") {
                std::thread::sleep(Duration::from_millis(waiting.load(Ordering::Relaxed)));
            }
            answering.answer(request)
        });
        let (mut diff_ids, mut layers) = (Vec::new(), Vec::new());
        let busybox = std::fs::read(testkit::fixture::busybox_tar_file(tempfile::tempdir().unwrap().path())).unwrap();
        for tar in [busybox, filler()] {
            diff_ids.push(oci::Digest::of(&tar));
            let packed = packed(&tar);
            layers.push((memory.add_blob(packed.clone()), packed.len()));
        }
        let made = Self { memory, server, layers: [layers[0], layers[1]], wait };
        let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        made.publish("1", &config, &json!({}));
        made
    }

    /// Publishes a manifest over the layers, with a configuration and whatever else is to stand in it.
    fn publish(&self, tag: &str, config: &Value, more: &Value) {
        let config = config.to_string();
        let digest = self.memory.add_blob(config.clone());
        let layers: Vec<_> = self
            .layers
            .iter()
            .map(|(digest, size)| json!({"mediaType": GZIP, "digest": digest.to_string(), "size": size}))
            .collect();
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
            "config": {"mediaType": CONFIG, "digest": digest.to_string(), "size": config.len()},
        });
        for (key, value) in more.as_object().unwrap() {
            manifest[key] = value.clone();
        }
        self.memory.add_manifest(tag, MANIFEST, manifest.to_string());
    }

    fn name(&self, tag: &str) -> String {
        format!("{}/box:{tag}", self.server.host())
    }
}

/// A tar that does not compress, long enough to be cut.
fn filler() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
    .take(600_000)
    .collect();
    let mut header = tar::Header::new_ustar();
    header.set_size(noise.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "filler", &noise[..]).unwrap();
    builder.into_inner().unwrap()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_a_registry_sends_wrong_is_named_and_changes_nothing() {
    let (sandbox, made) = (sandbox(), Made::new());
    let store = Store::own(&sandbox);
    let (first, second) = (made.layers[0].0, made.layers[1].0);
    let fails = |tag: &str, words: &[&str]| {
        let said = store.conductor(&["pull", &made.name(tag)]).fails(1);
        for word in words.iter().copied().chain(["box"]) {
            assert!(said.contains(word), "{word:?} is not in:\n{said}");
        }
        assert_eq!(store.ids(), [""; 0]);
        said
    };
    // The layers come beside each other, and the bad one may end the pull before the good one is whole.
    let came_whole = (0..20).any(|_| {
        made.server.fail_often(9, "GET", &second.to_string(), Fault::Corrupt);
        let said = fails("1", &[&second.to_string(), &made.server.host()]);
        made.server.forgive();
        said.contains(&format!("{} pulled", first.short()))
    });
    assert!(came_whole, "the bad layer was always before the good one");
    let blob = format!("GET /v2/box/blobs/{first}");
    let asked = || made.server.heard().iter().filter(|heard| heard.starts_with(&blob)).count();
    let before = asked();
    // The layer that came whole is not asked for again.
    let said = store.conductor(&["pull", &made.name("1")]).run().success();
    assert!(said.stderr.contains(&format!("{} is here already", first.short())), "{}", said.stderr);
    assert_eq!(asked(), before);
    store.runs(&made.name("1"));
    store.conductor(&["rmi", "-f", &store.ids()[0]]).run().success();

    let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [oci::Digest::of(b"x"), oci::Digest::of(b"y")]}});
    made.publish("other-layers", &config, &json!({}));
    fails("other-layers", &["its configuration says"]);
    made.publish(
        "one-layer",
        &json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}),
        &json!({}),
    );
    fails("one-layer", &["names 0 layers, and its manifest 2"]);
    made.publish("two-faced", &config, &json!({"manifests": []}));
    fails("two-faced", &["both layers and manifests"]);
    made.publish("no-image", &config, &json!({"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": first.to_string(), "size": 3}}));
    fails("no-image", &["describes", "helm"]);
    made.publish(
        "huge",
        &config,
        &json!({"config": {"mediaType": CONFIG, "digest": first.to_string(), "size": 1_u64 << 40}}),
    );
    fails("huge", &["configuration", "1099511627776 bytes"]);
    made.publish(
        "strange",
        &config,
        &json!({"layers": [{"mediaType": "text/plain", "digest": first.to_string(), "size": 3}]}),
    );
    fails("strange", &["text/plain"]);
    made.publish("not-json", &json!("words"), &json!({}));
    fails("not-json", &["cannot be read"]);
    let own = json!({"mediaType": INDEX, "digest": oci::Digest::of(b"nowhere").to_string(), "size": 4});
    made.memory.add_manifest(
        "lost",
        INDEX,
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [own]}).to_string(),
    );
    fails("lost", &["does not have it"]);
    let many: Vec<_> = (0..40_000).map(|_| json!({"digest": first.to_string(), "size": 1})).collect();
    made.memory.add_manifest("many", INDEX, json!({"schemaVersion": 2, "manifests": many}).to_string());
    fails("many", &["manifest"]);
    let foreign = json!({"mediaType": MANIFEST, "digest": first.to_string(), "size": 4, "platform": {"os": "plan9", "architecture": "mips"}});
    made.memory.add_manifest(
        "foreign",
        INDEX,
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [foreign]}).to_string(),
    );
    fails("foreign", &["only for plan9/mips"]);
    made.server.fail("GET", "/manifests/1", Fault::Answer(Reply::raw("this is no HTTP\r\n\r\n")));
    made.server.fail_often(9, "GET", "/manifests/1", Fault::Answer(Reply::raw("nor is this\r\n\r\n")));
    fails("1", &["manifest"]);
    store.conductor(&["image", "prune", "-f"]).run().success();
    assert_eq!(store.left(), "");
    sandbox.assert_clean();
}

#[test]
fn a_layer_that_unpacks_without_measure_is_refused() {
    let (sandbox, mut made) = (sandbox(), Made::new());
    let store = Store::own(&sandbox);
    // Two hundred megabytes of nothing, in two hundred kilobytes.
    let mut header = tar::Header::new_ustar();
    header.set_size(200 << 20);
    header.set_cksum();
    let bomb = packed(&[header.as_bytes().to_vec(), vec![0; (200 << 20) + 1024]].concat());
    made.layers = [(made.memory.add_blob(bomb.clone()), bomb.len()); 2];
    let diff_ids = [oci::Digest::of(b"x"), oci::Digest::of(b"y")];
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    made.publish("bomb", &config, &json!({}));
    let settings = sandbox.work().join("config.json");
    std::fs::write(&settings, "{\"largest_layer\": 100000000}").unwrap();
    let said = store.conductor(&["pull", &made.name("bomb")]).env("CONDUCTOR_CONFIG", &settings).fails(1);
    assert!(said.contains("more than 100000000 bytes") && said.contains("largest_layer"), "{said}");
    let archive = sandbox.work().join("bomb.tar.gz");
    std::fs::write(&archive, &bomb).unwrap();
    let said = store.conductor(&["import"]).arg(&archive).arg("bomb").env("CONDUCTOR_CONFIG", &settings).fails(1);
    assert!(said.contains("largest_layer"), "{said}");
    assert_eq!(store.left(), "");
    sandbox.assert_clean();
}

#[test]
fn a_connection_that_breaks_is_gone_on_with() {
    let (sandbox, made) = (sandbox(), Made::new());
    let store = Store::own(&sandbox);
    let second = made.layers[1].0.to_string();
    made.server.fail("GET", &second, Fault::Cut(100_000));
    made.server.fail("GET", &second, Fault::HangUp);
    made.server.fail("GET", &second, Fault::Cut(300_000));
    store.conductor(&["pull", "-q", &made.name("1")]).run().success();
    store.runs(&made.name("1"));
    sandbox.assert_clean();
}

#[test]
fn two_that_pull_the_same_download_it_once() {
    let (sandbox, made) = (sandbox(), Made::new());
    let store = Store::own(&sandbox);
    made.wait.store(300, Ordering::Relaxed);
    let name = made.name("1");
    let pulls: Vec<_> = (0..4)
        .map(|_| {
            let mut command = store.conductor(&["pull", "-q", &name]).into_command();
            command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
        })
        .collect();
    for mut pull in pulls {
        assert!(pull.wait().unwrap().success());
    }
    for (layer, _) in made.layers {
        let asked =
            made.server.heard().iter().filter(|heard| heard.contains(&format!("GET /v2/box/blobs/{layer}"))).count();
        assert_eq!(asked, 1, "{layer}");
    }
    assert_eq!(store.ids().len(), 1);
    store.runs(&name);
    sandbox.assert_clean();
}

#[test]
fn a_pull_that_is_killed_or_finds_the_disk_full_goes_on_with_what_it_had() {
    let (sandbox, made) = (sandbox(), Made::new());
    let store = Store::own(&sandbox);
    let second = made.layers[1].0.to_string();
    made.server.fail("GET", &second, Fault::Slow(Duration::from_millis(1)));
    let mut command = store.conductor(&["pull", "-q", &made.name("1")]).into_command();
    let mut pull = command.stdout(Stdio::null()).spawn().unwrap();
    let kept = store.root.join("compressed");
    while std::fs::read_dir(&kept).map_or(0, Iterator::count) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    pull.kill().unwrap();
    pull.wait().unwrap();
    assert_eq!(store.ids(), [""; 0]);
    made.server.forgive();
    let said = store.conductor(&["pull", &made.name("1")]).run().success();
    assert!(said.stderr.contains("is here already"), "{}", said.stderr);
    store.runs(&made.name("1"));
    // A disk on which the first layer has room, and the second has not.
    let full: PathBuf = sandbox.work().join("full");
    shell(&format!("mkdir {full:?}; mount -t tmpfs -o size=1600k tmpfs {full:?}"));
    let pull =
        || Conductor::new(env!("CARGO_BIN_EXE_conductor")).args(["--root"]).arg(&full).args(["pull", &made.name("1")]);
    let said = pull().fails(1);
    assert!(said.contains("no space left on device"), "{said}");
    assert_eq!(shell(&format!("ls {full:?}/tmp {full:?}/images")).split_whitespace().count(), 2);
    shell(&format!("mount -o remount,size=64m {full:?}"));
    pull().run().success();
    shell(&format!("umount {full:?}"));
    sandbox.assert_clean();
}
