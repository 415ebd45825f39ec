//! Manifests of servers that tell the truth, and of others.

use std::time::Duration;

use oci::Digest;
use registry::{Client, Fault as Why, LONGEST_MANIFEST, Settings, Timeouts, Version};
use serde_json::json;
use testkit::registry::{Fault, Reply, Server};

use crate::fixture::{KIND, SILENT, client, memory, repository, said, settings};

fn tag() -> Version {
    Version::Tag("1".into())
}

#[test]
fn a_manifest_comes_with_its_kind_and_its_digest() {
    let (memory, server) = memory();
    let bytes = json!({ "schemaVersion": 2, "mediaType": KIND }).to_string();
    let digest = memory.add_manifest("1", KIND, bytes.clone());
    let client = client();
    let repository = repository(&client, &server.host());
    for version in [tag(), Version::Digest(digest)] {
        let manifest = repository.manifest(&version).unwrap();
        assert_eq!((manifest.media_type.as_str(), manifest.digest), (KIND, digest));
        assert_eq!(manifest.bytes, bytes.as_bytes());
        let head = repository.manifest_head(&version).unwrap().unwrap();
        assert_eq!((head.media_type.as_str(), head.digest, head.size), (KIND, digest, bytes.len() as u64));
    }
    let accepted = server.seen().last().unwrap().header("accept").unwrap().to_owned();
    assert!(accepted.contains("application/vnd.docker.distribution.manifest.list.v2+json"), "{accepted}");
}

