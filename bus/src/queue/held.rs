//! Keys that hold back what follows them: one of their deliveries is in retry, revoked, suspended, or
//! was begun before a cutover. In normal running there are none.
//!
//! What waits for a key must not fill the memory that others need (promise P-20): beyond that only
//! the place in the journal is kept. A key with such places goes on one delivery at a time, each
//! holding the key itself, until all that waited is here again.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::delivery::{Bookmark, Delivery};

/// The keys that are held.
#[derive(Debug, Default)]
pub(super) struct HeldKeys {
    keys: HashMap<u64, Held, FixedState>,
    /// Free keys whose next delivery has to be read first.
    wanted: VecDeque<u64>,
    /// Durable deliveries in memory that wait for a key.
    durable: usize,
    places: usize,
}

/// A key that waits for `holders` deliveries to be settled.
#[derive(Debug, Default)]
struct Held {
    holders: u32,
    waiting: VecDeque<Waiting>,
    /// How many of them are only a place.
    places: usize,
}

/// What waits for its key.
#[derive(Debug)]
enum Waiting {
    Here(Delivery),
    /// In the journal only.
    Place(Bookmark),
}

/// What goes on when a key is free.
pub(super) enum Released {
    /// All that waited, in order; nothing is held any more.
    All(Vec<Delivery>),
    /// The next one. It holds the key.
    Next(Delivery),
    /// Nothing, or nothing that is here.
    Nothing,
}

// === impl HeldKeys ===

impl HeldKeys {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// One more unsettled delivery that its key waits for.
    pub(super) fn hold(&mut self, key: u64) {
        self.keys.entry(key).or_default().holders += 1;
    }

    /// One of them is settled.
    pub(super) fn let_go(&mut self, key: u64) -> Released {
        let Some(held) = self.keys.get_mut(&key) else { return Released::Nothing };
        held.holders = held.holders.saturating_sub(1);
        if held.holders > 0 { Released::Nothing } else { self.go_on(key) }
    }

    fn go_on(&mut self, key: u64) -> Released {
        let Some(held) = self.keys.get_mut(&key) else { return Released::Nothing };
        if held.places == 0 {
            let waiting = self.keys.remove(&key).map(|held| held.waiting).unwrap_or_default();
            let all: Vec<Delivery> = waiting.into_iter().filter_map(Waiting::into_here).collect();
            self.durable -= all.iter().filter(|delivery| delivery.is_durable()).count();
            return Released::All(all);
        }
        match held.waiting.pop_front() {
            Some(Waiting::Here(mut delivery)) => {
                self.durable -= usize::from(delivery.is_durable());
                held.holders = 1;
                delivery.set_holds();
                Released::Next(delivery)
            }
            Some(place) => {
                held.waiting.push_front(place);
                if !self.wanted.contains(&key) {
                    self.wanted.push_back(key);
                }
                Released::Nothing
            }
            None => Released::Nothing,
        }
    }

    /// Lets a delivery wait behind others of its key, or gives it back when that is free.
    pub(super) fn wait(&mut self, delivery: Delivery) -> Option<Delivery> {
        let key = delivery.key_hash();
        match self.keys.get_mut(&key) {
            Some(held) if key != 0 => {
                self.durable += usize::from(delivery.is_durable());
                held.waiting.push_back(Waiting::Here(delivery));
                None
            }
            _ => Some(delivery),
        }
    }

    /// The same for one that was further already: it stands before what was accepted after it.
    pub(super) fn wait_again(&mut self, delivery: Delivery) -> Option<Delivery> {
        let key = delivery.key_hash();
        match self.keys.get_mut(&key) {
            Some(held) if key != 0 => {
                self.durable += usize::from(delivery.is_durable());
                let id = delivery.id();
                let at = held.waiting.iter().position(|other| other.id() > id);
                held.waiting.insert(at.unwrap_or(held.waiting.len()), Waiting::Here(delivery));
                None
            }
            _ => Some(delivery),
        }
    }

    /// Shows everything that is in memory.
    pub(super) fn each(&self) -> impl Iterator<Item = &Delivery> {
        self.keys.values().flat_map(|held| &held.waiting).filter_map(Waiting::here)
    }

