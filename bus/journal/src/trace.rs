//! The life of one message, from the records that are still there.

use std::collections::BTreeMap;

use crate::{
    commit::lock,
    error::ReadError,
    frame::HEAD,
    journal::Journal,
    place::Place,
    record::{Dead, Ended, Kind, Letter, Moved, Publish, Record, Span, Target},
    walk::Walk,
};

/// One record that concerns a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEntry {
    /// Number of the record.
    pub number: u64,
    /// Where it stands.
    pub place: Place,
    /// What kind it is.
    pub kind: Kind,
    /// When, nanoseconds since the Unix epoch; 0 = the record does not say.
    pub at_unix_ns: u64,
    /// The delivery; `None` = the message as a whole.
    pub target: Option<Target>,
    /// The rest, in words: `attempt 2 of generation 5`, `done`, `to orders.paid`.
    pub detail: String,
}

/// A message that is followed through the records.
struct Tracer {
    mid: u128,
    targets: Vec<Target>,
    letters: BTreeMap<u64, Target>,
    found: Vec<TraceEntry>,
}

// === impl Journal ===

impl Journal {
    /// Every record that concerns the message, oldest first. Reads all segments that are still
    /// there: what was settled long ago has left nothing.
    ///
    /// # Errors
    /// What the file system says.
    pub fn trace(&self, mid: u128) -> Result<Vec<TraceEntry>, ReadError> {
        self.shared.flush();
        let segments: Vec<_> = {
            let head = lock(&self.shared.head);
            let used = head.used.iter();
            used.map(|used| (used.segment.clone(), self.shared.written_of(used))).collect()
        };
        let (targets, letters, found) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut tracer = Tracer { mid, targets, letters, found };
        for (segment, end) in segments {
            let mut walk = Walk::new(segment, HEAD as u64, end);
            while let Some((place, frame)) = walk.next()? {
                if let Ok(record) = Record::decode(frame.kind, frame.body) {
                    tracer.look(frame.number, place, &record);
                }
            }
        }
        Ok(tracer.found)
    }
}

// === impl Tracer ===

impl Tracer {
    fn look(&mut self, number: u64, place: Place, record: &Record<'_>) {
        let kind = record.kind();
        let mut say = |at_unix_ns, target, detail: String| {
            self.found.push(TraceEntry { number, place, kind, at_unix_ns, target, detail });
        };
        match record {
            Record::Publish(publish) if publish.mid == self.mid => {
                say(publish.time_ns, None, published(publish));
                self.targets.extend(publish.targets);
                self.bury(number, place, publish);
            }
            Record::Forward { from, at_unix_ns, publish } => {
                if self.targets.contains(from) {
                    say(*at_unix_ns, Some(*from), format!("forwarded to {}", publish.topic));
                }
                if publish.mid == self.mid {
                    say(*at_unix_ns, None, published(publish));
                    self.targets.extend(publish.targets);
                    self.bury(number, place, publish);
                }
            }
            Record::Begun(begun) => {
                for attempt in begun.attempts {
                    for target in within(&self.targets, begun.sub, attempt.span) {
                        let detail = format!(
                            "attempt {} of generation {} in seat {}",
                            attempt.attempt, begun.generation, begun.seat
                        );
                        say(begun.at_unix_ns, Some(target), detail);
                    }
                }
            }
            Record::Settled(settled) => {
                for end in settled.ends {
                    for target in within(&self.targets, settled.sub, end.span) {
                        let detail = match end.how {
                            Ended::Done => "done".to_owned(),
                            Ended::Dropped(reason) => format!("dropped for reason {reason}"),
                        };
                        say(settled.at_unix_ns, Some(target), detail);
                    }
                }
            }
            Record::Retry(retry) if self.targets.contains(&retry.target) => {
                let standing = &retry.standing;
                let last = standing.history.iter().last();
                let why = last.map_or(String::new(), |failure| format!(": {}", failure.reason));
                let detail = format!(
                    "again in {} ms after {} attempts and {} failures{why}",
                    standing.delay_ns / 1_000_000,
                    standing.attempts,
                    standing.failures
                );
                say(retry.at_unix_ns, Some(retry.target), detail);
            }
            Record::Dead(Dead { target, letter, .. }) if self.targets.contains(target) => {
                say(letter.at_unix_ns, Some(*target), died(letter));
                self.letters.insert(letter.number, *target);
            }
            Record::Redriven(redriven) if self.letters.contains_key(&redriven.letter) => {
                let detail = format!("dead letter {} redriven", redriven.letter);
                say(redriven.at_unix_ns, Some(redriven.target), detail);
                self.targets.push(redriven.target);
            }
            Record::Purged { letter, at_unix_ns } => {
                if let Some(target) = self.letters.remove(letter) {
                    say(*at_unix_ns, Some(target), format!("dead letter {letter} purged"));
                }
            }
            Record::Moved(Moved { publish, targets }) if publish.mid == self.mid => {
                for moved in *targets {
                    say(0, Some(moved.target), "copied forward".to_owned());
                    let letter = moved.letter.filter(|letter| letter.number != 0);
                    self.letters.extend(letter.map(|letter| (letter.number, moved.target)));
                    if !self.targets.contains(&moved.target) {
                        self.targets.push(moved.target);
                    }
                }
            }
            _ => {}
        }
    }
}

impl Tracer {
    /// What was a dead letter from the start.
    fn bury(&mut self, number: u64, place: Place, publish: &Publish<'_>) {
        for Dead { target, letter, .. } in publish.letters {
            self.found.push(TraceEntry {
                number,
                place,
                kind: Kind::Dead,
                at_unix_ns: letter.at_unix_ns,
                target: Some(target),
                detail: died(&letter),
            });
            self.letters.insert(letter.number, target);
        }
    }
}

fn published(publish: &Publish<'_>) -> String {
    let count = publish.targets.len();
    format!("message {} on {} for {count} at {}", publish.seq, publish.topic, publish.level)
}

fn died(letter: &Letter<'_>) -> String {
    format!("dead letter {}: {}", letter.number, letter.reason)
}

fn within(targets: &[Target], sub: u32, span: Span) -> Vec<Target> {
    let ids = span.first..span.first + span.count;
    targets.iter().filter(|target| target.sub == sub && ids.contains(&target.id)).copied().collect()
}
