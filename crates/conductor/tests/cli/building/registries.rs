//! What a build takes from a registry, and what it gives to one.

use testkit::registry::Real;

use super::context;
use crate::archives::{Store, shell};
use crate::busybox;

#[test]
fn bases_come_from_a_registry_and_images_go_there() {
    let sandbox = busybox();
    let registry = Real::start();
    let name = |image: &str| format!("{}/team/{image}", registry.host());
    let (here, there) = (Store::own(&sandbox), Store::other(&sandbox, "there"));
    let build = |store: &Store<'_>, directory: &str, words: &[&str]| {
        let directory = sandbox.work().join(directory);
        let call = ["build", "--network", "none", "--progress", "plain", "--tls-verify=false"];
        store.conductor(&call).args(words).arg(directory).run().success().stderr
    };
    let base = |number: &str| {
        context(&sandbox, number, &[("Dockerfile", "FROM scratch\nCOPY which /which\n"), ("which", number)]);
    };
    ["one", "two", "three"].iter().for_each(|number| base(number));
    let file = format!("FROM {}\nCOPY mine /mine\n", name("base:1"));
    context(&sandbox, "main", &[("Dockerfile", &file), ("mine", "")]);
    let out = sandbox.work().join("out");
    let built = |words: &[&str]| {
        let said = build(&here, "main", &[words, &["-o", out.to_str().unwrap()]].concat());
        (said.matches("CACHED").count(), std::fs::read_to_string(out.join("which")).unwrap())
    };
    let pushed = || shell(&format!("skopeo inspect --tls-verify=false docker://{} | grep -c sha256", name("base:1")));

    build(&there, "one", &["--output", &format!("type=registry,name={}", name("base:1"))]);
    assert!(pushed().trim().parse::<u32>().unwrap() >= 2);
    assert_eq!(built(&[]), (0, "one".into()));
    // What is here is taken, unless it is to be asked for again.
    build(&there, "two", &["--output", &format!("type=image,name={},push=true", name("base:1"))]);
    assert_eq!(built(&[]), (1, "one".into()));
    assert_eq!(built(&["--pull"]), (0, "two".into()));
    build(&there, "three", &["--push", "-t", &name("base:1")]);
    assert_eq!(built(&["--pull"]), (0, "three".into()));
    assert_eq!(built(&["--pull"]), (1, "three".into()));
    drop(registry);
    sandbox.assert_clean();
}
