//! A server of files on the loopback interface, for what fetches by HTTP.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A server; it ends with this.
#[derive(Debug)]
pub struct Web {
    port: u16,
    ended: Arc<AtomicBool>,
}

/// Serves the files of a directory. What is asked for again with the tag that it had is told to be the same.
pub fn web(directory: &Path) -> Web {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let ended = Arc::new(AtomicBool::new(false));
    let (directory, over) = (directory.to_owned(), Arc::clone(&ended));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if over.load(Ordering::Relaxed) {
                return;
            }
            let directory = directory.clone();
            std::thread::spawn(move || serve(&client, &directory));
        }
    });
    Web { port, ended }
}

impl Web {
    /// Returns the port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn serve(client: &TcpStream, directory: &Path) -> Option<()> {
    let mut reader = BufReader::new(client);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).ok()? == 0 {
            return None;
        }
        let mut known = None;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("if-none-match")
            {
                known = Some(value.trim().to_owned());
            }
        }
        let path = request.split(' ').nth(1)?.split('?').next()?.trim_start_matches('/');
        answer(client, &directory.join(path), known.as_deref())?;
    }
}

fn answer(mut client: &TcpStream, path: &PathBuf, known: Option<&str>) -> Option<()> {
    let Some(bytes) = std::fs::read(path).ok().filter(|_| path.is_file()) else {
        return client.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").ok();
    };
    let tag = format!(
        "\"{}-{}\"",
        bytes.len(),
        bytes.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte))
    );
    if known == Some(tag.as_str()) {
        return client.write_all(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n").ok();
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: {tag}\r\n\r\n", bytes.len());
    client.write_all(head.as_bytes()).and_then(|()| client.write_all(&bytes)).ok()
}
