//! Debian's registry: plain, with TLS, with a login, with certificates of clients.

use std::path::Path;

use oci::Digest;
use registry::{CertificatePaths, Client, Repository, Secret, Settings, Version};
use serde_json::json;
use testkit::registry::{Authority, Real, RealOptions};

use crate::fixture::{KIND, SILENT, client, drain, noise, repository, said, settings, with_credentials, with_hosts};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// More than goes in one chunk.
const LONG: usize = 9 << 20;

/// Pushes an image of two layers, one of them as a stream, and returns its manifest's bytes.
fn push(repository: &Repository<'_>, tag: &str, streamed: usize) -> Vec<u8> {
    let (config, first, second) = (b"{}".to_vec(), noise(300_000), noise(streamed));
    for bytes in [&config, &first] {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        assert!(!repository.has_blob(&digest).unwrap());
        repository.upload(&digest, size, |from| Ok(&bytes[usize::try_from(from).unwrap()..])).unwrap();
        assert!(repository.has_blob(&digest).unwrap());
    }
    let sent = repository.upload_stream(&second[..]).unwrap();
    assert_eq!(sent.digest, Digest::of(&second));
    let described =
        |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": KIND,
        "config": described(CONFIG, &config),
        "layers": [described(LAYER, &first), described(LAYER, &second)],
    });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    assert_eq!(repository.put_manifest(&Version::Tag(tag.into()), KIND, &bytes).unwrap(), Digest::of(&bytes));
    bytes
}

fn there_and_back(repository: &Repository<'_>, streamed: usize) {
    let bytes = push(repository, "1", streamed);
    let manifest = repository.manifest(&Version::Tag("1".into())).unwrap();
    assert_eq!((manifest.media_type.as_str(), &manifest.bytes), (KIND, &bytes));
    assert_eq!(repository.manifest(&Version::Digest(manifest.digest)).unwrap(), manifest);
    let head = repository.manifest_head(&Version::Tag("1".into())).unwrap().unwrap();
    assert_eq!((head.digest, head.size), (manifest.digest, bytes.len() as u64));
    for length in [300_000, streamed] {
        let bytes = noise(length);
        assert_eq!(drain(repository, &Digest::of(&bytes), length as u64).unwrap(), bytes);
    }
}

#[test]
fn an_image_goes_there_and_back() {
    let real = Real::start();
    let client = client();
    let own = repository(&client, real.host());
    there_and_back(&own, LONG);
    assert_eq!(own.tags().unwrap(), ["1"]);
    assert_eq!(client.catalog(real.host(), 10).unwrap(), ["team/app"]);
    assert_eq!(own.referrers(&Digest::of(b"x"), None).unwrap(), []);
    let other = client.repository(&format!("{}/team/other", real.host()).parse().unwrap()).unwrap();
    let layer = Digest::of(&noise(300_000));
    assert!(!other.has_blob(&layer).unwrap());
    assert!(other.mount(&layer, &own).unwrap());
    assert!(other.has_blob(&layer).unwrap());
    assert!(!other.mount(&Digest::of(b"missing"), &own).unwrap());
    other.delete_blob(&layer).unwrap();
    assert!(!other.has_blob(&layer).unwrap());
    let digest = own.manifest(&Version::Tag("1".into())).unwrap().digest;
    own.delete_manifest(&Version::Digest(digest)).unwrap();
    assert!(own.manifest(&Version::Tag("1".into())).unwrap_err().is_not_found());
    let uploads = real.directory().join("data/docker/registry/v2/repositories/team/app/_uploads");
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0, "an upload is left behind");
}

#[test]
fn what_refers_to_a_manifest_is_found_where_the_registry_keeps_no_list() {
    let real = Real::start();
    let client = client();
    let repository = repository(&client, real.host());
    let manifest = push(&repository, "1", 1000);
    let subject = Digest::of(&manifest);
    let config: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let refer = |kind: Option<&str>, remark: &str| {
        let mut document = config.clone();
        document["subject"] = serde_json::json!({"mediaType": KIND, "digest": subject, "size": manifest.len()});
        document["annotations"] = serde_json::json!({"remark": remark});
        kind.into_iter().for_each(|kind| document["artifactType"] = kind.into());
        let bytes = document.to_string().into_bytes();
        repository.put_manifest(&Version::Digest(Digest::of(&bytes)), KIND, &bytes).unwrap()
    };
    let (one, two) = (refer(Some("application/x.signature"), "one"), refer(None, "two"));
    assert_eq!(refer(None, "two"), two);
    let found = repository.referrers(&subject, None).unwrap();
    assert_eq!(found.iter().map(|referrer| referrer.digest).collect::<Vec<_>>(), [one, two]);
    assert_eq!(found[0].annotations.as_ref().unwrap()["remark"], "one");
    assert_eq!(found[1].artifact_type.as_deref(), config["config"]["mediaType"].as_str());
    let signatures = repository.referrers(&subject, Some("application/x.signature")).unwrap();
    assert_eq!(signatures.iter().map(|referrer| referrer.digest).collect::<Vec<_>>(), [one]);
    let tag = format!("sha256-{}", subject.hex());
    assert!(repository.tags().unwrap().contains(&tag));
}

