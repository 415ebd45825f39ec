//! `policy.json` and `pull --verify`, with signatures of OpenSSL's in Debian's registry and in one in memory, beside Podman.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::Digest;
use serde_json::{Value, json};
use testkit::registry::{Memory, Real, Server};
use testkit::signing::{PAYLOAD, Shelf, Signatures, Signer, payload};
use testkit::{Conductor, Sandbox};

use crate::archives::{Store, shell, with_podman};
use crate::busybox;
use crate::registries::{INDEX, MANIFEST, copy, digest, pushed};

/// A home with a policy in it.
struct Home {
    path: PathBuf,
}

impl Home {
    fn new(sandbox: &Sandbox) -> Self {
        let path = sandbox.work().join("home");
        std::fs::create_dir_all(path.join(".config/containers")).unwrap();
        Self { path }
    }

    fn policy(&self) -> PathBuf {
        self.path.join(".config/containers/policy.json")
    }

    /// Writes a policy with rules for scopes, and one for all else.
    fn demand(&self, default: Value, scopes: Value) {
        let policy = json!({"default": [default], "transports": {"docker": scopes}});
        std::fs::write(self.policy(), policy.to_string()).unwrap();
    }

    fn demand_nothing(&self) {
        let _ = std::fs::remove_file(self.policy());
    }

    fn call(&self, store: &Store<'_>, words: &[&str]) -> Conductor {
        store.conductor(words).env("HOME", &self.path)
    }
}

fn accept() -> Value {
    json!({"type": "insecureAcceptAnything"})
}

fn reject() -> Value {
    json!({"type": "reject"})
}

/// The rule that one of these keys must have signed; by which name, where that is said.
fn signed(key: &Path, identity: Option<Value>) -> Value {
    let mut rule = json!({"type": "sigstoreSigned", "keyPath": key});
    if let Some(identity) = identity {
        rule["signedIdentity"] = identity;
    }
    rule
}

fn repository() -> Option<Value> {
    Some(json!({"type": "matchRepository"}))
}

/// Debian's registry, and an image that is signed there under one of its names.
struct Signed {
    registry: Real,
    /// Nobody has signed it here.
    plain: String,
    /// Somebody has, with the tag, as Skopeo and Podman do.
    team: String,
    digest: Digest,
    key: PathBuf,
    other: PathBuf,
}

impl Signed {
    fn new(here: &Store<'_>, home: &Home) -> Self {
        let registry = Real::start();
        let signer = |name| Signer::new(&home.path, name, "EC -pkeyopt ec_paramgen_curve:P-256");
        let (own, other) = (signer("own"), signer("other").public);
        let (plain, team) = (format!("{}/plain:1", registry.host()), format!("{}/team/box:1", registry.host()));
        let digest = pushed(here, &plain).parse().unwrap();
        copy("--preserve-digests", &plain, &team);
        // The same signature lies where somebody could have copied it.
        let claim = payload(&digest, &team);
        for repository in ["team/box", "moved/box"] {
            let shelf = Shelf::Repository(format!("{}/{repository}", registry.host()));
            Signatures::new(shelf).with(&claim, &own.sign(claim.as_bytes())).under_tag(&digest);
        }
        Self { registry, plain, team, digest, key: own.public, other }
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host())
    }
}

