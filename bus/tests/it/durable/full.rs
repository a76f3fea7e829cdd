//! A disk so full that not even the reserve takes what has happened (promise P-8): it is owed, and
//! written when there is room, with nobody coming by.

use patchbay_bus::{Fault, FaultClass, Outgoing, Park, PublishError, Taken};
use patchbay_journal::{AppendError, Record};

use super::*;

const SEGMENT: u64 = 64 << 10;

/// A bus whose journal has one segment and a disk without room for another, and a lane that has
/// taken all there is.
struct Full {
    life: Life,
    subscription: Arc<Subscription>,
    seat: Seat,
    n: u64,
}

fn journal(owed_bytes: usize) -> JournalConfig {
    JournalConfig {
        segment_bytes: SEGMENT,
        reserve_bytes: 16 << 10,
        owed_bytes,
        ..journal_config()
    }
}

fn full(owed_bytes: usize, change: impl FnOnce(&mut SubscriptionSpec)) -> Full {
    let disk = Disk::default();
    disk.limit(2 * SEGMENT);
    let mut life = Life::open(disk, Arc::default(), rules(), journal(owed_bytes), &Death::Silent);
    life.subscribe("m", |_| {});
    let subscription = life.subscribe("t", change);
    let payload = [b'x'; 1000];
    let outgoing = Outgoing { topic: "t", payload: &payload, ..Outgoing::default() };
    let mut n = 0;
    let refused = loop {
        match life.publisher.publish(outgoing) {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, PublishError::StorageFull), "{refused}");
    let mut seat = seat(&subscription, 1);
    assert_eq!(seat.take(1024, Park::No), Taken::Batch(n as usize));
    (0..n as usize).for_each(|i| assert_eq!(seat.begin(i), patchbay_bus::Begin::Go));
    // What is left of the reserve goes to something else.
    let key = |value| Record::Control { key: "k", value };
    for value in [&[0; 500][..], &[0; 50], &[0; 1], &[]] {
        loop {
            match life.broker.journal().unwrap().append(&key(value)) {
                Ok(_) => {}
                Err(AppendError::StorageFull { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    Full { life, subscription, seat, n }
}

impl Full {
    fn owed(&self) -> u64 {
        self.life.broker.journal().unwrap().health().owed
    }

    fn accepts(&mut self) -> bool {
        self.life.publisher.publish(Outgoing { topic: "t", ..Outgoing::default() }).is_ok()
    }

    /// The lane says of everything it has what `verdict` says, and asks for no more.
    fn end(&mut self, verdict: impl Fn() -> Option<Verdict>) {
        for i in 0..self.n as usize {
            if let Some(verdict) = verdict() {
                self.seat.record(i, verdict);
            }
        }
        self.seat.settle();
    }

    /// There is room, and only the journal comes by.
    fn room(&self) {
        self.life.disk.limit(u64::MAX / 2);
        self.life.flush();
        self.life.flush();
    }
}

fn fault() -> Verdict {
    Verdict::Fault(Fault { class: FaultClass::Transient, text: "no".into() })
}

#[test]
fn settlements_that_find_no_room_are_recorded_when_there_is_some_and_nobody_comes() {
    let mut full = full(1 << 20, |_| {});
    full.end(|| None);
    let n = full.n;
    assert_eq!(ledger_of(&full.subscription), (n, 0, 0, n));
    assert!(full.owed() > 0);
    assert!(!full.accepts());
    full.room();
    let health = full.life.broker.journal().unwrap().health();
    assert_eq!((health.owed, health.live), (0, 0));
    assert!(full.accepts(), "acceptance resumes by itself");
    let life = full.life.die();
    let subscription = life.subscribe("t", |_| {});
    assert_eq!(ledger_of(&subscription), (n + 1, 1, 0, n));
}

#[test]
fn retries_that_find_no_room_are_remembered() {
    let once = |spec: &mut SubscriptionSpec| {
        spec.retry.max_failures = 1;
        spec.breaker = None;
    };
    let mut full = full(1 << 20, once);
    full.end(|| Some(fault()));
    assert!(full.owed() > 0);
    full.room();
    assert_eq!(full.owed(), 0);
    let life = full.life.die();
    let subscription = life.subscribe("t", once);
    life.advance(60_000);
    // Suspects of a death would come one at a time.
    let mut seat = seat(&subscription, 1);
    assert_eq!(seat.take(1024, Park::No), Taken::Batch(full.n as usize));
    assert!(seat.deliveries().iter().all(|delivery| delivery.attempt() == 2));
    for i in 0..full.n as usize {
        seat.begin(i);
        seat.record(i, fault());
    }
    seat.settle();
    let letters = life.broker.dead_letters().after(0, usize::MAX);
    assert_eq!(letters.len() as u64, full.n, "the first failure counts");
    assert!(letters.iter().all(|letter| letter.failures == 2 && letter.history.len() == 2));
}

#[test]
fn the_dead_and_the_forwarded_that_find_no_room_are_remembered() {
    for is_dead in [true, false] {
        let mut full = full(1 << 20, |_| {});
        let message = full.seat.deliveries()[0].message().clone();
        full.end(|| {
            Some(match is_dead {
                true => Verdict::Failed("no".into()),
                false => Verdict::Forward { topic: "m".into(), message: message.clone() },
            })
        });
        assert!(full.owed() > 0);
        full.room();
        assert_eq!(full.owed(), 0);
        let n = full.n;
        let life = full.life.die();
        let subscription = life.subscribe("t", |_| {});
        let ledger = subscription.ledger();
        let expected = if is_dead { (n, 0) } else { (0, n) };
        assert_eq!((ledger.dead, ledger.forwarded), expected);
        assert_eq!((ledger.unsettled(), ledger.balanced()), (0, true));
        assert_eq!(life.broker.dead_letters().len() as u64, expected.0);
    }
}

#[test]
fn a_subscription_that_is_removed_on_a_full_disk_stays_removed() {
    let full = full(1 << 20, |_| {});
    let Full { life, subscription, seat, .. } = full;
    drop(seat);
    life.broker.remove(&subscription);
    drop(subscription);
    life.disk.limit(u64::MAX / 2);
    life.flush();
    assert_eq!(life.broker.journal().unwrap().health().live, 0, "it keeps no segment");
    let life = life.die();
    let left: Vec<_> =
        life.broker.orphans().iter().map(|orphan| orphan.spec().pattern.to_string()).collect();
    assert_eq!(left, ["m"]);
}

#[test]
fn nothing_begins_while_something_is_owed() {
    let mut full = full(1 << 20, |_| {});
    full.end(|| Some(Verdict::Retry(0)));
    let owed = full.owed();
    assert!(owed > 0);
    for _ in 0..5 {
        full.life.advance(100);
        assert!(matches!(full.seat.take(1024, Park::Yes), Taken::Empty { .. }));
    }
    assert_eq!(full.owed(), owed, "nor is more owed for it");
    full.room();
    full.life.advance(100);
    assert_eq!(full.seat.take(1024, Park::Yes), Taken::Batch(full.n as usize));
    let mut life = full.life.die();
    let subscription = life.subscribe("t", |_| {});
    life.publish("after");
    let seen = attempts(&mut seat(&subscription, 1), |_| None);
    let (last, suspects) = seen.split_last().unwrap();
    assert_eq!((last.0.as_str(), last.1), ("after", 1));
    assert!(suspects.iter().all(|(_, attempt)| *attempt == 3), "their second attempt counts");
    assert_eq!(suspects.len() as u64, full.n);
}

#[test]
fn beyond_what_may_be_owed_nothing_is_built_on_what_is_lost() {
    let mut full = full(256, |_| {});
    full.end(|| Some(Verdict::Failed("no".into())));
    let n = full.n;
    assert_eq!(full.life.broker.dead_letters().len() as u64, n);
    full.room();
    assert!(matches!(full.seat.take(1024, Park::No), Taken::Empty { .. }));
    let last = full.life.broker.dead_letters().after(n - 1, 1).remove(0);
    assert!(full.life.broker.redrive(last.number).is_err(), "the journal does not know of it");
    let life = full.life.die();
    let subscription = life.subscribe("t", |_| {});
    let ledger = subscription.ledger();
    assert!(ledger.balanced() && ledger.dead < n, "{ledger:?}");
    let seen = drain(&mut seat(&subscription, 1), |_| None);
    assert_eq!(seen.len() as u64 + ledger.dead, n, "what was lost is handed out once more");
}
