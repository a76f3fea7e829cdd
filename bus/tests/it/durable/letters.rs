//! Dead letters over restarts: kept, sent back once, purged once, bounded.

use std::time::Duration;

use patchbay_bus::{DeadLetterConfig, Park, RedriveError, Taken, Verdict};
use patchbay_journal::Storage;

use super::*;

fn fail(_: &Delivery) -> Option<Verdict> {
    Some(Verdict::Failed("no".into()))
}

/// A life with three dead letters.
fn three_dead() -> Life {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    for payload in ["a", "b", "c"] {
        life.publish(payload);
    }
    drain(&mut seat(&subscription, 1), fail);
    life.flush();
    life
}

#[test]
fn letters_survive_with_all_that_is_known_of_them() {
    let life = three_dead();
    let before = life.broker.dead_letters().after(0, 9);
    let life = life.die();
    let after = life.broker.dead_letters().after(0, 9);
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
    let ledger = life.broker.subscriptions()[0].ledger();
    assert_eq!((ledger.accepted, ledger.dead, ledger.unsettled()), (3, 3, 0));
}

#[test]
fn a_letter_names_the_version_that_it_died_of_also_when_others_have_its_number() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |spec| spec.retry.max_attempts = 1);
    life.broker.name_version(1, "1.2.0");
    life.publish("failed");
    drain(&mut seat(&subscription, 1), fail);
    life.publish("never done");
    drain(&mut seat(&subscription, 1), |_| Some(Verdict::Retry(0)));
    life.flush();
    let life = life.die();
    // In the next life another version has the number.
    life.broker.name_version(1, "9.9.9");
    let [failed, tried] = [1, 2].map(|number| life.broker.dead_letters().get(number).unwrap());
    for letter in [&failed, &tried] {
        assert_eq!((letter.generation, &*letter.version), (1, "1.2.0"), "{letter:?}");
    }
    assert_eq!((failed.history[0].generation, &*failed.history[0].version), (1, "1.2.0"));
    assert!(tried.history.is_empty(), "{tried:?}");
    // What ended is named by what it said, and nothing new by a version that is gone.
    life.broker.forget_version(1);
    life.broker.redrive(2).unwrap();
    let subscription = life.subscribe("t", |_| {});
    drain(&mut seat(&subscription, 1), fail);
    assert_eq!(&*life.broker.dead_letters().get(3).unwrap().version, "");
}

#[test]
fn a_letter_goes_back_once_whatever_dies() {
    let life = three_dead();
    life.broker.redrive(2).unwrap();
    assert!(matches!(life.broker.redrive(2), Err(RedriveError::Unknown(2))));
    // The process dies before the lane has it.
    let life = life.die();
    assert!(matches!(life.broker.redrive(2), Err(RedriveError::Unknown(2))));
    let subscription = life.subscribe("t", |_| {});
    let mut again = seat(&subscription, 1);
    let seen = attempts(&mut again, fail);
    assert_eq!(seen, [("b".into(), 1)], "with a clean count");
    drop(again);
    let letter = life.broker.dead_letters().get(4).unwrap();
    assert_eq!((letter.redrives, letter.message.payload()), (1, &b"b"[..]));
    life.flush();
    let life = life.die();
    let numbers: Vec<_> =
        life.broker.dead_letters().after(0, 9).iter().map(|it| it.number).collect();
    assert_eq!(numbers, [1, 3, 4]);
    assert_eq!(life.broker.dead_letters().get(4).unwrap().redrives, 1);
    let ledger = life.subscribe("t", |_| {}).ledger();
    assert_eq!((ledger.accepted, ledger.dead, ledger.unsettled()), (4, 4, 0));
}

#[test]
fn a_redrive_that_cannot_be_recorded_leaves_the_letter_where_it_is() {
    let life = three_dead();
    life.disk.fail_after(0);
    assert!(matches!(life.broker.redrive(1), Err(RedriveError::Journal { number: 1 })));
    assert!(life.broker.dead_letters().get(1).is_some());
    assert_eq!(life.broker.subscriptions()[0].ledger().unsettled(), 0);
}