#[test]
fn a_policy_takes_what_it_says_and_refuses_the_rest_as_podman_does() {
    let sandbox = busybox();
    let (here, home) = (Store::own(&sandbox), Home::new(&sandbox));
    let made = Signed::new(&here, &home);
    let name = |name: &str| made.name(name);
    let (team, moved, bare) = (made.team.clone(), name("moved/box:1"), made.plain.clone());
    copy("--preserve-digests", &team, &name("team/box:2"));
    copy("--preserve-digests", &team, &moved);
    let by_digest = format!("{}@{}", name("team/box"), made.digest);
    let key = made.key.as_path();
    let text = std::fs::read_to_string(key).unwrap();
    let in_base64 = shell(&format!("base64 -w0 {key:?}"));
    let match_one = |kind: &str, field: &str, value: &str| Some(json!({"type": kind, field: value}));
    let remap = Some(json!({"type": "remapIdentity", "prefix": name("moved"), "signedPrefix": name("team")}));
    let gpg = json!({"type": "signedBy", "keyType": "GPGKeys", "keyPath": key});
    let cases = [
        (signed(key, None), team.clone(), true),
        (signed(key, None), by_digest.clone(), true),
        (signed(key, Some(json!({"type": "matchExact"}))), team.clone(), true),
        (signed(key, Some(json!({"type": "matchExact"}))), by_digest, false),
        // The same digest under a name that nobody has signed.
        (signed(key, None), name("team/box:2"), false),
        (signed(key, repository()), name("team/box:2"), true),
        (signed(key, match_one("exactReference", "dockerReference", &team)), name("team/box:2"), true),
        // Signatures that were copied to another repository.
        (signed(key, None), moved.clone(), false),
        (signed(key, repository()), moved.clone(), false),
        (signed(key, match_one("exactRepository", "dockerRepository", &name("team/box"))), moved.clone(), true),
        (signed(key, remap), moved, true),
        (signed(&made.other, repository()), team.clone(), false),
        (signed(key, repository()), bare.clone(), false),
        (json!({"type": "sigstoreSigned", "keyData": in_base64}), team.clone(), true),
        (json!({"type": "sigstoreSigned", "keyData": text}), team.clone(), false),
        (json!({"type": "sigstoreSigned", "keyPath": "/no/such/key"}), team.clone(), false),
        (json!({"type": "sigstoreSigned"}), team.clone(), false),
        (json!({"type": "insecureAcceptAnything", "more": 1}), bare.clone(), false),
        (json!({"type": "whatever"}), bare.clone(), false),
        (gpg, team.clone(), false),
        (accept(), bare.clone(), true),
        (reject(), team, false),
    ];
    let (mut script, mut expected) = (String::new(), String::new());
    for (at, (rule, image, taken)) in cases.iter().enumerate() {
        home.demand(reject(), json!({made.registry.host(): [rule]}));
        let store = Store::other(&sandbox, &format!("store-{at}"));
        let pull = home.call(&store, &["pull", "-q", image]);
        if *taken {
            assert_eq!(pull.ok(), *image);
        } else {
            let said = pull.fails(1);
            assert!(said.contains("policy.json"), "{rule} {image}:\n{said}");
            assert_eq!(store.ids(), [""; 0], "{rule} {image}");
        }
        // Debian's Podman has its part about cosign's signatures taken out.
        if rule["type"] != "sigstoreSigned" || rule.get("keyPath").is_none() && rule.get("keyData").is_none() {
            let policy = home.path.join(format!("policy-{at}.json"));
            std::fs::copy(home.policy(), &policy).unwrap();
            script += &format!(
                "podman pull -q --tls-verify=false --signature-policy {policy:?} {image} > said 2>&1 && echo {at} true || echo {at} false\n"
            );
            expected += &format!("{at} {taken}\n");
        }
    }
    assert_eq!(with_podman(&sandbox, &script), expected.trim_end());
    drop(made);
    sandbox.assert_clean();
}

