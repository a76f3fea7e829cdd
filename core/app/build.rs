//! Names the hooks that the executable must show to the libraries it loads, and packs the starters
//! of new plugins into it.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

fn main() -> std::io::Result<()> {
    // The linkers in use export the hooks without being told, because libc.so defines them too;
    // this is the documentation of that need, and `patchbay up` asks whether they are in effect.
    for hook in [
        "exit",
        "pthread_create",
        "pthread_key_create",
        "pthread_key_delete",
        "__cxa_thread_atexit_impl",
    ] {
        println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic-symbol={hook}");
    }
    println!("cargo::rerun-if-changed=build.rs");

    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let starters = here.join("../../plugin-template/starters");
    println!("cargo::rerun-if-changed={}", starters.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("starters.rs");
    let mut out = fs::File::create(out)?;
    for (constant, folder) in [("RUST", "rust"), ("C", "c")] {
        writeln!(out, "/// Files of the starter `{folder}`: name and content.")?;
        writeln!(out, "pub(super) const {constant}: &[(&str, &str)] = &[")?;
        let root = starters.join(folder);
        let mut files = Vec::new();
        collect(&root, &mut files);
        files.sort();
        if files.is_empty() {
            let problem = format!("there is no starter in `{}`", root.display());
            return Err(std::io::Error::new(std::io::ErrorKind::NotFound, problem));
        }
        for file in files {
            let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
            println!("cargo::rerun-if-changed={}", file.display());
            writeln!(out, "    ({name:?}, include_str!({:?})),", file.display().to_string())?;
        }
        writeln!(out, "];")?;
    }
    Ok(())
}

/// Files below a folder, what a build leaves there not among them.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.is_file() && !path.ends_with("Cargo.lock") {
            files.push(path);
        }
    }
}
