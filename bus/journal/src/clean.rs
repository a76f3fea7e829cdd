//! What keeps the oldest segment, and copying it forward when little does.
//!
//! Only the oldest segment is ever freed, so a record never outlives what it refers to: what comes
//! after a publish stands in the same segment or a later one.

use std::{collections::HashMap, sync::atomic::Ordering::Release};

use crate::{
    books::Whereabouts,
    commit::lock,
    config::JournalConfig,
    error::AppendError,
    frame::{Frame, HEAD},
    head::Head,
    journal::Shared,
    level::Level,
    place::Place,
    read,
    record::{
        DedupKey, DedupKeys, Kind, Letter, Moved, MovedTarget, Publish, Record, Standing, Target,
    },
    segment::{Keys, Used, Window},
    weigh::{Weighed, worth},
    wire::{ItemReader, List, Reader},
};

/// A segment is copied forward when at most one in this many of its deliveries is still needed.
const SHARE: u64 = 4;
/// How many segments there must be before that is looked at.
const SEGMENTS_MIN: usize = 3;
/// What a delivery takes where it is copied, beside its message and what is known of its failures.
const STANDING_BYTES: u64 = 64;
/// How many keys one record copies forward.
const KEYS_MAX: usize = 256;

/// What of a segment's records is still needed, by where it stands.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    /// Deliveries and letters whose message the record at that offset holds, a copy already.
    at: HashMap<u64, Vec<Need>>,
    /// Those that stand where another delivery was published.
    with: HashMap<Target, Vec<Need>>,
}

#[derive(Clone, Copy, Debug)]
enum Need {
    Delivery(Target),
    Letter(u64),
}

// === impl Head ===

impl Head {
    /// Whether nothing needs the oldest segment.
    pub(crate) fn oldest_is_free(&self, config: &JournalConfig) -> bool {
        let Some(oldest) = self.used.front().filter(|_| self.used.len() > 1) else { return false };
        self.burden(oldest.segment.number) == 0 && !self.needs_keys(oldest, config)
    }

    pub(crate) fn window(&self, config: &JournalConfig) -> Window {
        let length_ns = u64::try_from(config.dedup_window.as_nanos()).unwrap_or(u64::MAX);
        Window { now_ns: self.books.observed_ns, length_ns }
    }

    /// How many deliveries and dead letters have their message in the oldest segment.
    pub(crate) fn burden(&self, segment: u64) -> u64 {
        let mut sum = 0;
        for book in self.books.subs.values() {
            let published = book.published_in(segment);
            if let Some((first, end)) = published {
                let moved = book.elsewhere.range(first..end).count() as u64;
                sum += book.live.count(first, end).saturating_sub(moved);
            }
            sum += book
                .elsewhere
                .values()
                .filter(|whereabouts| match whereabouts {
                    Whereabouts::At(place) => place.segment == segment,
                    Whereabouts::As(first_id) => {
                        published.is_some_and(|(first, end)| (first..end).contains(first_id))
                    }
                })
                .count() as u64;
        }
        let letters = self.books.letters.values().filter(|letter| match letter.message {
            Some(place) => place.segment == segment,
            None => self.was_published_in(letter.target, segment),
        });
        sum + letters.count() as u64
    }

    fn was_published_in(&self, target: Target, segment: u64) -> bool {
        self.books
            .subs
            .get(&target.sub)
            .and_then(|book| book.published_in(segment))
            .is_some_and(|(first, end)| (first..end).contains(&target.id))
    }

    /// What is needed that does not stand where it was published.
    fn needed(&self, segment: u64) -> Needed {
        let mut needed = Needed::default();
        for (&sub, book) in &self.books.subs {
            for (&id, whereabouts) in &book.elsewhere {
                let need = Need::Delivery(Target { sub, id });
                needed.note(sub, whereabouts, segment, need);
            }
        }
        for (&number, letter) in &self.books.letters {
            let whereabouts = match letter.message {
                Some(place) => Whereabouts::At(place),
                None => Whereabouts::As(letter.target.id),
            };
            needed.note(letter.target.sub, &whereabouts, segment, Need::Letter(number));
        }
        needed
    }

    /// Whether that need is still one, with the delivery that it is about.
    fn still(&self, need: Need, from: Place) -> Option<Target> {
        match need {
            Need::Delivery(target) => {
                let book = self.books.subs.get(&target.sub)?;
                book.live.contains(target.id).then_some(target)
            }
            Need::Letter(number) => {
                let letter = self.books.letters.get(&number)?;
                let here = letter.message.is_none_or(|place| place.segment == from.segment);
                here.then_some(letter.target)
            }
        }
    }
}

