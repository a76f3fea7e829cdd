//! Plugins from source to library: new, build, check.

use std::{fs, os::unix::fs::symlink, process::Command};

use patchbay_testkit::eventually;

use crate::support::{Home, LONG, Ran, write};

#[test]
fn a_plugin_in_c_is_built_and_judged_without_running() {
    let home = Home::new();
    home.add_echo("1.2.3");
    let built = home.ok(&["plugin", "build", "echo"]);
    assert_eq!((&built["name"], &built["version"]), (&"echo".into(), &"1.2.3".into()));
    let library = home.path("plugins/libraries/development/libecho.so");
    let report = home.ok(&["plugin", "check", library.to_str().expect("a path")]);
    assert_eq!(report["digest"], built["digest"]);
    assert_eq!(report["unloads"], true);
    assert_eq!(report["manifest"]["subscriptions"][0]["topic"], "echo.*");
    home.ok(&["plugin", "build", "echo", "--release"]);
    let folder = fs::read_dir(home.path("plugins/libraries/production")).expect("a folder");
    let files: Vec<_> = folder.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(files, ["libecho.so"], "nothing else is left there");
}

#[test]
fn what_does_not_build_leaves_the_old_library_and_says_why() {
    let home = Home::with_echo();
    let library = home.path("plugins/libraries/development/libecho.so");
    let before = fs::read(&library).expect("a library");
    let source = home.path("plugins/workshop/echo/plugin.c");
    write(&source, "this is no C\n");
    home.run(&["plugin", "build", "echo"]).failed(1, &["does not build", "plugin.c"]);
    // It compiles, and is no plugin.
    write(&source, "int answer(void) { return 42; }\n");
    home.run(&["plugin", "build", "echo"]).failed(1, &["no plugin note"]);
    // It is a plugin, and another one.
    home.add_echo("2.0.0");
    let manifest = home.path("plugins/workshop/echo/manifest.json");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    write(&manifest, &text.replace("\"echo\"", "\"ocho\""));
    home.run(&["plugin", "build", "echo"]).failed(1, &["calls itself `ocho`"]);
    assert_eq!(fs::read(&library).expect("a library"), before);
    let left = fs::read_dir(library.parent().expect("a folder")).expect("a folder").count();
    assert_eq!(left, 1, "a part of a library was left behind");
}

#[test]
fn a_plugin_that_is_not_there_is_told_with_what_to_try() {
    let home = Home::new();
    home.run(&["plugin", "build", "ghost"]).failed(1, &["no folder", "patchbay plugin new ghost"]);
    home.run(&["plugin", "activate", "ghost"])
        .failed(1, &["libghost.so", "patchbay plugin build ghost"]);
    fs::create_dir_all(home.path("plugins/workshop/empty")).expect("a folder");
    home.run(&["plugin", "build", "empty"]).failed(1, &["holds no plugin", "--template c"]);
}

#[test]
fn files_that_are_no_plugins_are_refused_with_the_reason() {
    let home = Home::new();
    write(&home.path("text.so"), "hello");
    write(&home.path("empty.so"), "");
    symlink("loop.so", home.path("loop.so")).expect("a link");
    for (file, said) in [
        ("text.so", "no ELF file"),
        ("empty.so", "no ELF file"),
        ("loop.so", "cannot read"),
        ("missing.so", "cannot read"),
        (".", "not a regular file"),
    ] {
        let path = home.path(file);
        let path = path.to_str().expect("a path");
        home.run(&["plugin", "check", path]).failed(1, &[said, "caused by:", "try:"]);
    }
}

#[test]
fn activating_without_a_host_is_said_to_wait_for_one() {
    let home = Home::with_echo();
    let ran = home.run(&["plugin", "activate", "echo", "-o", "table"]);
    assert!(ran.status == 0 && ran.out.contains("next start"), "{ran:?}");
    let link = home.path("plugins/enabled/echo");
    let target = fs::read_link(&link).expect("a link");
    assert_eq!(target.to_str(), Some("../libraries/development/libecho.so"));
    let ran = home.run(&["plugin", "deactivate", "echo", "-o", "table"]);
    assert!(ran.status == 0 && !link.is_symlink(), "{ran:?}");
}

#[test]
fn a_new_plugin_in_c_builds_as_it_is() {
    let home = Home::new();
    let begun = home.ok(&["plugin", "new", "word_count", "--template", "c"]);
    assert!(begun["files"].as_array().is_some_and(|files| files.len() >= 2), "{begun}");
    let built = home.ok(&["plugin", "build", "word_count"]);
    assert_eq!(built["name"], "word_count");
    // Its own test, as its first lines say.
    let folder = home.path("plugins/workshop/word_count");
    let compiled = Command::new("cc")
        .args(["-std=c11", "-I.", "tests/plugin_test.c", "-o", "plugin_test"])
        .current_dir(&folder)
        .status();
    assert!(compiled.expect("a compiler").success());
    assert!(Command::new(folder.join("plugin_test")).status().expect("a test").success());
    home.run(&["plugin", "new", "word_count"]).failed(1, &["not empty", "--dir"]);
}

#[test]
fn a_new_plugin_in_rust_names_the_kit_and_itself() {
    let home = Home::new();
    let folder = home.path("elsewhere/word_count");
    let dir = folder.to_str().expect("a path");
    home.ok(&["plugin", "new", "word_count", "--dir", dir]);
    let cargo = fs::read_to_string(folder.join("Cargo.toml")).expect("Cargo.toml");
    assert!(cargo.contains("word_count") && cargo.contains("plugin-template"), "{cargo}");
    let source = fs::read_to_string(folder.join("src/lib.rs")).expect("src/lib.rs");
    assert!(source.contains("WordCount") && !source.contains("MyPlugin"), "{source}");
    home.run(&["plugin", "new", "other", "--sdk", dir])
        .failed(1, &["not the author's kit", "--sdk"]);
}

/// The whole way of the README, in a folder outside of the repository. The first run compiles what
/// plugins are built upon.
#[test]
fn a_new_plugin_in_rust_builds_as_it_is_and_gets_messages() {
    let home = Home::new();
    home.ok(&["plugin", "new", "word_count"]);
    let mut build = home.command(&["plugin", "build", "word_count"]);
    // What it needs was fetched for the workspace.
    build.env("CARGO_NET_OFFLINE", "true");
    build.env("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/plugins"));
    let built = Ran::of(&build.output().expect("the binary"));
    assert_eq!(built.status, 0, "{built:?}");
    let _up = home.up();
    assert_eq!(home.ok(&["plugin", "activate", "word_count"])["plugin"]["state"], "running");
    assert_eq!(home.ok(&["publish", "texts.new", r#"{"text": "two words"}"#])["routed"], 1);
    home.ledger_says("done", 1);
    home.ok(&["publish", "texts.new", r#"{"title": "no text"}"#]);
    eventually("the dead letter", LONG, || {
        home.ok(&["dlq", "list"])[0]["reason"].as_str().map(drop)
    });
    home.ok(&["plugin", "deactivate", "word_count"]);
}
