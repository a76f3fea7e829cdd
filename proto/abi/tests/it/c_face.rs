//! The C face against the table, by the compilers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use patchbay_abi::{Note, message::header, note::flags};

use crate::table::include;

const MANIFEST: &str = r#"{"name":"noted","version":"1.0.0"}"#;

/// Warnings that a plugin may have switched on.
const WARNINGS: &[&str] = &["-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow"];

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(name)
}

/// A folder of this test's own.
fn scratch(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{text}");
    output.stdout
}

fn compile(language: &[&str], source: &Path, more: &[&str], object: &Path) {
    let mut command = Command::new("cc");
    command.args(language).args(WARNINGS).arg("-c").arg("-I").arg(include());
    command.args(more).arg(source).arg("-o").arg(object);
    run(&mut command);
}

/// The note's bytes in an object file.
fn note_of(object: &Path) -> Vec<u8> {
    let section = object.with_extension("note");
    let mut command = Command::new("objcopy");
    command.args(["-O", "binary", "--only-section=.note.patchbay", "--set-section-flags"]);
    command.arg(".note.patchbay=alloc").arg(object).arg(&section);
    run(&mut command);
    fs::read(section).unwrap()
}

#[test]
fn the_header_agrees_with_the_table_in_c_and_in_cpp() {
    let folder = scratch("layout");
    let languages: [&[&str]; 3] =
        [&["-std=c99"], &["-std=c11", "-Wpedantic"], &["-x", "c++", "-std=c++11"]];
    for (number, language) in languages.into_iter().enumerate() {
        compile(language, &source("layout.c"), &[], &folder.join(format!("{number}.o")));
    }
}

#[test]
fn a_wrong_offset_in_the_header_does_not_compile() {
    let folder = scratch("wrong_layout");
    let header = fs::read_to_string(include().join("patchbay.h")).unwrap();
    let wrong = header.replacen("uint32_t attempt; ", "uint64_t attempt; ", 1);
    assert_ne!(header, wrong);
    fs::write(folder.join("patchbay.h"), wrong).unwrap();
    let mut command = Command::new("cc");
    command.args(["-std=c11", "-fsyntax-only", "-I"]).arg(&folder).arg("-I").arg(include());
    let output = command.arg(source("layout.c")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("pb_delivery.attempt"), "{text}");
}

#[test]
fn both_macros_write_the_note_that_rust_writes() {
    const N: usize = patchbay_abi::note::padded(MANIFEST.len());
    let flags = flags::SPAWNS_THREADS | flags::NO_UNLOAD | flags::UNWIND;
    let note: Note<N> = Note::new(flags, MANIFEST.as_bytes());
    let size = size_of_val(&note);
    // SAFETY: the note consists of words and bytes, without padding (asserted when it is made).
    let rust = unsafe { std::slice::from_raw_parts((&raw const note).cast::<u8>(), size) };
    // What comes behind the manifest does not count, nor does the size that counts it.
    let end = 44 + MANIFEST.len();

    let folder = scratch("note");
    fs::write(folder.join("manifest.json"), MANIFEST).unwrap();
    let languages: [(&str, &[&str]); 3] = [
        ("c99", &["-std=c99", "-Wpedantic"]),
        ("c11", &["-std=c11", "-O2", "-ffunction-sections"]),
        ("cpp", &["-x", "c++", "-std=c++11", "-O2"]),
    ];
    for (name, language) in languages {
        let manifest = format!("-Wa,-I,{}", folder.display());
        for (kind, more) in [("text", &[][..]), ("file", &["-DNOTE_FILE", &manifest][..])] {
            let object = folder.join(format!("{name}-{kind}.o"));
            compile(language, &source("note.c"), more, &object);
            let c = note_of(&object);
            assert_eq!(c[..4], rust[..4], "{name} {kind}: size of the owner");
            assert_eq!(c[8..end], rust[8..end], "{name} {kind}: from the type to the manifest");
            let described = u32::from_ne_bytes([c[4], c[5], c[6], c[7]]) as usize;
            assert_eq!(20 + described, c.len(), "{name} {kind}: size of the description");
        }
    }
}

#[test]
fn header_names_are_the_same_in_both_faces() {
    let text = fs::read_to_string(include().join("patchbay.h")).unwrap();
    let names = [
        ("CONTENT_TYPE", header::CONTENT_TYPE),
        ("SOURCE", header::SOURCE),
        ("TYPE", header::TYPE),
        ("SCHEMA", header::SCHEMA),
        ("VERSION", header::VERSION),
        ("TRACEPARENT", header::TRACEPARENT),
        ("TRACESTATE", header::TRACESTATE),
        ("BAGGAGE", header::BAGGAGE),
        ("REPLY_TO", header::REPLY_TO),
        ("CORRELATION_ID", header::CORRELATION_ID),
        ("FORWARDED_BY", header::FORWARDED_BY),
    ];
    for (name, value) in names {
        let line = format!("#define PB_HEADER_{name} \"{value}\"\n");
        assert!(text.contains(&line), "patchbay.h lacks {line}");
    }
    assert_eq!(text.matches("#define PB_HEADER_").count(), names.len());
}
