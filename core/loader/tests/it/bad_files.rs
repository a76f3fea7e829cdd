//! Files that are no library, or none that may be loaded: each is refused for its own reason, and
//! none of its code runs.

use std::{fs, os::unix::fs::symlink, path::Path};

use patchbay_loader::{Candidate, InspectError, InspectLimits, LibraryProblem};

use crate::support::{
    build::{self, Hostile},
    rig::inspect,
};

fn refusal(path: &Path) -> LibraryProblem {
    match inspect(path) {
        Ok(candidate) => panic!("accepted: {candidate:?}"),
        Err(InspectError::Unfit { problem, .. }) => problem,
        Err(other) => panic!("not read: {other}"),
    }
}

/// A changed copy of the hostile library.
fn changed(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) -> std::path::PathBuf {
    let mut bytes = fs::read(Hostile::new().build()).expect("read the library");
    change(&mut bytes);
    let path = dir.join("changed.so");
    fs::write(&path, bytes).expect("write the changed library");
    path
}

#[test]
fn a_good_library_says_everything_about_itself_before_it_is_loaded() {
    let path = Hostile::new().own_loop().version("3.1.4").build();
    let candidate = inspect(&path).unwrap();
    assert_eq!(candidate.manifest().name.as_str(), "hostile");
    assert_eq!(candidate.manifest().version.to_string(), "3.1.4");
    assert_eq!((candidate.note().major, candidate.note().minor), (1, 1));
    assert!(candidate.note().own_loop() && !candidate.stays_mapped());
    assert!(candidate.elf().needed.iter().any(|name| name.starts_with("libc.so")));
    assert!(candidate.elf().evades.is_empty() && candidate.elf().unique.is_empty());
    assert_eq!(candidate.digest(), patchbay_loader::Digest::of(&fs::read(&path).unwrap()));
}

#[test]
fn a_link_is_followed_and_the_real_path_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("enabled.so");
    let path = Hostile::new().build();
    symlink(&path, &link).unwrap();
    let candidate = inspect(&link).unwrap();
    assert_eq!(candidate.path(), link);
    assert_eq!(candidate.real_path(), path.canonicalize().unwrap());
}

#[test]
fn a_path_that_leads_nowhere_is_an_error_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let error = inspect(&dir.path().join("none.so")).unwrap_err();
    assert!(matches!(error, InspectError::Read { .. }));
    let folder = inspect(dir.path()).unwrap_err();
    assert!(matches!(folder.problem(), Some(LibraryProblem::NotAFile)));
}

#[test]
fn a_pipe_under_the_name_of_a_library_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe.so");
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a NUL terminated path.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    assert!(matches!(refusal(&path), LibraryProblem::NotAFile));
}

#[test]
fn a_file_that_is_no_library_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for content in [&b""[..], b"#!/bin/sh\nexit 0\n", b"\x7fELF", &[0; 4096]] {
        let path = dir.path().join("text.so");
        fs::write(&path, content).unwrap();
        assert!(matches!(refusal(&path), LibraryProblem::NotElf), "{content:?}");
    }
}

#[test]
fn an_executable_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    // The type of the file, ET_EXEC.
    let path = changed(dir.path(), |bytes| bytes[16] = 2);
    assert!(matches!(refusal(&path), LibraryProblem::NotShared { found: 2 }));
}

#[test]
fn a_library_of_another_machine_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    // RISC-V, then 32 bit, then big-endian.
    for (at, value) in [(18, 243), (4, 1), (5, 2)] {
        let path = changed(dir.path(), |bytes| bytes[at] = value);
        let problem = refusal(&path);
        assert!(matches!(problem, LibraryProblem::Machine { .. }), "{problem:?}");
    }
}

#[test]
fn a_library_that_is_cut_off_is_refused_wherever_it_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(Hostile::new().build()).unwrap();
    let path = dir.path().join("cut.so");
    // The very last part is section headers, which nobody needs.
    for tenths in 0..9 {
        let mut len = whole.len() * tenths / 10;
        for extra in [0, 63, 64, 1000] {
            len += extra;
            fs::write(&path, &whole[..len.min(whole.len() / 2)]).unwrap();
            assert!(inspect(&path).is_err(), "cut at {len}");
        }
    }
}

#[test]
fn bytes_that_were_damaged_on_the_way_never_crash_the_inspection() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(build::simple(&[])).unwrap();
    let path = dir.path().join("damaged.so");
    // Every byte of the headers and tables, which are all in the first pages.
    for at in (0..whole.len().min(6000)).step_by(11) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        let _ = inspect(&path);
    }
}

