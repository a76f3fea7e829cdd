//! Real threads, a second or two each: what only shows under load.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::*},
    },
    thread,
    time::Duration,
};

use patchbay_bus::{Outgoing, Split, Verdict};
use patchbay_testkit::eventually;

use crate::support::*;

#[test]
fn the_ledger_adds_up_at_every_instant_under_load() {
    const EACH: u64 = 25_000;
    let broker = live();
    let first = subscribe(&broker, "first", blocking);
    let next = subscribe(&broker, "next", blocking);
    let mut lanes = Vec::new();
    for _ in 0..2 {
        lanes.push(lane(&first, 1, |delivery, _| {
            let message = delivery.message();
            match message.payload()[0] {
                b'r' if delivery.attempt() == 1 => Some(Verdict::Retry(0)),
                b'e' => Some(Verdict::Failed("no".into())),
                b'f' => Some(Verdict::Forward { topic: "next".into(), message: message.clone() }),
                _ => None,
            }
        }));
    }
    lanes.push(lane(&next, 1, |_, _| None));
    first.set_split(Split::all(1));
    next.set_split(Split::all(1));
    let stop = Arc::new(AtomicBool::new(false));
    let auditor = auditor(vec![first.clone(), next.clone()], stop.clone());
    let publishers: Vec<_> = (0..4)
        .map(|i| {
            let mut publisher = broker.publisher("p");
            let mut state = 88_172_645_463_325_252 + i;
            thread::spawn(move || {
                for _ in 0..EACH {
                    let payload = match random(&mut state) % 100 {
                        0..3 => b"r",
                        3..5 => b"e",
                        5..9 => b"f",
                        _ => b"a",
                    };
                    let outgoing = Outgoing { topic: "first", payload, ..Outgoing::default() };
                    publisher.publish(outgoing).unwrap();
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    settled(&first);
    settled(&next);
    stop.store(true, SeqCst);
    assert!(auditor.join().unwrap() > 10);
    let (one, two) = (first.ledger(), next.ledger());
    assert_eq!(one.accepted, 4 * EACH);
    assert_eq!((one.forwarded, one.stale, one.repeated), (two.accepted, 0, 0));
    assert_eq!(one.dead as usize, broker.dead_letters().len());
    broker.remove(&first);
    broker.remove(&next);
    lanes.into_iter().for_each(|lane| lane.join().unwrap());
}

/// Hand-offs of keys, checked as they happen.
struct Keys(Vec<(AtomicU64, AtomicBool)>, AtomicU64);

impl Keys {
    fn begin(&self, key: usize, sequence: u64) {
        let (next, busy) = &self.0[key];
        let wrong = busy.swap(true, SeqCst) || next.load(SeqCst) != sequence;
        self.1.fetch_add(u64::from(wrong), SeqCst);
    }

    fn end(&self, key: usize, done: bool) {
        let (next, busy) = &self.0[key];
        next.fetch_add(u64::from(done), SeqCst);
        busy.store(false, SeqCst);
    }
}

#[test]
fn keys_stay_in_order_with_retries_and_a_moving_split() {
    const KEYS: usize = 500;
    const EACH: usize = 40_000;
    let broker = live();
    let subscription = subscribe(&broker, "t", |spec| {
        per_key(spec);
        blocking(spec);
    });
    let fresh = || (AtomicU64::new(0), AtomicBool::new(false));
    let keys = Arc::new(Keys((0..KEYS).map(|_| fresh()).collect(), AtomicU64::new(0)));
    let mut lanes = Vec::new();
    for (i, generation) in [1, 1, 2, 2].into_iter().enumerate() {
        let keys = keys.clone();
        let mut state = 7_777 + i as u64;
        lanes.push(lane(&subscription, generation, move |delivery, _| {
            let payload = delivery.message().payload();
            let word = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().unwrap());
            let key = word(0) as usize;
            keys.begin(key, word(8));
            let retry = random(&mut state).is_multiple_of(300);
            keys.end(key, !retry);
            retry.then_some(Verdict::Retry(0))
        }));
    }
    subscription.set_split(Split::two(3, 1, 2, 0.5));
    let stop = Arc::new(AtomicBool::new(false));
    let auditor = auditor(vec![subscription.clone()], stop.clone());
    let shifter = {
        let (subscription, stop) = (subscription.clone(), stop.clone());
        thread::spawn(move || {
            let (mut state, mut changes) = (99, 0u64);
            while !stop.load(Relaxed) {
                // Pace, not a wait: each split is to stand long enough for calls to be drawn by it.
                thread::sleep(Duration::from_micros(700));
                subscription.set_split(match random(&mut state) % 4 {
                    0 => Split::all(1),
                    1 => Split::all(2),
                    _ => Split::two(state, 1, 2, 0.3),
                });
                changes += 1;
            }
            changes
        })
    };
    let publishers: Vec<_> = (0..2)
        .map(|half| {
            let mut publisher = broker.publisher("p");
            thread::spawn(move || {
                let mut state = 12_345 + half as u64;
                let mut sequence = vec![0u64; KEYS];
                for _ in 0..EACH {
                    let key = (random(&mut state) as usize % (KEYS / 2)) * 2 + half;
                    let mut payload = [0; 16];
                    payload[..8].copy_from_slice(&(key as u64).to_le_bytes());
                    payload[8..].copy_from_slice(&sequence[key].to_le_bytes());
                    sequence[key] += 1;
                    let text = format!("key-{key}");
                    let outgoing = Outgoing {
                        topic: "t",
                        key: &text,
                        payload: &payload,
                        ..Default::default()
                    };
                    publisher.publish(outgoing).unwrap();
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    settled(&subscription);
    stop.store(true, SeqCst);
    assert!(shifter.join().unwrap() > 10 && auditor.join().unwrap() > 10);
    assert_eq!(keys.1.load(SeqCst), 0, "hand-offs out of order or overlapping");
    let ledger = subscription.ledger();
    assert_eq!((ledger.done, ledger.dead), (2 * EACH as u64, 0));
    assert!(ledger.retried > 100);
    broker.remove(&subscription);
    lanes.into_iter().for_each(|lane| lane.join().unwrap());
}

#[test]
fn no_hand_off_starts_after_a_cutover() {
    const CUTOVERS: u64 = 3_000;
    let broker = live();
    let subscription = subscribe(&broker, "t", blocking);
    // Upper bits: number of the cutover; lower: the generation that may start; 0 while it changes.
    let serving = Arc::new(AtomicU64::new(0));
    let late: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let mut lanes = Vec::new();
    for generation in [1, 1, 2, 2] {
        let (serving, late) = (serving.clone(), late.clone());
        lanes.push(lane(&subscription, generation, move |delivery, _| {
            let word = serving.load(SeqCst);
            if word != 0 && word & 255 != generation {
                late.lock().unwrap().push((word >> 8, delivery.id()));
            }
            (0..20).for_each(|_| std::hint::spin_loop());
            None
        }));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let auditor = auditor(vec![subscription.clone()], stop.clone());
    let publisher = {
        let (mut publisher, stop) = (broker.publisher("p"), stop.clone());
        thread::spawn(move || {
            while !stop.load(Relaxed) {
                publisher.publish(Outgoing { topic: "t", ..Outgoing::default() }).unwrap();
            }
        })
    };
    let mut begun: HashMap<u64, HashSet<u64>> = HashMap::new();
    for cutovers in 1..=CUTOVERS {
        // Pace, not a wait: calls must begin between two cutovers.
        thread::sleep(Duration::from_micros(300));
        let generation = 1 + cutovers % 2;
        serving.store(0, SeqCst);
        let listed = subscription.set_split(Split::all(generation));
        serving.store(cutovers << 8 | generation, SeqCst);
        begun.insert(cutovers, listed.into_iter().map(|begun| begun.delivery).collect());
    }
    stop.store(true, SeqCst);
    publisher.join().unwrap();
    auditor.join().unwrap();
    settled(&subscription);
    broker.remove(&subscription);
    lanes.into_iter().for_each(|lane| lane.join().unwrap());
    // A call that was claimed before a cutover may reach its handler after it, and after later ones.
    let listed = |cutover: u64, id: u64| {
        (cutover.saturating_sub(8)..=cutover)
            .any(|before| begun.get(&before).is_some_and(|ids| ids.contains(&id)))
    };
    let late = late.lock().unwrap();
    let bad: Vec<_> = late.iter().filter(|(cutover, id)| !listed(*cutover, *id)).collect();
    assert!(bad.is_empty(), "started after the cutover: {bad:?}");
}

#[test]
fn a_hanging_lane_costs_one_repeated_call_and_nothing_else() {
    for ordered in [false, true] {
        let broker = live();
        let subscription = subscribe(&broker, "t", |spec| {
            blocking(spec);
            if ordered {
                per_key(spec);
            }
        });
        let hanging = Arc::new(AtomicU64::new(0));
        let (calls, free) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let lanes: Vec<_> = (0..2)
            .map(|_| {
                let (hanging, calls, free) = (hanging.clone(), calls.clone(), free.clone());
                lane(&subscription, 1, move |delivery, seat| {
                    calls.fetch_add(1, SeqCst);
                    if text(delivery) == "1000" && delivery.attempt() == 1 {
                        hanging.store(seat, SeqCst);
                        while !free.load(SeqCst) {
                            thread::sleep(Duration::from_millis(1));
                        }
                    }
                    None
                })
            })
            .collect();
        subscription.set_split(Split::all(1));
        let mut publisher = broker.publisher("p");
        for i in 0..2_000 {
            let (payload, key) = (format!("{i}"), format!("{}", i % 100));
            let payload = payload.as_bytes();
            let outgoing = Outgoing { topic: "t", key: &key, payload, ..Outgoing::default() };
            publisher.publish(outgoing).unwrap();
        }
        let seat = eventually("a lane that hangs", DEADLINE, || {
            Some(hanging.load(SeqCst)).filter(|seat| *seat != 0)
        });
        let what = "everything else done by the other lane";
        let behind = if ordered { 10 } else { 0 };
        eventually(what, DEADLINE, || {
            subscription.relieve(seat);
            (subscription.ledger().done >= 1_999 - behind).then_some(())
        });
        assert_eq!(subscription.revoke(seat, &[]).running, 1);
        settled(&subscription);
        assert_eq!((subscription.ledger().done, calls.load(SeqCst)), (2_000, 2_001));
        free.store(true, SeqCst);
        let stale = || (subscription.ledger().stale == 1).then_some(());
        eventually("the late answer was refused", DEADLINE, stale);
        broker.remove(&subscription);
        lanes.into_iter().for_each(|lane| lane.join().unwrap());
    }
}

#[test]
fn one_key_in_retry_holds_back_nobody_else() {
    // Time stands still, so that the retry is not due before everybody else is done.
    let Rig { broker, clock, .. } = Rig::new();
    let subscription = subscribe(&broker, "t", |spec| {
        per_key(spec);
        spec.limits.count = 10_000;
    });
    let first = Arc::new(AtomicBool::new(true));
    let lanes: Vec<_> = (0..2)
        .map(|_| {
            let first = first.clone();
            lane(&subscription, 1, move |delivery, _| {
                (text(delivery) == "7" && first.swap(false, SeqCst))
                    .then_some(Verdict::Retry(2_000 * MS))
            })
        })
        .collect();
    let mut publisher = broker.publisher("p");
    for i in 0..5_000 {
        let text = format!("{}", i % 100);
        let payload = text.as_bytes();
        let outgoing = Outgoing { topic: "t", key: &text, payload, ..Outgoing::default() };
        publisher.publish(outgoing).unwrap();
    }
    subscription.set_split(Split::all(1));
    eventually("all but one key done", DEADLINE, || {
        (subscription.ledger().done == 4_950).then_some(())
    });
    let ledger = subscription.ledger();
    assert_eq!((ledger.delayed, ledger.queued), (1, 49));
    clock.advance(Duration::from_millis(2_100));
    broker.tick();
    settled(&subscription);
    broker.remove(&subscription);
    lanes.into_iter().for_each(|lane| lane.join().unwrap());
}
