//! `login` and `logout`.

use registry::{Client, Secret};
use serde_json::{Value, json};
use testkit::registry::{Reply, Server, TokenServer};

use crate::fixture::{SILENT, said, with_credentials};

fn kept(home: &tempfile::TempDir) -> Value {
    serde_json::from_slice(&std::fs::read(home.path().join("config.json")).unwrap()).unwrap()
}

#[test]
fn a_password_is_tried_before_it_is_kept() {
    let server = Server::start(|request| match request.header("authorization") {
        Some("Basic ZWc6cw==") => Reply::status(200),
        _ => Reply::status(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let (home, host) = (tempfile::tempdir().unwrap(), server.host());
    let client = Client::new(with_credentials(home.path()), &SILENT);
    let why = said(&client.login(&host, "eg", &Secret::new("wrong")).unwrap_err());
    assert_eq!(why, format!("cannot log in to {host}: {host} does not take the credentials of eg"));
    assert!(!home.path().join("config.json").exists());
    let done = client.login(&host, "eg", &Secret::new("s")).unwrap();
    assert_eq!((done.checked, done.token), (true, false));
    assert_eq!(kept(&home)["auths"][&host]["auth"], "ZWc6cw==");
    assert!(client.logout(&host).unwrap().removed);
    assert_eq!(kept(&home)["auths"], json!({}));
    assert!(!client.logout(&host).unwrap().removed);
}

#[test]
fn a_token_is_kept_in_place_of_the_password_where_one_is_given() {
    let tokens = TokenServer::start(Some(("ZWc6cw==", "password=s&")), true, &json!({ "refresh_token": "id" }));
    let server = Server::start(tokens.guard("", |_| Reply::status(200)));
    let (home, host) = (tempfile::tempdir().unwrap(), server.host());
    let client = Client::new(with_credentials(home.path()), &SILENT);
    assert!(client.login(&host, "eg", &Secret::new("bad")).unwrap_err().wants_login());
    let done = client.login(&host, "eg", &Secret::new("s")).unwrap();
    assert_eq!((done.checked, done.token), (true, true));
    assert_eq!(kept(&home)["auths"][&host], json!({ "auth": "ZWc6", "identitytoken": "id" }));
    let form = String::from_utf8(tokens.server().seen().last().unwrap().body.clone()).unwrap();
    assert!(form.ends_with("&access_type=offline"), "{form}");
}

#[test]
fn a_registry_that_is_open_to_all_looks_at_no_password() {
    let server = Server::start(|_| Reply::status(200));
    let home = tempfile::tempdir().unwrap();
    let client = Client::new(with_credentials(home.path()), &SILENT);
    assert!(!client.login(&server.host(), "eg", &Secret::new("s")).unwrap().checked);
}

#[test]
fn what_is_no_host_is_no_registry() {
    let home = tempfile::tempdir().unwrap();
    let client = Client::new(with_credentials(home.path()), &SILENT);
    for host in ["", "a/b", "https://r.test", "r.test/", "a b", "r.test:x", "debian"] {
        let why = said(&client.login(host, "eg", &Secret::new("s")).unwrap_err());
        assert!(why.contains("is not the name of a registry"), "{why}");
    }
}
