//! Everything that was written down, by message and by delivery.

use std::collections::{BTreeMap, HashMap};

use super::{
    balance, cutover,
    expectation::{Expectations, Listener},
    finding::{Kind, Verdict},
    late, order, presence,
    record::{
        Answer, Began, Cause, Dead, Ended, Event, LedgerTerms, Level, Published, Record, Status,
        Tag,
    },
    repetition, topic,
};

/// Takes records one by one, in any order, and judges them at the end. What it keeps of a hand-off
/// is a few words, so that millions of them fit.
#[derive(Debug)]
pub struct Casebook {
    pub(super) expectations: Expectations,
    pub(super) names: Names,
    pub(super) messages: BTreeMap<Message, Case>,
    pub(super) deliveries: BTreeMap<Delivery, Vec<HandOff>>,
    /// Dead letters listed, by listener and message.
    pub(super) dead: BTreeMap<(u32, Message), u64>,
    pub(super) ledgers: Vec<LedgerTerms>,
    /// Messages that were sent back from the dead letters, with when.
    pub(super) sent_back: Vec<(u32, Message, u64)>,
    pub(super) causes: Vec<Cause>,
    /// When lives of the host ended, in order.
    pub(super) life_ends: Vec<u64>,
    ends: Vec<(Delivery, u32, u64, Fate)>,
}

/// A tag, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Message {
    pub(super) publisher: u32,
    pub(super) n: u64,
}

/// A message at a listener, under one of the host's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Delivery {
    pub(super) listener: u32,
    pub(super) message: Message,
    pub(super) number: u64,
}

/// What publishers said of a message.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    pub(super) topic: u32,
    pub(super) key: u32,
    pub(super) level: Level,
    pub(super) accepted: u64,
    pub(super) unknown: u64,
    pub(super) tries: u64,
    pub(super) dedup: bool,
    /// When the first try began.
    pub(super) sent: u64,
    /// When the last accepting answer came.
    pub(super) answered: u64,
    pub(super) seq: Option<u64>,
    pub(super) mid: Option<u32>,
    pub(super) expires: u64,
    pub(super) not_before: u64,
}

/// One call of a handler.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandOff {
    pub(super) attempt: u32,
    pub(super) began: u64,
    pub(super) ended: Option<(u64, Fate)>,
    pub(super) generation: u64,
    pub(super) version: u32,
    pub(super) lane: u64,
    pub(super) key: u32,
    pub(super) mid: Option<u32>,
}

/// A [`Status`], in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Acknowledged,
    Failed,
    Forwarded(u32),
    Again,
}

/// Texts that occur often, once.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Box<str>, u32>,
    texts: Vec<Box<str>>,
}

// === impl Casebook ===

