//! `pthread` keys: who made them, and their deletion before the code of their destructor goes.
//!
//! Rust's standard library makes one key per copy of itself and never deletes it. Left alone, the
//! process dies at the 1,024th, or earlier, when a thread ends and jumps to a destructor that is
//! no longer mapped.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::range::Range;

/// Keys of a process: `PTHREAD_KEYS_MAX` of glibc.
pub const KEYS_MAX: usize = 1024;

/// One live key. The index in the table is the key itself.
struct Key {
    /// Address of the destructor, [`NO_DESTRUCTOR`] for a key without one, 0 = key not in use.
    destructor: AtomicUsize,
    /// Where the creating call returns to: tells the library when the destructor does not.
    caller: AtomicUsize,
}

#[cfg(hooked)]
const NO_DESTRUCTOR: usize = 1;

static KEYS: [Key; KEYS_MAX] =
    [const { Key { destructor: AtomicUsize::new(0), caller: AtomicUsize::new(0) } }; KEYS_MAX];

/// Keys that are in use in the whole process.
#[must_use]
pub fn live() -> usize {
    KEYS.iter().filter(|key| key.destructor.load(Ordering::Relaxed) != 0).count()
}

/// Keys that the library made, or whose destructor it contains.
#[must_use]
pub fn live_in(range: Range) -> usize {
    of(range).count()
}

/// Deletes the keys of a library, right before it is closed: none of its threads may be left.
/// Returns how many there were.
pub fn delete_in(range: Range) -> usize {
    let mut deleted = 0;
    for key in of(range) {
        // SAFETY: the key is in use, so it is valid; nobody of the library is left to use it.
        unsafe { libc::pthread_key_delete(key as libc::pthread_key_t) };
        deleted += 1;
    }
    deleted
}

/// A key was made.
#[cfg(hooked)]
pub(crate) fn made(key: libc::pthread_key_t, destructor: Option<usize>, caller: usize) {
    if let Some(entry) = KEYS.get(key as usize) {
        entry.caller.store(caller, Ordering::Relaxed);
        entry.destructor.store(destructor.unwrap_or(NO_DESTRUCTOR), Ordering::Release);
    }
}

/// A key is about to be deleted: right after that it may belong to somebody else.
#[cfg(hooked)]
pub(crate) fn deleted(key: libc::pthread_key_t) {
    if let Some(entry) = KEYS.get(key as usize) {
        entry.destructor.store(0, Ordering::Release);
        entry.caller.store(0, Ordering::Relaxed);
    }
}

fn of(range: Range) -> impl Iterator<Item = usize> {
    KEYS.iter().enumerate().filter_map(move |(index, key)| {
        let destructor = key.destructor.load(Ordering::Acquire);
        let ours = destructor != 0
            && (range.contains(destructor) || range.contains(key.caller.load(Ordering::Acquire)));
        ours.then_some(index)
    })
}

#[cfg(all(test, hooked))]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_listed_from_create_to_delete() {
        let mut key = 0;
        // SAFETY: a valid place for the key and no destructor.
        assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, None) }, 0);
        let listed = || of(Range::of_executable()).any(|index| index == key as usize);
        assert!(listed());
        // SAFETY: the key was just made and is used by nobody.
        assert_eq!(unsafe { libc::pthread_key_delete(key) }, 0);
        assert!(!listed());
    }
}
