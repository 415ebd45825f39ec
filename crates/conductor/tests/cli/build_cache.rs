//! Steps of builds that come from elsewhere, and what builds keep: `--cache-to`, `--cache-from`, `builder du` and `prune`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::registry::Real;
use testkit::{Conductor, Sandbox, fixture};

use crate::archives::{Store, shell};
use crate::{IMAGE, busybox};

const FILE: &str = "FROM busybox AS tools
COPY tool /bin/tool
RUN cat /proc/sys/kernel/random/uuid > /made
FROM busybox
COPY --from=tools /made /made
RUN cat /proc/sys/kernel/random/uuid > /own
WORKDIR /work
";

/// How many steps the file has, and how many of them are of the image's own stage.
const STEPS: usize = 5;
const OWN: usize = 3;

fn context(sandbox: &Sandbox) -> PathBuf {
    let directory = sandbox.work().join("context");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("Dockerfile"), FILE).unwrap();
    std::fs::write(directory.join("tool"), "tool").unwrap();
    directory
}

fn build(store: &Store<'_>, context: &Path, words: &[&str]) -> Conductor {
    store
        .conductor(&["build", "--network", "none", "--progress", "plain", "-t", "eg", "--tls-verify=false"])
        .args(words)
        .arg(context)
}

/// Builds, and returns how many steps were found, and what was said.
fn built(store: &Store<'_>, context: &Path, words: &[&str]) -> (usize, String) {
    let said = build(store, context, words).run().success().stderr;
    (said.matches(" CACHED").count(), said)
}

/// Another store with the same image of busybox and nothing else.
fn other<'s>(sandbox: &'s Sandbox, name: &str) -> Store<'s> {
    let store = Store::other(sandbox, name);
    store.conductor(&["import"]).arg(fixture::busybox_tar_file(&sandbox.work())).arg(IMAGE).run().success();
    let archive = sandbox.work().join("box.tar");
    if !archive.exists() {
        sandbox.conductor(["save", "-o"]).arg(&archive).arg(IMAGE).run().success();
    }
    // Imported at another moment it would be another image.
    store.conductor(&["rmi", "-f", IMAGE]).run().success();
    store.load(&archive);
    store
}

fn digest(store: &Store<'_>) -> (String, String) {
    let image = store.inspect("eg");
    let of = |value: &Value| value.as_str().unwrap().to_owned();
    (of(&image["Id"]), of(&image["Descriptor"]["digest"]))
}

#[test]
fn steps_go_to_a_directory_and_come_back_as_the_same_image() {
    let sandbox = busybox();
    let (here, context) = (Store::own(&sandbox), context(&sandbox));
    let cache = sandbox.work().join("cache");
    let to = |mode: &str| format!("type=local,dest={},mode={mode},tag={mode}", cache.display());
    let from = |mode: &str| format!("type=local,src={},tag={mode}", cache.display());
    let (found, said) = built(&here, &context, &["--cache-to", &to("max"), "--cache-to", &to("min")]);
    assert_eq!(found, 0, "{said}");
    assert!(said.contains(&format!("{STEPS} steps for other builds are in {}", cache.display())), "{said}");
    // Everything is there: nothing is made again, and the image is the same to the last byte.
    let there = other(&sandbox, "max");
    let (found, said) = built(&there, &context, &["--cache-from", &from("max")]);
    assert_eq!(found, STEPS, "{said}");
    assert_eq!(digest(&there), digest(&here));
    there.runs("eg");
    // What came is known here from then on.
    assert_eq!(built(&there, &context, &[]).0, STEPS);
    // The stage that the image only copies from is not there: it is made anew, and what depends on it too.
    let there = other(&sandbox, "min");
    let (found, said) = built(&there, &context, &["--cache-from", &from("min")]);
    assert!(found < OWN && !said.contains("warning:"), "{said}");
    assert!(skopeo_reads(&cache), "others read the directory as a layout");
    sandbox.assert_clean();
}

