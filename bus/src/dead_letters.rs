//! Where deliveries end that cannot be handled (promise P-21): bounded by count, bytes and age.
//!
//! **Absent on purpose.** No file: the journal keeps the letters of durable deliveries, and gives
//! them back when the bus is opened.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use patchbay_slab::Message;

use crate::{
    clock::nanoseconds,
    config::{DeadLetterConfig, WhenFull},
    redelivery::DeadCause,
    settlement::FaultClass,
    sync::lock,
    versions::Versions,
    wake::Wake,
};

/// How many failures of a delivery are remembered.
pub const HISTORY_MAX: usize = 5;

/// Where dead letters are told of, with the name of the plugin behind. What dies while it is handled
/// from there is [`DeadCause::Terminal`].
pub const DEAD_TOPICS: &str = "$PB.dead.";

/// One failed attempt, as remembered.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The plugin, by name.
    pub plugin: Arc<str>,
    /// Which instance of it; its number means something in the life of the bus that gave it.
    pub generation: u64,
    /// Which version that was; empty where nobody knows.
    pub version: Arc<str>,
    /// Number of the hand-off.
    pub attempt: u32,
    /// What kind of failure; `None` when the handler gave the message up itself.
    pub class: Option<FaultClass>,
    /// In words, printable.
    pub reason: String,
    /// When, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
}

/// One delivery that nobody will hand off again.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its number among the dead letters, only growing.
    pub number: u64,
    /// The subscription, as in [`Subscription::id`](crate::Subscription::id).
    pub subscription: u64,
    /// The plugin that owns it.
    pub owner: Arc<str>,
    /// Which instance of it had the last attempt; 0 = none.
    pub generation: u64,
    /// Which version that was; empty where nobody knows.
    pub version: Arc<str>,
    /// The message, whole.
    pub message: Message,
    /// The delivery's id.
    pub delivery: u64,
    /// Hand-offs.
    pub attempts: u32,
    /// Failures charged.
    pub failures: u32,
    /// Why.
    pub cause: DeadCause,
    /// In words, printable, at most 4 KiB.
    pub reason: String,
    /// The last failures, oldest first.
    pub history: Vec<Failure>,
    /// How often it was sent back to its subscription.
    pub redrives: u32,
    /// When it was accepted, nanoseconds since the Unix epoch.
    pub accepted_unix_ns: u64,
    /// When it died, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
    /// The journal has it: it survives a restart.
    pub is_durable: bool,
}

/// A dead letter of an earlier life that is recorded and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableLetter {
    /// Its number.
    pub number: u64,
    /// The plugin that owned it.
    pub owner: Arc<str>,
    /// What is wrong, in words.
    pub why: String,
}

/// The dead letters of a broker, bounded by count and bytes.
pub struct DeadLetters {
    config: DeadLetterConfig,
    shelf: Mutex<Shelf>,
    /// Letters that found no room and were dropped or pushed one out.
    overwritten: AtomicU64,
    outdated: AtomicU64,
    watchers: Mutex<Vec<Arc<dyn Wake>>>,
    /// What they are signed with.
    pub(crate) versions: Versions,
}

#[derive(Default)]
struct Shelf {
    letters: VecDeque<Arc<DeadLetter>>,
    bytes: usize,
    next: u64,
    /// What `next` was when the bus was opened.
    inherited: u64,
    /// Letters that went for want of room or of use, and of which the journal was not told yet.
    given_up: Vec<u64>,
    /// As found when the bus was opened, oldest first.
    unreadable: Vec<UnreadableLetter>,
}

// === impl DeadLetters ===

impl DeadLetters {
    pub(crate) fn new(config: DeadLetterConfig) -> DeadLetters {
        DeadLetters {
            config,
            shelf: Mutex::default(),
            overwritten: AtomicU64::new(0),
            outdated: AtomicU64::new(0),
            watchers: Mutex::default(),
            versions: Versions::default(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.shelf).letters.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all messages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        lock(&self.shelf).bytes
    }

    /// Letters pushed out by newer ones, since the broker exists.
    #[must_use]
    pub fn overwritten(&self) -> u64 {
        self.overwritten.load(Relaxed)
    }

    /// Up to `limit` letters with a number above `after`, oldest first. Numbers start at 1.
    #[must_use]
    pub fn after(&self, after: u64, limit: usize) -> Vec<Arc<DeadLetter>> {
        let shelf = lock(&self.shelf);
        shelf.letters.iter().filter(|letter| letter.number > after).take(limit).cloned().collect()
    }

    /// The letter of that number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<Arc<DeadLetter>> {
        lock(&self.shelf).letters.iter().find(|letter| letter.number == number).cloned()
    }

