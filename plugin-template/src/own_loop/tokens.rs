//! Publishes that wait for room, by the host's tokens.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

use patchbay_abi::host::publish as code;

use crate::host::{HostRef, PublishAnswer};

/// All waiting publishes of an instance. Any of its lanes may hear that a token is ready, also one
/// on which nobody waits for it.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// Lanes that listen.
    served: AtomicUsize,
    waiting: Mutex<BTreeMap<u64, State>>,
}

#[derive(Debug)]
enum State {
    Waiting(Waker),
    Ready,
}

/// A lane that listens; see [`Tokens::serve`].
#[derive(Debug)]
pub(crate) struct Served<'a>(&'a Tokens);

// === impl Tokens ===

impl Tokens {
    /// Says that a lane hears of tokens, until the value is dropped.
    pub(crate) fn serve(&self) -> Served<'_> {
        self.served.fetch_add(1, Ordering::Relaxed);
        Served(self)
    }

    pub(crate) fn is_served(&self) -> bool {
        self.served.load(Ordering::Relaxed) > 0
    }

    /// Tries to publish, with the flags it is given. `None`: there is no room, and `waker` is woken when
    /// there is.
    pub(crate) fn publish(
        &self,
        token: &mut u64,
        waker: &Waker,
        mut publish: impl FnMut(u32) -> PublishAnswer,
    ) -> Option<PublishAnswer> {
        if *token != 0 {
            let mut waiting = self.lock();
            if let Some(State::Waiting(known)) = waiting.get_mut(token) {
                known.clone_from(waker);
                return None;
            }
            waiting.remove(token);
            *token = 0;
        }
        let answer = publish(0);
        if answer.code != code::FULL {
            return Some(answer);
        }
        // Locked before the host makes the token, so that it cannot become ready unseen.
        let mut waiting = self.lock();
        let answer = publish(code::WAIT);
        if answer.code != code::FULL || answer.token == 0 {
            return Some(answer);
        }
        *token = answer.token;
        waiting.insert(answer.token, State::Waiting(waker.clone()));
        None
    }

    /// Gives a token up that is not waited for any more.
    pub(crate) fn forget(&self, host: HostRef, token: u64) {
        if token != 0 {
            self.lock().remove(&token);
            host.forget(token);
        }
    }

    /// Wakes who waits for these.
    pub(crate) fn ready(&self, tokens: &[u64]) {
        if tokens.is_empty() {
            return;
        }
        let woken: Vec<Waker> = {
            let mut waiting = self.lock();
            let ready = tokens.iter().filter_map(|token| {
                match std::mem::replace(waiting.get_mut(token)?, State::Ready) {
                    State::Waiting(waker) => Some(waker),
                    State::Ready => None,
                }
            });
            ready.collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, State>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Served ===

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.served.fetch_sub(1, Ordering::Relaxed);
    }
}