fn skopeo_reads(cache: &Path) -> bool {
    let manifest = shell(&format!("skopeo inspect --raw oci:{}:max", cache.display()));
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["config"]["mediaType"] == "application/vnd.conductor.buildcache.config.v1+json"
        && manifest["layers"].as_array().is_some_and(|layers| layers.len() >= OWN)
}

#[test]
fn steps_go_to_a_registry_and_come_back_as_the_same_image() {
    let sandbox = busybox();
    let (registry, here, context) = (Real::start(), Store::own(&sandbox), context(&sandbox));
    let name = format!("{}/team/cache:main", registry.host());
    let to = format!("type=registry,ref={name},mode=max");
    assert_eq!(built(&here, &context, &["--cache-to", &to]).0, 0);
    for (number, from) in [format!("type=registry,ref={name}"), name.clone()].iter().enumerate() {
        let there = other(&sandbox, &format!("other-{number}"));
        let (found, said) = built(&there, &context, &["--cache-from", from]);
        assert_eq!(found, STEPS, "{said}");
        assert_eq!(digest(&there), digest(&here));
    }
    // Given again, nothing is sent again.
    let (_, said) = built(&here, &context, &["--cache-to", &to]);
    assert!(said.contains("is there already") && !said.contains("compressing"), "{said}");
    drop(registry);
    sandbox.assert_clean();
}

#[test]
fn an_image_lists_its_own_steps() {
    let sandbox = busybox();
    let (registry, here, context) = (Real::start(), Store::own(&sandbox), context(&sandbox));
    std::fs::write(context.join("Dockerfile"), FILE.replace("COPY --from=tools /made /made\n", "")).unwrap();
    let name = format!("{}/team/eg:1", registry.host());
    let push = || {
        here.conductor(&["tag", "eg", &name]).run().success();
        here.conductor(&["push", "-q", &name]).run().success();
    };
    built(&here, &context, &["--cache-to", "type=inline"]);
    push();
    let there = other(&sandbox, "other");
    let (found, said) = built(&there, &context, &["--cache-from", &name, "--cache-to", "type=inline"]);
    assert_eq!(found, 2, "{said}");
    assert_eq!(digest(&there).0, digest(&here).0);
    // An image that lists none is told of.
    built(&here, &context, &[]);
    push();
    let (_, said) = built(&other(&sandbox, "third"), &context, &["--cache-from", &name]);
    assert!(said.contains("what is there lists no steps of a build"), "{said}");
    drop(registry);
    sandbox.assert_clean();
}

#[test]
fn what_is_damaged_or_not_there_is_a_warning() {
    let sandbox = busybox();
    let (here, context) = (Store::own(&sandbox), context(&sandbox));
    let cache = sandbox.work().join("cache");
    let (path, gone) = (cache.display().to_string(), sandbox.work().join("gone").display().to_string());
    built(&here, &context, &["--cache-to", &format!("type=local,dest={path},mode=max")]);
    // Another byte in each layer: what comes is not what the list says.
    shell(&format!(
        "cd {path}/blobs/sha256; for blob in *; do
           case $(head -c 1 $blob) in '{{') ;; *) printf X | dd of=$blob bs=1 seek=600 conv=notrunc status=none ;; esac
         done"
    ));
    let there = other(&sandbox, "damaged");
    let (found, said) = built(&there, &context, &["--cache-from", &path]);
    assert_eq!(found, 0, "{said}");
    assert!(said.contains("is not taken from") && said.contains("was asked for"), "{said}");
    there.runs("eg");
    let there = other(&sandbox, "unreachable");
    for from in [gone.as_str(), "127.0.0.1:1/team/cache"] {
        let (_, said) = built(&there, &context, &["--cache-from", from]);
        assert!(said.contains(&format!("warning: no steps are taken from {from}")), "{said}");
    }
    // What cannot be given is an error, unless that was said to be none.
    let to = "type=registry,ref=127.0.0.1:1/team/cache";
    assert!(build(&there, &context, &["--cache-to", to]).fails(1).contains("cannot give steps to"));
    let (_, said) = built(&there, &context, &["--cache-to", &format!("{to},ignore-error=true")]);
    assert!(said.contains("no steps are given to"), "{said}");
    assert!(
        build(&there, &context, &["--cache-from", "type=gha"]).fails(1).contains("none of local, oci and registry")
    );
    sandbox.assert_clean();
}

