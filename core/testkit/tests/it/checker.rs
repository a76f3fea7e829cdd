//! The checker finds what it is for: each kind of broken promise is planted once.

mod late;

use patchbay_testkit::checker::{
    Answer, Began, Cause, Dead, Ended, Event, Expectations, Kind, LedgerTerms, Level, Listener,
    Ordering, Published, Record, Records, Status, Tag, Verdict, check,
};

/// A run without a fault: `n` messages to one listener, each handled once, 10 apart.
struct Run {
    records: Vec<Record>,
    expectations: Expectations,
    ledger: LedgerTerms,
}

fn published(n: u64) -> Published {
    Published {
        tag: Tag::new("p", n),
        topic: "orders.new".into(),
        key: "k".into(),
        level: Level::Disk,
        answer: Answer::Accepted,
        mid: Some(format!("mid-{n}")),
        seq: Some(n),
        routed: Some(1),
        dedup: false,
        expires: 0,
        not_before: 0,
        sent: n * 100,
        t: n * 100 + 5,
    }
}

fn began(n: u64, attempt: u32, t: u64) -> Began {
    Began {
        tag: Tag::new("p", n),
        subscription: "orders".into(),
        delivery: n,
        attempt,
        key: "k".into(),
        mid: Some(format!("mid-{n}")),
        generation: 1,
        version: "v1".into(),
        lane: 0,
        t,
    }
}

fn ended(n: u64, attempt: u32, status: Status, t: u64) -> Ended {
    let Began { tag, subscription, delivery, .. } = began(n, attempt, t);
    Ended { tag, subscription, delivery, attempt, status, t }
}

impl Run {
    fn of(n: u64) -> Run {
        let listener = Listener::new("orders", "orders.>").ordered(Ordering::PerKey);
        let mut run = Run {
            records: Vec::new(),
            expectations: Expectations { slack: 0, ..Expectations::new(vec![listener]) },
            ledger: LedgerTerms {
                subscription: "orders".into(),
                t: 1_000_000,
                accepted: n,
                done: n,
                ..LedgerTerms::default()
            },
        };
        for n in 1..=n {
            run.add(published(n));
            run.handle(n, 1, n * 100 + 10);
        }
        run
    }

    fn add(&mut self, record: impl Into<Record>) {
        self.records.push(record.into());
    }

    fn handle(&mut self, n: u64, attempt: u32, t: u64) {
        self.add(began(n, attempt, t));
        self.add(ended(n, attempt, Status::Acknowledged, t + 5));
    }

    fn happen(&mut self, t: u64, event: Event) {
        self.add(Cause { t, until: 0, event });
    }

    /// Without what was written about the calls of a message.
    fn unhandled(&mut self, n: u64) {
        self.records.retain(|record| match record {
            Record::Began(began) => began.tag.n != n,
            Record::Ended(ended) => ended.tag.n != n,
            _ => true,
        });
    }

    fn verdict(&self) -> Verdict {
        let mut records: Records = self.records.iter().cloned().collect();
        records.push(self.ledger.clone().into());
        check(&records, &self.expectations)
    }

    /// Exactly these kinds are found.
    #[track_caller]
    fn finds(&self, kinds: &[Kind]) {
        let verdict = self.verdict();
        let found: Vec<Kind> = verdict.counts.keys().copied().collect();
        assert_eq!(found, kinds, "{verdict}");
    }

    #[track_caller]
    fn is_clean(&self) {
        self.finds(&[]);
    }
}

#[test]
fn a_run_without_a_fault_is_clean_and_counted() {
    let verdict = Run::of(50).verdict();
    verdict.assert_clean();
    assert_eq!((verdict.summary.accepted, verdict.summary.hand_offs), (50, 50));
    assert!(verdict.to_string().contains("every promise was kept"));
}

#[test]
fn an_accepted_message_that_nobody_handled_is_lost() {
    let mut run = Run::of(5);
    run.unhandled(3);
    run.ledger.done = 4;
    run.ledger.accepted = 4;
    run.finds(&[Kind::Lost, Kind::LedgerWrong]);
    assert!(run.verdict().to_string().contains("p/3"));
    // A death of the host takes what was in memory, and nothing else.
    run.happen(1_000, Event::HostDeath);
    run.finds(&[Kind::Lost, Kind::LedgerWrong]);
    run.expectations.listeners[0].memory = true;
    run.is_clean();
}

