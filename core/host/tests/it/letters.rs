//! Dead letters as a tool: selected, sent back, deleted.

use patchbay_host::{LetterFilter, LetterJob, LetterWork, view::OperationView};
use patchbay_testkit::eventually;
use serde_json::json;

use crate::rig::{LONG, Plan, Plugin, Rig, assert_balanced};

/// A plugin that dies of `fail` (its own word) and of `error` (an error that is not tried again).
async fn with_dead(count: usize) -> Rig {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    for at in 0..count {
        rig.publish("in.echo", if at % 2 == 0 { "fail" } else { "error" }).await;
    }
    rig.ledger_until("echo", |it| it.dead == count as u64).await;
    rig
}

fn job(work: LetterWork, filter: LetterFilter) -> LetterJob {
    LetterJob { work, filter, rate: None, who: "test".to_owned(), key: None }
}

fn all() -> LetterFilter {
    LetterFilter { all: true, ..LetterFilter::default() }
}

fn over(rig: &Rig, operation: &OperationView) -> OperationView {
    eventually("the end of the operation", LONG, || {
        let now = rig.host.operation(&operation.id).expect("it is known");
        (now.state != "running").then_some(now)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_goes_to_its_own_subscription_with_a_clean_count_and_once() {
    let rig = with_dead(2).await;
    let numbers: Vec<u64> = rig.host.dead_letters().iter().map(|it| it.number).collect();
    let one = LetterFilter { numbers: vec![numbers[0]], ..LetterFilter::default() };
    let begun = rig.host.begin_letters(job(LetterWork::Redrive, one.clone())).expect("it begins");
    let ended = over(&rig, &begun);
    assert_eq!((ended.selected, ended.done, ended.refused), (1, 1, 0), "{ended:#?}");
    // It fails again, as a new letter that knows that it was sent back.
    let letters = eventually("the new letter", LONG, || {
        let letters = rig.host.dead_letters();
        (letters.iter().any(|it| it.redrives == 1)).then_some(letters)
    });
    assert_eq!(letters.len(), 2);
    let back = letters.iter().find(|it| it.redrives == 1).expect("it was looked for");
    assert_eq!(back.reason, "told to fail");
    assert_balanced(&rig.ledger("echo"));
    // The number is gone: asking again has no effect.
    let begun = rig.host.begin_letters(job(LetterWork::Redrive, one)).expect("it begins");
    let again = over(&rig, &begun);
    assert_eq!((again.done, again.absent), (0, 1), "{again:#?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_select_and_a_dry_run_touches_nothing() {
    let rig = with_dead(5).await;
    let select = |filter: LetterFilter| rig.host.dead_letters_where(&filter).expect("valid").len();
    let none = LetterFilter::default;
    assert_eq!(select(none()), 5);
    assert_eq!(select(LetterFilter { plugin: Some("echo".into()), ..none() }), 5);
    assert_eq!(select(LetterFilter { plugin: Some("other".into()), ..none() }), 0);
    assert_eq!(select(LetterFilter { topic: Some("in.*".into()), ..none() }), 5);
    assert_eq!(select(LetterFilter { topic: Some("out.>".into()), ..none() }), 0);
    assert_eq!(select(LetterFilter { class: Some("failed".into()), ..none() }), 3);
    assert_eq!(select(LetterFilter { reason: Some("to err".into()), ..none() }), 2);
    assert_eq!(select(LetterFilter { limit: Some(4), ..none() }), 4);
    assert_eq!(select(LetterFilter { since: Some("2000-01-01T00:00:00Z".into()), ..none() }), 5);
    assert_eq!(select(LetterFilter { until: Some("2000-01-01T00:00:00Z".into()), ..none() }), 0);
    let failed = LetterFilter { class: Some("failed".into()), ..none() };
    let plan = rig.host.plan_letters(&job(LetterWork::Purge, failed.clone())).expect("valid");
    assert_eq!((plan.selected, plan.refused), (3, 0));
    assert!(plan.letters.iter().all(|it| it.would == "purge" && it.class == "failed"));
    assert_eq!(select(none()), 5);
    let begun = rig.host.begin_letters(job(LetterWork::Purge, failed)).expect("it begins");
    assert_eq!(over(&rig, &begun).done, 3);
    assert_eq!(select(none()), 2);
    let ledger = rig.ledger("echo");
    assert_balanced(&ledger);
    assert_eq!(ledger.dead, 5, "a letter that was deleted has died all the same");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_subscription_is_gone_stays_and_says_why() {
    let rig = with_dead(1).await;
    rig.home.unlink("echo");
    rig.state("echo", "stopped").await;
    let plan = rig.host.plan_letters(&job(LetterWork::Redrive, all())).expect("valid");
    assert_eq!((plan.selected, plan.refused), (1, 1));
    assert_eq!(plan.letters[0].would, "refuse");
    let begun = rig.host.begin_letters(job(LetterWork::Redrive, all())).expect("it begins");
    let ended = over(&rig, &begun);
    assert_eq!((ended.done, ended.refused), (0, 1));
    assert!(ended.problems[0].reason.contains("it belonged to `echo`"), "{ended:#?}");
    assert_eq!(rig.host.dead_letters().len(), 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_operation_can_be_cancelled_and_what_it_did_stays_done() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let rig = plan.start().await;
    for _ in 0..60 {
        rig.publish("in.echo", "fail").await;
    }
    rig.ledger_until("echo", |it| it.dead == 60).await;
    // One a second: the others are far away.
    let slow = LetterJob { rate: Some(1), ..job(LetterWork::Purge, all()) };
    let begun = rig.host.begin_letters(slow).expect("it begins");
    eventually("the first letter", LONG, || {
        (rig.host.operation(&begun.id).expect("it is known").done > 0).then_some(())
    });
    rig.host.cancel_operation(&begun.id).expect("it is known");
    let ended = over(&rig, &begun);
    assert_eq!(ended.state, "cancelled");
    assert_eq!(rig.host.dead_letters().len() as u64, 60 - ended.done);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_care_of_the_dead_hears_of_each_once_and_not_of_what_dies_there() {
    let plan = Plan::new();
    plan.enable(&Plugin::new("echo", "1.0.0"));
    let topics = json!([{"topic": "$PB.dead.echo"}]);
    plan.enable(&Plugin::new("keeper", "2.0.0").with("subscriptions", topics));
    let rig = plan.start().await;
    let mut dead = rig.host.tap("$PB.dead.>", 10).expect("a valid pattern");
    for number in 1..=2_u64 {
        rig.publish("in.echo", "fail").await;
        let told = tokio::time::timeout(LONG, dead.next()).await.expect("in time");
        let (message, missed) = told.expect("the host runs");
        // The keeper fails as well: were that told, it would come in between.
        assert_eq!((&*message.topic, missed), ("$PB.dead.echo", 0));
        assert_eq!((&*message.payload, message.hops), (&b"fail"[..], 1));
        let said = |name: &str| {
            let found = message.headers.iter().find(|(header, _)| header == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        assert_eq!(said("Patchbay-Dead-Class"), "failed");
        assert_eq!(said("Patchbay-Dead-Reason"), "told to fail");
        assert_eq!(said("Patchbay-Dead-Topic"), "in.echo");
        assert_eq!(said("Patchbay-Dead-Plugin"), "echo");
        assert_eq!(said("Patchbay-Dead-Version"), "1.0.0");
        rig.ledger_until("keeper", |row| row.dead == number).await;
    }
    let letters = rig.host.dead_letters();
    let kinds: Vec<_> = letters.iter().map(|it| (&*it.plugin, &*it.class)).collect();
    assert_eq!(kinds, [("echo", "failed"), ("keeper", "terminal")].repeat(2));
    rig.end().await;
}