// === impl Needed ===

impl Needed {
    fn note(&mut self, sub: u32, whereabouts: &Whereabouts, segment: u64, need: Need) {
        match *whereabouts {
            Whereabouts::At(place) if place.segment == segment => {
                self.at.entry(place.offset).or_default().push(need);
            }
            Whereabouts::At(_) => {}
            Whereabouts::As(id) => {
                self.with.entry(Target { sub, id }).or_default().push(need);
            }
        }
    }

    /// What may need the message of the record there.
    fn by(&self, publish: &Publish<'_>, place: Place) -> Vec<Need> {
        let mut needs: Vec<Need> = publish.targets.iter().map(Need::Delivery).collect();
        for target in publish.targets {
            needs.extend(self.with.get(&target).into_iter().flatten().copied());
        }
        needs.extend(self.at.get(&place.offset).into_iter().flatten().copied());
        needs
    }
}

// === impl Shared ===

impl Shared {
    /// Whether little keeps the oldest segment, and there is something to gain.
    pub(crate) fn copying_pays(&self) -> bool {
        let head = lock(&self.head);
        let Some(oldest) = head.used.front() else { return false };
        head.used.len() >= SEGMENTS_MIN
            && head.keys_bytes(oldest, &self.config) <= oldest.end / SHARE
            && head.burden(oldest.segment.number) <= oldest.deliveries / SHARE
    }

    /// Copies what is needed of the oldest segment behind everything else, so that it can be freed.
    /// Under pressure also when much is. Whether it did.
    pub(crate) fn copy_oldest(&self, pressure: bool, weighed: &mut Option<Weighed>) -> bool {
        let (oldest, needed, mut weight) = {
            let head = lock(&self.head);
            let Some(oldest) = head.used.front().filter(|_| head.used.len() > 1) else {
                return false;
            };
            let burden = head.burden(oldest.segment.number);
            let keys = head.keys_bytes(oldest, &self.config);
            // What would be written again must leave something that is gained.
            let much = burden > oldest.deliveries / 2 || keys > worth(oldest);
            if pressure && much {
                return false;
            }
            let segment = oldest.segment.number;
            let weight = Weighed { segment, burden, keys, cost: 0 };
            // It is not read again for the same answer.
            let known = weighed.filter(|known| Weighed { cost: 0, ..*known } == weight);
            if known.is_some_and(|known| !head.has_room_to_copy(known.cost, pressure)) {
                return false;
            }
            (oldest.clone(), head.needed(segment), weight)
        };
        if self.wait(oldest.last, Level::Process).is_err() {
            return false;
        }
        let mut bytes = vec![0; oldest.end as usize];
        match oldest.segment.file.read_at(0, &mut bytes) {
            Ok(length) => bytes.truncate(length),
            Err(error) => {
                self.fail("read", &oldest.segment.name, &error);
                return false;
            }
        }
        // What is begun and not finished would only take room. What is finished gives a segment back:
        // for that the reserve is there, but for what others append meanwhile.
        weight.cost = self.cost(&oldest, &needed, &bytes);
        if pressure && weight.cost > worth(&oldest) {
            weight.cost = u64::MAX;
        }
        if !lock(&self.head).has_room_to_copy(weight.cost, pressure) {
            *weighed = Some(weight);
            return false;
        }
        let copied = self.copy(&oldest, &needed, &bytes).is_ok();
        copied && lock(&self.head).burden(oldest.segment.number) == 0
    }

