//! Which publishes were there before (promise P-6).
//!
//! Pure: time is an argument. It is the time that the host has run, over all its lives, so that a
//! step of the wall clock reopens nothing. The key that a publisher chose counts within its own
//! principal and topic only.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use foldhash::fast::FixedState;
use patchbay_journal::planted::fault;
use sha2::{Digest, Sha256};

use crate::clock::nanoseconds;

/// How far back repeats are recognised: until the window has passed or so many keys came after,
/// whichever is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupPolicy {
    /// How long.
    pub window: Duration,
    /// How many keys, of all principals.
    pub max_keys: usize,
}

/// Which of its two bounds the window ended at last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DedupBound {
    /// Nothing was forgotten yet.
    #[default]
    None,
    /// By time.
    Window,
    /// By the number of keys.
    Keys,
}

/// What the window looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DedupState {
    /// Keys remembered.
    pub keys: usize,
    /// What made it forget last.
    pub bound: DedupBound,
}

/// Names a principal, a topic and a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope(pub(crate) u128);

/// What was accepted under a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct First<T> {
    /// Digest of the payload.
    pub(crate) payload: u64,
    /// What the first publish was told.
    pub(crate) told: T,
}

/// What is known of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known<T> {
    /// Nothing.
    New,
    /// The same was accepted before.
    Repeat(T),
    /// Something else was accepted before.
    Mismatch(T),
}

/// The window.
#[derive(Debug)]
pub(crate) struct Dedup<T> {
    policy: DedupPolicy,
    keys: HashMap<Scope, First<T>, FixedState>,
    /// In order of time.
    order: VecDeque<(u64, Scope)>,
    bound: DedupBound,
}

// === impl Dedup ===

impl<T: Copy> Dedup<T> {
    pub(crate) fn new(policy: DedupPolicy) -> Dedup<T> {
        Dedup { policy, keys: HashMap::default(), order: VecDeque::new(), bound: DedupBound::None }
    }

    /// Whether that was accepted before, as of `now_ns`.
    pub(crate) fn look_up(&mut self, scope: Scope, payload: u64, now_ns: u64) -> Known<T> {
        self.expire(now_ns);
        if fault("skip-dedup") {
            return Known::New;
        }
        match self.keys.get(&scope) {
            None => Known::New,
            Some(first) if first.payload == payload => Known::Repeat(first.told),
            Some(first) => Known::Mismatch(first.told),
        }
    }

    /// Remembers what was accepted at `now_ns`. Times rise.
    pub(crate) fn insert(&mut self, scope: Scope, first: First<T>, now_ns: u64) {
        if self.policy.max_keys == 0 || self.keys.insert(scope, first).is_some() {
            return;
        }
        self.order.push_back((now_ns, scope));
        if self.order.len() > self.policy.max_keys {
            self.forget(DedupBound::Keys);
        }
    }

    fn expire(&mut self, now_ns: u64) {
        let window = nanoseconds(self.policy.window);
        while self.order.front().is_some_and(|(at, _)| now_ns.saturating_sub(*at) > window) {
            self.forget(DedupBound::Window);
        }
    }

    fn forget(&mut self, bound: DedupBound) {
        if let Some((_, scope)) = self.order.pop_front() {
            self.keys.remove(&scope);
            self.bound = bound;
        }
    }

    pub(crate) fn state(&self) -> DedupState {
        DedupState { keys: self.keys.len(), bound: self.bound }
    }
}

// === impl Scope ===

impl Scope {
    /// Not a fast hash: nobody must be able to make a key that collides with somebody else's.
    pub(crate) fn new(principal: &str, topic: &str, key: &str) -> Scope {
        let mut hash = Sha256::new();
        for part in [principal, topic, key] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Scope(half(hash))
    }
}

/// Digest of a payload.
pub(crate) fn digest(payload: &[u8]) -> u64 {
    half(Sha256::new_with_prefix(payload)) as u64
}

fn half(hash: Sha256) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finalize()[..16]);
    u128::from_le_bytes(half)
}

// === impl DedupPolicy ===

impl Default for DedupPolicy {
    fn default() -> Self {
        DedupPolicy { window: Duration::from_secs(600), max_keys: 1_000_000 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: DedupPolicy = DedupPolicy { window: Duration::from_nanos(50), max_keys: 8 };

    proptest! {
        #[test]
        fn the_window_and_a_list_that_is_searched_agree(
            steps in prop::collection::vec((0u128..12, 0u64..2, 0u64..20), 1..200),
        ) {
            let mut dedup = Dedup::new(POLICY);
            let mut list: Vec<(u64, u128, u64, usize)> = Vec::new();
            let mut now = 0;
            for (number, (scope, payload, pause)) in steps.into_iter().enumerate() {
                now += pause;
                list.retain(|(at, ..)| now - at <= 50);
                let expected = match list.iter().find(|(_, found, ..)| *found == scope) {
                    None => Known::New,
                    Some((_, _, found, told)) if *found == payload => Known::Repeat(*told),
                    Some((_, _, _, told)) => Known::Mismatch(*told),
                };
                prop_assert_eq!(dedup.look_up(Scope(scope), payload, now), expected);
                if expected == Known::New {
                    dedup.insert(Scope(scope), First { payload, told: number }, now);
                    list.push((now, scope, payload, number));
                    if list.len() > 8 {
                        list.remove(0);
                    }
                }
                prop_assert_eq!(dedup.state().keys, list.len());
            }
        }
    }

    #[test]
    fn the_parts_of_a_scope_do_not_run_into_each_other() {
        assert_ne!(Scope::new("ab", "c", "d"), Scope::new("a", "bc", "d"));
        assert_ne!(Scope::new("a", "b", "cd"), Scope::new("a", "bc", "d"));
        assert_eq!(Scope::new("a", "b", "c"), Scope::new("a", "b", "c"));
    }

    #[test]
    fn it_says_which_bound_it_reached() {
        let mut dedup = Dedup::new(POLICY);
        for scope in 0..9 {
            dedup.insert(Scope(scope), First { payload: 0, told: () }, 10);
        }
        assert_eq!(dedup.state(), DedupState { keys: 8, bound: DedupBound::Keys });
        assert_eq!(dedup.look_up(Scope(8), 0, 61), Known::New);
        assert_eq!(dedup.state(), DedupState { keys: 0, bound: DedupBound::Window });
    }
}
