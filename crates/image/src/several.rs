//! Several layers under way at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many are under way at once.
const AT_ONCE: usize = 3;

/// Does the work for every item, some at a time, and returns the results in the order of the items. The first failure ends the
/// rest: what is not begun is not, and what is under way can ask whether to stop.
pub(crate) fn several<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T, &AtomicBool) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (done, failed) = (Mutex::new(Vec::new()), Mutex::new(None));
    let go_on = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(number) else { return };
            match work(item, &stop) {
                Ok(result) => lock(&done).push((number, result)),
                Err(error) => {
                    // Those that are stopped fail for that reason alone, and later.
                    lock(&failed).get_or_insert(error);
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..AT_ONCE.min(items.len()) {
            // Where the kernel gives no thread, there are fewer at once.
            let _ = std::thread::Builder::new().spawn_scoped(scope, go_on);
        }
        go_on();
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => {
            let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
            done.sort_by_key(|(number, _)| *number);
            Ok(done.into_iter().map(|(_, result)| result).collect())
        }
    }
}

/// Takes a lock whose holder may have panicked: what it guards is whole between any two calls.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..20).collect();
        let work = |item: &u64, _: &AtomicBool| {
            std::thread::sleep(std::time::Duration::from_micros(500 * (20 - item)));
            Ok::<_, ()>(item * 2)
        };
        assert_eq!(several(&items, work).unwrap(), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert_eq!(several(&[], work).unwrap(), [0; 0]);
    }

    #[test]
    fn the_first_failure_is_told_and_ends_the_rest() {
        let begun = AtomicUsize::new(0);
        let items: Vec<u32> = (0..1000).collect();
        let failed = several(&items, |item, stop| {
            begun.fetch_add(1, Ordering::Relaxed);
            match item {
                0 => Err("the first"),
                _ => {
                    while !stop.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                    Err::<(), _>("stopped")
                }
            }
        });
        assert_eq!(failed, Err("the first"));
        assert!(begun.load(Ordering::Relaxed) <= AT_ONCE);
    }
}