    /// The bytes that copying takes, or a little more.
    fn cost(&self, oldest: &Used, needed: &Needed, bytes: &[u8]) -> u64 {
        let mut cost = 0;
        let window = lock(&self.head).window(&self.config);
        let size_of = |key: DedupKey<'_>| {
            if window.has(key.observed_ns) { Keys::size_of(&key) } else { 0 }
        };
        each_record(oldest, bytes, |place, length, record| {
            let keys: u64 = match &record {
                Record::DedupKeys(copied) => copied.keys.iter().map(size_of).sum(),
                Record::Publish(publish)
                | Record::Forward { publish, .. }
                | Record::Moved(Moved { publish, .. }) => {
                    let found = {
                        let head = lock(&self.head);
                        let needs = needed.by(publish, place);
                        // What is not written yet is found when it is copied.
                        self.reasons(&head, &needs, place).unwrap_or_default()
                    };
                    let reasons = found.iter().filter_map(|found| found.reason.as_ref());
                    let reasons: u64 = reasons.map(|reason| reason.raw.1.len() as u64).sum();
                    if !found.is_empty() {
                        cost += length + reasons + found.len() as u64 * STANDING_BYTES;
                    }
                    key_of(publish).map_or(0, size_of)
                }
                _ => 0,
            };
            cost += keys;
            Ok(())
        })
        .map_or(u64::MAX / 2, |()| cost)
    }

    fn copy(&self, oldest: &Used, needed: &Needed, bytes: &[u8]) -> Result<(), AppendError> {
        let mut keys: Vec<DedupKey<'_>> = Vec::new();
        each_record(oldest, bytes, |place, _, record| {
            match record {
                Record::Publish(publish)
                | Record::Forward { publish, .. }
                | Record::Moved(Moved { publish, .. }) => {
                    keys.extend(key_of(&publish));
                    self.copy_message(&publish, &needed.by(&publish, place), place)?;
                }
                Record::DedupKeys(copied) => keys.extend(copied.keys),
                _ => {}
            }
            if keys.len() >= KEYS_MAX { self.copy_keys(&mut keys) } else { Ok(()) }
        })?;
        self.copy_keys(&mut keys)?;
        let mut head = lock(&self.head);
        if let Some(front) = head.used.front_mut() {
            front.keys = Keys::default();
        }
        Ok(())
    }

    /// Copies a message with those of `needs` that still are, if any.
    fn copy_message(
        &self,
        publish: &Publish<'_>,
        needs: &[Need],
        from: Place,
    ) -> Result<(), AppendError> {
        if needs.is_empty() {
            return Ok(());
        }
        for patient in [true, true, false] {
            let mut head = lock(&self.head);
            match self.reasons(&head, needs, from) {
                Ok(found) => return self.copy_with(&mut head, publish, &found),
                // A reason may have been appended and not written yet.
                Err(NotYet) if patient => {
                    drop(head);
                    self.flush();
                }
                Err(NotYet) => {}
            }
        }
        Ok(())
    }

    /// Which needs still are, each with the record that says why it is dead, if it is.
    fn reasons(&self, head: &Head, needs: &[Need], from: Place) -> Result<Vec<Found>, NotYet> {
        let mut found = Vec::new();
        for &need in needs {
            let Some(target) = head.still(need, from) else { continue };
            let reason_at = match need {
                Need::Letter(number) => {
                    head.books.letters.get(&number).map(|letter| (number, letter.reason))
                }
                Need::Delivery(target) => {
                    let book = head.books.subs.get(&target.sub);
                    let moved = book.and_then(|book| book.elsewhere.get(&target.id));
                    // Copied already, to another place.
                    if matches!(moved, Some(Whereabouts::At(place)) if *place != from) {
                        continue;
                    }
                    let held = book.and_then(|book| book.held.get(&target.id));
                    held.and_then(|held| held.reason).map(|place| (0, place))
                }
            };
            let reason = match reason_at {
                None => None,
                Some((number, place)) => {
                    let segment = head.segment(place.segment).ok_or(NotYet)?;
                    let raw = read::raw(segment, place.offset).ok_or(NotYet)?;
                    Some(Reason { raw, target, number })
                }
            };
            found.push(Found { need, target, reason });
        }
        Ok(found)
    }

    fn copy_with(
        &self,
        head: &mut Head,
        publish: &Publish<'_>,
        found: &[Found],
    ) -> Result<(), AppendError> {
        if found.is_empty() {
            return Ok(());
        }
        let mut body = Vec::new();
        {
            let moved: Vec<MovedTarget<'_>> =
                found.iter().map(|found| head.moved_target(found)).collect();
            let publish = Publish {
                targets: List::default(),
                letters: List::default(),
                dedup: None,
                ..*publish
            };
            Record::Moved(Moved { publish, targets: List::from(&*moved) }).encode(0, &mut body);
        }
        // Encoded before the books change, and appended as what was encoded.
        match Record::decode(Kind::Moved, &body) {
            Ok(record) => self.append_copy(head, &record),
            Err(_) => Ok(()),
        }
    }

    fn append_copy(&self, head: &mut Head, record: &Record<'_>) -> Result<(), AppendError> {
        let position = self.try_append(head, record)?;
        self.appended.store(position.number, Release);
        Ok(())
    }

    fn copy_keys(&self, keys: &mut Vec<DedupKey<'_>>) -> Result<(), AppendError> {
        let mut head = lock(&self.head);
        let window = head.window(&self.config);
        let newer: u64 = head.used.iter().skip(1).map(|used| used.keys.count).sum();
        keys.retain(|key| window.has(key.observed_ns));
        if keys.is_empty() || newer >= self.config.dedup_keys_max as u64 {
            keys.clear();
            return Ok(());
        }
        let list = List::from(&**keys);
        self.append_copy(&mut head, &Record::DedupKeys(DedupKeys { keys: list }))?;
        if let Some(used) = head.used.back_mut() {
            keys.iter().for_each(|key| used.keys.note(key));
        }
        keys.clear();
        Ok(())
    }
}

