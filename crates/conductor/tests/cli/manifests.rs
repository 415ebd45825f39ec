//! `manifest`: images for several machines under one name, with Debian's registry and one of the test's own, beside Skopeo and Podman.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::registry::{Fault, Memory, Real, Server};
use testkit::{Conductor, Sandbox};

use crate::archives::{Store, shell, with_podman};
use crate::{IMAGE, busybox, sandbox};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A sandbox with the image of busybox as `box:amd64`, and the same for another machine as `box:arm64`.
fn two_machines() -> Sandbox {
    let sandbox = busybox();
    let here = Store::own(&sandbox);
    here.conductor(&["tag", IMAGE, "box:amd64"]).run().success();
    let id = for_machine(&sandbox, "arm64");
    here.conductor(&["tag", &id, "box:arm64"]).run().success();
    sandbox
}

/// Loads the image of busybox once more, said to be for another machine, and returns its ID.
fn for_machine(sandbox: &Sandbox, architecture: &str) -> String {
    let (store, directory) = (Store::own(sandbox), sandbox.work().join(architecture));
    store.conductor(&["save", "--format", "oci-dir", "-o"]).arg(&directory).arg(IMAGE).run().success();
    let read = |path: PathBuf| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    let blobs = directory.join("blobs/sha256");
    let at = |descriptor: &Value| blobs.join(descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:"));
    let keep = |document: &Value, descriptor: &mut Value| {
        let bytes = document.to_string();
        let digest = oci::Digest::of(bytes.as_bytes());
        std::fs::write(blobs.join(digest.hex()), &bytes).unwrap();
        (descriptor["digest"], descriptor["size"]) = (digest.to_string().into(), bytes.len().into());
    };
    let mut index = read(directory.join("index.json"));
    let mut manifest = read(at(&index["manifests"][0]));
    let mut config = read(at(&manifest["config"]));
    config["architecture"] = architecture.into();
    keep(&config, &mut manifest["config"]);
    keep(&manifest, &mut index["manifests"][0]);
    index["manifests"][0]
        .as_object_mut()
        .unwrap()
        .retain(|key, _| !["annotations", "platform"].contains(&key.as_str()));
    std::fs::write(directory.join("index.json"), index.to_string()).unwrap();
    store.load(&directory);
    manifest["config"]["digest"].as_str().unwrap().to_owned()
}

/// What a registry has under a name, byte for byte.
fn raw(name: &str) -> String {
    shell(&format!("skopeo inspect --raw --tls-verify=false docker://{name}"))
}

fn digest(text: &str) -> String {
    oci::Digest::of(text.as_bytes()).to_string()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn machines(index: &Value) -> Vec<&str> {
    let entries = index["manifests"].as_array().unwrap().iter();
    entries.map(|entry| entry["platform"]["architecture"].as_str().unwrap()).collect()
}

#[test]
fn images_that_are_here_go_out_under_one_name_and_each_machine_gets_its_own() {
    let sandbox = two_machines();
    let (registry, here) = (Real::start(), Store::own(&sandbox));
    let name = format!("{}/team/box:1", registry.host());
    let made = here.conductor(&["manifest", "create", &name, "box:amd64", "box:arm64"]).ok();
    assert_eq!(made, format!("Created manifest list {name}"));
    here.conductor(&["manifest", "annotate", "--variant", "v8", &name, "box:arm64"]).run().success();
    assert_eq!(machines(&parsed(&here.conductor(&["manifest", "inspect", &name]).ok())), ["amd64", "arm64"]);
    let row = here.conductor(&["manifest", "ls", "--format", "{{.Name}} {{.Images}} {{.Platforms}}"]).ok();
    assert_eq!(row, format!("{name} 2 linux/amd64, linux/arm64/v8"));
    let said = here.conductor(&["--explain", "manifest", "push", &name]).run().success();
    assert!(said.stderr.contains("/manifests/1"), "{}", said.stderr);
    // What is printed is what others see, and the list has the digests of what went out.
    let there = raw(&name);
    assert_eq!(said.stdout.trim(), digest(&there));
    assert_eq!(parsed(&there)["mediaType"], INDEX);
    assert_eq!(parsed(&here.conductor(&["manifest", "inspect", &name]).ok()), parsed(&there));
    assert_eq!(here.conductor(&["manifest", "push", "-q", &name]).ok(), digest(&there));
    for (tag, entry) in ["box:amd64", "box:arm64"].iter().zip(parsed(&there)["manifests"].as_array().unwrap()) {
        let manifest = raw(&format!("{}/team/box@{}", registry.host(), entry["digest"].as_str().unwrap()));
        assert_eq!(parsed(&manifest)["config"]["digest"], here.inspect(tag)["Id"]);
        assert!(manifest.contains("tar+gzip"), "{manifest}");
    }
    let copied = sandbox.work().join("copied");
    shell(&format!("skopeo copy -q --all --src-tls-verify=false docker://{name} dir:{copied:?}"));
    assert_eq!(shell(&format!("cat {copied:?}/manifest.json")), there);
    let script = format!(
        "printf '[[registry]]\\nlocation=\"{}\"\\ninsecure=true\\n' > registries.conf
         CONTAINERS_REGISTRIES_CONF=$PWD/registries.conf podman manifest inspect {name}",
        registry.host()
    );
    let podmans = with_podman(&sandbox, &script);
    assert_eq!(machines(&parsed(&podmans)), ["amd64", "arm64"]);
    for (platform, architecture, tag) in [("linux/arm64", "arm64", "box:arm64"), ("linux/amd64", "amd64", "box:amd64")]
    {
        let other = Store::other(&sandbox, architecture);
        let said = other.conductor(&["pull", "--platform", platform, &name]).ok();
        assert!(said.contains(&digest(&there)), "{said}");
        assert_eq!(other.inspect(&name)["Architecture"], architecture);
        assert_eq!(other.inspect(&name)["Id"], here.inspect(tag)["Id"]);
        // The digest of the index means all that is in it, although one image is here.
        let all = format!("{}/team/box@{}", registry.host(), digest(&there));
        for (list, asked, count) in [("one", &name, 1), ("both", &all, 2)] {
            other.conductor(&["manifest", "create", list, asked]).run().success();
            assert_eq!(
                machines(&parsed(&other.conductor(&["manifest", "inspect", list]).ok())).len(),
                count,
                "{asked}"
            );
        }
    }
    // Images may go: what was pushed is there already.
    here.conductor(&["rmi", "-f", "box:arm64"]).run().success();
    assert_eq!(here.conductor(&["manifest", "push", "-q", "-p", &name]).ok(), digest(&there));
    assert!(here.conductor(&["manifest", "inspect", &name, "box:arm64"]).fails(1).contains("no such manifest list"));
    assert_eq!(here.conductor(&["manifest", "ls", "-q"]).ok(), "");
    drop(registry);
    sandbox.assert_clean();
}

#[test]
fn images_of_registries_are_mounted_or_copied_with_the_digests_they_have() {
    let sandbox = two_machines();
    let (one, two, here) = (Real::start(), Real::start(), Store::own(&sandbox));
    let mut given = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let (ours, dockers) =
            (format!("{}/ours:{architecture}", one.host()), format!("{}/{architecture}:1", one.host()));
        here.conductor(&["tag", &format!("box:{architecture}"), &ours]).run().success();
        here.conductor(&["push", "-q", &ours]).run().success();
        let options = "--src-tls-verify=false --dest-tls-verify=false --format v2s2";
        shell(&format!("skopeo copy -q {options} docker://{ours} docker://{dockers}"));
        given.push(digest(&raw(&dockers)));
    }
    // From a store that has nothing, as on a machine that only puts the list together.
    let there = Store::other(&sandbox, "there");
    let images = ["amd64", "arm64"].map(|architecture| format!("{}/{architecture}:1", one.host()));
    let create = |list: &str| there.conductor(&["manifest", "create", list, &images[0], &images[1]]);
    create("dockers").run().success();
    for to in [format!("{}/team/all:1", one.host()), format!("{}/all:1", two.host())] {
        let said = there.conductor(&["manifest", "push", "dockers", &format!("docker://{to}")]).run().success();
        assert_eq!(said.stderr.contains("mounted from another repository"), to.contains(one.host()), "{}", said.stderr);
        let index = parsed(&raw(&to));
        assert_eq!(said.stdout.trim(), digest(&raw(&to)));
        assert_eq!(index["mediaType"], DOCKER_LIST);
        let digests: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|entry| &entry["digest"]).collect();
        assert_eq!(digests, [&given[0], &given[1]]);
        shell(&format!(
            "skopeo copy -q --all --src-tls-verify=false docker://{to} dir:{:?}",
            sandbox.work().join("all")
        ));
        let pulled = Store::other(&sandbox, &digest(&to)[7..15]);
        pulled.conductor(&["pull", "-q", "--platform", "arm64", &to]).run().success();
        assert_eq!(pulled.inspect(&to)["Architecture"], "arm64");
    }
    // An index is all that is in it; with ours among Docker's it is the specification's.
    let all = format!("{}/all:1", two.host());
    let ours = format!("{}/ours:arm64", one.host());
    there.conductor(&["manifest", "create", "mixed", &all, &ours]).run().success();
    let told = there.conductor(&["manifest", "push", "--format", "v2s2", "mixed", &all]).fails(1);
    assert!(told.contains(&ours) && told.contains("schema 2"), "{told}");
    let said = there.conductor(&["manifest", "push", "-q", "mixed", &format!("{}/mixed", two.host())]).run().success();
    assert!(said.stderr.contains("several images of") && said.stderr.contains("linux/arm64"), "{}", said.stderr);
    assert_eq!(machines(&parsed(&raw(&format!("{}/mixed", two.host())))), ["amd64", "arm64", "arm64"]);
    assert_eq!(parsed(&raw(&format!("{}/mixed", two.host())))["mediaType"], INDEX);
    // What is here comes first, unless the registry is meant.
    let amd = format!("{}/ours:amd64", one.host());
    for (asked, key) in [(amd.clone(), "image"), (format!("docker://{amd}"), "registry")] {
        here.conductor(&["manifest", "create", "-a", "where", &asked]).run().success();
        let kept = shell(&format!("cat {:?}/lists/docker.io+library+where/latest", here.root));
        assert!(parsed(&kept)["members"][0]["origin"].get(key).is_some(), "{kept}");
    }
    // What a registry has is told as it is, and with everything about it.
    let told = parsed(&there.conductor(&["manifest", "inspect", &all]).ok());
    assert_eq!(told, parsed(&raw(&all)));
    let verbose = parsed(&there.conductor(&["manifest", "inspect", "-v", &all]).ok());
    assert_eq!(verbose[1]["Descriptor"]["digest"], given[1].as_str());
    assert_eq!(verbose[1]["SchemaV2Manifest"]["schemaVersion"], 2);
    let one_of_it = there.conductor(&["manifest", "inspect", "mixed", &given[0]]).ok();
    assert_eq!(parsed(&one_of_it), parsed(&raw(&format!("{}/all@{}", two.host(), given[0]))));
    // Podman's list is taken, and Podman puts ours into its own.
    let script = format!(
        "podman manifest create of-podman > said; podman manifest add --tls-verify=false of-podman docker://{ours} > said
         podman manifest push -q --tls-verify=false --all of-podman docker://{0}/of-podman:1 > said 2>&1 || cat said
         podman manifest inspect of-podman",
        two.host()
    );
    assert_eq!(machines(&parsed(&with_podman(&sandbox, &script))), ["arm64"]);
    there.conductor(&["manifest", "add", "mixed", &format!("{}/of-podman:1", two.host())]).run().success();
    drop((one, two));
    sandbox.assert_clean();
}