#[test]
fn what_is_not_there_is_told_apart_from_what_fails() {
    let (_memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    let error = repository.manifest(&tag()).unwrap_err();
    assert!(error.is_not_found());
    let host = server.host();
    assert_eq!(
        said(&error),
        format!("cannot get the manifest 1 of {host}/team/app: {host} does not have it: manifest unknown")
    );
    assert_eq!(repository.manifest_head(&tag()).unwrap(), None);
    server.fail_often(4, "HEAD", "manifests", Fault::Answer(Reply::status(503)));
    assert!(matches!(repository.manifest_head(&tag()).unwrap_err().fault(), Why::Refused { status: 503, .. }));
}

#[test]
fn other_bytes_than_those_asked_for_are_refused() {
    let (memory, server) = memory();
    let digest = memory.add_manifest("1", KIND, "{\"schemaVersion\":2}");
    let client = client();
    let repository = repository(&client, &server.host());
    server.fail("GET", "manifests", Fault::Corrupt);
    assert!(matches!(repository.manifest(&tag()).unwrap_err().fault(), Why::Digest { .. }));
    // A server that says the digest of what it sends, and sends something else than was asked for.
    let other = Reply::status(200).header("Docker-Content-Digest", Digest::of(b"{}").to_string()).body("{}");
    server.fail("GET", "manifests", Fault::Answer(other));
    let why = repository.manifest(&Version::Digest(digest)).unwrap_err();
    assert!(matches!(why.fault(), Why::Digest { expected, .. } if *expected == digest));
}

#[test]
fn a_manifest_of_schema_1_is_refused_in_words() {
    let (memory, server) = memory();
    memory.add_manifest("1", "application/vnd.docker.distribution.manifest.v1+prettyjws", "{\"schemaVersion\":1}");
    let client = client();
    let why = said(&repository(&client, &server.host()).manifest(&tag()).unwrap_err());
    assert!(why.contains("as a manifest of Docker's schema 1 only, which is not taken"), "{why}");
}

#[test]
fn an_answer_without_measure_is_not_read() {
    let (_memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    let long = vec![b' '; usize::try_from(LONGEST_MANIFEST).unwrap() + 1];
    server.fail("GET", "manifests", Fault::Answer(Reply::status(200).body(long)));
    assert!(matches!(repository.manifest(&tag()).unwrap_err().fault(), Why::TooLong { .. }));
    let header = Reply::status(200).header("X", "x".repeat(100_000));
    server.fail_often(4, "GET", "manifests", Fault::Answer(header));
    assert!(matches!(repository.manifest(&tag()).unwrap_err().fault(), Why::Wire { .. }));
    let complaint = Reply::status(400).body("x".repeat(10_000_000));
    server.fail("GET", "manifests", Fault::Answer(complaint));
    assert!(said(&repository.manifest(&tag()).unwrap_err()).len() < 1000);
}

#[test]
fn garbage_is_an_error_and_no_panic() {
    let (_memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    repository.tags().unwrap();
    for garbage in [
        "",
        "\0\0\0",
        "SSH-2.0-x\r\n",
        "HTTP/1.1 200",
        "HTTP/1.1 999999 x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    ] {
        server.fail_often(100, "GET", "manifests/1", Fault::Answer(Reply::raw(garbage)));
        assert!(!repository.manifest(&tag()).unwrap_err().is_not_found(), "{garbage:?}");
        server.forgive();
    }
    server.fail("GET", "manifests/1", Fault::Answer(Reply::status(200).body("no json")));
    assert!(repository.manifest(&tag()).is_err());
}

#[test]
fn a_failure_that_passes_is_waited_for() {
    let (memory, server) = memory();
    memory.add_manifest("1", KIND, "{\"schemaVersion\":2}");
    let client = client();
    let repository = repository(&client, &server.host());
    server.fail("GET", "manifests", Fault::HangUp);
    server.fail("GET", "manifests", Fault::Answer(Reply::status(503)));
    server.fail("GET", "manifests", Fault::Answer(Reply::status(429).header("Retry-After", "0")));
    repository.manifest(&tag()).unwrap();
    let asked = server.heard().iter().filter(|heard| heard.ends_with("manifests/1")).count();
    assert_eq!(asked, 4);
}

#[test]
fn a_server_that_wants_a_pause_gets_it_and_one_that_wants_too_long_a_pause_is_left_alone() {
    let (memory, server) = memory();
    memory.add_manifest("1", KIND, "{\"schemaVersion\":2}");
    let client = client();
    let repository = repository(&client, &server.host());
    server.fail("GET", "manifests", Fault::Answer(Reply::status(429).header("Retry-After", "1")));
    let start = std::time::Instant::now();
    repository.manifest(&tag()).unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    server.fail("GET", "manifests", Fault::Answer(Reply::status(429).header("Retry-After", "3600").body("slowly")));
    let why = said(&repository.manifest(&tag()).unwrap_err());
    assert!(why.ends_with("answers 429 and wants to be asked again in 3600 seconds: slowly"), "{why}");
}

#[test]
fn what_does_not_pass_is_not_tried_again() {
    let (_memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    for status in [400, 403, 404, 405, 501] {
        let before = server.seen().len();
        server.fail("PUT", "manifests", Fault::Answer(Reply::status(status)));
        assert!(repository.put_manifest(&tag(), KIND, b"{}").is_err());
        let asked = server.heard()[before..].iter().filter(|heard| heard.starts_with("PUT")).count();
        assert_eq!(asked, 1, "{status}");
    }
}

#[test]
fn a_server_that_is_slow_is_waited_for_and_one_that_is_silent_is_not() {
    let (memory, server) = memory();
    memory.add_manifest("1", KIND, "{\"schemaVersion\":2}");
    let timeouts = Timeouts { silence: Duration::from_secs(2), ..Timeouts::default() };
    let client = Client::new(Settings { timeouts, ..settings() }, &SILENT);
    let repository = repository(&client, &server.host());
    // 19 bytes take longer than the silence that is allowed.
    server.fail("GET", "manifests", Fault::Slow(Duration::from_millis(150)));
    repository.manifest(&tag()).unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings =
        Settings { timeouts, patience: registry::Patience { attempts: 1, ..settings().patience }, ..settings() };
    let client = Client::new(settings, &SILENT);
    let host = silent.local_addr().unwrap().to_string();
    let why = said(&crate::fixture::repository(&client, &host).manifest(&tag()).unwrap_err());
    assert!(why.contains("nothing came for"), "{why}");
}

#[test]
fn nobody_listening_is_said_at_once() {
    let gone = Server::start(|_| Reply::status(200)).host();
    let client = client();
    let why = said(&repository(&client, &gone).manifest(&tag()).unwrap_err());
    assert_eq!(
        why.to_lowercase(),
        format!(
            "cannot get the manifest 1 of {gone}/team/app: {gone} cannot be asked: connection refused (os error 111)"
        )
    );
}

#[test]
fn a_manifest_is_put_and_deleted() {
    let (memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    let digest = repository.put_manifest(&tag(), KIND, b"{\"schemaVersion\":2}").unwrap();
    assert_eq!(digest, Digest::of(b"{\"schemaVersion\":2}"));
    assert_eq!(repository.tags().unwrap(), ["1"]);
    repository.delete_manifest(&tag()).unwrap();
    repository.delete_manifest(&tag()).unwrap();
    assert_eq!(repository.tags().unwrap(), Vec::<String>::new());
    let wrong = Version::Digest(Digest::of(b"other"));
    assert!(matches!(repository.put_manifest(&wrong, KIND, b"{}").unwrap_err().fault(), Why::Digest { .. }));
    drop(memory);
}