    /// The number of the last one that an earlier life left; 0 = none.
    #[must_use]
    pub fn inherited(&self) -> u64 {
        lock(&self.shelf).inherited
    }

    /// Those that cannot be read, and so cannot be sent back: their messages are lost to damage.
    #[must_use]
    pub fn unreadable(&self) -> Vec<UnreadableLetter> {
        lock(&self.shelf).unreadable.clone()
    }

    /// The one of that number that cannot be read.
    #[must_use]
    pub fn unreadable_one(&self, number: u64) -> Option<UnreadableLetter> {
        lock(&self.shelf).unreadable.iter().find(|letter| letter.number == number).cloned()
    }

    /// Takes one that cannot be read off the list.
    pub(crate) fn take_unreadable(&self, number: u64) -> Option<UnreadableLetter> {
        let mut shelf = lock(&self.shelf);
        let at = shelf.unreadable.iter().position(|letter| letter.number == number)?;
        Some(shelf.unreadable.remove(at))
    }

    /// Puts it back in its place.
    pub(crate) fn put_unreadable(&self, letter: UnreadableLetter) {
        let mut shelf = lock(&self.shelf);
        let at = shelf.unreadable.partition_point(|other| other.number < letter.number);
        shelf.unreadable.insert(at, letter);
    }

    /// The letters of a message, oldest first.
    pub(crate) fn of_message(&self, mid: u128) -> Vec<Arc<DeadLetter>> {
        lock(&self.shelf).letters.iter().filter(|it| it.message.id() == mid).cloned().collect()
    }

    /// Tells `watcher` whenever a letter arrives. Kept for the life of the broker.
    pub fn watch(&self, watcher: Arc<dyn Wake>) {
        lock(&self.watchers).push(watcher);
    }

    /// Takes a letter out. Room for those held back: see [`Broker::purge`](crate::Broker::purge).
    pub(crate) fn take(&self, number: u64) -> Option<Arc<DeadLetter>> {
        let mut shelf = lock(&self.shelf);
        let at = shelf.letters.iter().position(|letter| letter.number == number)?;
        let letter = shelf.letters.remove(at)?;
        shelf.bytes -= letter.message.size();
        Some(letter)
    }

    /// Puts a letter that was taken out back in its place, whatever the bounds say.
    pub(crate) fn put_back(&self, letter: Arc<DeadLetter>) {
        let mut shelf = lock(&self.shelf);
        let at = shelf.letters.partition_point(|other| other.number < letter.number);
        shelf.bytes += letter.message.size();
        shelf.letters.insert(at, letter);
    }

    /// Keeps a letter, or gives it back when there is no room and the policy is to hold it.
    ///
    /// `record` sees the letter in the end, with its number, or with 0 when it is given back.
    /// Called with a desk locked; its own lock is the last one but the journal's.
    pub(crate) fn offer(
        &self,
        mut letter: DeadLetter,
        is_durable: bool,
        record: impl FnOnce(&DeadLetter),
    ) -> Result<(), Box<DeadLetter>> {
        letter.is_durable = is_durable;
        let size = letter.message.size();
        let mut shelf = lock(&self.shelf);
        if self.config.when_full == WhenFull::Hold && !self.fits(&shelf, size) {
            letter.number = 0;
            record(&letter);
            return Err(Box::new(letter));
        }
        self.make_room(&mut shelf, size);
        shelf.next += 1;
        letter.number = shelf.next;
        record(&letter);
        shelf.bytes += size;
        shelf.letters.push_back(Arc::new(letter));
        Ok(())
    }

