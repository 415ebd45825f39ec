//! Rules about registries: mirrors, other locations, blocked names.

use std::fmt::Write as _;

use registry::{Client, Version};
use testkit::registry::{Fault, Reply, Server};

use crate::fixture::{KIND, SILENT, drain, memory, noise, repository, said, with_hosts};

fn rules(location: &str, mirrors: &[(&str, &str)]) -> String {
    let mut text = format!("[[registry]]\nlocation = \"{location}\"\n");
    for (mirror, more) in mirrors {
        write!(text, "[[registry.mirror]]\nlocation = \"{mirror}\"\n{more}\n").unwrap();
    }
    text
}

#[test]
fn mirrors_are_asked_in_order_and_the_registry_last() {
    let ((first, first_server), (second, second_server), (own, server)) = (memory(), memory(), memory());
    let gone = Server::start(|_| Reply::status(200)).host();
    let mirrors = [(gone.as_str(), ""), (&first_server.host(), ""), (&format!("{}/copies", second_server.host()), "")];
    let client = Client::new(with_hosts(&rules(&server.host(), &mirrors)), &SILENT);
    let repository = repository(&client, &server.host());
    let in_second = second.add_manifest("1", KIND, "{\"x\":2}");
    own.add_manifest("1", KIND, "{\"x\":3}");
    let tag = Version::Tag("1".into());
    assert_eq!(repository.manifest(&tag).unwrap().digest, in_second);
    assert!(second_server.heard().contains(&"GET /v2/copies/team/app/manifests/1".to_owned()));
    let in_first = first.add_manifest("1", KIND, "{\"x\":1}");
    assert_eq!(repository.manifest(&tag).unwrap().digest, in_first);
    assert_eq!(server.seen().len(), 0);
    repository.put_manifest(&tag, KIND, b"{}").unwrap();
    assert!(server.heard().contains(&"PUT /v2/team/app/manifests/1".to_owned()));
}

#[test]
fn a_mirror_may_be_for_digests_alone() {
    let ((mirror, mirror_server), (own, server)) = (memory(), memory());
    let mirrors = [(mirror_server.host(), "pull-from-mirror = \"digest-only\"")];
    let mirrors: Vec<_> = mirrors.iter().map(|(host, more)| (host.as_str(), *more)).collect();
    let client = Client::new(with_hosts(&rules(&server.host(), &mirrors)), &SILENT);
    let repository = repository(&client, &server.host());
    mirror.add_manifest("1", KIND, "{\"old\":1}");
    let fresh = own.add_manifest("1", KIND, "{\"new\":1}");
    assert_eq!(repository.manifest(&Version::Tag("1".into())).unwrap().digest, fresh);
    assert_eq!(mirror_server.seen().len(), 0);
    let bytes = noise(1000);
    let digest = mirror.add_blob(bytes.clone());
    assert_eq!(drain(&repository, &digest, 1000).unwrap(), bytes);
}

#[test]
fn a_blob_that_a_mirror_cannot_finish_is_finished_by_the_registry() {
    let ((mirror, mirror_server), (own, server)) = (memory(), memory());
    let client = Client::new(with_hosts(&rules(&server.host(), &[(&mirror_server.host(), "")])), &SILENT);
    let bytes = noise(100_000);
    let digest = mirror.add_blob(bytes.clone());
    own.add_blob(bytes.clone());
    mirror_server.fail("GET", "blobs", Fault::Cut(40_000));
    mirror_server.fail_often(100, "GET", "blobs", Fault::Answer(Reply::status(404)));
    assert_eq!(drain(&repository(&client, &server.host()), &digest, 100_000).unwrap(), bytes);
    let ranges: Vec<_> =
        server.seen().iter().filter_map(|request| request.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["bytes=40000-"]);
}

#[test]
fn a_blocked_registry_is_not_asked() {
    let (_memory, server) = memory();
    let text = format!("[[registry]]\nprefix = \"{}/team\"\nblocked = true\n", server.host());
    let client = Client::new(with_hosts(&text), &SILENT);
    let error = client.repository(&format!("{}/team/app", server.host()).parse().unwrap()).unwrap_err();
    let why = said(&error);
    assert!(why.ends_with(&format!("is blocked by the rule about {}/team in registries.conf", server.host())), "{why}");
    client.repository(&format!("{}/other/app", server.host()).parse().unwrap()).unwrap();
    assert_eq!(server.seen().len(), 0);
}
