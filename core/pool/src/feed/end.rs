//! How calls end. Nearly all of them do so before the next begins, acknowledged or forwarded.

use patchbay_bus::Verdict;
use patchbay_slab::Message;

use super::Feed;
use crate::{lane::add, outcome::Outcome, token::Token};

// === impl Feed ===

impl Feed {
    /// Says how a call ended. One that was taken away meanwhile is refused and counted.
    #[inline]
    pub fn complete(&mut self, token: Token, outcome: Outcome) {
        if self.current != Some(token) {
            return self.complete_late(token, outcome);
        }
        let place = self.places.get_mut(token.place()).and_then(Option::as_mut);
        let Some(place) = place else { return self.books.refuse() };
        place.running -= 1;
        let limit = self.pool.config.process_timeout;
        if let Some(verdict) = self.books.verdict(token, outcome, limit) {
            place.seat.record(token.index(), verdict);
        }
        self.current = None;
        self.lane.marks.exit();
    }

    /// Says that a call ended well: what [`complete`](Feed::complete) does for nearly every call.
    #[inline]
    pub fn acknowledge(&mut self, token: Token) {
        let is_current = self.current == Some(token);
        let place = self.places.get_mut(token.place()).and_then(Option::as_mut);
        let Some(place) = place.filter(|_| is_current && !self.lane.has_cancelled()) else {
            return self.complete(token, Outcome::Ack);
        };
        place.running -= 1;
        self.books.running -= 1;
        self.current = None;
        self.lane.marks.exit();
    }

    /// Says that a call ended with a forward, as [`complete`](Feed::complete) does, without a topic of
    /// its own.
    #[inline]
    pub fn forward(&mut self, token: Token, topic: &str, message: Message) {
        let is_current = self.current == Some(token);
        let place = self.places.get_mut(token.place()).and_then(Option::as_mut);
        let Some(place) = place.filter(|_| is_current && !self.lane.has_cancelled()) else {
            let topic = topic.to_owned();
            return self.complete(token, Verdict::Forward { topic, message }.into());
        };
        place.running -= 1;
        self.books.running -= 1;
        add(&self.lane.counters.forwarded, 1);
        place.seat.forward(token.index(), topic, &message);
        self.current = None;
        self.lane.marks.exit();
    }

    #[cold]
    fn complete_late(&mut self, token: Token, outcome: Outcome) {
        let place = self.places.get_mut(token.place()).and_then(Option::as_mut);
        let Some(place) = place else { return self.books.refuse() };
        let Some((slot, lease)) = self.books.finish(place, token, &*self.pool.clock) else {
            return self.books.refuse();
        };
        place.running -= 1;
        if !self.holding {
            self.holding = true;
            self.lane.marks.hold();
        }
        let verdict = self.books.verdict(token, outcome, self.pool.config.process_timeout);
        place.finish_at(lease, verdict);
        self.books.release(slot);
        // What ended may be all that held others back (its key, its place), and the bus learns of it
        // at the next question. A loop that was told "nothing" asks again only after a ring.
        self.lane.bell.ring();
    }
}
