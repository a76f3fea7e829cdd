//! Durable deliveries with real threads: publishers, lanes, the journal's own threads, an auditor.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::*},
    },
    thread,
};

use patchbay_bus::{Outgoing, Overflow, QueueLimits, SystemClock, Verdict};

use super::*;

const PUBLISHERS: u64 = 4;
const EACH: u64 = 1_500;

fn live_on(disk: &Disk) -> Broker {
    let clock = SystemClock;
    let now = Moment { unix_ns: clock.unix_ns(), mono_ns: clock.now_ns() };
    let config = JournalConfig { threads: true, segment_bytes: 1 << 20, ..journal_config() };
    let journal = Journal::open(Arc::new(disk.clone()), config, now).unwrap();
    let broker = Broker::open(rules(), Arc::new(clock), Some(journal), 7).unwrap();
    broker.start_timer().unwrap();
    broker
}

fn small(spec: &mut SubscriptionSpec) {
    spec.limits = QueueLimits { count: 64, bytes: 1 << 20 };
    spec.overflow = Overflow::Block;
}

#[test]
fn everything_accepted_is_done_once_and_the_ledgers_add_up_all_the_time() {
    let disk = Disk::default();
    let broker = live_on(&disk);
    let ordered = subscribe(&broker, "u.a", |spec| {
        small(spec);
        per_key(spec);
    });
    let plain = subscribe(&broker, "u.>", small);
    let done: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let order: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
    let mut lanes = Vec::new();
    for i in 0..2 {
        let done = Arc::clone(&done);
        let mut state = 99 + i;
        lanes.push(lane(&plain, 1, move |delivery, _| match random(&mut state) % 40 {
            0 => Some(Verdict::Retry(0)),
            1 => {
                Some(Verdict::Forward { topic: "u.a".into(), message: delivery.message().clone() })
            }
            _ => {
                *done.lock().unwrap().entry(text(delivery).to_owned()).or_default() += 1;
                None
            }
        }));
        let order = Arc::clone(&order);
        lanes.push(lane(&ordered, 1, move |delivery, _| {
            if delivery.message().header(patchbay_bus::FORWARDED_BY).is_some() {
                return None;
            }
            let n: u64 = text(delivery).rsplit('.').next().unwrap().parse().unwrap();
            let mut order = order.lock().unwrap();
            let next = order.entry(delivery.message().key().to_owned()).or_default();
            assert_eq!(n, *next, "key {}", delivery.message().key());
            *next += 1;
            None
        }));
    }
    ordered.set_split(Split::all(1));
    plain.set_split(Split::all(1));
    let stop = Arc::new(AtomicBool::new(false));
    let auditor = auditor(vec![ordered.clone(), plain.clone()], Arc::clone(&stop));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|i| {
            let mut publisher = broker.publisher("p");
            thread::spawn(move || {
                let key = i.to_string();
                for n in 0..EACH {
                    let payload = format!("{i}.{n}");
                    let outgoing = Outgoing {
                        topic: "u.a",
                        key: &key,
                        payload: payload.as_bytes(),
                        ..Outgoing::default()
                    };
                    if n % 50 == 49 {
                        assert_eq!(publisher.publish(outgoing).unwrap().level, Level::Disk);
                    } else {
                        drop(publisher.submit(outgoing).unwrap());
                    }
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    let all = PUBLISHERS * EACH;
    patchbay_testkit::eventually("everything settled", DEADLINE, || {
        let (one, two) = (plain.ledger(), ordered.ledger());
        let is_over = one.unsettled() + two.unsettled() == 0;
        // A forward is counted where it goes once its record is written, which may be later.
        let is_there = one.accepted == all + one.forwarded && one.accepted == two.accepted;
        (is_over && is_there).then_some(())
    });
    stop.store(true, SeqCst);
    assert!(auditor.join().unwrap() > 0);
    assert_eq!(order.lock().unwrap().values().sum::<u64>(), all);
    let ledger = plain.ledger();
    assert_eq!((ledger.stale, ledger.repeated), (0, 0));
    assert_eq!(ledger.done + ledger.forwarded, ledger.accepted);
    let journal = Arc::clone(broker.journal().unwrap());
    let now = Moment { unix_ns: SystemClock.unix_ns(), mono_ns: SystemClock.now_ns() };
    journal.close(now).unwrap();
    broker.stop_timer();
    let before = [plain.ledger(), ordered.ledger()];
    broker.remove(&plain);
    broker.remove(&ordered);
    lanes.into_iter().for_each(|lane| lane.join().unwrap());
    // Another life counts the same.
    let broker = live_on(&disk.copy(true));
    let found = |pattern| {
        let all = broker.subscriptions();
        let found = all.iter().find(|it| it.spec().pattern.as_str() == pattern);
        let ledger = found.unwrap().ledger();
        (ledger.accepted, ledger.done, ledger.forwarded, ledger.unsettled())
    };
    for (pattern, before) in [("u.>", before[0]), ("u.a", before[1])] {
        let expected = (before.accepted, before.done, before.forwarded, 0);
        assert_eq!(found(pattern), expected, "{pattern}");
    }
    broker.stop_timer();
}
