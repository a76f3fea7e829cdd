//! Data folders that cannot be used as they are: each is reported, with what to try, and none is ever
//! taken for an empty one (P-9, P-10, P-11).

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt, fs::chown, process::CommandExt},
    path::{Path, PathBuf},
};

use patchbay_testkit::{Enclosure, quoted};
use rustix::process::geteuid;

use crate::{
    durable::{SETTINGS, durable, paused, row},
    support::{Home, Ran, write},
};

/// A user that runs nothing here.
const NOBODY: u32 = 54_321;

/// A home in whose journal three messages wait; no host runs.
fn waiting() -> Home {
    let home = durable();
    three_wait(&home);
    home
}

fn three_wait(home: &Home) {
    let mut up = paused(home);
    for _ in 0..3 {
        home.ok(&["publish", "echo.ack", "1"]);
    }
    up.signal("TERM");
    assert_eq!(up.ended(), 0);
}

/// The three messages are there, and are handed out.
fn gives_out_three(home: &Home) {
    let mut up = home.up();
    home.ledger_says("done", 3);
    up.signal("TERM");
    assert_eq!(up.ended(), 0);
}

fn segments(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.path("data/journal")).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "seg")).collect();
    segments.sort();
    segments
}

/// Every file of the journal but its lock.
fn content(home: &Home) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(home.path("data/journal")).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let kept = paths.filter(|path| !path.ends_with("lock"));
    kept.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

fn refuse_damage(home: &Home) {
    let settings = SETTINGS.replace("256KiB", "256KiB, on_corruption: refuse");
    write(&home.path("patchbay.yaml"), &settings);
}

#[test]
fn a_second_host_and_damage_that_is_to_be_refused_are_told_with_their_status() {
    let home = durable();
    let mut up = paused(&home);
    home.ok(&["publish", "echo.ack", "1"]);
    home.run(&["up"]).failed(73, &[&format!("process {}", up.pid())]);
    up.signal("KILL");
    up.ended();
    let journal = home.path("data/journal");
    let manifest = fs::read(journal.join("manifest")).expect("a manifest");
    // Half deleted.
    fs::remove_file(journal.join("manifest")).expect("it was there");
    refuse_damage(&home);
    home.run(&["up"]).failed(78, &["manifest", "damaged"]);
    home.run(&["journal", "verify"]).failed(1, &["manifest"]);
    fs::write(journal.join("manifest"), &manifest).expect("a file");
    // Garbage where the first segment was.
    let segments = segments(&home);
    let first = fs::read(&segments[0]).expect("a segment");
    fs::write(&segments[0], vec![0xa5; first.len()]).expect("a file");
    home.run(&["up"]).failed(78, &["lost"]);
    home.run(&["journal", "verify"]).failed(1, &["damaged"]);
    fs::write(&segments[0], &first).expect("a file");
    assert_eq!(home.ok(&["journal", "verify"])["unsettled"], 1);
    write(&home.path("patchbay.yaml"), SETTINGS);
    let _up = home.up();
    assert_eq!(row(&home, "queued") + row(&home, "done"), 1);
}

#[test]
fn a_journal_of_another_version_is_refused_and_left_as_it_is() {
    let home = waiting();
    let manifest = home.path("data/journal/manifest");
    let ours = fs::read_to_string(&manifest).expect("a manifest");
    let (body, _) = ours.split_at(ours.rfind("crc ").expect("a checksum"));
    let first = body.lines().next().expect("a line");
    let body = body.replacen(first, "patchbay journal 99", 1);
    write(&manifest, &format!("{body}crc {:08x}\n", crc32c(body.as_bytes())));
    let before = content(&home);
    let told = ["version 99", "use the program that wrote it, or another data folder"];
    home.run(&["up"]).failed(1, &told);
    home.run(&["journal", "verify"]).failed(1, &told);
    assert_eq!(content(&home), before, "nothing was touched");
    write(&manifest, &ours);
    gives_out_three(&home);
}

#[test]
fn a_folder_of_another_user_is_refused_by_name() {
    let home = waiting();
    let journal = home.path("data/journal");
    if !geteuid().is_root() {
        fs::set_permissions(&journal, fs::Permissions::from_mode(0o500)).expect("a mode");
        let told = ["data/journal", "its mode is 500"];
        // The lock is there already; a segment cannot be made.
        fs::remove_file(journal.join("lock")).expect_err("nothing may be changed");
        let locked = journal.join("lock");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o400)).expect("a mode");
        home.run(&["up"]).failed(1, &told);
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o600)).expect("a mode");
        fs::set_permissions(&journal, fs::Permissions::from_mode(0o700)).expect("a mode");
        gives_out_three(&home);
        return;
    }
    let run = |args: &[&str]| {
        let mut command = home.command(args);
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
        command.output().map(|output| Ran::of(&output))
    };
    fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o755)).expect("a mode");
    let Ok(refused) = run(&["up"]) else {
        eprintln!("SKIPPED: another user may not run the binary here");
        return;
    };
    let whose = format!("this is user {NOBODY}: run the host as user 0");
    refused.failed(1, &["data/lock", &whose]);
    // All is theirs, but for the journal.
    let theirs = ["", "data", "data/lock", "data/store", "data/transitions", "run", "plugins"];
    for place in theirs {
        chown(home.path(place), Some(NOBODY), Some(NOBODY)).expect("root");
    }
    chown(home.path("data/store/.lock"), Some(NOBODY), Some(NOBODY)).expect("root");
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o700)).expect("a mode");
    let before = content(&home);
    let told = ["no permission", "data/journal` belongs to user 0", &whose];
    run(&["up"]).expect("the binary").failed(1, &told);
    run(&["journal", "verify"]).expect("the binary").failed(1, &["no permission", "user 0"]);
    assert_eq!(content(&home), before, "nothing was touched");
    gives_out_three(&home);
}

