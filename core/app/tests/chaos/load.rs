//! Publishers that write down what they were told.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use patchbay_testkit::checker::{Answer, Level, Published, Tag, now};
use serde_json::{Value, json};

use crate::{connection::Connection, dice::Dice};

/// One message in so many gets the verb that is rare.
const RARELY: u64 = 200;

/// One publisher: its messages are numbered through all lives of the host.
pub(crate) struct Publisher {
    name: String,
    next: u64,
    dice: Dice,
    /// From which level on its messages carry a key, by which a repeat is known (P-6).
    keyed: Option<Level>,
    /// The message of which nothing is known, and which is tried again with the same key.
    open: Option<(Tag, &'static str, &'static str)>,
    pub(crate) published: Vec<Published>,
    /// The status of each answer, beside `published`; 0 where there was none.
    statuses: Vec<u16>,
}

/// What is published: topics, and what is to be done with it. Each is drawn as often as the others.
#[derive(Clone, Copy)]
pub(crate) struct Mix {
    pub(crate) topics: &'static [&'static str],
    pub(crate) verbs: &'static [&'static str],
    /// Once in a while.
    pub(crate) rarely: &'static str,
}

// === impl Publisher ===

impl Publisher {
    pub(crate) fn crew(count: usize, seed: u64) -> Vec<Publisher> {
        let publisher = |number: usize| Publisher {
            name: format!("p{number}"),
            next: 0,
            keyed: number.is_multiple_of(2).then_some(Level::Process),
            open: None,
            dice: Dice::new(seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            published: Vec::new(),
            statuses: Vec::new(),
        };
        (0..count).map(publisher).collect()
    }

    /// The same, with keys against duplicates from another level on.
    pub(crate) fn keyed(self, from: Option<Level>) -> Publisher {
        Publisher { keyed: from, ..self }
    }

    /// Publishes until told to stop, or until the host is gone.
    pub(crate) fn work(&mut self, socket: &Path, mix: Mix, stop: &AtomicBool) {
        let Ok(mut connection) = Connection::open(socket) else { return };
        while !stop.load(Relaxed) {
            let (tag, topic, verb) = match self.open.take() {
                Some(again) => again,
                None if self.dice.below(RARELY) == 0 => {
                    (self.tag(), *self.dice.pick(mix.topics), mix.rarely)
                }
                None => (self.tag(), *self.dice.pick(mix.topics), *self.dice.pick(mix.verbs)),
            };
            let published = self.attempt(&mut connection, tag.clone(), topic, verb);
            if published.answer == Answer::Unknown {
                let known = published.dedup;
                self.open = known.then_some((tag, topic, verb));
                return;
            }
        }
    }

    fn tag(&mut self) -> Tag {
        self.next += 1;
        Tag::new(&self.name, self.next)
    }

    /// Publishes one message and says what became of it.
    pub(crate) fn publish(
        &mut self,
        connection: &mut Connection,
        topic: &str,
        verb: &str,
    ) -> &Published {
        let tag = self.tag();
        self.attempt(connection, tag, topic, verb)
    }

    fn attempt(
        &mut self,
        connection: &mut Connection,
        tag: Tag,
        topic: &str,
        verb: &str,
    ) -> &Published {
        let dedup = self.keyed.is_some_and(|from| level_of(topic) >= from);
        let name = format!("{} {}", tag.publisher, tag.n);
        let mut body = json!({"topic": topic, "text": format!("{name} {verb}")});
        if dedup {
            body["dedup_key"] = name.into();
        }
        let begun = Published { dedup, ..begun(tag, topic) };
        let said = connection.post("/api/v1/messages", body.to_string().as_bytes());
        let mut published = begun.told(Answer::Unknown);
        self.statuses.push(said.as_ref().map_or(0, |said| said.status));
        if let Ok(said) = said {
            told(&mut published, said.status, &said.json());
        }
        self.published.push(published);
        self.published.last().expect("it was pushed")
    }

    /// How many answers had that status, from the `first` message on.
    pub(crate) fn refused_with(&self, first: usize, status: u16) -> u64 {
        self.statuses[first..].iter().filter(|one| **one == status).count() as u64
    }

    /// Publishes many in one request.
    pub(crate) fn publish_many(
        &mut self,
        connection: &mut Connection,
        messages: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) {
        let (mut body, mut tries) = (String::new(), Vec::new());
        for (topic, verb) in messages {
            let tag = self.tag();
            let text = format!("{} {} {verb}", tag.publisher, tag.n);
            body += &json!({"topic": topic, "text": text}).to_string();
            body.push('\n');
            tries.push(begun(tag, topic));
        }
        let said = connection.post_lines("/api/v1/messages", body.as_bytes());
        let outcomes = said.map(|said| said.lines()).unwrap_or_default();
        for (published, outcome) in tries.iter_mut().zip(outcomes) {
            let status = outcome["status"].as_u64().map_or(200, |it| it as u16);
            told(published, status, &outcome);
        }
        let t = now();
        self.statuses.extend(tries.iter().map(|_| 0));
        self.published.extend(tries.into_iter().map(|published| Published { t, ..published }));
    }
}

/// A try that begins now.
fn begun(tag: Tag, topic: &str) -> Published {
    Published { level: level_of(topic), ..Published::begun(tag, topic, "") }
}

/// The level that a topic of that name is declared to have, in every arena.
fn level_of(topic: &str) -> Level {
    match topic.split('.').next() {
        Some("disk" | "recorder") => Level::Disk,
        Some("process") => Level::Process,
        _ => Level::Memory,
    }
}

fn told(published: &mut Published, status: u16, said: &Value) {
    if status == 200 && said["mid"].is_string() {
        published.answer = match said["duplicate"].as_bool() {
            Some(true) => Answer::Duplicate,
            _ => Answer::Accepted,
        };
        published.mid = said["mid"].as_str().map(str::to_owned);
        published.seq = said["seq"].as_u64();
        published.routed = said["routed"].as_u64().and_then(|it| u32::try_from(it).ok());
        published.level = match said["level"].as_str() {
            Some("disk") => Level::Disk,
            Some("process") => Level::Process,
            _ => Level::Memory,
        };
    } else if said["rejected"] == true {
        published.answer = Answer::Rejected;
    }
}

/// Lets a crew publish while `meanwhile` runs.
pub(crate) fn under_load<T>(
    crew: &mut [Publisher],
    socket: &Path,
    mix: Mix,
    meanwhile: impl FnOnce() -> T,
) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for publisher in crew {
            let stop = &stop;
            let work = move || publisher.work(socket, mix, stop);
            let small = thread::Builder::new().stack_size(256 << 10);
            small.spawn_scoped(scope, work).expect("a thread");
        }
        let result = meanwhile();
        stop.store(true, Relaxed);
        result
    })
}

/// Lets time pass: the load goes on meanwhile. Nothing is waited for: what comes next, a death as a
/// rule, is to come at a moment that was drawn, whatever the host is doing.
pub(crate) fn pass(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}