#[test]
fn a_message_whose_last_call_did_not_settle_it_is_lost_too() {
    let mut run = Run::of(5);
    run.unhandled(3);
    run.add(began(3, 1, 310));
    run.add(ended(3, 1, Status::Error, 315));
    run.ledger.done = 4;
    run.ledger.dead = 1;
    run.finds(&[Kind::Lost, Kind::LedgerWrong]);
    run.add(Dead { tag: Tag::new("p", 3), subscription: "orders".into(), cause: String::new() });
    run.is_clean();
}

#[test]
fn a_suffix_of_level_process_may_go_with_the_power_and_nothing_earlier() {
    let mut run = Run::of(10);
    for record in &mut run.records {
        if let Record::Published(published) = record {
            published.level = Level::Process;
        }
    }
    (run.ledger.accepted, run.ledger.done) = (8, 8);
    run.unhandled(9);
    run.unhandled(10);
    run.finds(&[Kind::Lost, Kind::LedgerWrong]);
    run.happen(1_100, Event::PowerLoss);
    run.is_clean();
    run.expectations.sync_interval = 100;
    run.finds(&[Kind::Lost, Kind::LedgerWrong]);
}

#[test]
fn what_survives_a_loss_of_power_has_no_holes() {
    let mut run = Run::of(10);
    for record in &mut run.records {
        if let Record::Published(published) = record {
            published.level = Level::Process;
        }
    }
    (run.ledger.accepted, run.ledger.done) = (9, 9);
    run.unhandled(9);
    run.unhandled(10);
    run.happen(1_100, Event::PowerLoss);
    run.handle(10, 1, 1_200);
    run.finds(&[Kind::Hole]);
}

#[test]
fn what_was_rejected_or_never_published_is_a_phantom() {
    let mut run = Run::of(3);
    run.handle(7, 1, 900);
    run.ledger = LedgerTerms { accepted: 4, done: 4, ..run.ledger };
    run.finds(&[Kind::Phantom, Kind::LedgerWrong]);
    run.add(Published { answer: Answer::Rejected, ..published(7) });
    run.finds(&[Kind::Phantom, Kind::LedgerWrong]);
    run.add(Published { answer: Answer::Unknown, ..published(7) });
    run.is_clean();
    assert_eq!(run.verdict().summary.unknown_handled, 1);
}

#[test]
fn a_message_of_a_topic_that_was_not_asked_for_is_a_phantom() {
    let mut run = Run::of(3);
    run.expectations.listeners[0].pattern = "bills.*".into();
    run.expectations.listeners[0].whole = false;
    run.finds(&[Kind::Phantom]);
}

#[test]
fn one_publish_is_one_delivery_unless_it_was_tried_again_without_a_key() {
    let mut run = Run::of(3);
    run.add(Began { delivery: 8, ..began(2, 1, 900) });
    run.add(Ended { delivery: 8, ..ended(2, 1, Status::Acknowledged, 905) });
    run.ledger = LedgerTerms { accepted: 4, done: 4, ..run.ledger };
    run.finds(&[Kind::Doubled, Kind::LedgerWrong]);
    run.add(Published { answer: Answer::Unknown, ..published(2) });
    run.is_clean();
    for record in &mut run.records {
        if let Record::Published(published) = record {
            published.dedup = true;
        }
    }
    run.finds(&[Kind::Doubled, Kind::LedgerWrong]);
}

#[test]
fn a_repeated_call_needs_a_reason() {
    let mut run = Run::of(3);
    run.handle(3, 2, 900);
    run.finds(&[Kind::DuplicateWithoutCause]);
    run.happen(400, Event::LeaseExpiry { subscription: "another".into() });
    run.finds(&[Kind::DuplicateWithoutCause]);
    run.happen(950, Event::HostDeath);
    run.finds(&[Kind::DuplicateWithoutCause]);
    run.happen(800, Event::LeaseExpiry { subscription: "orders".into() });
    run.is_clean();
    assert_eq!(run.verdict().summary.duplicates, 1);
}

#[test]
fn a_call_asked_for_again_needs_no_reason() {
    let mut run = Run::of(2);
    run.unhandled(2);
    run.add(began(2, 1, 210));
    run.add(ended(2, 1, Status::RetryLater, 215));
    run.handle(2, 2, 300);
    run.is_clean();
}

#[test]
fn a_call_that_overlaps_the_one_before_is_a_duplicate() {
    let mut run = Run::of(2);
    run.unhandled(2);
    run.add(began(2, 1, 210));
    run.add(ended(2, 1, Status::RetryLater, 400));
    run.handle(2, 2, 300);
    run.finds(&[Kind::DuplicateWithoutCause, Kind::OrderBroken]);
}