#[test]
fn what_cannot_be_done_is_told_and_changes_nothing() {
    let sandbox = two_machines();
    let (registry, here) = (Real::start(), Store::own(&sandbox));
    let call = |line: &str| here.conductor(&line.split(' ').collect::<Vec<_>>());
    let fails = |line: &str, words: &[&str]| {
        let said = call(line).fails(1);
        words.iter().for_each(|word| assert!(said.contains(word), "{line}: {word:?} is not in:\n{said}"));
    };
    for verb in ["add app box:amd64", "annotate app box:amd64", "push app", "remove app box:amd64", "rm app"] {
        fails(&format!("manifest {verb}"), &["no such manifest list: app:latest", "conductor manifest ls"]);
    }
    call("manifest create app box:amd64").run().success();
    let before = call("manifest inspect app").ok();
    fails("manifest create app box:arm64", &["there is a manifest list app:latest already", "--amend"]);
    let by_digest = format!("app@{}", digest("x"));
    fails(&format!("manifest create {by_digest}"), &["carries a digest"]);
    fails(&format!("manifest push app {by_digest}"), &["carries a digest"]);
    fails("manifest create Upper", &["lower case"]);
    fails("manifest annotate app box:arm64 --arch arm64", &["the list has no box:arm64, only box:amd64 (linux/amd64)"]);
    fails("manifest annotate app box:amd64 --arch arm65", &["\"arm65\" is no architecture", "riscv64"]);
    fails("manifest annotate app box:amd64 --os Linux", &["\"Linux\" is no operating system"]);
    fails("manifest annotate app box:amd64 --variant v/8", &["\"v/8\" is no variant"]);
    fails("manifest annotate app box:amd64 --annotation x", &["\"x\" is not KEY=VALUE"]);
    fails(&format!("manifest add app {}/nothing:1", registry.host()), &["cannot get the manifest 1", "nothing"]);
    fails(&format!("manifest add app box:arm64 {}/nothing:1", registry.host()), &["nothing"]);
    assert_eq!(call("manifest inspect app").ok(), before);
    call("manifest create empty").run().success();
    fails(&format!("manifest push empty {}/empty", registry.host()), &["the list has no images yet"]);
    // An image that has gone is named, and nothing is put under the name.
    call("manifest add app box:arm64").run().success();
    call("rmi -f box:arm64").run().success();
    let to = format!("{}/app:1", registry.host());
    fails(&format!("manifest push app {to}"), &["box:arm64 (linux/arm64)", "no longer here", "manifest remove"]);
    fails(&format!("manifest inspect {to}"), &["does not have it"]);
    call("manifest remove app box:arm64").run().success();
    call(&format!("manifest push -q app {to}")).run().success();
    // So is one that a registry has no more.
    let other = format!("{}/other:1", registry.host());
    call(&format!("tag box:amd64 {other}")).run().success();
    call(&format!("push -q {other}")).run().success();
    call(&format!("manifest create lost docker://{other}")).run().success();
    shell(&format!("rm -r {:?}/data/docker/registry/v2/repositories/other", registry.directory()));
    fails(&format!("manifest push lost {}/lost", registry.host()), &["cannot push", "other:1", "does not have it"]);
    // And a list that was damaged can be removed.
    std::fs::write(here.root.join("lists/docker.io+library+empty/latest"), "{").unwrap();
    fails("manifest inspect empty", &["is damaged"]);
    let listed = call("manifest ls -q").run().code(1);
    assert_eq!(listed.stdout, "app:latest\nlost:latest\n");
    let checked = call("system check").run().code(1);
    assert!(
        checked.stdout.contains("the manifest list empty:latest cannot be read")
            && checked.stdout.contains("would: remove it")
    );
    call("system check --repair").run().success();
    assert_eq!(call("manifest ls -q").ok(), "app:latest\nlost:latest");
    call("image prune -a -f").run().success();
    assert_eq!(call("manifest rm app lost").ok(), "docker.io/library/app:latest\ndocker.io/library/lost:latest");
    assert_eq!(shell(&format!("find {:?}/lists -mindepth 1", here.root)), "");
    let (host, to) = (registry.host().to_owned(), format!("{}/app:2", registry.host()));
    call("manifest create app").run().success();
    drop(registry);
    fails(&format!("manifest add app {to}"), &["refused", &host]);
    sandbox.assert_clean();
}