#[test]
fn a_read_only_file_system_is_refused_with_the_remedy() {
    let Some(mut enclosure) = Enclosure::open(false) else {
        eprintln!("SKIPPED: nothing may be mounted here, a read-only data folder was not tried");
        return;
    };
    let mut home = durable();
    let data = home.path("data");
    fs::create_dir_all(&data).expect("a folder");
    let data = quoted(&data);
    assert!(enclosure.run(&format!("mount -t tmpfs -o size=64m tmpfs {data}")), "a tmpfs");
    home.through = enclosure.enter();
    three_wait(&home);
    assert!(enclosure.run(&format!("mount -o remount,ro {data}")), "a remount");
    home.run(&["up"]).failed(1, &["data/lock", "mounted read-only: mount it writable"]);
    assert_eq!(home.ok(&["journal", "verify"])["unsettled"], 3, "reading needs no more");
    // Only the journal is.
    assert!(enclosure.run(&format!("mount -o remount,rw {data}")), "a remount");
    let journal = quoted(&home.path("data/journal"));
    let bound = format!("mount --bind {journal} {journal} && mount -o remount,bind,ro {journal}");
    assert!(enclosure.run(&bound), "a second mount");
    home.run(&["up"]).failed(1, &["data/journal", "mounted read-only: mount it writable"]);
    assert!(enclosure.run(&format!("umount {journal}")), "no second mount");
    gives_out_three(&home);
}

#[test]
fn a_journal_without_its_manifest_gives_out_what_it_has_and_says_what_is_wrong() {
    let home = waiting();
    fs::remove_file(home.path("data/journal/manifest")).expect("it was there");
    let mut up = home.up();
    home.ledger_says("done", 3);
    let status = home.ok(&["journal", "status"]);
    assert_eq!(
        (&status["state"], &status["damage"][0]["kind"]),
        (&"degraded".into(), &"manifest".into())
    );
    assert_eq!(home.ok(&["status"])["health"], "degraded");
    assert!(up.log().contains("manifest is missing or damaged"), "{}", up.log());
    up.signal("TERM");
    assert_eq!(up.ended(), 0);
    // It is whole again.
    assert_eq!(home.ok(&["journal", "verify"])["whole"], true);
}

#[test]
fn segments_that_are_gone_are_listed_from_the_first_record_on() {
    let home = waiting();
    for segment in segments(&home) {
        fs::remove_file(segment).expect("it was there");
    }
    home.run(&["journal", "verify"]).failed(1, &["is missing", "records 1 to "]);
    refuse_damage(&home);
    home.run(&["up"]).failed(78, &["is missing", "records 1 to "]);
    write(&home.path("patchbay.yaml"), SETTINGS);
    let mut up = home.up();
    let status = home.ok(&["journal", "status"]);
    assert_eq!(
        (&status["state"], &status["damage"][0]["kind"]),
        (&"degraded".into(), &"missing".into())
    );
    assert_eq!(status["damage"][0]["first_record"], 1, "{status}");
    // What comes now is kept, and the next host finds nothing wrong.
    home.ok(&["plugin", "pause", "echo"]);
    assert_eq!(home.ok(&["publish", "echo.ack", "1"])["level"], "disk");
    up.signal("TERM");
    assert_eq!(up.ended(), 0);
    let verified = home.ok(&["journal", "verify"]);
    assert_eq!((&verified["whole"], &verified["unsettled"]), (&true.into(), &1.into()));
}

#[test]
fn a_journal_that_is_gone_or_another_one_is_never_taken_for_an_empty_one() {
    let home = waiting();
    let (journal, away) = (home.path("data/journal"), home.path("away"));
    fs::rename(&journal, &away).expect("it was there");
    let gone = ["is gone", "data/journal.id", "mount its volume"];
    home.run(&["up"]).failed(78, &gone);
    home.run(&["journal", "verify"]).failed(1, &["there is no journal", "there was one"]);
    assert!(!journal.exists(), "nothing was made in its place");
    // As an empty volume, or a folder of which all was deleted.
    fs::create_dir(&journal).expect("a folder");
    home.run(&["up"]).failed(78, &gone);
    home.run(&["journal", "verify"]).failed(1, &["there is no journal", "there was one"]);
    fs::remove_dir_all(&journal).expect("it was there");
    let other = waiting();
    copy(&other.path("data/journal"), &journal);
    home.run(&["up"]).failed(78, &["is not the one", "data/journal.id"]);
    fs::remove_dir_all(&journal).expect("it was there");
    fs::rename(&away, &journal).expect("it was there");
    gives_out_three(&home);
    // Given up for good, as the report says.
    fs::remove_dir_all(&journal).expect("it was there");
    fs::remove_file(home.path("data/journal.id")).expect("it was there");
    let _up = home.up();
    assert_eq!(row(&home, "accepted"), 0);
    assert_eq!(home.ok(&["publish", "echo.ack", "1"])["level"], "disk");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a copy");
    }
}
