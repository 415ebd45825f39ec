//! Ways to a server: by a name, and through a proxy.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;

use registry::{CertificatePaths, Client, NameFiles, Proxies, Settings};
use serde_json::json;
use testkit::registry::{Authority, Reply, Server};

use crate::fixture::{SILENT, repository, said, settings};

fn tags() -> Reply {
    Reply::json(200, &json!({ "tags": ["1"] }))
}

#[test]
fn a_name_is_looked_for_in_the_hosts_file_and_is_the_one_in_the_certificate() {
    let (authority, home) = (Authority::new("test"), tempfile::tempdir().unwrap());
    let server = Server::start_tls(&authority.server(&["r.test"]), |_| tags());
    let names = NameFiles { hosts: home.path().join("hosts"), resolv_conf: home.path().join("resolv.conf") };
    std::fs::write(&names.hosts, "127.0.0.1 r.test other.test\n").unwrap();
    let bundle = Some(authority.write(home.path()));
    let certificates = CertificatePaths { bundle, ..CertificatePaths::default() };
    let client = Client::new(Settings { certificates, names, ..settings() }, &SILENT);
    let host = |name: &str| server.host().replace("127.0.0.1", name);
    assert_eq!(repository(&client, &host("r.test")).tags().unwrap(), ["1"]);
    assert!(said(&repository(&client, &host("other.test")).tags().unwrap_err()).contains("TLS fails"));
}

/// Starts a proxy for one connection, which leads to this machine whatever name is asked for; returns where it listens and
/// what it hears.
fn proxy() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).unwrap();
        }
        let port = head.split_whitespace().nth(1).unwrap().rsplit_once(':').unwrap().1.to_owned();
        told.send(head).unwrap();
        let server = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        (&stream).write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let back = (server.try_clone().unwrap(), stream.try_clone().unwrap());
        std::thread::spawn(move || pour(&back.0, &back.1));
        pour(&mut reader, &server);
    });
    (address, heard)
}

fn pour(mut from: impl Read, mut to: &TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn a_proxy_stands_in_between_where_one_is_named() {
    let (authority, home) = (Authority::new("test"), tempfile::tempdir().unwrap());
    let server = Server::start_tls(&authority.server(&["r.test"]), |_| tags());
    let (address, heard) = proxy();
    let read = |name: &str| (name == "HTTPS_PROXY").then(|| format!("http://eg:secret@{address}"));
    let bundle = Some(authority.write(home.path()));
    let certificates = CertificatePaths { bundle, ..CertificatePaths::default() };
    let client = Client::new(Settings { certificates, proxies: Proxies::from_variables(read), ..settings() }, &SILENT);
    let host = server.host().replace("127.0.0.1", "r.test");
    assert_eq!(repository(&client, &host).tags().unwrap(), ["1"]);
    let head = heard.recv().unwrap();
    assert!(head.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic ZWc6c2VjcmV0\r\n"), "{head}");
}

#[test]
fn a_proxy_that_will_not_is_named_without_its_password() {
    let refusing = Server::start(|_| Reply::status(407));
    let address = refusing.host();
    let read = |name: &str| (name == "HTTPS_PROXY").then(|| format!("http://eg:secret@{address}"));
    let client = Client::new(Settings { proxies: Proxies::from_variables(read), ..settings() }, &SILENT);
    let why = said(&repository(&client, "r.test").tags().unwrap_err());
    assert!(why.contains(&format!("the proxy http://{address} cannot be used")) && !why.contains("secret"), "{why}");
    let read = |name: &str| (name == "ALL_PROXY").then(|| "socks5://127.0.0.1:1".to_owned());
    let client = Client::new(Settings { proxies: Proxies::from_variables(read), ..settings() }, &SILENT);
    let why = said(&repository(&client, "r.test").tags().unwrap_err());
    assert!(why.ends_with("only proxies of HTTP are known"), "{why}");
}

#[test]
fn a_name_that_nobody_knows_is_said_to_be_one() {
    let home = tempfile::tempdir().unwrap();
    let names = NameFiles { hosts: home.path().join("hosts"), resolv_conf: home.path().join("resolv.conf") };
    std::fs::write(&names.resolv_conf, "nameserver 127.0.0.1#1\noptions timeout:1 attempts:1\n").unwrap();
    let client = Client::new(Settings { names, ..settings() }, &SILENT);
    let why = said(&repository(&client, "r.test").tags().unwrap_err());
    assert!(why.contains("no name server answers a question about r.test"), "{why}");
}