/// A registry that a test has in its hands, with manifests whose layers nobody asks for.
struct Made {
    memory: Arc<Memory>,
    server: Server,
}

impl Made {
    fn new(wait: Duration) -> Self {
        let memory = Arc::new(Memory::default());
        let answering = Arc::clone(&memory);
        let server = Server::start(move |request| {
            if request.method == "PUT" {
                std::thread::sleep(wait);
            }
            answering.answer(request)
        });
        Self { memory, server }
    }

    /// Publishes an image without layers, and returns how it stands in an index.
    fn image(&self, tag: &str, config: &Value, more: &Value) -> Value {
        let config = config.to_string();
        let digest = self.memory.add_blob(config.clone());
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
            "config": {"mediaType": CONFIG, "digest": digest.to_string(), "size": config.len()},
        });
        manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let manifest = manifest.to_string();
        self.memory.add_manifest(tag, MANIFEST, manifest.clone());
        json!({"mediaType": MANIFEST, "digest": self::digest(&manifest), "size": manifest.len()})
    }

    fn index(&self, tag: &str, entries: &[Value]) {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        self.memory.add_manifest(tag, INDEX, index.to_string());
    }

    fn name(&self, tag: &str) -> String {
        format!("{}/box:{tag}", self.server.host())
    }
}