    /// Keeps letters that one record makes, which `record` writes; as many of them as find room, and
    /// none when it fails. Returns what it says, and how many they were.
    pub(crate) fn offer_all<R, E>(
        &self,
        mut letters: Vec<DeadLetter>,
        record: impl FnOnce(&[DeadLetter]) -> Result<R, E>,
    ) -> Result<(R, usize), E> {
        let mut shelf = lock(&self.shelf);
        let is_bounded = self.config.when_full == WhenFull::Hold;
        let (mut count, mut bytes) = (shelf.letters.len(), shelf.bytes);
        let fits = letters.iter().take_while(|letter| {
            (count, bytes) = (count + 1, bytes.saturating_add(letter.message.size()));
            !is_bounded || count <= self.config.max_count && bytes <= self.config.max_bytes
        });
        letters.truncate(fits.count());
        for (letter, number) in letters.iter_mut().zip(shelf.next + 1..) {
            letter.number = number;
        }
        let recorded = record(&letters)?;
        let kept = letters.len();
        for letter in letters {
            self.make_room(&mut shelf, letter.message.size());
            shelf.next = letter.number;
            shelf.bytes += letter.message.size();
            shelf.letters.push_back(Arc::new(letter));
        }
        Ok((recorded, kept))
    }

    /// Gives the oldest up until one of that size fits, or none is left.
    fn make_room(&self, shelf: &mut Shelf, size: usize) {
        while !self.fits(shelf, size) {
            let Some(oldest) = shelf.letters.pop_front() else { return };
            self.overwritten.fetch_add(1, Relaxed);
            shelf.bytes -= oldest.message.size();
            shelf.given_up.extend(oldest.is_durable.then_some(oldest.number));
        }
    }

    fn fits(&self, shelf: &Shelf, size: usize) -> bool {
        shelf.letters.len() < self.config.max_count
            && shelf.bytes.saturating_add(size) <= self.config.max_bytes
    }

    /// Whether one of that size would be kept.
    pub(crate) fn have_room(&self, size: usize) -> bool {
        let shelf = lock(&self.shelf);
        self.config.when_full == WhenFull::DropOldest || self.fits(&shelf, size)
    }

    /// Letters that went for want of room since this was asked last.
    pub(crate) fn take_given_up(&self) -> Vec<u64> {
        mem::take(&mut lock(&self.shelf).given_up)
    }

    /// Gives up those that died longer ago than `max_age`, and what an earlier life left beyond the
    /// bounds where the oldest has to go.
    pub(crate) fn expire(&self, unix_ns: u64) -> usize {
        let mut shelf = lock(&self.shelf);
        if self.config.when_full == WhenFull::DropOldest {
            while shelf.letters.len() > self.config.max_count || shelf.bytes > self.config.max_bytes
            {
                let Some(oldest) = shelf.letters.pop_front() else { break };
                shelf.bytes -= oldest.message.size();
                shelf.given_up.extend(oldest.is_durable.then_some(oldest.number));
                self.overwritten.fetch_add(1, Relaxed);
            }
        }
        let Some(oldest) = unix_ns.checked_sub(nanoseconds(self.config.max_age)) else { return 0 };
        let mut gone = 0;
        while let Some(letter) = shelf.letters.pop_front_if(|letter| letter.at_unix_ns < oldest) {
            shelf.bytes -= letter.message.size();
            shelf.given_up.extend(letter.is_durable.then_some(letter.number));
            gone += 1;
        }
        self.outdated.fetch_add(gone as u64, Relaxed);
        gone
    }

    /// Letters that were given up because of their age, since the broker exists.
    #[must_use]
    pub fn outdated(&self) -> u64 {
        self.outdated.load(Relaxed)
    }

    /// Takes all letters of a subscription out.
    pub(crate) fn forget_subscription(&self, subscription: u64) {
        let mut shelf = lock(&self.shelf);
        shelf.letters.retain(|letter| letter.subscription != subscription);
        shelf.bytes = shelf.letters.iter().map(|letter| letter.message.size()).sum();
    }

    /// Puts letters of an earlier life on the shelf; later ones are numbered from `next` on.
    pub(crate) fn restore(
        &self,
        letters: Vec<DeadLetter>,
        unreadable: Vec<UnreadableLetter>,
        next: u64,
    ) {
        let mut shelf = lock(&self.shelf);
        shelf.unreadable = unreadable;
        shelf.bytes += letters.iter().map(|letter| letter.message.size()).sum::<usize>();
        shelf.letters.extend(letters.into_iter().map(Arc::new));
        shelf.next = next.saturating_sub(1);
        shelf.inherited = shelf.next;
    }

    /// Those who want to hear of new letters.
    pub(crate) fn watchers(&self) -> Vec<Arc<dyn Wake>> {
        lock(&self.watchers).clone()
    }

    pub(crate) fn max_pending(&self) -> usize {
        self.config.max_pending
    }
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetters").field("len", &self.len()).finish_non_exhaustive()
    }
}
