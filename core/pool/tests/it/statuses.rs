//! What a handler says, and what becomes of the message.

use std::sync::{Arc, Mutex};

use patchbay_bus::{Fault, FaultClass, Verdict};
use patchbay_pool::{Outcome, PoolConfig, from_fn};

use crate::rig::{Rig, text};

fn fault(class: FaultClass, text: &str) -> Outcome {
    Verdict::Fault(Fault { class, text: text.to_owned() }).into()
}

#[test]
fn every_outcome_reaches_the_ledger() {
    let rig = Rig::live();
    let (input, output) = (rig.subscribe("in.>"), rig.subscribe("out"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let said = Arc::clone(&seen);
    let handler = from_fn(move |handed| {
        let payload = text(handed);
        said.lock().expect("what was seen").push((payload.clone(), handed.attempt()));
        match (payload.as_str(), handed.attempt()) {
            ("later", 1) => Verdict::Retry(1).into(),
            ("never", _) => Verdict::Failed("not wanted".into()).into(),
            ("on", _) if handed.subscription() == 0 => {
                let message = handed.message().clone();
                Verdict::Forward { topic: "out".into(), message }.into()
            }
            ("sometimes", 1) => fault(FaultClass::Transient, "no connection"),
            ("bug", 1) => panic!("a bug in the handler"),
            _ => Outcome::Ack,
        }
    });
    let pool = rig.pool("echo", handler, &[&input, &output], PoolConfig::default());
    rig.send("in.x", &["plain", "later", "never", "on", "sometimes", "bug"]);
    let ledger = rig.until("everything to be settled", || {
        let ledger = input.ledger();
        (ledger.accepted == 6 && ledger.unsettled() == 0).then_some(ledger)
    });
    assert_eq!((ledger.done, ledger.forwarded, ledger.dead), (4, 1, 1));
    rig.until_done(&output, 1);
    assert_eq!(rig.broker.dead_letters().after(0, 10)[0].reason, "not wanted");
    let mut seen = seen.lock().expect("what was seen").clone();
    seen.sort();
    let seen: Vec<(&str, u32)> = seen.iter().map(|(text, attempt)| (&**text, *attempt)).collect();
    assert_eq!(
        seen,
        [
            ("bug", 1),
            ("bug", 2),
            ("later", 1),
            ("later", 2),
            ("never", 1),
            ("on", 1),
            ("on", 1),
            ("plain", 1),
            ("sometimes", 1),
            ("sometimes", 2)
        ]
    );
    let stats = rig.until("the counters", || Some(pool.stats()).filter(|it| it.calls == 10));
    assert_eq!((stats.retried, stats.failed, stats.forwarded, stats.faults), (1, 1, 1, 2));
    rig.close(pool);
}

#[test]
fn a_flood_is_worked_off_and_every_lane_sleeps_again() {
    let rig = Rig::live();
    let subscription = rig.subscribe("flood");
    let pool = rig.pool(
        "flood",
        from_fn(|_| Outcome::Ack),
        &[&subscription],
        PoolConfig { max_workers: 3, min_workers: 3, ..PoolConfig::default() },
    );
    let mut publisher = rig.broker.publisher("test");
    let mut sent = 0;
    while sent < 100_000 {
        let outgoing = patchbay_bus::Outgoing { topic: "flood", ..Default::default() };
        match publisher.publish(outgoing) {
            Ok(_) => sent += 1,
            Err(_) => std::thread::yield_now(),
        }
    }
    rig.until_done(&subscription, 100_000);
    rig.until("all lanes to sleep", || (pool.stats().busy == 0).then_some(()));
    // No lane is to be let go later: the monitor has no pool on its list, and sleeps.
    let seen = rig.until("the monitor to rest", || {
        Some(rig.monitor.stats()).filter(|stats| stats.pools == 0)
    });
    assert!(seen.looks > 0);
    rig.close(pool);
}