#[test]
fn what_builds_keep_is_listed_and_pruned() {
    let sandbox = busybox();
    let (here, context) = (Store::own(&sandbox), context(&sandbox));
    built(&here, &context, &[]);
    let types = |words: &[&str]| {
        let listed = here.conductor(&[&["builder", "du", "--format", "{{.Type}} {{.Shared}}"], words].concat()).ok();
        let mut listed: Vec<_> = listed.lines().map(str::to_owned).collect();
        listed.sort();
        listed.dedup();
        listed
    };
    assert_eq!(types(&[]), ["regular false", "regular true", "source.local false"]);
    assert_eq!(types(&["--filter", "type=source.local"]), ["source.local false"]);
    let table = here.conductor(&["buildx", "du"]).ok();
    assert!(table.starts_with("ID ") && table.contains("Reclaimable:") && table.contains("Total:"), "{table}");
    let df = here.conductor(&["system", "df", "--format", "{{.Type}}: {{.TotalCount}} {{.Active}} {{.Size}}"]).ok();
    assert!(df.lines().any(|line| line.starts_with("Build Cache: ") && !line.contains(": 0 ")), "{df}");
    // Nobody is there to be asked.
    assert!(here.conductor(&["builder", "prune"]).fails(1).contains("--force"));
    here.conductor(&["builder", "prune", "-f"]).run().success().says("Total:");
    assert_eq!(types(&[]), ["regular true"]);
    here.conductor(&["builder", "prune", "-f", "-a", "--filter", "until=24h"]).run().success();
    assert_eq!(types(&[]), ["regular true"]);
    here.conductor(&["builder", "prune", "-af"]).run().success();
    assert_eq!(types(&[]), [""; 0]);
    here.runs("eg");
    // All is made again, and all of it goes with the founding verb.
    assert_eq!(built(&here, &context, &[]).0, 0);
    here.conductor(&["rmcache"]).run().success().says("Total reclaimed space: ");
    assert_eq!(types(&[]), [""; 0]);
    built(&here, &context, &[]);
    here.conductor(&["system", "prune", "-af"]).run().success().says("Deleted build cache objects:");
    assert_eq!(types(&[]), [""; 0]);
    assert_eq!(here.left(), "");
    sandbox.assert_clean();
}

#[test]
fn a_cache_that_holds_too_much_loses_what_was_used_least_lately() {
    let sandbox = busybox();
    let (here, context) = (Store::own(&sandbox), context(&sandbox));
    let settings = sandbox.work().join("settings.json");
    std::fs::write(&settings, "{\"build_cache_size\": \"1k\"}").unwrap();
    let steps = || here.conductor(&["builder", "du", "--filter", "type=regular", "--format", "{{.ID}}"]).ok();
    built(&here, &context, &[]);
    let first: Vec<_> = steps().lines().map(str::to_owned).collect();
    here.conductor(&["rmi", "eg"]).run().success();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    std::fs::write(context.join("Dockerfile"), "FROM busybox\nRUN echo other > /other\n").unwrap();
    build(&here, &context, &[]).env("CONDUCTOR_CONFIG", &settings).run().success();
    let left = steps();
    assert!(first.iter().all(|step| !left.contains(step)), "{left}");
    assert_eq!(left.lines().count(), 1, "what the build used stays: {left}");
    sandbox.assert_clean();
}