#[test]
fn what_a_registry_has_is_taken_as_it_is_or_refused() {
    let (sandbox, made) = (sandbox(), Made::new(Duration::ZERO));
    let store = Store::own(&sandbox);
    store.conductor(&["manifest", "create", "app"]).run().success();
    let fails = |tag: &str, words: &[&str]| {
        let said = store.conductor(&["manifest", "add", "app", &made.name(tag)]).fails(1);
        words.iter().for_each(|word| assert!(said.contains(word), "{tag}: {word:?} is not in:\n{said}"));
    };
    let arm =
        json!({"architecture": "arm", "os": "linux", "variant": "v7", "rootfs": {"type": "layers", "diff_ids": []}});
    let entry = made.image("arm", &arm, &json!({}));
    // The largest index there is room for, a configuration without end, one that tells no machine, documents that are none.
    made.index("many", &vec![json!({"digest": digest("x"), "size": 1}); 40_000]);
    fails("many", &["at most 1000 images", "40000"]);
    made.memory.add_manifest("long", INDEX, format!("{{\"manifests\": [{}]}}", " ".repeat(5 << 20)));
    fails("long", &["longer than 4194304 bytes"]);
    made.image("huge", &arm, &json!({"config": {"mediaType": CONFIG, "digest": digest("x"), "size": 1_u64 << 40}}));
    fails("huge", &["1099511627776 bytes"]);
    made.image("nowhere", &json!({"rootfs": {}}), &json!({}));
    fails("nowhere", &["does not tell what machine"]);
    made.image("two-faced", &arm, &json!({"manifests": []}));
    fails("two-faced", &["both layers and manifests"]);
    let nested = json!({"mediaType": INDEX, "digest": digest("x"), "size": 1, "platform": {"os": "linux", "architecture": "arm"}});
    made.index("nested", &[entry.clone(), nested]);
    fails("nested", &["another index", &digest("x")]);
    made.index("lost", &[json!({"mediaType": MANIFEST, "digest": digest("lost"), "size": 1})]);
    fails("lost", &["does not have it"]);
    made.server.fail("GET", "/manifests/arm", Fault::Corrupt);
    fails("arm", &["manifest"]);
    made.server.forgive();
    assert_eq!(parsed(&store.conductor(&["manifest", "inspect", "app"]).ok())["manifests"], json!([]));
    // Words of an index that we have no use for ourselves are passed on; where there are none, the configuration has some.
    let windows = json!({"os": "windows", "architecture": "amd64", "os.version": "10.0.1", "os.features": ["win32k"]});
    let mut listed =
        made.image("windows", &json!({"os": "windows", "architecture": "amd64", "rootfs": {}}), &json!({}));
    listed["platform"] = windows.clone();
    listed["annotations"] = json!({"a": "b"});
    listed["artifactType"] = "text/plain".into();
    let mut attested = made.image("attested", &json!({}), &json!({"layers": [{"mediaType": "application/vnd.in-toto+json", "digest": made.memory.add_blob("{}").to_string(), "size": 2}]}));
    attested["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    made.index("several", &[listed.clone(), entry.clone(), attested.clone()]);
    store.conductor(&["manifest", "add", "app", &made.name("several")]).run().success();
    let kept = parsed(&store.conductor(&["manifest", "inspect", "app"]).ok());
    let mut arm = entry.clone();
    arm["platform"] = json!({"os": "linux", "architecture": "arm", "variant": "v7"});
    assert_eq!(kept["manifests"], json!([listed, arm, attested]));
    // And pushed to a registry that has none of it.
    let fresh = Made::new(Duration::ZERO);
    store.conductor(&["manifest", "push", "-q", "app", &fresh.name("1")]).run().success();
    assert_eq!(parsed(&store.conductor(&["manifest", "inspect", &fresh.name("1")]).ok()), kept);
    sandbox.assert_clean();
}

fn spawned(call: Conductor) -> Child {
    call.into_command().stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
}

#[test]
fn what_several_add_at_once_is_all_there_and_a_kill_leaves_the_list_whole() {
    let (sandbox, made) = (sandbox(), Made::new(Duration::ZERO));
    let store = Store::own(&sandbox);
    store.conductor(&["manifest", "create", "app"]).run().success();
    let names: Vec<_> = (0..6).map(|number| format!("m{number}")).collect();
    for name in &names {
        made.image(name, &json!({"os": "linux", "architecture": "arm", "author": name, "rootfs": {}}), &json!({}));
    }
    let add = |name: &str| store.conductor(&["manifest", "add", "app", &made.name(name)]);
    let all: Vec<_> = names.iter().map(|name| spawned(add(name))).collect();
    all.into_iter().for_each(|mut child| assert!(child.wait().unwrap().success()));
    let count =
        || parsed(&store.conductor(&["manifest", "inspect", "app"]).ok())["manifests"].as_array().unwrap().len();
    assert_eq!(count(), 6);
    // Killed at any moment, the list has the image or has it not.
    for number in 0..40 {
        let name = format!("k{number}");
        made.image(&name, &json!({"os": "linux", "architecture": "arm", "author": name, "rootfs": {}}), &json!({}));
        let before = count();
        let mut child = spawned(add(&name));
        std::thread::sleep(Duration::from_micros(700 * number));
        child.kill().unwrap();
        let added = child.wait().unwrap().success();
        let after = count();
        assert!(after == before + 1 || (after == before && !added), "{before} images became {after}");
    }
    assert_eq!(store.conductor(&["system", "check"]).run().success().stdout.lines().count(), 1);
    assert_eq!(shell(&format!("find {:?}/lists -type f | wc -l", store.root)), "1");
    sandbox.assert_clean();
}

#[test]
fn a_push_that_is_killed_is_done_again() {
    let sandbox = two_machines();
    let (here, made) = (Store::own(&sandbox), Made::new(Duration::from_millis(150)));
    here.conductor(&["manifest", "create", "app", "box:amd64", "box:arm64"]).run().success();
    let name = made.name("1");
    // In the midst of the first layer, after the first image, before the index.
    for heard in ["PATCH|PUT /v2/box/blobs/uploads/", "PUT /v2/box/manifests/sha256:", "PUT /v2/box/manifests/1"] {
        let (method, path) = heard.split_once(' ').unwrap();
        let mut push = spawned(here.conductor(&["manifest", "push", "-q", "--purge", "app", &name]));
        let is_it = |line: &String| method.split('|').any(|method| line.starts_with(&format!("{method} {path}")));
        while !made.server.heard().iter().any(is_it) {
            assert!(push.try_wait().unwrap().is_none(), "the push has ended before {heard}");
            std::thread::sleep(Duration::from_millis(2));
        }
        push.kill().unwrap();
        push.wait().unwrap();
        assert_eq!(here.conductor(&["manifest", "ls", "-q"]).ok(), "app:latest", "{heard}");
    }
    let said = here.conductor(&["manifest", "push", "-q", "--purge", "app", &name]).ok();
    assert_eq!(said, digest(&raw(&name)));
    assert_eq!(here.conductor(&["manifest", "ls", "-q"]).ok(), "");
    let other = Store::other(&sandbox, "other");
    other.conductor(&["pull", "-q", "--platform", "arm64", &name]).run().success();
    assert_eq!(other.inspect(&name)["Architecture"], "arm64");
    sandbox.assert_clean();
}

#[test]
fn a_full_disk_leaves_a_list_as_it_was() {
    let (sandbox, made) = (sandbox(), Made::new(Duration::ZERO));
    let full = sandbox.work().join("full");
    shell(&format!("mkdir {full:?}; mount -t tmpfs -o size=400k tmpfs {full:?}"));
    let call = |words: &[&str]| {
        Conductor::new(env!("CARGO_BIN_EXE_conductor")).arg("--root").arg(&full).arg("manifest").args(words)
    };
    made.image("1", &json!({"os": "linux", "architecture": "arm", "rootfs": {}}), &json!({}));
    call(&["create", "app", &made.name("1")]).run().success();
    let before = call(&["inspect", "app"]).ok();
    shell(&format!("cat /dev/zero > {full:?}/filler 2> /dev/null || true"));
    for words in
        [&["annotate", "app", &made.name("1"), "--variant", "v7"], &["create", "-a", "app", "--", &made.name("1")][..]]
    {
        let said = call(words).run();
        assert!(said.exit_code() == 0 || said.stderr.contains("the disk is full"), "{}", said.stderr);
    }
    assert!(call(&["create", "more"]).fails(1).contains("no space left on device"));
    assert_eq!(call(&["inspect", "app"]).ok(), before);
    shell(&format!("rm {full:?}/filler"));
    call(&["annotate", "app", &made.name("1"), "--variant", "v7"]).run().success();
    shell(&format!("umount {full:?}"));
    sandbox.assert_clean();
}
