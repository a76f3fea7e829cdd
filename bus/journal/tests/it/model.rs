//! What a journal should hold, kept in the plainest way.

use std::collections::BTreeMap;

use patchbay_journal::{Journal, LOST, Recovered, Stored, Target};

/// What is known of one delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) mid: u64,
    pub(crate) attempts: u32,
    pub(crate) failures: u32,
    pub(crate) redrives: u32,
    pub(crate) due_unix_ns: u64,
    pub(crate) begun: bool,
    pub(crate) suspect: bool,
    pub(crate) held: bool,
    pub(crate) history: usize,
}

/// One subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sub {
    pub(crate) next_id: u64,
    pub(crate) live: BTreeMap<u64, Delivery>,
    pub(crate) accepted: u64,
    pub(crate) done: u64,
    pub(crate) forwarded: u64,
    pub(crate) dead: u64,
    pub(crate) dropped: u64,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) subs: BTreeMap<u32, Sub>,
    /// Number, and the subscription, message, attempts and reason of the letter.
    pub(crate) letters: BTreeMap<u64, (u32, u64, u32, String)>,
    pub(crate) control: BTreeMap<String, Vec<u8>>,
    pub(crate) next_seq: u64,
    /// Key and message.
    pub(crate) keys: BTreeMap<String, u64>,
}

// === impl Model ===

impl Model {
    /// A new life of the host: what was begun is suspect.
    pub(crate) fn restart(&mut self) {
        for sub in self.subs.values_mut() {
            for delivery in sub.live.values_mut() {
                delivery.suspect |= delivery.begun;
                delivery.begun = false;
            }
        }
    }

    /// What an opened journal says, in the words of the model.
    pub(crate) fn of(journal: &Journal, recovered: &Recovered) -> Model {
        let mut model = Model { next_seq: recovered.next_seq, ..Model::default() };
        for sub in &recovered.subs {
            let counters = sub.counters;
            let mut seen = Sub {
                next_id: sub.next_id,
                live: BTreeMap::new(),
                accepted: counters.accepted,
                done: counters.done,
                forwarded: counters.forwarded,
                dead: counters.dead,
                dropped: counters.dropped.iter().sum(),
            };
            let read = |id| {
                let stored = journal.read_delivery(Target { sub: sub.sub, id });
                let stored = stored.unwrap_or_else(|error| panic!("read {id}: {error}"));
                checked_mid(stored.publish().mid, stored.publish().payload)
            };
            let ids: Vec<u64> = sub.tried.iter().map(|tried| tried.id).collect();
            for (many, &id) in journal.read_deliveries(sub.sub, &ids).iter().zip(&ids) {
                let alone = journal.read_delivery(Target { sub: sub.sub, id });
                let places = (many.as_ref().map(Stored::place), alone.as_ref().map(Stored::place));
                assert_eq!(places.0.ok(), places.1.ok(), "one by one or together");
            }
            for span in &sub.fresh {
                for id in span.first..span.first + span.count {
                    seen.live.insert(id, Delivery { mid: read(id), ..Delivery::default() });
                }
            }
            for tried in &sub.tried {
                let delivery = Delivery {
                    mid: read(tried.id),
                    attempts: tried.attempts,
                    failures: tried.failures,
                    redrives: tried.redrives,
                    due_unix_ns: tried.due_unix_ns,
                    begun: tried.begun,
                    suspect: tried.suspect,
                    held: tried.held.is_some(),
                    history: tried.history.len(),
                };
                assert!(seen.live.insert(tried.id, delivery).is_none(), "fresh and tried");
            }
            assert_eq!(counters.dropped[usize::from(LOST)], sub.lost);
            model.subs.insert(sub.sub, seen);
        }
        let numbers: Vec<u64> = recovered.dead.iter().map(|letter| letter.number).collect();
        let letters = journal.read_letters(&numbers);
        for (letter, many) in recovered.dead.iter().zip(letters) {
            let stored = journal.read_letter(letter.number);
            let alone = stored.as_ref().map(Stored::place).ok();
            assert_eq!(many.map(|stored| stored.place()).ok(), alone, "one by one or together");
            let stored = stored.unwrap_or_else(|error| panic!("letter {}: {error}", letter.number));
            let mid = checked_mid(stored.publish().mid, stored.publish().payload);
            let reason = letter.letter.reason.clone();
            let found = (letter.target.sub, mid, letter.attempts, reason);
            model.letters.insert(letter.number, found);
        }
        model.control = recovered.control.iter().cloned().collect();
        model.keys = recovered
            .dedup
            .iter()
            .map(|key| (key.key.clone(), key.mid as u64 & !(3 << 62)))
            .collect();
        model
    }
}

/// The payload of a message follows from its number.
pub(crate) fn payload(mid: u64) -> Vec<u8> {
    let length = 10 + (mid * 37 % 180) as usize;
    (0..length).map(|at| (mid as usize + at) as u8).collect()
}

fn checked_mid(mid: u128, found: &[u8]) -> u64 {
    let mid = mid as u64 & !(3 << 62);
    assert_eq!(found, payload(mid), "payload of message {mid}");
    mid
}
