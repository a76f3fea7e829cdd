//! Control calls through lane 0.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use patchbay_pool::{
    Feed, Handler, Intake, LaneId, Next, NextOp, Op, OpError, OpOutcome, PoolConfig, PoolEventKind,
    WorkerPool,
};

use crate::rig::{Barrier, LONG, Rig, threads};

/// Answers control calls as it is told, and notes who got them.
struct Answering {
    answer: fn(&str) -> Option<OpOutcome>,
    barrier: Arc<Barrier>,
    seen: Arc<Mutex<Vec<(u32, Op)>>>,
}

impl Handler for Answering {
    fn run(&self, lane: LaneId, feed: &mut Feed) {
        let mut open: Vec<u64> = vec![];
        loop {
            while let NextOp::Call(call) = feed.next_op() {
                self.seen.lock().expect("seen").push((lane.index, call.op));
                if call.arg == b"block" {
                    self.barrier.pass();
                }
                match (self.answer)(str::from_utf8(&call.arg).expect("text")) {
                    Some(outcome) => feed.op_done(call.id, outcome),
                    None => open.push(call.id),
                }
            }
            open.retain(|id| {
                let cancelled = feed.op_cancelled(*id);
                if cancelled {
                    feed.op_done(*id, OpOutcome::Cancelled);
                }
                !cancelled
            });
            match feed.next(1) {
                Next::Batch(_) => {}
                Next::Closed if open.is_empty() => return,
                Next::Empty | Next::Closed => feed.wait(),
            }
        }
    }
}

struct Bench {
    rig: Rig,
    pool: WorkerPool,
    barrier: Arc<Barrier>,
    seen: Arc<Mutex<Vec<(u32, Op)>>>,
}

fn bench(name: &str, min_workers: u32) -> Bench {
    let rig = Rig::still();
    let (barrier, seen) = (Barrier::new(), Arc::default());
    let handler = Answering {
        answer: |arg| match arg {
            "slow" => None,
            "error" => Some(OpOutcome::Error { class: "transient".into(), text: "no".into() }),
            "panic" => Some(OpOutcome::Panicked("index out of bounds".into())),
            _ => Some(OpOutcome::Done(Some(format!("did {arg}").into_bytes()))),
        },
        barrier: Arc::clone(&barrier),
        seen: Arc::clone(&seen),
    };
    let config = PoolConfig { min_workers, ..PoolConfig::default() };
    let mut spec = rig.spec(name, Arc::new(handler), &[], config);
    spec.intake = Intake::Held;
    let pool = WorkerPool::start(spec, &rig.monitor).expect("start the pool");
    Bench { rig, pool, barrier, seen }
}

#[test]
fn lane_zero_comes_up_for_a_call_and_answers_it() {
    let Bench { rig, pool, seen, .. } = bench("init-pool", 0);
    assert_eq!(threads("init-pool"), 0);
    let reply = rig.wait("init", pool.control(Op::Init, "it".into(), LONG)).expect("a reply");
    assert_eq!(reply.text().as_deref(), Some("did it"));
    let error = rig.wait("start", pool.control(Op::Start, "error".into(), LONG));
    let error = error.expect_err("an error");
    assert_eq!(error.to_string(), "Start ended with an error (transient): no");
    let panic = rig.wait("health", pool.control(Op::Health, "panic".into(), LONG));
    assert!(matches!(panic, Err(OpError::Panicked { op: Op::Health, .. })));
    assert_eq!(*seen.lock().expect("seen"), [(0, Op::Init), (0, Op::Start), (0, Op::Health)]);
    assert_eq!(pool.stats().workers, 1);
    rig.close(pool);
}

#[test]
fn only_lane_zero_gets_calls() {
    let Bench { rig, pool, seen, .. } = bench("front-pool", 3);
    pool.resume();
    rig.until("three lanes", || (pool.stats().workers == 3).then_some(()));
    for _ in 0..20 {
        rig.wait("health", pool.control(Op::Health, Vec::new(), LONG)).expect("a reply");
    }
    assert_eq!(*seen.lock().expect("seen"), [(0, Op::Health); 20]);
    rig.close(pool);
}

#[test]
fn a_call_that_takes_too_long_is_cancelled_on_its_lane() {
    let Bench { rig, pool, seen, .. } = bench("late-op", 0);
    let limit = Duration::from_secs(3);
    let answer = pool.control(Op::Reset, "slow".into(), limit);
    rig.until("the call", || (!seen.lock().expect("seen").is_empty()).then_some(()));
    rig.pass(limit);
    let error = rig.wait("the call to be cancelled", answer).expect_err("too late");
    assert_eq!(error, OpError::TimedOut { op: Op::Reset, limit });
    let reply = rig.wait("the next call", pool.control(Op::Health, "it".into(), LONG));
    assert_eq!(reply.expect("the lane lives").text().as_deref(), Some("did it"));
    rig.close(pool);
}

#[test]
fn a_call_that_blocks_its_lane_is_stuck_after_the_grace() {
    let Bench { rig, pool, barrier, .. } = bench("stuck-op", 0);
    let limit = Duration::from_secs(3);
    let answer = pool.control(Op::Shutdown, "block".into(), limit);
    rig.until("the call", || (barrier.waiting() == 1).then_some(()));
    let behind = pool.control(Op::Health, "behind".into(), limit);
    rig.pass(Duration::from_millis(3_600));
    let error = rig.wait("the first call", answer).expect_err("stuck");
    assert_eq!(error, OpError::Stuck { op: Op::Shutdown, limit });
    let error = rig.wait("the call behind it", behind).expect_err("stuck");
    assert_eq!(error, OpError::Stuck { op: Op::Health, limit });
    assert!(rig.has_event(|event| matches!(event, PoolEventKind::ControlStuck { .. })));
    barrier.open();
    let reply = rig.wait("a call after it", pool.control(Op::Health, "it".into(), LONG));
    assert_eq!(reply.expect("the lane came back").text().as_deref(), Some("did it"));
    rig.close(pool);
}

#[test]
fn calls_to_a_closed_pool_are_answered() {
    let Bench { rig, pool, barrier, .. } = bench("shut-op", 0);
    let answer = pool.control(Op::Init, "block".into(), LONG);
    rig.until("the call", || (barrier.waiting() == 1).then_some(()));
    let closing = pool.close();
    assert_eq!(rig.wait("the call", answer), Err(OpError::Closed { op: Op::Init }));
    barrier.open();
    assert!(rig.wait_closed(closing).abandoned.is_empty());
}