#[test]
fn a_number_of_attempts_that_does_not_rise_is_a_reset() {
    let mut run = Run::of(3);
    run.happen(800, Event::HostDeath);
    run.handle(3, 1, 900);
    run.finds(&[Kind::CounterReset]);
    run.happen(850, Event::PowerLoss);
    run.is_clean();
}

#[test]
fn a_later_message_of_a_key_must_not_pass_an_unsettled_one() {
    let mut run = Run::of(4);
    run.unhandled(2);
    run.handle(2, 1, 350);
    run.finds(&[Kind::OrderBroken]);
    run.expectations.listeners[0].order = Ordering::None;
    run.is_clean();
    run.expectations.listeners[0].order = Ordering::Total;
    run.finds(&[Kind::OrderBroken]);
}

#[test]
fn after_a_crash_settled_messages_may_repeat_in_order_and_only_in_order() {
    let mut run = Run::of(4);
    run.happen(800, Event::HostDeath);
    run.handle(3, 2, 900);
    run.handle(4, 2, 950);
    run.is_clean();
    run.handle(2, 2, 960);
    run.finds(&[Kind::OrderBroken]);
}

#[test]
fn a_letter_that_is_sent_back_stands_behind_what_was_accepted_before() {
    let mut run = Run::of(4);
    run.add(Dead { tag: Tag::new("p", 1), subscription: "orders".into(), cause: "failed".into() });
    let back = |t| {
        let event =
            Event::Redrive { subscription: "orders".into(), message: Some(Tag::new("p", 1)) };
        (t, event)
    };
    let again = |run: &mut Run, t| {
        run.add(Began { delivery: 9, ..began(1, 1, t) });
        run.add(Ended { delivery: 9, ..ended(1, 1, Status::Acknowledged, t + 1) });
    };
    // Accepted at 305 and 405, begun at 310 and 410.
    let mut late = Run { records: run.records.clone(), ..Run::of(4) };
    let (t, event) = back(306);
    (late.ledger.accepted, late.ledger.done) = (5, 5);
    late.happen(t, event);
    again(&mut late, 307);
    late.finds(&[Kind::OrderBroken]);
    let (t, event) = back(306);
    (run.ledger.accepted, run.ledger.done) = (5, 5);
    run.happen(t, event);
    again(&mut run, 410);
    run.is_clean();
}

#[test]
fn calls_of_one_key_must_not_overlap() {
    let mut run = Run::of(2);
    run.unhandled(1);
    run.add(began(1, 1, 110));
    run.add(ended(1, 1, Status::Acknowledged, 500));
    run.finds(&[Kind::OrderBroken]);
    // Its lease was taken, so the next one may go on; the old answer is not heard.
    run.happen(150, Event::LeaseExpiry { subscription: "orders".into() });
    run.is_clean();
}

#[test]
fn a_ledger_must_add_up_and_never_count_back() {
    let mut run = Run::of(3);
    run.ledger.done = 2;
    run.finds(&[Kind::LedgerWrong]);
    let mut run = Run::of(3);
    run.add(LedgerTerms { t: 900_000, accepted: 4, done: 4, ..run.ledger.clone() });
    run.finds(&[Kind::LedgerWrong]);
    let mut run = Run::of(3);
    run.add(LedgerTerms { t: 9, life: 1, accepted: 3, done: 3, ..run.ledger.clone() });
    run.is_clean();
}

#[test]
fn a_ledger_must_not_contradict_what_publishers_and_handlers_saw() {
    for change in [
        |ledger: &mut LedgerTerms| (ledger.accepted, ledger.done) = (2, 2),
        |ledger: &mut LedgerTerms| (ledger.accepted, ledger.dropped) = (4, 1),
        |ledger: &mut LedgerTerms| (ledger.done, ledger.queued) = (2, 1),
        |ledger: &mut LedgerTerms| (ledger.done, ledger.forwarded) = (2, 1),
        |ledger: &mut LedgerTerms| (ledger.done, ledger.dead) = (2, 1),
        |ledger: &mut LedgerTerms| (ledger.done, ledger.dropped) = (2, 1),
    ] {
        let mut run = Run::of(3);
        change(&mut run.ledger);
        run.finds(&[Kind::LedgerWrong]);
    }
}

#[test]
fn no_call_of_a_version_starts_after_its_cutover() {
    let mut run = Run::of(3);
    let cutover =
        |begun| Event::Cutover { subscription: "orders".into(), version: "v1".into(), begun };
    run.happen(305, cutover(vec![]));
    run.finds(&[Kind::AfterCutover]);
    run.happen(306, Event::Serving { subscription: "orders".into(), version: "v1".into() });
    run.is_clean();
    let mut run = Run::of(3);
    run.happen(305, cutover(vec![3]));
    run.is_clean();
}