    /// Takes out what is in memory of keys that have nothing else; they stay held.
    pub(super) fn drain(&mut self, out: &mut Vec<Delivery>) {
        let before = out.len();
        for held in self.keys.values_mut().filter(|held| held.places == 0) {
            out.extend(held.waiting.drain(..).filter_map(Waiting::into_here));
        }
        self.durable -= out[before..].iter().filter(|delivery| delivery.is_durable()).count();
    }

    /// Takes out everything; what is in the journal only goes to `places`.
    pub(super) fn drain_all(&mut self, out: &mut Vec<Delivery>, places: &mut Vec<Bookmark>) {
        for waiting in self.keys.values_mut().flat_map(|held| held.waiting.drain(..)) {
            match waiting {
                Waiting::Here(delivery) => out.push(delivery),
                Waiting::Place(place) => places.push(place),
            }
        }
        self.keys.values_mut().for_each(|held| held.places = 0);
        self.wanted.clear();
        (self.durable, self.places) = (0, 0);
    }

    /// Gives up the oldest that waits, unless the journal has it.
    pub(super) fn drop_oldest(&mut self) -> Option<Delivery> {
        let fronts =
            self.keys.iter().filter_map(|(key, held)| Some((held.waiting.front()?.id(), *key)));
        let (_, key) = fronts.min()?;
        let waiting = &mut self.keys.get_mut(&key)?.waiting;
        waiting.pop_front_if(|front| front.here().is_some_and(|it| !it.is_durable()))?.into_here()
    }

    /// The oldest that waits.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.keys.values().filter_map(|held| Some(held.waiting.front()?.id())).min()
    }

    // --- places ---

    /// How many are only a place.
    #[inline]
    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// Whether something of it need not be in memory.
    pub(super) fn can_shed(&self, most: usize) -> bool {
        self.durable > 0 && self.places < most
    }

    /// Keeps of what waits no more than its place, until there are `most` of those.
    pub(super) fn shed(&mut self, most: usize, garbage: &mut Vec<Delivery>) {
        for held in self.keys.values_mut() {
            // Those that go last first.
            for waiting in held.waiting.iter_mut().rev() {
                if self.places >= most {
                    return;
                }
                let Some(delivery) = waiting.here() else { continue };
                if !delivery.is_durable() || delivery.message().mark() == 0 {
                    continue;
                }
                let place = Waiting::Place(delivery.to_bookmark());
                garbage.extend(std::mem::replace(waiting, place).into_here());
                (held.places, self.places) = (held.places + 1, self.places + 1);
                self.durable -= 1;
            }
        }
    }

    /// Whether a key is free and what is next has to be read.
    #[inline]
    pub(super) fn is_wanting(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// The places that are to be read first, `most` of them.
    pub(super) fn wanted(&mut self, most: usize) -> Vec<Bookmark> {
        let mut places = Vec::new();
        while places.len() < most
            && let Some(key) = self.wanted.pop_front()
        {
            let waiting = self.keys.get(&key).into_iter().flat_map(|held| &held.waiting);
            let first = waiting.map_while(Waiting::place).take(most - places.len());
            places.extend(first.copied());
        }
        places
    }

    /// A delivery is here of which only the place was kept; `None` when nobody waits for it.
    pub(super) fn restore(&mut self, delivery: Delivery) -> Option<Released> {
        let (key, id) = (delivery.key_hash(), delivery.id());
        let held = self.keys.get_mut(&key)?;
        let is_it = |waiting: &Waiting| waiting.place().is_some_and(|it| it.id == id);
        let at = held.waiting.iter().position(is_it)?;
        (held.places, self.places) = (held.places - 1, self.places - 1);
        self.durable += 1;
        held.waiting[at] = Waiting::Here(delivery);
        // The first that comes goes on; the others wait for it.
        Some(if held.holders == 0 && at == 0 { self.go_on(key) } else { Released::Nothing })
    }
}

// === impl Waiting ===

impl Waiting {
    fn id(&self) -> u64 {
        match self {
            Waiting::Here(delivery) => delivery.id(),
            Waiting::Place(place) => place.id,
        }
    }

    fn here(&self) -> Option<&Delivery> {
        if let Waiting::Here(delivery) = self { Some(delivery) } else { None }
    }

    fn into_here(self) -> Option<Delivery> {
        if let Waiting::Here(delivery) = self { Some(delivery) } else { None }
    }

    fn place(&self) -> Option<&Bookmark> {
        if let Waiting::Place(place) = self { Some(place) } else { None }
    }
}