/// Shows the records of a segment, with where they stand and how long they are.
fn each_record<'a>(
    segment: &Used,
    bytes: &'a [u8],
    mut see: impl FnMut(Place, u64, Record<'a>) -> Result<(), AppendError>,
) -> Result<(), AppendError> {
    let mut at = HEAD;
    while let Some(step) = crate::frame::length_at(&bytes[at..]) {
        let place = Place { segment: segment.segment.number, offset: at as u64 };
        let frame = Frame::read(&bytes[at..], segment.segment.salt);
        // Damage is passed over here as it was on opening, where it was reported.
        at += frame.map_or(1, |_| step);
        let record = frame.and_then(|frame| Record::decode(frame.kind, frame.body).ok());
        if let Some(record) = record {
            see(place, step as u64, record)?;
        }
    }
    Ok(())
}

/// A record cannot be read back: not written yet, or damaged since.
struct NotYet;

/// A need that still is one.
struct Found {
    need: Need,
    target: Target,
    reason: Option<Reason>,
}

/// The record that says why a delivery is dead, as bytes.
struct Reason {
    raw: (Kind, Vec<u8>),
    target: Target,
    number: u64,
}

impl Reason {
    /// The letter in it, and where the delivery stood.
    fn read(&self) -> Option<(Letter<'_>, Standing<'_>)> {
        match Record::decode(self.raw.0, &self.raw.1).ok()? {
            Record::Dead(dead) => Some((dead.letter, dead.standing)),
            Record::Publish(publish) | Record::Forward { publish, .. } => {
                let dead = publish.letters.iter().find(|dead| dead.letter.number == self.number)?;
                Some((dead.letter, dead.standing))
            }
            Record::Moved(moved) => moved.targets.iter().find_map(|moved| {
                let letter = moved.letter?;
                let same = letter.number == self.number && moved.target == self.target;
                same.then_some((letter, moved.standing))
            }),
            _ => None,
        }
    }
}

// === impl Head ===

impl Head {
    fn moved_target<'a>(&'a self, found: &'a Found) -> MovedTarget<'a> {
        let Found { need, target, reason } = found;
        let (need, target) = (*need, *target);
        let read = reason.as_ref().and_then(Reason::read);
        let letter = read.map(|(letter, _)| letter);
        if let Need::Letter(number) = need {
            let unreadable = Letter { number, cause: u8::MAX, ..Letter::default() };
            let standing = read.map(|(_, standing)| standing).unwrap_or_default();
            let letter = Some(letter.unwrap_or(unreadable));
            return MovedTarget { target, begun: false, suspect: false, standing, letter };
        }
        let book = self.books.subs.get(&target.sub);
        let held = book.and_then(|book| book.held.get(&target.id));
        let begun = book.is_some_and(|book| book.begun.contains(target.id));
        let suspect = book.is_some_and(|book| book.suspects.contains(target.id));
        let standing = held.map_or_else(
            || Standing { attempts: u32::from(begun || suspect), ..Standing::default() },
            |held| Standing {
                attempts: held.attempts,
                failures: held.failures,
                redrives: held.redrives,
                due_unix_ns: held.due_unix_ns,
                delay_ns: held.delay_ns,
                history: history(&held.history),
            },
        );
        MovedTarget { target, begun, suspect, standing, letter }
    }
}

/// A list of failures as the books keep it.
pub(crate) fn history(bytes: &[u8]) -> List<'_, crate::record::Failure<'_>> {
    if bytes.is_empty() {
        return List::default();
    }
    ItemReader(Reader::new(bytes)).0.list().unwrap_or_default()
}

pub(crate) fn key_of<'a>(publish: &Publish<'a>) -> Option<DedupKey<'a>> {
    let dedup = publish.dedup?;
    Some(DedupKey {
        principal: dedup.principal,
        topic: publish.topic,
        key: dedup.key,
        payload_hash: dedup.payload_hash,
        mid: publish.mid,
        seq: publish.seq,
        observed_ns: publish.observed_ns,
    })
}
