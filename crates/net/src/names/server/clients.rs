//! Those who ask over TCP: a few at a time, one question of each at a time.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use sys::event::{EventFlags, Poller};

use super::super::message::DATAGRAM_LIMIT;
use super::wire::{Pulled, Wire};

/// The most connections at a time.
pub(super) const MOST: usize = 16;
/// How long a client may neither ask nor take its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// All who ask over TCP.
#[derive(Debug)]
pub(super) struct Clients {
    places: Vec<Option<Client>>,
    first_token: u64,
    next_number: u64,
}

#[derive(Debug)]
struct Client {
    wire: Wire,
    number: u64,
    state: State,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next question is expected.
    Asking,
    /// The question is on its way to the host's servers.
    Waiting,
    /// The answer is on its way to the client.
    Hearing,
}

impl Clients {
    /// Begins without any; their descriptors are known to the poller from this number on.
    pub(super) fn new(first_token: u64) -> Self {
        Self { places: Vec::new(), first_token, next_number: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.iter().all(Option::is_none)
    }

    /// Takes a new one in; where the house is full, the one who has been silent for longest leaves.
    pub(super) fn admit(&mut self, poller: &Poller, socket: TcpStream) {
        let free = self.places.iter().position(Option::is_none);
        let place = free.or_else(|| self.grow()).or_else(|| self.most_silent());
        let Some((place, slot)) = place.and_then(|place| Some((place, self.places.get_mut(place)?))) else { return };
        // The old connection's descriptor leaves the poller before the new one comes in by the same number.
        *slot = None;
        let token = self.first_token + place as u64;
        if socket.set_nonblocking(true).is_ok() && poller.add(&socket, token, EventFlags::IN).is_ok() {
            self.next_number += 1;
            let (wire, deadline) = (Wire::new(socket), Instant::now() + PATIENCE);
            *slot = Some(Client { wire, number: self.next_number, state: State::Asking, deadline });
        }
    }

    /// Moves one on whose socket is ready, and returns its number and its question when there is one.
    pub(super) fn ready(&mut self, poller: &Poller, place: usize) -> Option<(u64, Vec<u8>)> {
        let client = self.places.get_mut(place)?.as_mut()?;
        match client.state {
            State::Asking => match client.wire.pull(DATAGRAM_LIMIT) {
                Pulled::Message(question) => {
                    client.state = State::Waiting;
                    let number = client.number;
                    self.listen_for(poller, place, EventFlags::empty());
                    return Some((number, question));
                }
                Pulled::NotYet => {}
                Pulled::Over => self.dismiss(place),
            },
            // Nothing is waited for but the end.
            State::Waiting => self.dismiss(place),
            State::Hearing => self.flush(poller, place),
        }
        None
    }

    /// Answers the one with this number, if it is still there; without an answer it is sent away.
    pub(super) fn answer(&mut self, poller: &Poller, number: u64, answer: Option<&[u8]>) {
        let is_it = |client: &Option<Client>| client.as_ref().is_some_and(|client| client.number == number);
        let Some(place) = self.places.iter().position(is_it) else { return };
        let (Some(answer), Some(Some(client))) = (answer, self.places.get_mut(place)) else {
            return self.dismiss(place);
        };
        client.wire.put(answer);
        client.state = State::Hearing;
        self.flush(poller, place);
    }

    /// Sends those away whose time is over.
    pub(super) fn tick(&mut self, now: Instant) {
        for place in &mut self.places {
            place.take_if(|client| client.state != State::Waiting && client.deadline <= now);
        }
    }

    /// Returns when the next one's time is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let mortal = self.places.iter().flatten().filter(|client| client.state != State::Waiting);
        mortal.map(|client| client.deadline).min()
    }

    fn flush(&mut self, poller: &Poller, place: usize) {
        let Some(Some(client)) = self.places.get_mut(place) else { return };
        client.deadline = Instant::now() + PATIENCE;
        let flags = match client.wire.flush() {
            Ok(true) => {
                client.state = State::Asking;
                EventFlags::IN
            }
            Ok(false) => EventFlags::OUT,
            Err(_) => return self.dismiss(place),
        };
        self.listen_for(poller, place, flags);
    }

    fn listen_for(&mut self, poller: &Poller, place: usize, flags: EventFlags) {
        let Some(Some(client)) = self.places.get_mut(place) else { return };
        if poller.change(&client.wire, self.first_token + place as u64, flags).is_err() {
            self.dismiss(place);
        }
    }

    fn grow(&mut self) -> Option<usize> {
        (self.places.len() < MOST).then(|| {
            self.places.push(None);
            self.places.len() - 1
        })
    }

    fn most_silent(&self) -> Option<usize> {
        let silent = |(place, client): (usize, &Option<Client>)| {
            client.as_ref().filter(|client| client.state == State::Asking).map(|client| (client.deadline, place))
        };
        self.places.iter().enumerate().filter_map(silent).min().map(|(_, place)| place)
    }

    fn dismiss(&mut self, place: usize) {
        if let Some(place) = self.places.get_mut(place) {
            *place = None;
        }
    }
}
