//! Tokens: of servers that give them by GET or POST, for a while, and for what is asked.

use std::sync::Arc;

use registry::{Client, Version};
use serde_json::json;
use testkit::registry::{Fault, Memory, Reply, Server, TokenServer};

use crate::fixture::{KIND, SILENT, client, noise, repository, said, with_credentials, write_password};

const EG: Option<(&str, &str)> = Some(("ZWc6cw==", "username=eg&password=s&"));

/// Starts a registry that wants tokens of a server.
fn guarded(tokens: &TokenServer, scope: &'static str) -> (Arc<Memory>, Server) {
    let memory = Arc::new(Memory::default());
    let own = Arc::clone(&memory);
    let server = Server::start(tokens.guard(scope, move |request| own.answer(request)));
    memory.add_manifest("1", KIND, "{\"schemaVersion\":2}");
    (memory, server)
}

fn tag() -> Version {
    Version::Tag("1".into())
}

#[test]
fn a_token_is_fetched_once_and_used_by_all_threads() {
    let tokens = TokenServer::start(None, true, &json!({ "expires_in": 300 }));
    let (_memory, server) = guarded(&tokens, "repository:team/app:pull");
    let client = client();
    let repository = repository(&client, &server.host());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| repository.manifest(&tag()).unwrap());
        }
    });
    let asked = tokens.server().seen();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("GET", "/token"));
    assert_eq!(asked[0].query, "service=r.test&scope=repository:team/app:pull");
    assert_eq!(asked[0].header("authorization"), None);
}

#[test]
fn scopes_are_united_and_a_mount_asks_for_both_repositories() {
    let tokens = TokenServer::start(None, true, &json!({}));
    let (memory, server) = guarded(&tokens, "");
    let client = client();
    let own = repository(&client, &server.host());
    let from = client.repository(&format!("{}/from/app", server.host()).parse().unwrap()).unwrap();
    own.manifest(&tag()).unwrap();
    assert!(own.mount(&memory.add_blob("abc"), &from).unwrap());
    own.put_manifest(&tag(), KIND, b"{}").unwrap();
    let queries: Vec<_> =
        tokens.server().seen().iter().map(|request| request.query.replace("service=r.test&", "")).collect();
    assert_eq!(
        queries,
        ["scope=repository:team/app:pull", "scope=repository:from/app:pull&scope=repository:team/app:pull%2Cpush",]
    );
}

#[test]
fn a_scope_that_only_the_registry_knows_is_asked_for_too_and_remembered() {
    let tokens = TokenServer::start(None, true, &json!({}));
    let (_memory, server) = guarded(&tokens, "repository:renamed/app:pull");
    let client = client();
    let repository = repository(&client, &server.host());
    repository.manifest(&tag()).unwrap();
    repository.manifest(&tag()).unwrap();
    let asked = tokens.server().seen();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].query.ends_with("scope=repository:renamed/app:pull&scope=repository:team/app:pull"));
}

#[test]
fn a_token_that_is_refused_is_replaced_once() {
    let tokens = TokenServer::start(None, true, &json!({ "expires_in": 300 }));
    let (_memory, server) = guarded(&tokens, "");
    let client = client();
    let repository = repository(&client, &server.host());
    repository.manifest(&tag()).unwrap();
    tokens.revoke();
    repository.manifest(&tag()).unwrap();
    assert_eq!(tokens.server().seen().len(), 2);
    server.fail_often(2, "GET", "manifests", Fault::Answer(Reply::status(401)));
    let error = repository.manifest(&tag()).unwrap_err();
    assert!(error.wants_login());
}

#[test]
fn a_token_that_runs_out_in_the_midst_of_an_upload_is_replaced() {
    let tokens = TokenServer::start(None, true, &json!({ "expires_in": 300 }));
    let (memory, server) = guarded(&tokens, "");
    let client = client();
    let repository = repository(&client, &server.host());
    let bytes = noise(100_000);
    let digest = oci::Digest::of(&bytes);
    let send = || {
        repository.upload(&digest, 100_000, |from| {
            // It was good for the beginning and is not for what follows.
            if memory.blob(&digest).is_none() && tokens.server().seen().len() == 1 {
                tokens.revoke();
            }
            Ok(&bytes[usize::try_from(from).unwrap()..])
        })
    };
    send().unwrap();
    assert_eq!(memory.blob(&digest).unwrap(), bytes);
    assert_eq!(tokens.server().seen().len(), 2);
    assert_eq!(server.heard().iter().filter(|heard| heard.starts_with("PUT")).count(), 2);
}

