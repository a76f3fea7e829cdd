//! What the records so far add up to: which deliveries are unsettled, where their messages stand,
//! what was counted. The same code keeps the books of a running journal and of one that is read
//! back, so that both agree.
//!
//! An id needs a bit while it is unsettled, and nothing where all or none of its neighbours are;
//! only what was retried, moved or redriven has an entry of its own.

mod subscription;

use std::collections::{BTreeMap, HashMap};

pub(crate) use subscription::{Book, Held, Whereabouts};

use crate::{
    place::Place,
    record::{
        Begun, Checkpoint, Dead, Ended, KeyValue, Moved, Publish, Record, Redriven, Settled,
        Subscribe, SubscriptionState, Target,
    },
    wire::List,
};

/// All books.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) subs: HashMap<u32, Book, foldhash::fast::FixedState>,
    pub(crate) letters: BTreeMap<u64, LetterBook>,
    pub(crate) control: BTreeMap<String, Vec<u8>>,
    pub(crate) next_seq: u64,
    pub(crate) next_letter: u64,
    pub(crate) next_sub: u32,
    pub(crate) life: u64,
    /// What the storage said of itself in that life.
    pub(crate) stay: u64,
    pub(crate) observed_ns: u64,
    /// Records are missing: a subscription that nobody has made yet is one whose making is lost,
    /// and the next checkpoint says who it is.
    pub(crate) damaged: bool,
}

/// A dead letter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LetterBook {
    /// The delivery that died.
    pub(crate) target: Target,
    /// The record that publishes or moves its message; `None` = where the delivery was published.
    pub(crate) message: Option<Place>,
    /// The record that says why.
    pub(crate) reason: Place,
}

// === impl Books ===

impl Books {
    pub(crate) fn new() -> Books {
        Books { next_seq: 1, next_letter: 1, next_sub: 1, ..Books::default() }
    }

    /// Takes note of a record that stands there. `seq` is the number of the message it publishes.
    #[inline]
    pub(crate) fn apply(&mut self, record: &Record<'_>, place: Place) {
        match record {
            Record::Publish(publish) => self.publish(publish, place),
            Record::Forward { from, publish, .. } => {
                if let Some(book) = self.subs.get_mut(&from.sub) {
                    book.settle(from.id, 1);
                    book.counters.forwarded += 1;
                }
                self.publish(publish, place);
            }
            Record::Settled(settled) => self.settled(settled),
            Record::Begun(begun) => self.begun(begun),
            Record::Retry(retry) => {
                if let Some(book) = self.subs.get_mut(&retry.target.sub) {
                    book.retry(retry.target.id, &retry.standing, None);
                }
            }
            Record::Dead(dead) => self.dead(dead, place),
            Record::Redriven(redriven) => self.redriven(redriven),
            Record::Purged { letter, .. } => {
                self.letters.remove(letter);
            }
            Record::Subscribe(subscribe) => {
                self.next_sub = self.next_sub.max(subscribe.sub.saturating_add(1));
                self.subs.insert(subscribe.sub, Book::new(subscribe));
            }
            Record::Unsubscribe { sub } => {
                self.subs.remove(sub);
                self.letters.retain(|_, letter| letter.target.sub != *sub);
            }
            Record::Control { key, value: [] } => {
                self.control.remove(*key);
            }
            Record::Control { key, value } => {
                self.control.insert((*key).to_owned(), value.to_vec());
            }
            Record::Start { life, stay, observed_ns, .. } => {
                (self.life, self.stay) = (*life, *stay);
                self.subs.values_mut().for_each(Book::suspect);
                self.observed_ns = self.observed_ns.max(*observed_ns);
            }
            Record::Stop { observed_ns, .. } => {
                self.observed_ns = self.observed_ns.max(*observed_ns);
            }
            Record::Moved(moved) => self.moved(moved, place),
            Record::DedupKeys(_) => {}
            Record::Checkpoint(checkpoint) => self.checkpoint(checkpoint),
        }
    }

    #[inline]
    fn publish(&mut self, publish: &Publish<'_>, place: Place) {
        self.next_seq += 1;
        self.observed_ns = self.observed_ns.max(publish.observed_ns);
        for target in publish.targets {
            if self.damaged {
                let unknown = Subscribe { sub: target.sub, owner: "", pattern: "" };
                self.subs.entry(target.sub).or_insert_with(|| Book::new(&unknown));
            }
            if let Some(book) = self.subs.get_mut(&target.sub) {
                book.accept(target.id, place);
            }
        }
        for dead in publish.letters {
            self.dead(&dead, place);
        }
    }

    fn settled(&mut self, settled: &Settled<'_>) {
        let Some(book) = self.subs.get_mut(&settled.sub) else { return };
        for end in settled.ends {
            book.settle(end.span.first, end.span.count);
            let count = match end.how {
                Ended::Done => &mut book.counters.done,
                Ended::Dropped(reason) => &mut book.counters.dropped[usize::from(reason)],
            };
            *count += end.span.count;
        }
    }