#[test]
fn a_lane_has_one_call_at_most_that_was_claimed_before_a_cutover_and_began_after_it() {
    let cutover = || {
        let (subscription, version) = ("orders".into(), "v1".into());
        Event::Cutover { subscription, version, begun: vec![] }
    };
    let with_lanes = |lanes: [u64; 3]| {
        // No slack is needed where the lanes are known, and none is granted.
        let mut run = Run::of(3);
        run.expectations.slack = 1_000_000;
        for record in &mut run.records {
            if let Record::Began(began) = record {
                began.lane = lanes[began.tag.n as usize - 1];
            }
        }
        run.happen(150, cutover());
        run
    };
    with_lanes([7, 8, 9]).is_clean();
    with_lanes([7, 7, 8]).is_clean();
    with_lanes([7, 8, 8]).finds(&[Kind::AfterCutover]);
}

#[test]
fn a_message_is_not_handed_off_before_its_time() {
    let mut run = Run::of(1);
    run.add(Published { not_before: 900, ..published(2) });
    run.handle(2, 1, 910);
    (run.ledger.accepted, run.ledger.done) = (2, 2);
    run.is_clean();
    run.unhandled(2);
    run.handle(2, 1, 890);
    run.finds(&[Kind::TooEarly]);
}

#[test]
fn a_forwarded_message_must_arrive_and_arrive_once() {
    let mut run = Run::of(2);
    run.expectations.listeners.push(Listener::new("bills", "bills.*"));
    run.add(published(3));
    run.add(began(3, 1, 310));
    run.add(ended(3, 1, Status::Forwarded("bills.new".into()), 315));
    run.ledger = LedgerTerms { accepted: 3, forwarded: 1, ..run.ledger };
    run.finds(&[Kind::Lost]);
    for delivery in [1, 2] {
        let at = |t| Began { subscription: "bills".into(), delivery, mid: None, ..began(3, 1, t) };
        run.add(at(400 + delivery));
        let Began { tag, subscription, attempt, .. } = at(0);
        let status = Status::Acknowledged;
        run.add(Ended { tag, subscription, delivery, attempt, status, t: 410 + delivery });
        run.finds(if delivery == 1 { &[] } else { &[Kind::Doubled] });
    }
}

#[test]
fn one_number_and_one_id_name_one_message() {
    let mut run = Run::of(2);
    run.add(Published { mid: Some("mid-1".into()), ..published(3) });
    run.add(Began { delivery: 2, mid: None, ..began(3, 1, 400) });
    run.add(Ended { delivery: 2, ..ended(3, 1, Status::Acknowledged, 405) });
    run.ledger = LedgerTerms { accepted: 3, done: 3, ..run.ledger };
    run.finds(&[Kind::Identity]);
    assert_eq!(run.verdict().count(Kind::Identity), 2);
}

#[test]
fn records_survive_as_lines_and_a_torn_last_line_is_passed_over() {
    let mut run = Run::of(2);
    run.happen(3, Event::HostDeath);
    run.happen(4, Event::LeaseExpiry { subscription: "orders".into() });
    run.add(ended(9, 1, Status::Forwarded("a.b".into()), 1));
    run.add(run.ledger.clone());
    let mut text: String = run.records.iter().map(Record::line).collect();
    text.push_str("{\"record\":\"began\",\"publ");
    let mut records = Records::default();
    assert!(records.read_lines(text.as_bytes()).unwrap());
    assert_eq!(records.0, run.records);
    let broken = "{}\n{}\n".as_bytes();
    assert!(records.read_lines(broken).unwrap_err().to_string().contains("line 1"));
}

#[test]
fn a_line_may_leave_out_what_it_does_not_know() {
    let lines = r#"{"record":"published","publisher":"p","n":1,"topic":"a","answer":"unknown","t":5}
{"record":"began","publisher":"p","n":1,"subscription":"s","delivery":3,"attempt":1,"t":6}
{"record":"ended","publisher":"p","n":1,"subscription":"s","delivery":3,"attempt":1,"status":{"forwarded":"b"},"t":7}
{"record":"cause","t":8,"event":"host_death"}
"#;
    let mut records = Records::default();
    records.read_lines(lines.as_bytes()).unwrap();
    assert_eq!(records.0.len(), 4);
}

#[test]
fn a_hundred_thousand_records_are_judged_in_one_go() {
    let run = Run::of(35_000);
    let verdict = run.verdict();
    assert_eq!(verdict.summary.hand_offs, 35_000);
    verdict.assert_clean();
}