#[test]
fn a_letter_whose_message_is_damaged_is_known_and_the_others_are_kept() {
    let mut life = Life::first();
    let subscription = life.subscribe("t", |_| {});
    let all = ["the first", "the second", "the third"];
    all.iter().for_each(|payload| life.publish(payload));
    drain(&mut seat(&subscription, 1), fail);
    life.flush();
    let disk = life.snapshot();
    let file = disk.open("00000001.seg", true).unwrap();
    let mut bytes = vec![0; file.length().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    let text = b"the second";
    let at = bytes.windows(text.len()).position(|some| some == text).unwrap();
    file.write_at(at as u64, b"T").unwrap();
    let life = life.next(disk, &Death::Silent);
    let letters = life.broker.dead_letters();
    let kept: Vec<u64> = letters.after(0, 9).iter().map(|letter| letter.number).collect();
    assert_eq!(kept, [1, 3]);
    let [lost] = &letters.unreadable()[..] else { panic!("{:?}", letters.unreadable()) };
    assert_eq!((lost.number, &*lost.owner), (2, "plugin"));
    assert!(!lost.why.is_empty());
    assert!(matches!(life.broker.redrive(2), Err(RedriveError::Unknown(2))));
    // It is known until somebody says that nobody needs to know of it any more.
    let life = life.die();
    assert_eq!(life.broker.dead_letters().unreadable().len(), 1);
    assert!(life.broker.purge_unreadable(1).is_none(), "that one can be read");
    assert_eq!(life.broker.purge_unreadable(2).map(|letter| letter.number), Some(2));
    assert!(life.broker.purge_unreadable(2).is_none());
    let life = life.die();
    assert!(life.broker.dead_letters().unreadable().is_empty());
    assert_eq!(life.broker.dead_letters().len(), 2);
    let ledger = life.broker.subscriptions()[0].ledger();
    assert_eq!((ledger.accepted, ledger.dead, ledger.unsettled()), (3, 3, 0));
}

#[test]
fn what_is_purged_stays_away() {
    let life = three_dead();
    assert!(life.broker.purge(1).is_some());
    let life = life.die();
    assert!(life.broker.dead_letters().get(1).is_none());
    assert_eq!(life.broker.dead_letters().len(), 2);
}

#[test]
fn letters_go_when_they_are_too_old_and_do_not_come_back() {
    let max_age = Duration::from_secs(60);
    let dead_letters = DeadLetterConfig { max_age, ..DeadLetterConfig::default() };
    let mut life = Life::with(BrokerConfig { dead_letters, ..rules() });
    let subscription = life.subscribe("t", |_| {});
    life.publish("a");
    drain(&mut seat(&subscription, 1), fail);
    life.advance(30_000);
    life.publish("b");
    drain(&mut seat(&subscription, 1), fail);
    life.advance(31_000);
    assert_eq!((life.broker.dead_letters().len(), life.broker.dead_letters().outdated()), (1, 1));
    life.flush();
    let life = life.die();
    assert_eq!(life.broker.dead_letters().after(0, 9)[0].message.payload(), b"b");
}

#[test]
fn full_dead_letters_hold_back_over_a_restart_and_pause() {
    let dead_letters =
        DeadLetterConfig { max_count: 2, max_pending: 1, ..DeadLetterConfig::default() };
    let mut life = Life::with(BrokerConfig { dead_letters, ..rules() });
    let subscription = life.subscribe("t", |_| {});
    for payload in ["a", "b", "c", "d", "e"] {
        life.publish(payload);
    }
    let mut old = seat(&subscription, 1);
    for _ in 0..5 {
        if let Taken::Batch(_) = old.take(1, Park::No) {
            old.begin(0);
            old.record(0, Verdict::Failed("no".into()));
        }
    }
    let held = subscription.ledger();
    assert_eq!((held.dead, held.dead_pending, held.queued), (2, 2, 1));
    drop(old);
    life.flush();
    let life = life.die();
    let subscription = life.subscribe("t", |_| {});
    assert_eq!(subscription.ledger(), patchbay_bus::Ledger { retried: 0, ..held });
    let mut seat = seat(&subscription, 1);
    assert!(matches!(seat.take(1, Park::No), Taken::Empty { .. }), "it pauses");
    assert!(life.broker.purge(1).is_some());
    let ledger = subscription.ledger();
    assert_eq!((ledger.dead, ledger.dead_pending, ledger.queued), (3, 1, 1));
    assert_eq!(drain(&mut seat, |_| None), ["e"]);
}