#[test]
fn all_tags_are_listed() {
    let real = Real::start();
    let client = client();
    let repository = repository(&client, real.host());
    let manifest = push(&repository, "0", 1000);
    for tag in ["1", "2", "3"] {
        repository.put_manifest(&Version::Tag(tag.into()), KIND, &manifest).unwrap();
    }
    let mut found = repository.tags().unwrap();
    found.sort();
    assert_eq!(found, ["0", "1", "2", "3"]);
}

#[test]
fn several_blobs_go_at_a_time() {
    let real = Real::start();
    let client = client();
    let repository = repository(&client, real.host());
    std::thread::scope(|scope| {
        for number in 1..=6 {
            let repository = &repository;
            scope.spawn(move || {
                let bytes = noise(number * 100_000);
                let sent = repository.upload_stream(&bytes[..]).unwrap();
                assert_eq!(drain(repository, &sent.digest, sent.size).unwrap(), bytes);
            });
        }
    });
}

#[test]
fn tls_is_spoken_with_those_whose_authority_is_known() {
    let (authority, home) = (Authority::new("test"), tempfile::tempdir().unwrap());
    let pair = authority.server(&["127.0.0.1", "localhost"]);
    let real = Real::with(&RealOptions { tls: Some(&pair), ..RealOptions::default() });
    let stranger = client();
    let why = said(&repository(&stranger, real.host()).tags().unwrap_err());
    assert!(why.contains("TLS fails"), "{why}");
    let bundle = Some(authority.write(home.path()));
    let certificates = CertificatePaths { bundle, ..CertificatePaths::default() };
    let client = Client::new(Settings { certificates, ..settings() }, &SILENT);
    there_and_back(&repository(&client, real.host()), 1000);
    // The same in the way that Docker and Podman have it, for one host alone, and by a name.
    let host = real.host().replace("127.0.0.1", "localhost");
    let certificates = of_host(home.path(), &host, &authority, None);
    let client = Client::new(Settings { certificates, ..settings() }, &SILENT);
    assert_eq!(repository(&client, &host).tags().unwrap(), ["1"]);
}

#[test]
fn a_certificate_of_ours_is_shown_to_those_who_want_one() {
    let (authority, home) = (Authority::new("test"), tempfile::tempdir().unwrap());
    let pair = authority.server(&["127.0.0.1"]);
    let pem = authority.certificate();
    let real = Real::with(&RealOptions { tls: Some(&pair), clients: Some(&pem), ..RealOptions::default() });
    let certificates = of_host(home.path(), real.host(), &authority, None);
    let client = Client::new(Settings { certificates, ..settings() }, &SILENT);
    assert!(repository(&client, real.host()).tags().is_err());
    let certificates = of_host(home.path(), real.host(), &authority, Some("eg"));
    let client = Client::new(Settings { certificates: certificates.clone(), ..settings() }, &SILENT);
    there_and_back(&repository(&client, real.host()), 1000);
    std::fs::remove_file(certificates.hosts[0].join(real.host()).join("client.key")).unwrap();
    let client = Client::new(Settings { certificates, ..settings() }, &SILENT);
    let why = said(&repository(&client, real.host()).tags().unwrap_err());
    assert!(why.contains("client.key is missing"), "{why}");
}

/// Makes `certs.d/HOST` as Docker has it.
fn of_host(home: &Path, host: &str, authority: &Authority, client: Option<&str>) -> CertificatePaths {
    let directory = home.join("certs.d").join(host);
    std::fs::create_dir_all(&directory).unwrap();
    authority.write(&directory);
    if let Some(name) = client {
        let pair = authority.client(name);
        std::fs::write(directory.join("client.cert"), pair.certificate).unwrap();
        std::fs::write(directory.join("client.key"), pair.key).unwrap();
    }
    CertificatePaths { hosts: vec![home.join("certs.d")], ..CertificatePaths::default() }
}

#[test]
fn a_login_opens_what_is_closed() {
    let real = Real::with(&RealOptions { login: Some(("eg", "secret")), ..RealOptions::default() });
    let home = tempfile::tempdir().unwrap();
    let client = Client::new(with_credentials(home.path()), &SILENT);
    assert!(repository(&client, real.host()).tags().unwrap_err().wants_login());
    assert!(client.login(real.host(), "eg", &Secret::new("wrong")).unwrap_err().wants_login());
    assert!(client.login(real.host(), "eg", &Secret::new("secret")).unwrap().checked);
    there_and_back(&repository(&client, real.host()), 1000);
    assert!(client.logout(real.host()).unwrap().removed);
    assert!(repository(&client, real.host()).tags().unwrap_err().wants_login());
}

#[test]
fn a_real_mirror_gives_what_its_registry_has() {
    let real = Real::start();
    let address = format!("http://{}", real.host());
    let mirror = Real::with(&RealOptions { mirror_of: Some(&address), ..RealOptions::default() });
    let first = client();
    push(&repository(&first, real.host()), "1", 1000);
    let text = format!(
        "[[registry]]\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{}\"\n",
        real.host(),
        mirror.host()
    );
    let client = Client::new(with_hosts(&text), &SILENT);
    let repository = repository(&client, real.host());
    repository.manifest(&Version::Tag("1".into())).unwrap();
    let bytes = noise(300_000);
    let mut reader = repository.blob(&Digest::of(&bytes), 300_000).unwrap();
    assert_eq!(reader.server(), mirror.host());
    assert_eq!(std::io::copy(&mut reader, &mut std::io::sink()).unwrap(), 300_000);
}
