//! Versions change without end, under load: by the link, and by every strategy, with everything
//! that operators, bad candidates and deaths of the host do.
//!
//! [`scene`] (libraries that behave in every way) → [`load`] (messages) → [`course`] (one random
//! transition after the other) → [`judge`] (what was written down outside the host, before the
//! independent checker). In [`killed`], the host is a process that is killed at random moments.
//!
//! `PATCHBAY_CHAOS_SEED` does a run again, `PATCHBAY_CHURN` makes it so many times as long;
//! `scripts/chaos.sh` sets both.

mod course;
mod judge;
mod killed;
mod load;
mod scene;

use std::time::Duration;

use patchbay_testkit::eventually;

use self::{
    course::Tally,
    judge::Judge,
    load::Load,
    scene::{Level, NAMES, Scene, dice::seed, rounds, times},
};
use crate::rig::{LONG, Plan, Plugin, Rig, assert_balanced};

/// Transitions of all plugins together, in one run of the suite.
const TRANSITIONS: u64 = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_alternating_links_each_run_the_new_code() {
    let mut plan = Plan::new();
    plan.settings.limits.settle = Duration::from_millis(1);
    let versions = ["1.0.0", "2.0.0"].map(|version| Plugin::new("echo", version));
    let places = versions.each_ref().map(|it| plan.home.install(&it.build(), &it.file_name()));
    plan.home.link("echo", &places[0]);
    let rig = plan.start().await;
    let mut out = rig.host.tap("out.*", 100).expect("a valid pattern");
    for round in 1..=times(1_000) {
        let which = (round % 2) as usize;
        rig.home.link("echo", &places[which]);
        rig.host.rescan(LONG).await.expect("it is read");
        let wanted = ["1.0.0", "2.0.0"][which];
        rig.until("echo", |view| view.version.as_deref() == Some(wanted)).await;
        rig.publish("in.echo", "echo").await;
        let next = tokio::time::timeout(LONG, out.next()).await.expect("in time");
        let (message, _) = next.expect("the host runs");
        assert_eq!(message.topic, ["out.1_0_0", "out.2_0_0"][which], "round {round}");
    }
    let rounds = times(1_000);
    let ledger = rig.ledger_until("echo", |it| it.done == rounds).await;
    assert_eq!((ledger.accepted, ledger.dead, ledger.dropped.len()), (rounds, 0, 0));
    let one_left = || (rig.host.generations().len() == 1).then_some(());
    eventually("the others are unmapped", LONG, one_left);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_transitions_of_several_plugins_under_load_lose_nothing() {
    let (seed, scene) =
        (seed(), Scene::new(false, &[("two", Level::Process), ("four", Level::Disk)]));
    let rig = Plan { home: scene.home, settings: scene.settings }.start().await;
    let files = scene.files;
    let loads = NAMES.map(|name| Load::start(&rig.host, &files, name, 0));
    let courses: Vec<_> = NAMES
        .into_iter()
        .zip(seed..)
        .map(|(name, seed)| {
            let end = course::End::After(rounds(TRANSITIONS).div_ceil(NAMES.len() as u64));
            tokio::spawn(course::run(rig.host.clone(), files.clone(), name, seed, end))
        })
        .collect();
    let mut tally = Tally::default();
    for course in courses {
        tally.add(&course.await.unwrap_or_else(|panic| panic!("seed {seed}: {panic}")));
    }
    for load in loads {
        load.end().await;
    }
    for name in NAMES {
        let ledger = rig.ledger_until(name, |it| it.queued + it.delayed + it.in_flight == 0).await;
        assert_balanced(&ledger);
        assert_eq!((ledger.dead, ledger.dropped.len()), (0, 0), "seed {seed}: {ledger:#?}");
        files.ledger(name, 1, &ledger);
    }
    let one_each = || (rig.host.generations().len() == NAMES.len()).then_some(());
    eventually("the others are unmapped", LONG, one_each);
    // The home is there until everything is read.
    let Rig { home, host } = rig;
    let report = host.shutdown(LONG).await;
    assert!(report.clean, "{report:#?}");
    let judged = Judge::read(&files).close();
    println!("chaos churn: seed {seed}, {} rounds, {tally}\n{judged}", tally.begun);
    judged.assert_clean(home);
    if tally.begun >= TRANSITIONS {
        tally.assert_everything_happened();
    }
}
