//! Tags, repositories, referrers.

use oci::Digest;
use serde_json::json;
use testkit::registry::{Fault, Reply, Server};

use crate::fixture::{client, memory, repository, said};

#[test]
fn tags_come_page_by_page() {
    let server = Server::start(|request| match request.parameter("last") {
        _ if request.path == "/v2/" => Reply::status(200),
        None => Reply::json(200, &json!({ "tags": ["a", "b"] }))
            .header("Link", "</v2/team/app/tags/list?last=b&n=1000>; rel=\"next\""),
        Some("b") => Reply::json(200, &json!({ "tags": ["c"] })).header("Link", "<?last=c>; rel=next"),
        Some(_) => Reply::json(200, &json!({ "tags": null })),
    });
    let client = client();
    assert_eq!(repository(&client, &server.host()).tags().unwrap(), ["a", "b", "c"]);
    assert_eq!(server.seen().iter().filter(|request| request.path.ends_with("list")).count(), 3);
}

#[test]
fn pages_without_end_end() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v2/" => Reply::status(200),
        _ => Reply::json(200, &json!({ "tags": ["a"] })).header("Link", "<?again>; rel=\"next\""),
    });
    let client = client();
    let why = said(&repository(&client, &server.host()).tags().unwrap_err());
    assert!(why.ends_with("leads from page to page without end"), "{why}");
    let elsewhere = Reply::json(200, &json!({ "tags": [] })).header("Link", "<http://127.0.0.1:1/>; rel=\"next\"");
    server.fail("GET", "tags", Fault::Answer(elsewhere));
    let why = said(&repository(&client, &server.host()).tags().unwrap_err());
    assert!(why.ends_with("leads to a page elsewhere"), "{why}");
}

#[test]
fn names_that_would_disturb_a_terminal_are_left_out() {
    let server = Server::start(|_| Reply::json(200, &json!({ "tags": ["a", "\u{1b}[2J", "x".repeat(1000)] })));
    let client = client();
    assert_eq!(repository(&client, &server.host()).tags().unwrap(), ["a"]);
}

#[test]
fn repositories_are_listed_as_far_as_is_wanted() {
    let server = Server::start(|_| {
        Reply::json(200, &json!({ "repositories": ["a", "b", "c"] })).header("Link", "<?again>; rel=\"next\"")
    });
    let client = client();
    assert_eq!(client.catalog(&server.host(), 2).unwrap(), ["a", "b"]);
}

#[test]
fn referrers_are_filtered_whoever_does_it() {
    let digest = Digest::of(b"subject");
    let referrer = |kind: &str| json!({ "mediaType": "m", "artifactType": kind, "digest": Digest::of(kind.as_bytes()), "size": 7 });
    let index = json!({ "manifests": [referrer("a/b"), referrer("c/d")] });
    let answer = index.clone();
    let server = Server::start(move |_| Reply::json(200, &answer));
    let client = client();
    let here = repository(&client, &server.host());
    assert_eq!(here.referrers(&digest, None).unwrap().len(), 2);
    let found = here.referrers(&digest, Some("c/d")).unwrap();
    assert_eq!((found.len(), found[0].digest), (1, Digest::of(b"c/d")));
    assert_eq!(server.seen().last().unwrap().query, "artifactType=c/d");
    // Where nobody knows the question, the answer lies under a tag.
    let (memory, server) = memory();
    let there = repository(&client, &server.host());
    assert_eq!(there.referrers(&digest, None).unwrap(), []);
    let tag = format!("sha256-{}", digest.hex());
    memory.add_manifest(&tag, "application/vnd.oci.image.index.v1+json", index.to_string());
    assert_eq!(there.referrers(&digest, Some("a/b")).unwrap().len(), 1);
}