#[test]
fn a_password_goes_by_post_and_where_nobody_knows_that_by_get() {
    for knows_post in [true, false] {
        let tokens = TokenServer::start(EG, knows_post, &json!({}));
        let (_memory, server) = guarded(&tokens, "");
        let home = tempfile::tempdir().unwrap();
        write_password(home.path(), &server.host(), "ZWc6cw==");
        let client = Client::new(with_credentials(home.path()), &SILENT);
        repository(&client, &server.host()).manifest(&tag()).unwrap();
        repository(&client, &server.host()).put_manifest(&tag(), KIND, b"{}").unwrap();
        let heard = tokens.server().heard();
        // That there is no POST is learnt once.
        let expected: &[&str] =
            if knows_post { &["POST /token"; 2] } else { &["POST /token", "GET /token", "GET /token"] };
        assert_eq!(heard, expected);
    }
}

#[test]
fn a_wrong_password_is_said_to_be_one() {
    let tokens = TokenServer::start(EG, true, &json!({}));
    let (_memory, server) = guarded(&tokens, "");
    let home = tempfile::tempdir().unwrap();
    write_password(home.path(), &server.host(), "ZWc6d3Jvbmc=");
    let client = Client::new(with_credentials(home.path()), &SILENT);
    let error = repository(&client, &server.host()).manifest(&tag()).unwrap_err();
    assert!(error.wants_login());
    let why = said(&error);
    let end = format!("{} does not take the credentials of eg: incorrect username or password", tokens.server().host());
    assert!(why.ends_with(&end), "{why}");
    assert!(!why.contains("wrong"), "{why}");
}

#[test]
fn an_identity_token_is_shown_to_the_token_server_alone() {
    let tokens = TokenServer::start(Some(("", "grant_type=refresh_token&refresh_token=id&")), true, &json!({}));
    let (_memory, server) = guarded(&tokens, "");
    let home = tempfile::tempdir().unwrap();
    let text = json!({ "auths": { server.host(): { "auth": "ZWc6", "identitytoken": "id" } } });
    std::fs::write(home.path().join("config.json"), text.to_string()).unwrap();
    let client = Client::new(with_credentials(home.path()), &SILENT);
    repository(&client, &server.host()).manifest(&tag()).unwrap();
    assert!(
        server.seen().iter().all(|request| request.header("authorization").is_none_or(|it| it == "Bearer token-1"))
    );
}

#[test]
fn a_registry_s_own_token_is_sent_as_it_is() {
    let server = Server::start(|request| match request.header("authorization") {
        Some("Bearer mine") => Reply::json(200, &json!({ "tags": ["1"] })),
        _ => Reply::status(401).header("WWW-Authenticate", "Bearer realm=\"http://127.0.0.1:1/\""),
    });
    let home = tempfile::tempdir().unwrap();
    let text = json!({ "auths": { server.host(): { "registrytoken": "mine" } } });
    std::fs::write(home.path().join("config.json"), text.to_string()).unwrap();
    let client = Client::new(with_credentials(home.path()), &SILENT);
    assert_eq!(repository(&client, &server.host()).tags().unwrap(), ["1"]);
}

#[test]
fn a_token_server_that_fails_for_a_while_is_asked_again() {
    let tokens = TokenServer::start(None, true, &json!({}));
    let (_memory, server) = guarded(&tokens, "");
    tokens.server().fail("GET", "/token", Fault::HangUp);
    tokens.server().fail("GET", "/token", Fault::Answer(Reply::status(502)));
    let client = client();
    repository(&client, &server.host()).manifest(&tag()).unwrap();
    for bad in
        [Reply::status(200).body("x"), Reply::json(200, &json!({})), Reply::status(200).body("x".repeat(1 << 20))]
    {
        tokens.revoke();
        tokens.server().fail("GET", "/token", Fault::Answer(bad));
        let why = said(&repository(&client, &server.host()).manifest(&tag()).unwrap_err());
        assert!(why.contains("no token is to be had from"), "{why}");
    }
}

#[test]
fn a_challenge_that_makes_no_sense_is_a_refusal() {
    for challenge in ["", "Negotiate", "Bearer", "Bearer realm=\"nonsense\"", "Bearer realm=\"ftp://x/\""] {
        let server = Server::start(move |_| Reply::status(401).header("WWW-Authenticate", challenge));
        let client = client();
        assert!(repository(&client, &server.host()).manifest(&tag()).is_err());
    }
}
