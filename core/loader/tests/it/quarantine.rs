//! What cannot be proven free stays mapped, is listed, and clears by itself if it can.

use std::{
    ffi::{CStr, CString, c_void},
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use patchbay_loader::{Instance, QuarantineReason, RetireLimits, Retired, Step};
use patchbay_testkit::eventually;

use crate::support::{
    Desk, Rig, SOON,
    build::{self, Hostile},
    rig::mappings,
};

/// The instance is in quarantine for this reason, mapped, and leaves it by itself.
fn clears(
    rig: &Rig,
    instance: &Instance,
    retired: &Retired,
    expected: impl Fn(&QuarantineReason) -> bool,
) {
    let path = &instance.facts().path;
    let Retired::Quarantined(reason) = retired else { panic!("{retired:?}") };
    assert!(expected(reason), "{reason:?}");
    assert!(mappings(path) > 0, "it stays mapped meanwhile");
    let listed = rig.loader.quarantined();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].reason, listed[0].generation), (reason, instance.generation()));
    let released = eventually("the quarantine to clear", SOON, || {
        Some(rig.loader.recheck()).filter(|released| !released.is_empty())
    });
    assert_eq!(released[0].generation, instance.generation());
    assert!(rig.loader.quarantined().is_empty());
    assert_eq!(mappings(path), 0);
    assert_eq!(rig.copies(), 0);
}

/// A library that is mapped already, opened once more behind the loader's back.
struct Again(*mut c_void);

impl Again {
    fn open(path: &Path) -> Again {
        let name = CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
        let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD;
        // SAFETY: a NUL terminated name; nothing is mapped anew.
        let handle = unsafe { libc::dlopen(name.as_ptr(), flags) };
        assert!(!handle.is_null(), "it is mapped");
        Again(handle)
    }

    fn call(&self, name: &CStr) {
        // SAFETY: an open handle and a NUL terminated name.
        let function = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!function.is_null(), "find {name:?}");
        // SAFETY: the fixture's functions take nothing.
        unsafe { std::mem::transmute::<*mut c_void, extern "C" fn()>(function)() }
    }

    fn close(self) {
        // SAFETY: an open handle that is not used again.
        unsafe { libc::dlclose(self.0) };
    }
}

fn used(rig: &Rig, library: &Path, topic: &str) -> Arc<Instance> {
    let instance = rig.load(library);
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    desk.ask(topic);
    desk.close();
    lane.join();
    instance
}

#[test]
fn a_forgotten_thread_keeps_its_library_until_it_ends() {
    for topic in ["thread:2000", "barethread:2000"] {
        let rig = Rig::new();
        let instance = used(&rig, &Hostile::new().build(), topic);
        let retired = rig.retire_at_once(&instance);
        clears(&rig, &instance, &retired, |reason| {
            matches!(reason, QuarantineReason::Threads { count: 1 })
        });
    }
}

#[test]
fn a_detached_thread_of_c_plus_plus_is_found_by_its_generation() {
    let rig = Rig::new();
    let instance = rig.load(&build::simple_with("thread.cpp", &["-pthread"]));
    let retired = rig.retire_at_once(&instance);
    clears(&rig, &instance, &retired, |reason| {
        matches!(reason, QuarantineReason::Threads { count: 1 })
    });
}

#[test]
fn a_thread_of_the_host_that_called_the_library_and_lives_on_keeps_it() {
    // What the host must never do: a lane that is not joined before the end.
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    desk.post("tls");
    desk.close();
    let (done, ended) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (other, desk2) = (instance.clone(), desk.clone());
    let thread = std::thread::spawn(move || {
        desk2.run_here(&other);
        done.send(()).unwrap();
        released.recv().ok();
    });
    ended.recv().unwrap();
    let retired = rig.retire_at_once(&instance);
    drop(release);
    thread.join().unwrap();
    clears(&rig, &instance, &retired, |reason| {
        matches!(reason, QuarantineReason::Threads { count: 1 })
    });
}

#[test]
fn a_destructor_on_a_thread_that_nobody_listed_keeps_its_library() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let path = instance.facts().path.clone();
    let (done, ended) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let library = Again::open(&path);
        library.call(c"touch_tls");
        library.close();
        done.send(()).unwrap();
        released.recv().ok();
    });
    ended.recv().unwrap();
    let retired = rig.retire_at_once(&instance);
    drop(release);
    thread.join().unwrap();
    clears(&rig, &instance, &retired, |reason| {
        matches!(reason, QuarantineReason::Destructors { count: 1 })
    });
}

#[test]
fn a_library_that_somebody_else_holds_open_counts_as_mapped() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let library = Again::open(&instance.facts().path);
    let retired = rig.retire(&instance);
    assert_eq!(retired, Retired::Quarantined(QuarantineReason::StillMapped));
    assert!(rig.loader.recheck().is_empty());
    library.close();
    assert_eq!(rig.loader.recheck().len(), 1);
    assert_eq!(mappings(&instance.facts().path), 0);
}

#[test]
fn a_lane_that_was_given_up_keeps_its_library_until_it_comes_back() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let desk = Desk::new();
    let lane = desk.lane(&instance, 0, 1);
    let token = desk.post("sleep:2000");
    desk.close();
    eventually("the call to begin", SOON, || desk.begun(token).then_some(()));
    let retired = rig.retire_at_once(&instance);
    clears(&rig, &instance, &retired, |reason| {
        matches!(reason, QuarantineReason::Lanes { running: 1 })
    });
    lane.join();
}

#[test]
fn a_destroy_that_panics_keeps_its_library_for_ever() {
    let rig = Rig::new();
    let instance = rig.load_with(&Hostile::new().build(), "destroy-panics");
    let retired = rig.retire(&instance);
    assert_eq!(retired, Retired::Quarantined(QuarantineReason::DestroyPanicked));
    assert!(rig.loader.recheck().is_empty());
    assert!(!rig.loader.quarantined()[0].reason.may_clear());
    assert!(mappings(&instance.facts().path) > 0);
}

#[test]
fn a_destroy_that_hangs_is_given_up_and_finished_later() {
    let rig = Rig::new();
    let instance = rig.load_with(&Hostile::new().build(), "destroy-hangs");
    let limits = RetireLimits { exit: Duration::from_millis(30), ..rig.limits.retire };
    let retired = instance.retire(&limits);
    clears(&rig, &instance, &retired, |reason| {
        matches!(reason, QuarantineReason::Hung { step: Step::Exit })
    });
}

#[test]
fn an_instance_that_is_dropped_unretired_is_kept_and_ended_by_the_next_look() {
    let rig = Rig::new();
    let instance = rig.load(&Hostile::new().build());
    let path = instance.facts().path.clone();
    drop(instance);
    assert_eq!(rig.loader.quarantined()[0].reason, QuarantineReason::NotRetired);
    assert!(mappings(&path) > 0);
    assert_eq!(rig.loader.recheck().len(), 1);
    assert_eq!(mappings(&path), 0);
}
