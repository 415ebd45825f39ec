//! Where secrets go, and where they never go.

use std::sync::{Arc, Mutex};

use registry::{CertificatePaths, Client, Secret, Settings, Version};
use serde_json::json;
use testkit::registry::{Authority, Reply, Server};

use crate::fixture::{SILENT, repository, said, with_credentials, with_hosts, write_password};

fn tag() -> Version {
    Version::Tag("1".into())
}

fn trusting(authority: &Authority, home: &tempfile::TempDir, settings: Settings) -> Settings {
    let bundle = Some(authority.write(home.path()));
    Settings { certificates: CertificatePaths { bundle, ..CertificatePaths::default() }, ..settings }
}

#[test]
fn a_password_is_not_sent_in_the_clear_to_a_token_server_of_a_registry_with_tls() {
    let (authority, home) = (Authority::new("test"), tempfile::tempdir().unwrap());
    let tokens = Server::start(|_| Reply::json(200, &json!({ "token": "t" })));
    let realm = tokens.url("/token");
    let server = Server::start_tls(&authority.server(&["127.0.0.1"]), move |_| {
        Reply::status(401).header("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
    });
    write_password(home.path(), &server.host(), "ZWc6cw==");
    let client = Client::new(trusting(&authority, &home, with_credentials(home.path())), &SILENT);
    let why = said(&repository(&client, &server.host()).manifest(&tag()).unwrap_err());
    assert!(why.contains("would have credentials sent to") && why.ends_with("without TLS"), "{why}");
    let why = said(&client.login(&server.host(), "eg", &Secret::new("s")).unwrap_err());
    assert!(why.contains("without TLS"), "{why}");
    assert_eq!(tokens.seen().len(), 0);
}

#[test]
fn an_address_that_leads_from_tls_to_none_is_not_followed() {
    let (authority, home) = (Authority::new("test"), tempfile::tempdir().unwrap());
    let clear = Server::start(|_| Reply::status(200));
    let to = clear.url("/blob?secret");
    let server =
        Server::start_tls(&authority.server(&["127.0.0.1"]), move |_| Reply::status(302).header("Location", &to));
    let client = Client::new(trusting(&authority, &home, crate::fixture::settings()), &SILENT);
    let why = said(&repository(&client, &server.host()).manifest(&tag()).unwrap_err());
    assert!(why.contains("which is without TLS") && !why.contains("secret"), "{why}");
    assert_eq!(clear.seen().len(), 0);
}

#[test]
fn a_certificate_of_somebody_else_is_refused_and_nothing_is_sent_in_the_clear() {
    let (authority, other, home) = (Authority::new("test"), Authority::new("other"), tempfile::tempdir().unwrap());
    let server = Server::start_tls(&other.server(&["127.0.0.1"]), |_| Reply::status(200));
    let client = Client::new(trusting(&authority, &home, crate::fixture::settings()), &SILENT);
    let why = said(&repository(&client, &server.host()).manifest(&tag()).unwrap_err());
    assert!(why.contains("TLS fails"), "{why}");
    assert_eq!(server.seen().len(), 0);
    let wrong_name = Server::start_tls(&authority.server(&["r.test"]), |_| Reply::status(200));
    let why = said(&repository(&client, &wrong_name.host()).manifest(&tag()).unwrap_err());
    assert!(why.contains("TLS fails"), "{why}");
}

#[test]
fn a_host_that_is_configured_so_is_believed_without_a_certificate() {
    let other = Authority::new("other");
    let server = Server::start_tls(&other.server(&["r.test"]), |_| Reply::json(200, &json!({ "tags": ["1"] })));
    let conf = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", server.host());
    let client = Client::new(with_hosts(&conf), &SILENT);
    assert_eq!(repository(&client, &server.host()).tags().unwrap(), ["1"]);
}

#[test]
fn without_certificates_only_tls_is_an_error() {
    let authority = Authority::new("test");
    let clear = Server::start(|_| Reply::json(200, &json!({ "tags": ["1"] })));
    let tls = Server::start_tls(&authority.server(&["127.0.0.1"]), |_| Reply::status(200));
    let empty = tempfile::tempdir().unwrap();
    let certificates = CertificatePaths { directory: Some(empty.path().to_owned()), ..CertificatePaths::default() };
    let settings = |text: &str| Settings { certificates: certificates.clone(), ..with_hosts(text) };
    let conf = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", clear.host());
    let client = Client::new(settings(&conf), &SILENT);
    assert_eq!(repository(&client, &clear.host()).tags().unwrap(), ["1"]);
    let why = said(&repository(&client, &tls.host()).tags().unwrap_err());
    assert!(why.contains("this machine has no certificates to check others by"), "{why}");
}

#[test]
fn a_password_goes_to_its_registry_and_to_no_other_port_of_the_same_host() {
    let stolen = Arc::new(Mutex::new(Vec::new()));
    let thief = Server::start({
        let stolen = Arc::clone(&stolen);
        move |request| {
            stolen.lock().unwrap().extend(request.header("authorization").map(str::to_owned));
            Reply::status(401).header("WWW-Authenticate", "Basic realm=\"give it to me\"")
        }
    });
    let to = thief.url("/v2/team/app/manifests/1");
    let server = Server::start(move |request| match request.header("authorization") {
        None => Reply::status(401).header("WWW-Authenticate", "Basic realm=\"x\""),
        Some(_) => Reply::status(307).header("Location", &to),
    });
    let home = tempfile::tempdir().unwrap();
    write_password(home.path(), &server.host(), "ZWc6cw==");
    let client = Client::new(with_credentials(home.path()), &SILENT);
    assert!(repository(&client, &server.host()).manifest(&tag()).is_err());
    assert_eq!(thief.seen().len(), 1);
    assert_eq!(*stolen.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_damaged_header_cannot_be_smuggled_in() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v2/" => Reply::status(200),
        _ => Reply::status(302).header("Location", "http://127.0.0.1:1/x y\u{7f}"),
    });
    let client = crate::fixture::client();
    assert!(repository(&client, &server.host()).manifest(&tag()).is_err());
}