    fn begun(&mut self, begun: &Begun<'_>) {
        let Some(book) = self.subs.get_mut(&begun.sub) else { return };
        for attempt in begun.attempts {
            book.begin(attempt.span, attempt.attempt);
        }
    }

    fn dead(&mut self, dead: &Dead<'_>, place: Place) {
        let Target { sub, id } = dead.target;
        let Some(book) = self.subs.get_mut(&sub) else { return };
        if dead.letter.number == 0 {
            book.retry(id, &dead.standing, Some(place));
            return;
        }
        let message = match book.elsewhere.get(&id) {
            None => None,
            Some(Whereabouts::At(place)) => Some(*place),
            Some(Whereabouts::As(_)) => None,
        };
        // A redriven delivery that dies again has its message where its first id has it.
        let target = match book.elsewhere.get(&id) {
            Some(Whereabouts::As(first)) => Target { sub, id: *first },
            _ => dead.target,
        };
        book.settle(id, 1);
        book.counters.dead += 1;
        self.next_letter = self.next_letter.max(dead.letter.number.saturating_add(1));
        self.letters.insert(dead.letter.number, LetterBook { target, message, reason: place });
    }

    fn redriven(&mut self, redriven: &Redriven) {
        let letter = self.letters.remove(&redriven.letter);
        let Target { sub, id } = redriven.target;
        let Some(book) = self.subs.get_mut(&sub) else { return };
        let whereabouts = letter.map(|letter| match letter.message {
            Some(place) => Whereabouts::At(place),
            None => Whereabouts::As(letter.target.id),
        });
        book.counters.accepted += 1;
        book.next_id = book.next_id.max(id.saturating_add(1));
        if let Some(whereabouts) = whereabouts {
            book.live.insert(id);
            book.elsewhere.insert(id, whereabouts);
            book.held.insert(id, Held { redrives: redriven.redrives, ..Held::default() });
        }
    }

    fn moved(&mut self, moved: &Moved<'_>, place: Place) {
        for moved in moved.targets {
            let Target { sub, id } = moved.target;
            let Some(book) = self.subs.get_mut(&sub) else { continue };
            if let Some(letter) = moved.letter.filter(|letter| letter.number != 0) {
                let message = Some(place);
                let book = LetterBook { target: moved.target, message, reason: place };
                self.letters.insert(letter.number, book);
                continue;
            }
            book.live.insert(id);
            book.elsewhere.insert(id, Whereabouts::At(place));
            book.retry(id, &moved.standing, moved.letter.map(|_| place));
            if moved.begun {
                book.begun.insert(id);
            }
            if moved.suspect {
                book.suspects.insert(id);
            }
        }
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint<'_>) {
        self.next_seq = checkpoint.next_seq;
        self.next_letter = self.next_letter.max(checkpoint.next_letter);
        self.next_sub = self.next_sub.max(checkpoint.next_sub);
        (self.life, self.stay) = (checkpoint.life, checkpoint.stay);
        self.observed_ns = self.observed_ns.max(checkpoint.observed_ns);
        for state in checkpoint.subs {
            let subscribe = state.subscribe;
            let book = self.subs.entry(subscribe.sub).or_insert_with(|| Book::new(&subscribe));
            book.next_id = book.next_id.max(state.next_id);
            if book.owner.is_empty() {
                (book.owner, book.pattern) = (subscribe.owner.into(), subscribe.pattern.into());
            }
            book.counters = state.counters;
        }
        self.subs.retain(|sub, _| checkpoint.subs.iter().any(|state| state.subscribe.sub == *sub));
        self.control.clear();
        for pair in checkpoint.control {
            self.control.insert(pair.key.to_owned(), pair.value.to_vec());
        }
    }

    /// Calls `then` with a checkpoint of these books.
    pub(crate) fn with_checkpoint<R>(&self, then: impl FnOnce(Checkpoint<'_>) -> R) -> R {
        let mut subs: Vec<_> = self.subs.iter().map(|(&sub, book)| book.state(sub)).collect();
        subs.sort_unstable_by_key(|state: &SubscriptionState<'_>| state.subscribe.sub);
        let control = self.control.iter().map(|(key, value)| KeyValue { key, value });
        let control: Vec<_> = control.collect();
        then(Checkpoint {
            next_seq: self.next_seq,
            next_letter: self.next_letter,
            next_sub: self.next_sub,
            life: self.life,
            stay: self.stay,
            observed_ns: self.observed_ns,
            subs: List::from(&*subs),
            control: List::from(&*control),
        })
    }

    /// Forgets where things stood in segments below that number.
    pub(crate) fn forget_below(&mut self, segment: u64) {
        for book in self.subs.values_mut() {
            book.forget_below(segment);
        }
    }
}