#[test]
fn verify_names_a_key_or_insists_on_a_rule() {
    let sandbox = busybox();
    let (here, home) = (Store::own(&sandbox), Home::new(&sandbox));
    let made = Signed::new(&here, &home);
    let (plain, team, there) = (made.plain.as_str(), made.team.as_str(), made.digest.to_string());
    let store = Store::other(&sandbox, "other");
    let with = |key: &Path| format!("--verify={}", key.display());
    let fails = |words: &[&str], expected: &[&str]| {
        let said = home.call(&store, words).fails(1);
        for word in expected {
            assert!(said.contains(word), "{word:?} is not in:\n{said}");
        }
        assert_eq!(store.ids(), [""; 0]);
    };
    let own = made.key.display().to_string();
    fails(
        &["pull", &with(&made.key), plain],
        &[plain, &own, "is not trusted", "there is no signature of", &there, "cosign sign"],
    );
    fails(&["pull", &with(&made.other), team], &[team, "other.pub", "by another key", &there]);
    fails(&["pull", "--verify", team], &["cannot be verified", "conductor pull --verify=cosign.pub", "sigstoreSigned"]);
    fails(&["pull", &with(&home.path.join("own.pem")), team], &["own.pem", "it is a private key"]);
    home.demand(reject(), json!({}));
    fails(&["pull", &with(&made.key), team], &["the default of", "policy.json rejects it"]);
    std::fs::write(home.policy(), "{\"default\": 1}").unwrap();
    fails(&["pull", team], &["cannot use", "policy.json"]);
    let run = home.call(&store, &["run", "--rm", "--network", "none", team, "true"]).fails(125);
    assert!(run.contains("cannot use") && run.contains("policy.json"), "{run}");
    home.demand_nothing();
    let verified = format!("Verified: {there} is signed by {own}");
    let said = home.call(&store, &["pull", &with(&made.other), &with(&made.key), team]).ok();
    assert_eq!(said, format!("Digest: {there}\n{verified}\nStatus: Downloaded newer image for {team}\n{team}"));
    // What is here already is verified like any other.
    let said = home.call(&store, &["pull", &with(&made.key), team]).ok();
    assert_eq!(said, format!("Digest: {there}\n{verified}\nStatus: Image is up to date for {team}\n{team}"));
    assert!(home.call(&store, &["pull", &with(&made.other), team]).fails(1).contains("by another key"));
    home.demand(accept(), json!({made.registry.host(): [signed(&made.key, None)]}));
    assert_eq!(home.call(&store, &["pull", "-q", "--verify", team]).ok(), team);
    let told = home.call(&store, &["--explain", "pull", "-q", team]).run().success().stderr;
    let step = format!("look for a signature by {own}, as the scope {} of", made.registry.host());
    assert!(told.contains(&step) && told.contains("cosign verify --insecure-ignore-tlog --key"), "{told}");
    drop(made);
    sandbox.assert_clean();
}

#[test]
fn a_refusal_leaves_the_old_image_and_holds_for_run_and_create() {
    let sandbox = busybox();
    let (here, home) = (Store::own(&sandbox), Home::new(&sandbox));
    let made = Signed::new(&here, &home);
    let (plain, team) = (made.plain.as_str(), made.team.as_str());
    let store = Store::other(&sandbox, "other");
    home.demand(accept(), json!({made.registry.host(): [signed(&made.key, None)]}));
    let run =
        |policy: &str| home.call(&store, &["run", "--pull", policy, "--rm", "--network", "none", team, "echo", "hi"]);
    let said = run("missing").run().success();
    assert!(said.stderr.contains(&format!("is signed by {}", made.key.display())), "{}", said.stderr);
    let (ids, before) = (store.ids(), store.left());
    // Another image comes under the name, which nobody has signed.
    let changed = made.name("changed:1");
    here.conductor(&["run", "--name", "changed", "--network", "none", plain, "touch", "/new"]).run().success();
    here.conductor(&["commit", "changed", &changed]).run().success();
    here.conductor(&["rm", "changed"]).run().success();
    here.conductor(&["push", "-q", &changed]).run().success();
    copy("--preserve-digests", &changed, team);
    let refused = format!("there is no signature of {}", digest(team));
    assert!(run("always").fails(125).contains(&refused));
    let create = home.call(&store, &["create", "--pull", "always", "--network", "none", team]).fails(125);
    assert!(create.contains(&refused) && create.contains("is not trusted"), "{create}");
    assert!(home.call(&store, &["pull", team]).fails(1).contains(&refused));
    assert_eq!((store.ids(), store.left()), (ids, before));
    // What is here is not asked about.
    assert_eq!(run("missing").ok(), "hi");
    drop(made);
    sandbox.assert_clean();
}

