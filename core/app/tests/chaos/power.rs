//! A loss of power: a file system that forgets what was not synced (platform fact E9).

use std::{fs, path::Path, process::Command};

use patchbay_testkit::{
    Enclosure,
    checker::{Event, Level, now},
    quoted,
};
use serde_json::json;

use crate::{
    arena::{Arena, Recorder},
    load::{Mix, Publisher, pass, under_load},
    plan::Plan,
};

const MIX: Mix = Mix {
    topics: &["disk.a", "process.a"],
    verbs: &["ack", "ack", "slow", "later"],
    rarely: "fail",
};

/// The program that cuts the power of a file system.
fn build_cut(folder: &Path) -> bool {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/fixtures/power_cut.c");
    let built = Command::new("cc").arg(source).arg("-o").arg(folder.join("power_cut")).status();
    built.is_ok_and(|status| status.success())
}

#[test]
fn a_loss_of_power_takes_nothing_of_level_disk_and_a_suffix_of_level_process() {
    let mut plan = Plan::new("power", 5);
    let recorder = Recorder {
        name: "recorder",
        subscriptions: json!([
            {"topic": "disk.*", "queue": {"count": 200_000}},
            {"topic": "process.*", "queue": {"count": 200_000}},
        ]),
        pool: json!({"min_workers": 2, "max_workers": 2}),
    };
    let mut arena = Arena::new(vec![recorder], &crate::levels());
    let (image, data) = (arena.path("disk.img"), arena.path("data"));
    fs::create_dir_all(&data).expect("a folder");
    assert!(build_cut(arena.home.path()), "a C compiler");
    let mount = format!("mount -o loop {} {}", quoted(&image), quoted(&data));
    let made = Enclosure::open(true)
        .filter(|_| fs::File::create(&image).and_then(|file| file.set_len(256 << 20)).is_ok());
    let made = made.and_then(|mut enclosure| {
        let made = enclosure.run(&format!("mkfs.ext4 -q -F {}", quoted(&image)));
        (made && enclosure.run(&mount)).then_some(enclosure)
    });
    let Some(mut enclosure) = made else {
        plan.skipped("no loop device may be mounted here, a loss of power was not tried");
        return;
    };
    arena.through = enclosure.enter();
    let cut = format!("{} {}", quoted(&arena.path("power_cut")), quoted(&data));
    // A key goes with its message: only what cannot be lost is sure to be known again.
    let crew = Publisher::crew(16, plan.seed).into_iter();
    let mut crew: Vec<Publisher> = crew.map(|one| one.keyed(Some(Level::Disk))).collect();
    for _ in 0..plan.rounds {
        arena.start();
        let (socket, delay) = (arena.socket(), 100 + plan.dice.below(500));
        under_load(&mut crew, &socket, MIX, || {
            pass(delay);
            let t = now();
            assert!(enclosure.run(&cut), "the power was not cut");
            arena.kill();
            arena.note(Event::PowerLoss, t);
        });
        let again = format!("umount {} && {mount}", quoted(&data));
        assert!(enclosure.run(&again), "the file system does not come back");
    }
    arena.start();
    arena.drained();
    arena.dead_letters();
    for publisher in crew {
        arena.add(publisher.published);
    }
    // The interval, and a flush that takes its time on a busy machine.
    let verdict = arena.judge(|right| right.sync_interval = 2_000_000_000);
    plan.reached(&format!("{verdict}"));
    verdict.assert_clean();
    assert_eq!(arena.stop(), 0);
}
