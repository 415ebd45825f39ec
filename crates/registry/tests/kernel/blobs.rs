//! Blobs over connections that break, and from servers that send something else.

use std::io::Read;
use std::sync::Arc;

use oci::Digest;
use registry::Error;
use testkit::registry::{Fault, Reply, Server};

use crate::fixture::{client, drain, memory, noise, repository, said};

#[test]
fn a_blob_is_read_to_its_end_and_no_further() {
    let (memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    for length in [0, 1, 1_000_000] {
        let bytes = noise(length);
        let digest = memory.add_blob(bytes.clone());
        assert_eq!(drain(&repository, &digest, length as u64).unwrap(), bytes);
        assert!(repository.has_blob(&digest).unwrap());
    }
    assert!(!repository.has_blob(&Digest::of(b"other")).unwrap());
}

#[test]
fn a_connection_that_breaks_is_gone_on_with_where_it_broke() {
    let (memory, server) = memory();
    let bytes = noise(1_000_000);
    let digest = memory.add_blob(bytes.clone());
    let client = client();
    let repository = repository(&client, &server.host());
    server.fail("GET", "blobs", Fault::Cut(300_000));
    server.fail("GET", "blobs", Fault::Cut(200_000));
    server.fail("GET", "blobs", Fault::HangUp);
    server.fail("GET", "blobs", Fault::Answer(Reply::status(503)));
    assert_eq!(drain(&repository, &digest, 1_000_000).unwrap(), bytes);
    let ranges: Vec<_> =
        server.seen().iter().filter_map(|request| request.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["bytes=300000-", "bytes=500000-", "bytes=500000-", "bytes=500000-"]);
}

#[test]
fn a_server_that_knows_no_parts_begins_anew_and_nothing_is_read_twice() {
    let (memory, server) = memory();
    let bytes = noise(500_000);
    let digest = memory.add_blob(bytes.clone());
    let client = client();
    let repository = repository(&client, &server.host());
    server.fail("GET", "blobs", Fault::Cut(123_456));
    server.fail("GET", "blobs", Fault::IgnoreRange);
    assert_eq!(drain(&repository, &digest, 500_000).unwrap(), bytes);
}

#[test]
fn another_part_than_the_one_asked_for_is_refused() {
    let (memory, server) = memory();
    let digest = memory.add_blob(noise(1000));
    let client = client();
    let repository = repository(&client, &server.host());
    for range in ["bytes 499-998/1000", "bytes 501-999/1000", "nonsense"] {
        server.fail("GET", "blobs", Fault::Cut(500));
        server.fail("GET", "blobs", Fault::Answer(Reply::status(206).header("Content-Range", range).body(noise(500))));
        let why = drain(&repository, &digest, 1000).unwrap_err();
        assert!(why.ends_with("is another part of the blob than the one from 500"), "{why}");
    }
    server.fail("GET", "blobs", Fault::Cut(500));
    let longer = Reply::status(206).header("Content-Range", "bytes 500-1999/2000").body(noise(1500));
    server.fail("GET", "blobs", Fault::Answer(longer));
    assert!(drain(&repository, &digest, 1000).unwrap_err().ends_with("sends 2000 in place of 1000 bytes"));
}

#[test]
fn a_server_that_always_breaks_is_given_up() {
    let (memory, server) = memory();
    let digest = memory.add_blob(noise(1000));
    let client = client();
    let repository = repository(&client, &server.host());
    server.fail_often(100, "GET", "blobs", Fault::Cut(0));
    let why = drain(&repository, &digest, 1000).unwrap_err();
    assert!(why.contains("breaks off"), "{why}");
    assert!(server.seen().len() < 10);
}

#[test]
fn wrong_bytes_are_an_error_at_the_end_that_names_blob_and_registry() {
    let (memory, server) = memory();
    let digest = memory.add_blob(noise(1000));
    let client = client();
    let repository = repository(&client, &server.host());
    server.fail("GET", "blobs", Fault::Corrupt);
    let mut reader = repository.blob(&digest, 1000).unwrap();
    let mut bytes = vec![0; 1000];
    reader.read_exact(&mut bytes).unwrap();
    let error = reader.read(&mut bytes).unwrap_err().downcast::<Error>().unwrap();
    let host = server.host();
    assert!(
        said(&error).starts_with(&format!("cannot get blob {digest} of {host}/team/app: {host} sends something else:"))
    );
    assert!(reader.read(&mut bytes).is_err(), "an error stays one");
}

#[test]
fn a_blob_of_another_length_is_refused_before_and_after_its_bytes() {
    let (memory, server) = memory();
    let digest = memory.add_blob(noise(1000));
    let client = client();
    let repository = repository(&client, &server.host());
    assert!(drain(&repository, &digest, 999).unwrap_err().ends_with("sends 1000 in place of 999 bytes"));
    assert!(drain(&repository, &digest, 1001).unwrap_err().ends_with("sends 1000 in place of 1001 bytes"));
    // One that does not say how much it sends.
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.extend(noise(1010));
    server.fail("GET", "blobs", Fault::Answer(Reply::raw(endless)));
    assert!(drain(&repository, &digest, 1000).unwrap_err().ends_with("sends 1001 in place of 1000 bytes"));
}

#[test]
fn a_blob_that_lies_elsewhere_is_followed_to_without_anything_that_is_not_its_business() {
    let bytes = noise(5000);
    let digest = Digest::of(&bytes);
    let lies = bytes.clone();
    let elsewhere = Arc::new(Server::start(move |_| Reply::status(200).body(lies.clone())));
    let url = elsewhere.url("/b?signature=secret");
    let server = Server::start(move |request| match request.path.as_str() {
        "/v2/" => Reply::status(200),
        _ if request.header("authorization").is_none() => {
            Reply::status(401).header("WWW-Authenticate", "Basic realm=\"x\"")
        }
        _ => Reply::status(307).header("Location", &url),
    });
    let home = tempfile::tempdir().unwrap();
    crate::fixture::write_password(home.path(), &server.host(), "ZWc6cw==");
    let client = registry::Client::new(crate::fixture::with_credentials(home.path()), &crate::fixture::SILENT);
    let repository = repository(&client, &server.host());
    assert_eq!(drain(&repository, &digest, 5000).unwrap(), bytes);
    let there = elsewhere.seen();
    assert_eq!(there.len(), 1);
    assert_eq!(there[0].query, "signature=secret");
    assert_eq!(there[0].header("authorization"), None);
    assert_eq!(server.seen().last().unwrap().header("authorization"), Some("Basic ZWc6cw=="));
}

#[test]
fn addresses_that_lead_in_a_circle_end() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v2/" => Reply::status(200),
        _ => Reply::status(302).header("Location", "/round"),
    });
    let client = client();
    let why = drain(&repository(&client, &server.host()), &Digest::of(b""), 0).unwrap_err();
    assert!(why.ends_with("leads from one address to the other more than 10 times"), "{why}");
    assert!(server.seen().len() < 20);
}

#[test]
fn several_threads_read_at_a_time() {
    let (memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    let blobs: Vec<_> = (1..=6).map(|number| noise(number * 50_000)).collect();
    for bytes in &blobs {
        memory.add_blob(bytes.clone());
    }
    server.fail("GET", "blobs", Fault::Cut(10_000));
    server.fail("GET", "blobs", Fault::HangUp);
    std::thread::scope(|scope| {
        for bytes in &blobs {
            let repository = &repository;
            scope.spawn(move || {
                assert_eq!(&drain(repository, &Digest::of(bytes), bytes.len() as u64).unwrap(), bytes);
            });
        }
    });
}