/// A registry in memory with busybox under `box:1`, and a store that pulls from it.
struct Made<'s> {
    memory: Arc<Memory>,
    server: Server,
    store: Store<'s>,
    home: Home,
    digest: Digest,
}

impl<'s> Made<'s> {
    fn new(sandbox: &'s Sandbox) -> Self {
        let memory = Arc::new(Memory::default());
        let answering = Arc::clone(&memory);
        let server = Server::start(move |request| answering.answer(request));
        let digest = pushed(&Store::own(sandbox), &format!("{}/box:1", server.host())).parse().unwrap();
        let store = Store::other(sandbox, "pulls");
        Self { memory, server, store, home: Home::new(sandbox), digest }
    }

    fn name(&self, tag: &str) -> String {
        format!("{}/box:{tag}", self.server.host())
    }

    fn pull(&self, key: &Path, tag: &str) -> Conductor {
        let verify = format!("--verify={}", key.display());
        self.home.call(&self.store, &["pull", &verify, &self.name(tag)])
    }

    fn refuses(&self, key: &Path, tag: &str, words: &[&str]) {
        let said = self.pull(key, tag).fails(1);
        for word in words.iter().copied().chain(["box:"]) {
            assert!(said.contains(word), "{word:?} is not in:\n{said}");
        }
        assert_eq!(self.store.ids(), [""; 0]);
    }

    /// Signs a digest with a key, under the name that cosign gives it.
    fn sign(&self, signer: &Signer, digest: &Digest) {
        let payload = payload(digest, &format!("{}/box", self.server.host()));
        Signatures::new(Shelf::Memory(&self.memory)).with(&payload, &signer.sign(payload.as_bytes())).under_tag(digest);
    }

    fn forget(&self) {
        self.store.conductor(&["rmi", "-f", &self.store.ids()[0]]).run().success();
    }
}

#[test]
fn keys_of_all_kinds_are_good_for_an_image_and_for_the_index_that_names_it() {
    let sandbox = busybox();
    let made = Made::new(&sandbox);
    let manifest = made.memory.manifest(&made.digest).unwrap();
    let entry = json!({"mediaType": MANIFEST, "digest": made.digest, "size": manifest.len()});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).to_string();
    let index = made.memory.add_manifest("many", INDEX, index);
    let kinds = [
        ("p256", "EC -pkeyopt ec_paramgen_curve:P-256"),
        ("p384", "EC -pkeyopt ec_paramgen_curve:P-384"),
        ("ed25519", "ED25519"),
        ("rsa", "RSA -pkeyopt rsa_keygen_bits:2048"),
    ];
    for (name, algorithm) in kinds {
        let signer = Signer::new(&made.home.path, name, algorithm);
        made.refuses(&signer.public, "1", &["signature of", &made.digest.to_string()]);
        made.sign(&signer, &made.digest);
        for tag in ["1", "many"] {
            let said = made.pull(&signer.public, tag).ok();
            assert!(
                said.contains(&format!("Verified: {} is signed by {}", made.digest, signer.public.display())),
                "{said}"
            );
            made.forget();
        }
        // The index alone is as good, for what it names.
        made.memory.remove_manifest(&format!("sha256-{}.sig", made.digest.hex()));
        made.sign(&signer, &index);
        let said = made.pull(&signer.public, "many").ok();
        assert!(said.contains(&format!("Verified: {index} is signed by")), "{said}");
        made.forget();
        made.refuses(&signer.public, "1", &["there is no signature of"]);
        made.memory.remove_manifest(&format!("sha256-{}.sig", index.hex()));
        // And so are signatures that refer to it.
        let payload = payload(&made.digest, &made.name("1"));
        Signatures::new(Shelf::Memory(&made.memory))
            .with(&payload, &signer.sign(payload.as_bytes()))
            .as_referrer(&made.digest);
        made.pull(&signer.public, "1").run().success();
        made.forget();
        made.memory.remove_manifest(&format!("sha256-{}", made.digest.hex()));
    }
    for (name, algorithm) in
        [("p521", "EC -pkeyopt ec_paramgen_curve:P-521"), ("short", "RSA -pkeyopt rsa_keygen_bits:1024")]
    {
        let signer = Signer::new(&made.home.path, name, algorithm);
        made.sign(&signer, &made.digest);
        made.refuses(&signer.public, "1", &[name]);
    }
    sandbox.assert_clean();
}

