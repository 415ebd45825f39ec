//! Blobs on their way to a registry.

use std::io::{self, Read};

use oci::Digest;
use registry::{Fault as Why, Streamed};
use testkit::registry::{Fault, Reply};

use crate::fixture::{client, memory, noise, repository, said};

#[test]
fn a_blob_is_sent_in_one_piece() {
    let (memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    for length in [0, 1, 3_000_000] {
        let bytes = noise(length);
        let digest = Digest::of(&bytes);
        repository.upload(&digest, length as u64, |from| Ok(&bytes[usize::try_from(from).unwrap()..])).unwrap();
        assert_eq!(memory.blob(&digest).unwrap(), bytes);
    }
    assert_eq!(memory.uploads(), 0);
    let heard: Vec<_> = server.heard().into_iter().filter(|heard| !heard.starts_with("GET")).collect();
    assert_eq!(heard.len(), 6, "{heard:?}");
}

#[test]
fn a_blob_that_broke_on_the_way_is_gone_on_with() {
    let (memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    let bytes = noise(2_000_000);
    let digest = Digest::of(&bytes);
    server.fail("PUT", "uploads", Fault::CutRequest(700_000));
    server.fail("PATCH", "uploads", Fault::CutRequest(500_000));
    repository.upload(&digest, 2_000_000, |from| Ok(&bytes[usize::try_from(from).unwrap()..])).unwrap();
    assert_eq!(memory.blob(&digest).unwrap(), bytes);
    let ranges: Vec<_> =
        server.seen().iter().filter_map(|request| request.header("content-range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["700000-1999999", "1200000-1999999"]);
    assert_eq!(memory.uploads(), 0);
}

#[test]
fn an_upload_that_the_registry_has_forgotten_is_begun_anew() {
    let (memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    let bytes = noise(100_000);
    let digest = Digest::of(&bytes);
    server.fail("PUT", "uploads", Fault::CutRequest(10));
    server.fail("GET", "uploads", Fault::Answer(Reply::status(404)));
    repository.upload(&digest, 100_000, |from| Ok(&bytes[usize::try_from(from).unwrap()..])).unwrap();
    assert_eq!(memory.blob(&digest).unwrap(), bytes);
    assert_eq!(server.heard().iter().filter(|heard| heard.starts_with("POST")).count(), 2);
}

#[test]
fn a_lost_answer_is_no_lost_blob() {
    let (memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    let bytes = noise(1000);
    let digest = memory.add_blob(bytes.clone());
    server.fail("PUT", "uploads", Fault::HangUp);
    repository.upload(&digest, 1000, |_| Ok(&bytes[..])).unwrap();
    assert_eq!(server.heard().iter().filter(|heard| heard.starts_with("PUT")).count(), 1);
}

#[test]
fn a_refused_blob_is_cancelled_and_the_refusal_told() {
    let (memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    let wrong = Digest::of(b"other");
    let why = said(&repository.upload(&wrong, 3, |_| Ok(&b"abc"[..])).unwrap_err());
    assert!(why.ends_with("answers 400: wrong"), "{why}");
    assert_eq!(memory.uploads(), 0);
    server.fail("POST", "uploads", Fault::Answer(Reply::status(403)));
    let error = repository.upload(&wrong, 3, |_| Ok(&b"abc"[..])).unwrap_err();
    assert!(error.wants_login());
}

#[test]
fn a_source_that_fails_is_not_taken_for_the_connection() {
    let (memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    let digest = Digest::of(b"x");
    let error = repository.upload(&digest, 10, |_| Ok(&b"short"[..])).unwrap_err();
    assert!(matches!(error.fault(), Why::SourceLength { expected: 10, actual: 5 }), "{}", said(&error));
    let error = repository.upload(&digest, 10, |_| Ok(Failing)).unwrap_err();
    assert!(matches!(error.fault(), Why::Source(_)), "{}", said(&error));
    assert!(repository.upload_stream(Failing).is_err());
    assert_eq!(memory.uploads(), 0);
}

struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is gone"))
    }
}

#[test]
fn a_stream_is_sent_in_chunks_and_told_what_it_was() {
    let (memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    for (length, chunks) in [(0, 0), (1000, 0), (20 << 20, 3)] {
        let bytes = noise(length);
        let before = server.seen().len();
        let sent = repository.upload_stream(&bytes[..]).unwrap();
        assert_eq!(sent, Streamed { digest: Digest::of(&bytes), size: length as u64 });
        assert_eq!(memory.blob(&sent.digest).unwrap(), bytes);
        let sent = server.heard()[before..].iter().filter(|heard| heard.starts_with("PATCH")).count();
        assert_eq!(sent, chunks);
    }
    assert_eq!(memory.uploads(), 0);
}

#[test]
fn a_chunk_that_broke_is_gone_on_with() {
    let (memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    let bytes = noise(9 << 20);
    repository.tags().unwrap();
    server.fail("PATCH", "uploads", Fault::CutRequest(1_000_000));
    server.fail("PATCH", "uploads", Fault::HangUp);
    server.fail("PUT", "uploads", Fault::HangUp);
    let sent = repository.upload_stream(&bytes[..]).unwrap();
    assert_eq!(memory.blob(&sent.digest).unwrap(), bytes);
}

#[test]
fn a_registry_may_want_large_chunks_and_not_any() {
    let (memory, server) = memory();
    let client = client();
    let repository = repository(&client, &server.host());
    memory.want_chunks(10 << 20);
    let bytes = noise(11 << 20);
    repository.upload_stream(&bytes[..]).unwrap();
    let lengths: Vec<_> =
        server.seen().iter().filter(|request| request.method == "PATCH").map(|request| request.body.len()).collect();
    assert_eq!(lengths, [10 << 20, 1 << 20]);
    memory.want_chunks(1 << 30);
    let why = said(&repository.upload_stream(&bytes[..]).unwrap_err());
    assert!(why.ends_with("more than fit into memory"), "{why}");
    assert_eq!(memory.uploads(), 0);
}

#[test]
fn a_blob_is_mounted_or_has_to_be_sent() {
    let (memory, server) = memory();
    let client = client();
    let own = repository(&client, &server.host());
    let from = client.repository(&format!("{}/other/app", server.host()).parse().unwrap()).unwrap();
    let digest = memory.add_blob("abc");
    assert!(own.mount(&digest, &from).unwrap());
    assert_eq!(server.seen().last().unwrap().query, format!("mount={digest}&from=other/app"));
    assert!(!own.mount(&Digest::of(b"missing"), &from).unwrap());
    assert_eq!(memory.uploads(), 0);
    let elsewhere = repository(&client, "127.0.0.1:1");
    assert!(!own.mount(&digest, &elsewhere).unwrap());
}
