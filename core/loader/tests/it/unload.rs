//! Unloading, with proof.

use patchbay_interpose::{Range, destructors, keys, threads};
use patchbay_loader::{QuarantineReason, Retired};

use crate::support::{
    Desk, Rig,
    build::{self, Hostile},
    rig::mappings,
};

/// What the hooks see of a mapped copy.
fn range(path: &std::path::Path) -> Option<Range> {
    let name = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
    Range::of(&name)
}

#[test]
fn the_hooks_are_in_force_in_this_process() {
    assert_eq!(patchbay_loader::effective(), Ok(()));
}

#[test]
fn destructors_on_lanes_are_counted_and_gone_after_the_join() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let path = instance.facts().path.clone();
    let range = range(&path).expect("mapped");
    let desk = Desk::new();
    let lanes = [desk.lane(&instance, 0, 1), desk.lane(&instance, 1, 1)];
    // Both lanes, whoever takes which.
    while destructors::pending_in(range) < 2 {
        desk.ask("tls");
    }
    assert_eq!(threads::alive_of(instance.generation()), 2, "the lanes themselves");
    desk.close();
    for lane in lanes {
        lane.join();
    }
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
    assert_eq!(destructors::pending_in(range), 0);
    assert_eq!(mappings(&path), 0);
    assert_eq!(rig.copies(), 0);
}

#[test]
fn keys_are_deleted_with_their_library_also_those_that_only_their_maker_betrays() {
    let rig = Rig::new();
    let rust = rig.load(&Hostile::new().build());
    let c = rig.load(&build::simple(&[]));
    for (instance, topic, at_least) in [(&rust, "key", 1), (&c, "keys", 2)] {
        let path = instance.facts().path.clone();
        let range = range(&path).expect("mapped");
        let desk = Desk::new();
        let lane = desk.lane(instance, 0, 1);
        desk.ask(topic);
        assert!(keys::live_in(range) >= at_least, "{}", keys::live_in(range));
        desk.close();
        lane.join();
        assert_eq!(rig.retire(instance), Retired::Unmapped);
        assert_eq!(keys::live_in(range), 0);
        assert_eq!(mappings(&path), 0);
    }
}

#[test]
fn two_hundred_generations_leave_nothing_mapped() {
    let rig = Rig::new();
    let libraries = [Hostile::new().build(), build::simple(&[]), Hostile::new().own_loop().build()];
    for turn in 0..200 {
        let topics: &[&str] = if turn % 3 == 1 { &["keys"] } else { &["tls", "key", "later:2"] };
        let (path, retired) = rig.use_once(&libraries[turn % 3], topics);
        assert_eq!(retired, Retired::Unmapped, "generation {turn}");
        assert_eq!(range(&path), None);
    }
    assert_eq!(mappings(rig.store.dir()), 0);
    assert_eq!(rig.copies(), 0);
    assert!(rig.loader.quarantined().is_empty());
}

#[test]
fn ordinary_c_plus_plus_with_exceptions_and_thread_locals_unloads() {
    let rig = Rig::new();
    let (path, retired) = rig.use_once(&build::simple_with("tls.cpp", &[]), &["x"]);
    assert_eq!(retired, Retired::Unmapped);
    assert_eq!(mappings(&path), 0);
    let library = build::simple_with("unique.cpp", &["-fno-gnu-unique"]);
    assert_eq!(rig.use_once(&library, &["x"]).1, Retired::Unmapped);
}

#[test]
fn a_library_whose_last_destructor_leaves_another_behind_does_not_take_the_host_along() {
    let rig = Rig::new();
    let instance = rig.load(&build::simple_with("fini.cpp", &[]));
    assert_eq!(rig.retire(&instance), Retired::Unmapped);
    assert_eq!(mappings(&instance.facts().path), 0);
}

#[test]
fn a_library_that_wants_to_stay_is_ended_and_stays() {
    let rig = Rig::new();
    let (path, retired) = rig.use_once(&Hostile::new().note("never").build(), &["tls"]);
    assert_eq!(retired, Retired::Quarantined(QuarantineReason::UnloadNever));
    assert!(mappings(&path) > 0);
    assert!(rig.loader.recheck().is_empty(), "it never clears");
    assert_eq!(rig.loader.quarantined().len(), 1);
}