#[test]
fn signatures_that_are_none_change_nothing_and_are_bounded() {
    let sandbox = busybox();
    let made = Made::new(&sandbox);
    let signer = Signer::new(&made.home.path, "own", "EC -pkeyopt ec_paramgen_curve:P-256");
    let other = Signer::new(&made.home.path, "other", "EC -pkeyopt ec_paramgen_curve:P-256");
    let refuses = |words: &[&str]| made.refuses(&signer.public, "1", words);
    let good = payload(&made.digest, &made.name("1"));
    let signature = signer.sign(good.as_bytes());
    let put = |payload: &str, signature: &str| {
        Signatures::new(Shelf::Memory(&made.memory)).with(payload, signature).under_tag(&made.digest);
    };
    refuses(&["there is no signature of", &made.digest.to_string(), "own.pub", "hint: "]);
    put(&good, &other.sign(good.as_bytes()));
    refuses(&["by another key"]);
    put(&good.replace("null", "{}"), &signature);
    refuses(&["or of something else"]);
    put(&good, "!");
    refuses(&["not in base64"]);
    put(&good, "");
    refuses(&["by another key"]);
    let elsewhere = payload(&Digest::of(b"else"), &made.name("1"));
    put(&elsewhere, &signer.sign(elsewhere.as_bytes()));
    refuses(&["is good, but for the digest", &Digest::of(b"else").to_string()]);
    let renamed = payload(&made.digest, "r.test/box:1");
    put(&renamed, &signer.sign(renamed.as_bytes()));
    refuses(&["is good, but for the name \"r.test/box:1\""]);
    put("{}", &signer.sign(b"{}"));
    refuses(&["what is signed cannot be read"]);
    let layer = |size: u64| json!({"mediaType": PAYLOAD, "digest": Digest::of(b"x"), "size": size, "annotations": {"dev.cosignproject.cosign/signature": "AA=="}});
    Signatures::new(Shelf::Memory(&made.memory)).with_layer(layer(1 << 40)).under_tag(&made.digest);
    refuses(&["more than 262144 bytes"]);
    Signatures::new(Shelf::Memory(&made.memory)).with_layer(layer(1)).under_tag(&made.digest);
    refuses(&["does not have it"]);
    let tag = format!("sha256-{}.sig", made.digest.hex());
    made.memory.add_manifest(&tag, MANIFEST, "{\"layers\": 1}");
    refuses(&["the signatures of", "cannot be read"]);
    let many = |count: usize| {
        let bad = (0..count).fold(Signatures::new(Shelf::Memory(&made.memory)), |bad, _| bad.with(&good, "AA=="));
        bad.with(&good, &signature).under_tag(&made.digest);
    };
    many(300);
    refuses(&["more than 100 signatures"]);
    let filler = format!("{{\"layers\": [], \"filler\": \"{}\"}}", "x".repeat(5 << 20));
    made.memory.add_manifest(&tag, MANIFEST, filler);
    refuses(&["longer than 4194304 bytes"]);
    assert!(!made.store.root.join("images").exists());
    // Among others the good one is found.
    many(99);
    made.pull(&signer.public, "1").run().success();
    made.store.runs(&made.name("1"));
    // Where nothing is demanded nobody is asked for signatures.
    made.forget();
    let asked = || made.server.heard().iter().filter(|heard| heard.contains(".sig")).count();
    let before = asked();
    made.home.call(&made.store, &["pull", "-q", &made.name("1")]).run().success();
    assert_eq!(asked(), before);
    sandbox.assert_clean();
}
