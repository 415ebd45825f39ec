//! Images of directories as further contexts: `--build-context NAME=oci-layout://DIRECTORY`.

use testkit::Conductor;

use super::{build, context, in_image, told};
use crate::busybox;

#[test]
fn an_image_of_a_directory_stands_for_a_name() {
    let sandbox = busybox();
    let directory = context(
        &sandbox,
        "main",
        &[("Dockerfile", "FROM base\nCOPY --from=other /which /other\nRUN cat /which > /copy\n")],
    );
    let layout = sandbox.work().join("layout");
    for name in ["one", "two"] {
        let made = context(&sandbox, name, &[("Dockerfile", &format!("FROM busybox\nRUN echo {name} > /which\n"))]);
        told(&sandbox, &made, &["-t", name]);
        let archive = sandbox.work().join(format!("{name}.tar"));
        sandbox.conductor(["save", "-o", archive.to_str().unwrap(), name]).run().success();
        let (from, to) = (format!("docker-archive:{}", archive.display()), format!("oci:{}:{name}", layout.display()));
        Conductor::new("skopeo").args(["copy", "-q", &from, &to]).run().success();
        sandbox.conductor(["rmi", name]).run().success();
    }
    sandbox.conductor(["builder", "prune", "-af"]).run().success();
    let at = |rest: &str| format!("oci-layout://{}{rest}", layout.display());
    let with = |base: &str, other: &str| {
        let contexts = [format!("--build-context=base={}", at(base)), format!("--build-context=other={}", at(other))];
        move |more: &[&str]| {
            contexts.iter().map(String::as_str).chain(more.iter().copied()).map(str::to_owned).collect()
        }
    };
    let call = |words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        build(&sandbox, &directory, &words)
    };
    call(with(":one", ":two")(&["-t", "a"])).run().success();
    assert_eq!(in_image(&sandbox, "a", "cat /which /other /copy"), "one\ntwo\none\n");
    // By digest; and what is known by it is not read again: the layers might as well be gone.
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][1]["digest"].as_str().unwrap();
    let layers = Conductor::new("sh").args(["-ec", &format!("cd {layout:?}/blobs/sha256; find . -size +20k -delete")]);
    layers.run().success();
    call(with(&format!("@{digest}"), ":one")(&["-t", "b"])).run().success();
    assert_eq!(in_image(&sandbox, "b", "cat /which /other /copy"), "two\none\ntwo\n");
    // A store that does not know them finds them damaged; a name that is not there is told, with those that are.
    let words = with(":one", ":two")(&["--root", sandbox.work().join("bare").to_str().unwrap()]);
    let said = call(words).fails(1);
    assert!(said.contains("FROM base") && said.contains("blobs/sha256") && said.contains("ENOENT"), "{said}");
    let said = call(with(":three", ":two")(&[])).fails(1);
    assert!(said.contains("holds nothing by the name three, only one, two"), "{said}");
    let said = call(with("", ":two")(&[])).fails(1);
    assert!(said.contains("holds nothing by the name latest"), "{said}");
    sandbox.assert_clean();
}