#[test]
fn a_library_without_section_headers_is_read_just_the_same() {
    let dir = tempfile::tempdir().unwrap();
    // Offset, size, number and names of the section headers.
    let path = changed(dir.path(), |bytes| {
        bytes[40..48].fill(0);
        bytes[58..64].fill(0);
    });
    assert_eq!(inspect(&path).unwrap().manifest().name.as_str(), "hostile");
}

#[test]
fn a_library_without_a_note_is_not_a_plugin() {
    assert!(matches!(refusal(&Hostile::new().note("none").build()), LibraryProblem::NoNote));
    assert!(matches!(refusal(&build::version(1, None)), LibraryProblem::NoNote));
}

#[test]
fn two_notes_are_refused() {
    assert!(matches!(refusal(&Hostile::new().note("two").build()), LibraryProblem::TwoNotes));
}

#[test]
fn a_library_for_another_contract_is_refused() {
    let path = Hostile::new().head(2, 0, 0).build();
    assert!(matches!(refusal(&path), LibraryProblem::Contract { found: 2, host: 1 }));
}

#[test]
fn a_feature_that_this_host_does_not_know_is_refused() {
    let path = Hostile::new().head(1, 8, 0).build();
    assert!(matches!(refusal(&path), LibraryProblem::Features { unknown: 8 }));
}

#[test]
fn a_manifest_that_is_longer_than_its_note_is_refused() {
    let path = Hostile::new().head(1, 0, 400).build();
    assert!(matches!(refusal(&path), LibraryProblem::Note { .. }));
}

#[test]
fn a_library_built_with_panic_abort_is_refused() {
    let path = Hostile::new().flag("-Cpanic=abort").build();
    assert!(matches!(refusal(&path), LibraryProblem::PanicAborts));
}

#[test]
fn a_mistake_in_the_manifest_is_reported_with_its_place() {
    let error = inspect(&Hostile::new().note("manifest").build()).unwrap_err();
    let Some(LibraryProblem::Manifest(manifest)) = error.problem() else { panic!("{error:?}") };
    assert!(manifest.to_string().contains("subscritions"), "{manifest}");
}

#[test]
fn an_entry_point_that_names_a_function_of_libc_is_refused() {
    // Before anything is loaded: `system` is found in every library (platform fact E16).
    let error = inspect(&Hostile::new().note("libc").build()).unwrap_err();
    let problem = error.problem().expect("the file was read");
    assert!(
        matches!(problem, LibraryProblem::Manifest(_) | LibraryProblem::NoEntry { .. }),
        "{problem:?}"
    );
}

#[test]
fn a_library_without_the_entry_function_is_refused() {
    let hidden = build::simple(&["-Dpatchbay_plugin_v1=somewhere_else"]);
    assert!(matches!(refusal(&hidden), LibraryProblem::NoEntry { .. }));
}

#[test]
fn a_library_that_binds_past_the_hooks_is_refused() {
    let path = build::simple(&["-DEVADES"]);
    let problem = refusal(&path);
    assert!(
        matches!(&problem, LibraryProblem::Evades { symbol } if symbol == "tss_create"),
        "{problem:?}"
    );
}

#[test]
fn a_library_that_can_never_be_unmapped_has_to_say_so() {
    assert!(matches!(refusal(&build::simple(&["-Wl,-z,nodelete"])), LibraryProblem::NoDelete));
    assert!(matches!(
        refusal(&build::simple_with("unique.cpp", &[])),
        LibraryProblem::Unique { .. }
    ));
    assert!(inspect(&build::simple_with("unique.cpp", &["-fno-gnu-unique"])).is_ok());
    let never = "-DMANIFEST=\"{\\\"apiVersion\\\":\\\"patchbay/v1\\\",\\\"name\\\":\\\"simple\\\",\
                 \\\"version\\\":\\\"1.0.0\\\",\\\"unload\\\":\\\"never\\\"}\"";
    let candidate = inspect(&build::simple(&["-Wl,-z,nodelete", never])).unwrap();
    assert!(candidate.stays_mapped());
}

#[test]
fn a_file_over_the_limit_is_not_even_read() {
    let limits = InspectLimits { file_bytes_max: 1000, ..InspectLimits::default() };
    let error = Candidate::inspect(&Hostile::new().build(), &limits).unwrap_err();
    assert!(matches!(error.problem(), Some(LibraryProblem::TooLarge { limit: 1000, .. })));
}

#[test]
fn no_line_of_an_error_chain_repeats_the_next() {
    let error = inspect(&Hostile::new().note("manifest").build()).unwrap_err();
    let mut lines = Vec::new();
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = next {
        lines.push(error.to_string());
        next = error.source();
    }
    assert!(lines.len() >= 3, "{lines:?}");
    for pair in lines.windows(2) {
        assert!(!pair[0].contains(&pair[1]), "{pair:?}");
    }
}