impl Casebook {
    /// An empty one.
    #[must_use]
    pub fn new(expectations: Expectations) -> Casebook {
        let mut names = Names::default();
        // Number 0 is the empty text; listeners come next, in their order.
        names.number("");
        for listener in &expectations.listeners {
            names.number(&listener.name);
        }
        Casebook {
            expectations,
            names,
            messages: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            dead: BTreeMap::new(),
            ledgers: Vec::new(),
            sent_back: Vec::new(),
            causes: Vec::new(),
            life_ends: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Takes one record.
    pub fn add(&mut self, record: &Record) {
        match record {
            Record::Published(published) => self.published(published),
            Record::Began(began) => self.began(began),
            Record::Ended(ended) => self.ended(ended),
            Record::Dead(dead) => self.died(dead),
            Record::Ledger(terms) => self.ledgers.push(terms.clone()),
            Record::Cause(cause) => self.caused(cause),
        }
    }

    fn caused(&mut self, cause: &Cause) {
        if let Event::Redrive { subscription, message: Some(tag) } = &cause.event {
            let sent_back = (self.names.number(subscription), self.message(tag), cause.t);
            self.sent_back.push(sent_back);
        }
        self.causes.push(cause.clone());
    }

    fn published(&mut self, published: &Published) {
        let message = self.message(&published.tag);
        let (topic, key) = (self.names.number(&published.topic), self.names.number(&published.key));
        let mid = published.mid.as_deref().map(|mid| self.names.number(mid));
        let sent = if published.sent == 0 { published.t } else { published.sent };
        let fresh = || Case { sent, dedup: true, ..Case::default() };
        let case = self.messages.entry(message).or_insert_with(fresh);
        (case.topic, case.key) = (topic, key);
        case.tries += 1;
        case.dedup &= published.dedup;
        case.sent = case.sent.min(sent);
        case.expires = published.expires;
        case.not_before = published.not_before;
        match published.answer {
            Answer::Accepted | Answer::Duplicate => {
                // A duplicate says that an earlier try, whose answer was lost, was accepted.
                let counts = published.answer == Answer::Accepted;
                case.accepted += u64::from(counts);
                case.unknown += u64::from(!counts);
                case.level = published.level;
                case.answered = case.answered.max(published.t);
                case.seq = published.seq.or(case.seq);
                case.mid = mid.or(case.mid);
                if !counts && case.dedup {
                    case.accepted = case.accepted.max(1);
                }
            }
            Answer::Unknown => {
                case.unknown += 1;
                case.level = case.level.max(published.level);
            }
            Answer::Rejected => {}
        }
    }

    fn began(&mut self, began: &Began) {
        let delivery = self.delivery(&began.tag, &began.subscription, began.delivery);
        let hand_off = HandOff {
            attempt: began.attempt,
            began: began.t,
            ended: None,
            generation: began.generation,
            version: self.names.number(&began.version),
            lane: began.lane,
            key: self.names.number(&began.key),
            mid: began.mid.as_deref().map(|mid| self.names.number(mid)),
        };
        self.deliveries.entry(delivery).or_default().push(hand_off);
    }

    fn ended(&mut self, ended: &Ended) {
        let delivery = self.delivery(&ended.tag, &ended.subscription, ended.delivery);
        let fate = match &ended.status {
            Status::Acknowledged => Fate::Acknowledged,
            Status::Failed => Fate::Failed,
            Status::Forwarded(topic) => Fate::Forwarded(self.names.number(topic)),
            Status::RetryLater | Status::Error => Fate::Again,
        };
        self.ends.push((delivery, ended.attempt, ended.t, fate));
    }

    fn died(&mut self, dead: &Dead) {
        let message = self.message(&dead.tag);
        let listener = self.names.number(&dead.subscription);
        *self.dead.entry((listener, message)).or_default() += 1;
    }

    fn message(&mut self, tag: &Tag) -> Message {
        Message { publisher: self.names.number(&tag.publisher), n: tag.n }
    }

    fn delivery(&mut self, tag: &Tag, subscription: &str, number: u64) -> Delivery {
        let message = self.message(tag);
        Delivery { listener: self.names.number(subscription), message, number }
    }

    /// Judges everything.
    #[must_use]
    pub fn close(mut self) -> Verdict {
        let mut verdict = Verdict::new(self.expectations.keep);
        for hand_offs in self.deliveries.values_mut() {
            hand_offs.sort_by_key(|hand_off| hand_off.began);
        }
        self.join_ends(&mut verdict);
        self.causes.sort_by_key(|cause| cause.t);
        let deaths = self.causes.iter().filter(|cause| cause.event.ends_life());
        self.life_ends = deaths.map(|cause| cause.t).collect();
        late::correct(&mut self);
        self.summarise(&mut verdict);
        presence::judge(&self, &mut verdict);
        repetition::judge(&self, &mut verdict);
        order::judge(&self, &mut verdict);
        cutover::judge(&self, &mut verdict);
        balance::judge(&self, &mut verdict);
        verdict
    }

    /// Gives every end to the latest call of its number that began before it.
    fn join_ends(&mut self, verdict: &mut Verdict) {
        for (delivery, attempt, t, fate) in std::mem::take(&mut self.ends) {
            let calls = self.deliveries.get_mut(&delivery).into_iter().flatten().rev();
            let mut fitting = calls.filter(|call| call.attempt == attempt && call.began <= t);
            match fitting.find(|call| call.ended.is_none()) {
                Some(call) => call.ended = Some((t, fate)),
                None => {
                    let what = self.describe(delivery);
                    verdict.find(
                        Kind::Identity,
                        format!("{what}: attempt {attempt} ended at {t} and never began"),
                    );
                }
            }
        }
    }

    fn summarise(&self, verdict: &mut Verdict) {
        let summary = &mut verdict.summary;
        for case in self.messages.values() {
            match (case.accepted, case.unknown) {
                (0, 0) => summary.rejected += 1,
                (0, _) => summary.unknown += 1,
                _ => summary.accepted += 1,
            }
        }
        summary.deliveries = self.deliveries.len() as u64;
        summary.hand_offs = self.deliveries.values().map(|calls| calls.len() as u64).sum();
        summary.ledgers = self.ledgers.len() as u64;
    }

    // --- looking ---

    /// The listeners with their numbers.
    pub(super) fn listeners(&self) -> impl Iterator<Item = (u32, &Listener)> {
        (1..).zip(&self.expectations.listeners)
    }

    /// The listener of that number.
    pub(super) fn listener(&self, number: u32) -> Option<&Listener> {
        let at = (number as usize).checked_sub(1)?;
        let listener = self.expectations.listeners.get(at)?;
        (self.names.text(number) == listener.name).then_some(listener)
    }

    pub(super) fn wants(&self, listener: &Listener, topic: u32) -> bool {
        topic::wants(&listener.pattern, self.names.text(topic))
    }

    /// The level of a topic that is forwarded to, if it is known.
    pub(super) fn level_of(&self, topic: u32) -> Option<Level> {
        let topic = self.names.text(topic);
        let levels = &self.expectations.levels;
        levels.iter().find(|(pattern, _)| topic::wants(pattern, topic)).map(|(_, level)| *level)
    }

    /// Deliveries of one message at one listener, by their numbers.
    pub(super) fn by_message(&self) -> BTreeMap<(u32, Message), Vec<Delivery>> {
        let mut found: BTreeMap<(u32, Message), Vec<Delivery>> = BTreeMap::new();
        for delivery in self.deliveries.keys() {
            found.entry((delivery.listener, delivery.message)).or_default().push(*delivery);
        }
        found.values_mut().for_each(|deliveries| deliveries.sort_by_key(|one| one.number));
        found
    }

    /// Topics that a message was forwarded to, and how often: at least and at most.
    pub(super) fn forwards(&self) -> BTreeMap<Message, BTreeMap<u32, (u64, u64)>> {
        let mut found: BTreeMap<Message, BTreeMap<u32, (u64, u64)>> = BTreeMap::new();
        for (delivery, calls) in &self.deliveries {
            for (at, call) in calls.iter().enumerate() {
                if let Some((_, Fate::Forwarded(topic))) = call.ended {
                    let counts = found.entry(delivery.message).or_default();
                    let (least, most) = counts.entry(topic).or_default();
                    // One that was tried again may have been refused; one that is dead was not heard;
                    // one that was refused may have been of no use any more before the next try.
                    let dead = self.dead.contains_key(&(delivery.listener, delivery.message));
                    let case = self.messages.get(&delivery.message);
                    let may_expire = case.is_some_and(|case| case.expires != 0);
                    *least += u64::from(at + 1 == calls.len() && !dead && !may_expire);
                    *most += 1;
                }
            }
        }
        found
    }

    /// Whether something of those kinds happened to a listener between two instants.
    pub(super) fn happened(
        &self,
        listener: &str,
        from: u64,
        to: u64,
        kinds: impl Fn(&Event) -> bool,
    ) -> bool {
        self.causes.iter().any(|cause| {
            cause.t <= to
                && cause.until.max(cause.t) >= from
                && kinds(&cause.event)
                && cause.event.concerns(listener)
        })
    }

    /// When hand-offs of a listener were taken away by such events: from when to when it may have
    /// been.
    pub(super) fn takes(
        &self,
        listener: &str,
        kinds: impl Fn(&Event) -> bool,
    ) -> impl Iterator<Item = (u64, u64)> {
        let ours = move |cause: &&Cause| {
            cause.event.repeats() && cause.event.concerns(listener) && kinds(&cause.event)
        };
        self.causes.iter().filter(ours).map(|cause| (cause.t, cause.until.max(cause.t)))
    }

    pub(super) fn tag(&self, message: Message) -> String {
        format!("{}/{}", self.names.text(message.publisher), message.n)
    }

    pub(super) fn describe(&self, delivery: Delivery) -> String {
        let (tag, listener) = (self.tag(delivery.message), self.names.text(delivery.listener));
        format!("message {tag} at {listener} (delivery {})", delivery.number)
    }
}

// === impl Event ===

impl Event {
    /// Whether a host's life ended.
    pub(super) const fn ends_life(&self) -> bool {
        matches!(self, Event::HostDeath | Event::PowerLoss | Event::HostStop)
    }

    /// Whether a hand-off may be repeated because of it.
    pub(super) const fn repeats(&self) -> bool {
        self.ends_life()
            || matches!(
                self,
                Event::InstanceDeath { .. }
                    | Event::LeaseExpiry { .. }
                    | Event::ForcedTransition { .. }
            )
    }

    fn concerns(&self, listener: &str) -> bool {
        match self {
            Event::HostDeath | Event::PowerLoss | Event::HostStop => true,
            Event::InstanceDeath { subscription }
            | Event::LeaseExpiry { subscription }
            | Event::ForcedTransition { subscription }
            | Event::Redrive { subscription, .. }
            | Event::Purge { subscription }
            | Event::Cutover { subscription, .. }
            | Event::Serving { subscription, .. } => {
                subscription.is_empty() || subscription == listener
            }
        }
    }
}

// === impl Fate ===

impl Fate {
    pub(super) const fn settles(self) -> bool {
        !matches!(self, Fate::Again)
    }
}

// === impl Names ===

impl Names {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    /// The number of a text that occurred.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("?", |text| text)
    }
}
