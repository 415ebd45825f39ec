//! Endpoints that come and go under constant questions.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::place::{Client, Place};

/// After this long, an answer must be that of the newest change.
const STALE: Duration = Duration::from_millis(100);

#[test]
fn two_hundred_changes_are_seen_at_once_and_never_half() {
    let place = Place::new(&["inner"], |_| {}, "");
    // What `web` is now, and since when: even changes bring it, odd ones take it away.
    let now = Mutex::new((0u8, Instant::now()));
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let address = |change: u8| IpAddr::from([10, 9, 7, change]);
    let expected = |change: u8| if change.is_multiple_of(2) { vec![address(change)] } else { Vec::new() };
    let write = |change: u8| {
        let there = address(change).to_string();
        let there = [there.as_str()];
        let both: &[(&str, &[&str], &[&str])] = &[("db", &[], &["10.9.0.4"]), ("web", &[], &there)];
        place.zone("inner", true, if change.is_multiple_of(2) { both } else { &both[..1] });
    };
    write(0);
    std::thread::scope(|scope| {
        let ask = || {
            let client = Client::new();
            for id in 0..=u16::MAX {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // A change is written before it is told: the answer is at least as new as what was told before the
                // question, and no newer than one beyond what is told after the answer.
                let before = now.lock().unwrap().0;
                let (code, found) = client.ask(id, "web");
                let after = now.lock().unwrap().0;
                let allowed: Vec<u8> = (before..=after.saturating_add(1)).collect();
                assert!(
                    allowed.iter().any(|change| expected(*change) == found),
                    "{found:?} between {before} and {after}"
                );
                assert_eq!(code, if found.is_empty() { 3 } else { 0 });
                assert_eq!(client.ask(id, "db").1, [IpAddr::from([10, 9, 0, 4])]);
                asked.fetch_add(2, Ordering::Relaxed);
            }
        };
        let clients = [scope.spawn(ask), scope.spawn(ask)];
        let checker = Client::new();
        for change in 1..=200 {
            write(change);
            *now.lock().unwrap() = (change, Instant::now());
            // Stricter than the promise: the very next question already has the new answer.
            let (_, found) = checker.ask(u16::from(change), "web");
            assert_eq!(found, expected(change), "{:?} after change {change}", now.lock().unwrap().1.elapsed());
            std::thread::park_timeout(STALE / 20);
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    let asked = asked.into_inner();
    assert!(asked > 200, "only {asked} questions were asked");
    eprintln!("200 changes, {asked} questions beside them");
}
