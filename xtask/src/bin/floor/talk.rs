//! The two ends of a TCP connection: a server that does what it is told, and a client that tells it and looks at the clock.
//!
//! What is timed in microseconds has both ends on one processor: waking another takes longer than all that is to be seen,
//! and not always equally long. What is timed in megabytes has all processors.

use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::processors::Processors;

/// Every byte comes back at once.
const ECHO: u8 = b'e';
/// Bytes are taken up to the end, and then their number is told.
const TAKE: u8 = b't';
/// As many bytes are given as a number says.
const GIVE: u8 = b'g';

/// What is read or written at once.
const PIECE: usize = 128 * 1024;

/// How long a connection may say nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves a port: one connection after the other, each of which says with its first byte what it wants, or nothing.
pub(crate) fn serve(port: Option<&String>) -> io::Result<()> {
    let port = port.and_then(|port| port.parse().ok()).ok_or_else(|| io::Error::other("serve PORT"))?;
    let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port)))?;
    let processors = Processors::of_this_process()?;
    processors.use_last()?;
    // Whoever has started this server waits for the line.
    println!("serves");
    for connection in listener.incoming() {
        // What becomes of a connection is its client's affair.
        let _ = connection.and_then(|connection| answer(connection, &processors));
    }
    Ok(())
}

fn answer(mut connection: TcpStream, processors: &Processors) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut wish = [0];
    if connection.read(&mut wish)? == 0 {
        return Ok(());
    }
    if wish[0] == ECHO {
        return echo(&mut connection);
    }
    processors.use_all()?;
    let done = match wish[0] {
        TAKE => take(&mut connection),
        _ => give(&mut connection),
    };
    processors.use_last()?;
    done
}

fn echo(connection: &mut TcpStream) -> io::Result<()> {
    let mut held = [0; 512];
    loop {
        match connection.read(&mut held)? {
            0 => return Ok(()),
            length => connection.write_all(&held[..length])?,
        }
    }
}

fn take(connection: &mut TcpStream) -> io::Result<()> {
    let taken = drain(connection)?;
    connection.write_all(&taken.to_be_bytes())
}

fn give(connection: &mut TcpStream) -> io::Result<()> {
    let mut number = [0; 8];
    connection.read_exact(&mut number)?;
    fill(connection, u64::from_be_bytes(number))
}

/// Reads up to the end and returns how much it was.
fn drain(connection: &mut TcpStream) -> io::Result<u64> {
    let (mut held, mut taken) = (vec![0; PIECE], 0);
    loop {
        match connection.read(&mut held)? {
            0 => return Ok(taken),
            length => taken += length as u64,
        }
    }
}

fn fill(connection: &mut TcpStream, mut left: u64) -> io::Result<()> {
    let piece = vec![0x55; PIECE];
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        connection.write_all(&piece[..length])?;
        left -= length as u64;
    }
    Ok(())
}

/// Answers requests on stdin, `KIND ADDRESS NUMBER`, each with a line: nanoseconds, or why there are none.
///
/// `echo` is the median round trip of a byte among so many, `connect` the median of as many connections made and closed,
/// `send` and `receive` are the time that so many bytes took.
pub(crate) fn ask() -> io::Result<()> {
    let processors = Processors::of_this_process()?;
    let mut answers = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        match time(&line?, &processors) {
            Ok(nanoseconds) => writeln!(answers, "{nanoseconds}")?,
            Err(error) => writeln!(answers, "failed: {error}")?,
        }
        answers.flush()?;
    }
    Ok(())
}

fn time(request: &str, processors: &Processors) -> io::Result<u128> {
    let unclear = || io::Error::other("echo|connect|send|receive ADDRESS NUMBER");
    let words: Vec<_> = request.split_whitespace().collect();
    let &[kind, address, number] = &words[..] else { return Err(unclear()) };
    let address = address.parse().map_err(|_| unclear())?;
    let number = number.parse().map_err(|_| unclear())?;
    match kind {
        "echo" | "connect" => processors.use_last()?,
        _ => processors.use_all()?,
    }
    match kind {
        "echo" => round_trip(address, number),
        "connect" => connection(address, number),
        "send" => sending(address, number),
        "receive" => receiving(address, number),
        _ => Err(unclear()),
    }
}

fn round_trip(address: SocketAddr, count: u64) -> io::Result<u128> {
    let mut connection = connect(address)?;
    connection.write_all(&[ECHO])?;
    // The first warm up.
    let mut laps = Vec::new();
    for at in 0..count + count / 10 {
        let (sent, mut came) = ([at as u8], [0]);
        let start = Instant::now();
        connection.write_all(&sent)?;
        connection.read_exact(&mut came)?;
        laps.push(start.elapsed());
        if came != sent {
            return Err(io::Error::other("another byte came back"));
        }
    }
    Ok(median(laps.split_off((count / 10) as usize)))
}

fn connection(address: SocketAddr, count: u64) -> io::Result<u128> {
    let mut laps = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        drop(connect(address)?);
        laps.push(start.elapsed());
    }
    Ok(median(laps))
}

fn sending(address: SocketAddr, bytes: u64) -> io::Result<u128> {
    let mut connection = connect(address)?;
    let start = Instant::now();
    connection.write_all(&[TAKE])?;
    fill(&mut connection, bytes)?;
    connection.shutdown(Shutdown::Write)?;
    let mut taken = [0; 8];
    connection.read_exact(&mut taken)?;
    match u64::from_be_bytes(taken) {
        taken if taken == bytes => Ok(start.elapsed().as_nanos()),
        taken => Err(io::Error::other(format!("{taken} bytes came of {bytes}"))),
    }
}

fn receiving(address: SocketAddr, bytes: u64) -> io::Result<u128> {
    let mut connection = connect(address)?;
    let start = Instant::now();
    connection.write_all(&[GIVE])?;
    connection.write_all(&bytes.to_be_bytes())?;
    match drain(&mut connection)? {
        taken if taken == bytes => Ok(start.elapsed().as_nanos()),
        taken => Err(io::Error::other(format!("{taken} bytes came of {bytes}"))),
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    Ok(connection)
}

fn median(mut laps: Vec<Duration>) -> u128 {
    laps.sort_unstable();
    laps.get(laps.len() / 2).map_or(0, Duration::as_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves one connection on a port of the loopback link.
    fn served() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let processors = Processors::of_this_process().unwrap();
            for connection in listener.incoming() {
                let _ = answer(connection.unwrap(), &processors);
            }
        });
        address
    }

    #[test]
    fn whatever_is_asked_of_a_server_takes_time() {
        let (address, processors) = (served(), Processors::of_this_process().unwrap());
        for request in ["echo", "connect", "send", "receive"] {
            let taken = time(&format!("{request} {address} 100"), &processors);
            assert!(taken.as_ref().is_ok_and(|taken| *taken > 0), "{request}: {taken:?}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let processors = Processors::of_this_process().unwrap();
        for request in ["", "echo", "echo nowhere 1", "dance 127.0.0.1:1 1", "echo 127.0.0.1:1 many"] {
            assert!(time(request, &processors).is_err(), "{request}");
        }
    }
}
