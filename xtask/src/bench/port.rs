//! Published ports: what they add to a connection that is led over a plain veth.

use std::time::{Duration, Instant};

use super::Rounds;
use super::hosts::{Client, Host, OUTER};
use super::podman;
use super::stopwatch::{Dialogue, middle};
use super::subjects::{IMAGE, Workplace};
use super::table::{Bound, Figure};
use crate::{Outcome, shell};

/// The most that a published port may add to a round trip, in microseconds, if podman's does not add more.
const ADDED: f64 = 10.0;

/// The most time, and the least in a second, beside podman: what noise alone may make.
const NOISE: f64 = 1.1;
const LEAST: f64 = 0.9;

/// Where the servers listen, and where that is published.
const PORT: &str = "7000";
const PUBLISHED: &str = "8007:7000";
const SEEN: &str = "8007";

/// A bridge and a server on it, made by hand. `$1` is the server's process.
const PLAIN: &str = "ip link add plain0 type bridge && ip address add 198.51.100.1/24 dev plain0 && ip link set plain0 up \
    && ip link add port type veth peer name eth0 netns \"$1\" && ip link set port master plain0 up \
    && nsenter --target \"$1\" --net sh -c 'ip address add 198.51.100.2/24 dev eth0 && ip link set eth0 up \
    && ip route add default via 198.51.100.1'";
const PLAIN_ADDRESS: &str = "198.51.100.2";

/// How often bytes are sent in megabytes, at most.
const STREAMS: usize = 21;

/// How soon a server has to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// All that is timed: the plain veth, podman's port, ours.
pub(super) fn port(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    let (mut plain, _server) = plain(place)?;
    let mut theirs = podman::host(place)?;
    let mut ours = Host::make(place)?;
    let figures = serve(place, &ours, &theirs).and_then(|()| {
        let mut subjects = [&mut plain, &mut theirs, &mut ours];
        KINDS.iter().map(|kind| kind.measure(rounds, &mut subjects)).collect()
    });
    podman::remove_both(place, &ours, &theirs)?;
    figures
}

/// Makes a host with a server behind a bridge, and nothing that looks at packets.
fn plain(place: &Workplace) -> Outcome<(Host, Dialogue)> {
    let host = Host::make(place)?;
    let mut serve = std::process::Command::new("unshare");
    serve.arg("--net").arg(&place.floor).args(["serve", PORT]);
    let mut server = Dialogue::start(&mut serve)?;
    // Its first line comes when it listens.
    server.ask("")?;
    shell::output(host.enter(place).args(["sh", "-ec", PLAIN, "sh", &server.process().to_string()]))?;
    Ok((host, server))
}

/// Starts the same server in a container of each engine.
fn serve(place: &Workplace, ours: &Host, theirs: &Host) -> Outcome {
    let words = ["run", "-d", "-p", PUBLISHED, IMAGE, "/floor", "serve", PORT];
    ours.succeed(place, &place.engine(&words))?;
    theirs.succeed(place, &podman::line(place, &words)).map(drop)
}

/// Something that is timed.
struct Kind {
    what: &'static str,
    /// The word and the number that `floor ask` takes.
    word: &'static str,
    number: u32,
    client: Client,
}

const KINDS: &[Kind] = &[
    Kind { what: "round trip from outside", word: "echo", number: 1000, client: Client::Outside },
    Kind { what: "round trip by loopback", word: "echo", number: 1000, client: Client::Inside },
    Kind { what: "connection from outside", word: "connect", number: 50, client: Client::Outside },
    Kind { what: "connection by loopback", word: "connect", number: 50, client: Client::Inside },
    Kind { what: "into a published port", word: "send", number: 200_000_000, client: Client::Outside },
    Kind { what: "out of a published port", word: "receive", number: 200_000_000, client: Client::Outside },
];

impl Kind {
    /// Lets the three take turns.
    fn measure(&self, rounds: Rounds, subjects: &mut [&mut Host; 3]) -> Outcome<Figure> {
        let published = match self.client {
            Client::Outside => OUTER,
            Client::Inside => "127.0.0.1",
        };
        let published = format!("{published}:{SEEN}");
        let addresses = [&format!("{PLAIN_ADDRESS}:{PORT}"), &published, &published];
        for (host, address) in subjects.iter_mut().zip(addresses) {
            wait_for(host, self.client, address)?;
        }
        let counted = if self.is_stream() { rounds.counted.min(STREAMS) } else { rounds.counted };
        let mut laps: [Vec<f64>; 3] = Default::default();
        for _ in 0..counted {
            for ((host, address), laps) in subjects.iter_mut().zip(addresses).zip(&mut laps) {
                laps.push(host.ask(self.client, &format!("{} {address} {}", self.word, self.number))?);
            }
        }
        Ok(self.figure(laps.map(|laps| middle(&laps))))
    }

    fn is_stream(&self) -> bool {
        matches!(self.word, "send" | "receive")
    }

    /// Makes a figure of nanoseconds.
    fn figure(&self, nanoseconds: [f64; 3]) -> Figure {
        let named = |[plain, theirs, ours]: [f64; 3]| [("plain", plain), ("podman", theirs), ("conductor", ours)];
        if self.is_stream() {
            let rates = nanoseconds.map(|nanoseconds| f64::from(self.number) * 1e3 / nanoseconds);
            let figure = Figure::ratio(self.what, "MB/s", &named(rates), "podman", LEAST);
            return Figure { bound: Bound::AtLeast, ..figure };
        }
        let microseconds = nanoseconds.map(|nanoseconds| nanoseconds / 1e3);
        if self.word == "connect" {
            return Figure::ratio(self.what, "us", &named(microseconds), "podman", NOISE);
        }
        let [plain, theirs, ours] = microseconds;
        let budget = ADDED.max((theirs - plain) * NOISE);
        let figure = Figure::ratio(self.what, "us", &named(microseconds), "plain", budget);
        Figure { measure: ours - plain, measure_unit: "us added".to_owned(), ..figure }
    }
}

/// Waits until a server answers.
fn wait_for(host: &mut Host, client: Client, address: &str) -> Outcome {
    let start = Instant::now();
    loop {
        match host.ask(client, &format!("echo {address} 1")) {
            Ok(_) => return Ok(()),
            Err(reason) if start.elapsed() > PATIENCE => return Err(reason),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_port_adds_is_held_against_ten_microseconds_or_what_podmans_adds() {
        let figure = |nanoseconds| KINDS[0].figure(nanoseconds);
        let (few, many) = (figure([20e3, 24e3, 26e3]), figure([20e3, 40e3, 41e3]));
        assert!((few.measure - 6.0).abs() < 1e-9 && (few.budget - 10.0).abs() < 1e-9, "{few:?}");
        assert!((many.measure - 21.0).abs() < 1e-9 && (many.budget - 22.0).abs() < 1e-9, "{many:?}");
    }
}
