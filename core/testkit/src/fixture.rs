//! Fixture libraries in C, built when first asked for.
//!
//! A built file carries the hash of everything that went into it in its name, and is moved into
//! place when it is whole: test processes that run at the same time share it, and never see a half
//! of it.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use crate::repository;

/// One compiler at a time: most tests want the same file.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Builds a C source into a library against the contract's header and those that fixtures share,
/// with these macros defined, in that folder (`CARGO_TARGET_TMPDIR` of the test). Returns the file; the same one for the same
/// arguments.
///
/// # Panics
/// When the compiler is missing or refuses the source.
#[must_use]
pub fn build_c(source: &Path, defines: &[(&str, &str)], folder: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    defines.hash(&mut hasher);
    let shared = repository::fixture_include();
    let headers = ["fixture.h", "records.h"].map(|name| shared.join(name));
    let contract = repository::c_include().join("patchbay.h");
    for file in [source, &contract].into_iter().chain(headers.iter().map(PathBuf::as_path)) {
        fs::read(file).expect("read a source").hash(&mut hasher);
    }
    let stem = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let built = folder.join(format!("{stem}-{:016x}.so", hasher.finish()));
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if built.exists() {
        return built;
    }
    fs::create_dir_all(folder).expect("make the folder of fixtures");
    let work = tempfile::tempdir_in(folder).expect("make a folder to build in");
    let out = work.path().join("built.so");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-pthread", "-I"]).arg(repository::c_include());
    command.arg("-I").arg(shared);
    command.args(defines.iter().map(|(name, value)| format!("-D{name}={value}")));
    let output = command.arg(source).arg("-o").arg(&out).output().expect("start the C compiler");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{said}");
    fs::rename(&out, &built).expect("move the library into place");
    built
}
