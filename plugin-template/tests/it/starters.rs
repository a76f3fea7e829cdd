//! The skeletons that `patchbay plugin new` copies: each builds, and passes its own test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What the command puts in place of the starters' names.
const NAME: (&str, &str) = ("my_plugin", "word_count");
const TYPE: (&str, &str) = ("MyPlugin", "WordCount");

fn kit() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Copies a starter as the command does, into a folder of the test's own.
fn instantiate(starter: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("starters").join(starter);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    copy(&kit().join("starters").join(starter), &folder);
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace(NAME.0, NAME.1).replace(TYPE.0, TYPE.1);
        let text = text.replace("@SDK@", kit().to_str().unwrap());
        fs::write(to.join(name.strip_suffix(".in").unwrap_or(name)), text).unwrap();
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?} failed:\n{said}\n{complained}");
    said
}

#[test]
fn the_c_starter_builds_passes_its_test_and_says_its_name() {
    let folder = instantiate("c");
    let include = kit().join("../proto/abi/include");
    let cc = |args: &[&str]| {
        let warnings = ["-std=c11", "-Wall", "-Wextra", "-Werror"];
        run(Command::new("cc")
            .args(warnings)
            .arg("-I")
            .arg(&include)
            .args(args)
            .current_dir(&folder))
    };
    cc(&["tests/plugin_test.c", "-o", "plugin_test"]);
    assert_eq!(run(&mut Command::new(folder.join("plugin_test"))), "ok\n");

    cc(&["-fPIC", "-shared", "-Wl,-z,defs", "plugin.c", "-o", "libword_count.so"]);
    let library = fs::read(folder.join("libword_count.so")).unwrap();
    let manifest = fs::read(folder.join("manifest.json")).unwrap();
    let whole = |part: &[u8]| library.windows(part.len()).any(|window| window == part);
    assert!(whole(&manifest), "the manifest is in the note");
    assert!(whole(b"patchbay_plugin_v1\0"), "the entry is exported");
}

#[test]
fn the_rust_starter_builds_and_passes_its_test() {
    let folder = instantiate("rust");
    // The versions that this workspace was locked to are those that are at hand.
    fs::copy(kit().join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let cargo = |args: &[&str]| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("starters-target");
        run(Command::new(env!("CARGO"))
            .args(args)
            .arg("--offline")
            .env("CARGO_TARGET_DIR", target)
            .env_remove("RUSTFLAGS")
            .current_dir(&folder))
    };
    let said = cargo(&["test"]);
    assert!(said.contains("3 passed"), "{said}");
    cargo(&["build"]);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("starters-target/debug");
    let library = fs::read(target.join("libword_count.so")).unwrap();
    let manifest = fs::read(folder.join("manifest.json")).unwrap();
    let whole = |part: &[u8]| library.windows(part.len()).any(|window| window == part);
    assert!(whole(&manifest), "the manifest is in the note");
}
