//! The store: what is loaded is what was inspected, whatever happens to the path meanwhile.

use std::{fs, os::unix::fs::PermissionsExt};

use patchbay_loader::{Retired, Store, StoreError};

use crate::support::{Answer, Desk, Rig, build::Hostile, rig::inspect};

#[test]
fn what_is_loaded_is_what_was_inspected_not_what_the_path_leads_to_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plug.so");
    fs::copy(Hostile::new().build(), &path).unwrap();
    let candidate = inspect(&path).unwrap();
    // Renamed over, as every careful installer does: the open descriptor still has the old file.
    fs::copy(Hostile::new().version("2.0.0").build(), dir.path().join("new.so")).unwrap();
    fs::rename(dir.path().join("new.so"), &path).unwrap();
    let rig = Rig::new();
    let copy = rig.store.admit(&candidate, 1).unwrap();
    assert_eq!(copy.manifest().version.to_string(), "1.0.0");
    assert_eq!(inspect(copy.path()).unwrap().digest(), candidate.digest());
}

#[test]
fn a_library_that_was_written_to_after_its_inspection_is_not_admitted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plug.so");
    fs::copy(Hostile::new().build(), &path).unwrap();
    let candidate = inspect(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&path, &bytes).unwrap();
    let rig = Rig::new();
    let error = rig.store.admit(&candidate, 1).unwrap_err();
    assert!(matches!(error, StoreError::Changed { .. }) && error.is_transient());
    fs::write(&path, &bytes[..middle]).unwrap();
    assert!(rig.store.admit(&candidate, 2).unwrap_err().is_transient());
    assert_eq!(rig.copies(), 0);
}

#[test]
fn nobody_can_write_to_a_private_copy_and_it_goes_with_its_owner() {
    let rig = Rig::new();
    let candidate = inspect(&Hostile::new().build()).unwrap();
    let copy = rig.store.admit(&candidate, 77).unwrap();
    let mode = fs::metadata(copy.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o500);
    let name = copy.path().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(name, format!("hostile-1.0.0-{}-77.so", candidate.digest().short()));
    // The same generation twice is a fault of the host, and must not touch the first copy.
    assert!(matches!(rig.store.admit(&candidate, 77), Err(StoreError::Copy { .. })));
    assert_eq!(rig.copies(), 1);
    drop(copy);
    assert_eq!(rig.copies(), 0);
}

#[test]
fn a_store_belongs_to_one_process_and_starts_empty() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse { .. })));
    drop(store);
    fs::write(dir.path().join("left-over.so"), b"x").unwrap();
    fs::write(dir.path().join("notes.txt"), b"x").unwrap();
    let _store = Store::open(dir.path()).unwrap();
    assert!(!dir.path().join("left-over.so").exists());
    assert!(dir.path().join("notes.txt").exists());
}

#[test]
fn a_new_version_at_the_same_path_is_new_code_while_the_old_still_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plug.so");
    fs::copy(Hostile::new().build(), &path).unwrap();
    let rig = Rig::new();
    let old = rig.load(&path);
    fs::copy(Hostile::new().version("2.0.0").build(), &path).unwrap();
    let new = rig.load(&path);
    let ask = |instance| {
        let desk = Desk::new();
        let lane = desk.lane(instance, 0, 1);
        let answer = desk.ask("version");
        desk.close();
        lane.join();
        answer
    };
    assert_eq!(ask(&old), Answer::Ack("1.0.0".to_owned()));
    assert_eq!(ask(&new), Answer::Ack("2.0.0".to_owned()));
    assert_eq!(rig.retire(&old), Retired::Unmapped);
    assert_eq!(ask(&new), Answer::Ack("2.0.0".to_owned()));
    assert_eq!(rig.retire(&new), Retired::Unmapped);
    assert_eq!(rig.copies(), 0);
}
