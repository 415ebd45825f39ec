//! What `--explain` shows of requests.

use std::io::{Read, Seek};

use registry::{Client, Version};
use serde_json::json;
use testkit::registry::{Fault, Memory, Reply, Server, TokenServer};
use trace::{Format, Recorder};

use crate::fixture::{KIND, repository, with_credentials, write_password};

#[test]
fn every_request_is_told_as_curl_and_no_secret_is() {
    let tokens = TokenServer::start(Some(("ZWc6c2VjcmV0", "password=secret&")), true, &json!({}));
    let memory = Memory::default();
    memory.add_manifest("1", KIND, "{}");
    let server = Server::start(tokens.guard("", move |request| memory.answer(request)));
    server.fail("GET", "manifests", Fault::Answer(Reply::status(503)));
    let home = tempfile::tempdir().unwrap();
    write_password(home.path(), &server.host(), "ZWc6c2VjcmV0");
    let mut shown = tempfile::tempfile().unwrap();
    let recorder = Recorder::writing(shown.try_clone().unwrap().into(), Format::Text);
    let client = Client::new(with_credentials(home.path()), &recorder);
    repository(&client, &server.host()).manifest(&Version::Tag("1".into())).unwrap();
    let mut text = String::new();
    shown.rewind().unwrap();
    shown.read_to_string(&mut text).unwrap();
    let host = server.host();
    for line in [
        format!("+ see whether {host} speaks https\n      curl -fsS https://{host}/v2/\n"),
        format!("+ see whether {host} speaks http\n      curl -fsS http://{host}/v2/\n"),
        format!("+ go on without TLS: {host} speaks plain http, and may\n"),
        format!(
            "+ get the manifest 1 of team/app at {host}\n      curl -fsS -H 'Accept: application/vnd.oci.image.index.v1+json, "
        ),
        format!("seconds: {host} answers 503\n      sleep 0."),
        format!(
            "+ ask {} for a token\n      TOKEN=$(curl -fsS -u eg -d \"grant_type=password&username=eg&password=$PASSWORD&service=r.test",
            tokens.server().host()
        ),
        "curl -fsS -H \"Authorization: Bearer $TOKEN\" -H 'Accept: ".to_owned(),
        format!("http://{host}/v2/team/app/manifests/1\n"),
    ] {
        assert!(text.contains(&line), "{line}\n---\n{text}");
    }
    assert!(!text.contains("secret") && !text.contains("ZWc6") && !text.contains("token-1"), "{text}");
}
