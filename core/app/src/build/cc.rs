//! Plugins in C: the system's compiler builds them. The header of the contract comes with this
//! program, so nothing else is needed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::sdk;
use crate::{args::BuildArgs, failure::Failure};

/// Builds every `*.c` in a folder into one library.
pub(super) fn build(folder: &Path, args: &BuildArgs, library: &Path) -> Result<(), Failure> {
    let mut sources: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(|error| {
            Failure::failed(format!("cannot read `{}`", folder.display())).because(&error)
        })?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "c"))
        .collect();
    sources.sort();
    if sources.is_empty() {
        return Err(Failure::failed(format!("`{}` holds no plugin", folder.display()))
            .cause("there is neither a Cargo.toml nor a file that ends in .c")
            .hint("`patchbay plugin new NAME --template c` shows what a plugin in C needs"));
    }
    let header = sdk::Header::place(args.sdk.as_deref())?;
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(&compiler);
    command.args(["-std=gnu11", "-fPIC", "-shared", "-Wall", "-Wextra", "-g"]);
    command.args(if args.release { ["-O2", "-DNDEBUG"] } else { ["-O1", "-UNDEBUG"] });
    // The folder itself comes first, and the compiler runs in it: manifest.json is found there.
    command.arg("-I.").arg("-I").arg(header.folder());
    // A function that nobody defines is found now, not when the plugin is loaded.
    command.args(["-Wl,-z,defs", "-o"]).arg(absolute(library));
    command.args(sources.iter().map(|source| absolute(source)));
    command.args(["-lpthread", "-lm"]).current_dir(folder);
    let status = command.status().map_err(|error| {
        Failure::failed(format!("cannot run the compiler `{}`", compiler.to_string_lossy()))
            .because(&error)
            .hint("install a C compiler, or name one in the variable CC")
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::failed(format!("`{}` does not build", folder.display()))
        .cause(format!("the compiler ended with {status}; what it said stands above")))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
