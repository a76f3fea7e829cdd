//! Shape of the source files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use patchbay_testkit::repository;

/// Lines a source file may have; its tests, in a module at its end, do not count.
const LINES_MAX: usize = 500;
/// Crates in which `unsafe` is allowed; every other one forbids it in its root.
const UNSAFE_ROOMS: &[&str] =
    &["proto/abi", "bus/slab", "core/interpose", "core/loader", "plugin-template", "bench/measure"];

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for top in ["proto", "bus", "core", "plugin-template", "plugins/workshop", "bench"] {
        collect(&repository::root().join(top), &mut found);
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_source_file_holds_more_than_one_noun_needs() {
    for path in sources() {
        let text = fs::read_to_string(&path).expect("read a source file");
        let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(&text);
        let lines = code.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, more than {LINES_MAX}", path.display());
    }
}

#[test]
fn unsafe_code_is_forbidden_outside_its_rooms() {
    let root = repository::root();
    for path in sources() {
        if !path.ends_with("src/lib.rs") && !path.ends_with("src/main.rs") {
            continue;
        }
        let inside = path.strip_prefix(&root).expect("a path of the repository");
        if UNSAFE_ROOMS.iter().any(|room| inside == Path::new(room).join("src/lib.rs"))
            || inside.starts_with("core/loader/fixtures")
            // What `export_plugin!` expands to is `unsafe` by its attributes.
            || inside.starts_with("plugins/workshop")
            || inside.starts_with("bench/plugins")
        {
            continue;
        }
        let text = fs::read_to_string(&path).expect("read a crate root");
        assert!(
            text.contains("#![forbid(unsafe_code)]"),
            "{} must say #![forbid(unsafe_code)]",
            inside.display()
        );
    }
}

#[test]
fn nothing_unfinished_is_left_behind() {
    // Assembled, so that this file does not find itself.
    let marks = [["to", "do!("].concat(), ["unimpl", "emented!("].concat(), ["FIX", "ME"].concat()];
    for path in sources() {
        let text = fs::read_to_string(&path).expect("read a source file");
        for mark in &marks {
            assert!(!text.contains(mark), "{} contains {mark}", path.display());
        }
    }
}
