//! Fixture libraries, built when first asked for.
//!
//! A built file carries the hash of everything that went into it in its name, and is moved into
//! place when it is whole: test processes that run at the same time share it, and never see a
//! half of it.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use patchbay_testkit::repository;

/// One compiler at a time: the machine is small, and most tests want the same file.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A variant of the hostile library.
pub(crate) struct Hostile {
    version: String,
    cfg: Vec<String>,
    env: Vec<(&'static str, String)>,
    flags: Vec<&'static str>,
}

impl Hostile {
    pub(crate) fn new() -> Hostile {
        Hostile { version: "1.0.0".to_owned(), cfg: vec![], env: vec![], flags: vec![] }
    }

    pub(crate) fn version(mut self, version: &str) -> Hostile {
        self.version = version.to_owned();
        self
    }

    pub(crate) fn own_loop(mut self) -> Hostile {
        self.cfg.push("own_loop".to_owned());
        self
    }

    /// Spoils the note in a way that `fixtures/note.rs` knows.
    pub(crate) fn note(mut self, how: &str) -> Hostile {
        self.cfg.push(format!("note=\"{how}\""));
        self
    }

    /// A note with these words in its head.
    pub(crate) fn head(self, major: u32, required: u32, more: u32) -> Hostile {
        let mut hostile = self.note("head");
        hostile.env = vec![
            ("NOTE_MAJOR", major.to_string()),
            ("NOTE_REQUIRED", required.to_string()),
            ("NOTE_MORE", more.to_string()),
        ];
        hostile
    }

    pub(crate) fn flag(mut self, flag: &'static str) -> Hostile {
        self.flags.push(flag);
        self
    }

    pub(crate) fn build(&self) -> PathBuf {
        let contract = contract(&self.flags);
        let mut command = Command::new("rustc");
        command
            .args(["--edition", "2024", "--crate-type", "cdylib", "--crate-name", "hostile"])
            .args(["-C", "opt-level=1", "-C", "strip=debuginfo", "-A", "warnings"])
            .args(["--check-cfg", "cfg(own_loop)", "--check-cfg", "cfg(note, values(any()))"])
            .args(self.cfg.iter().flat_map(|cfg| ["--cfg", cfg]))
            .args(&self.flags)
            .arg("--extern")
            .arg(format!("patchbay_abi={}", contract.display()))
            .env("VERSION", &self.version)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .arg(fixtures().join("hostile.rs"));
        let sources = ["hostile", "acts", "deaths", "glue", "note", "own_loop"];
        let sources = sources.map(|name| fixtures().join(format!("{name}.rs")));
        built("hostile", "so", &command, &sources)
    }
}

/// The contract crate, for fixtures in Rust.
fn contract(flags: &[&str]) -> PathBuf {
    let source = repository::root().join("proto/abi/src");
    let mut command = Command::new("rustc");
    command
        .args(["--edition", "2024", "--crate-type", "rlib", "--crate-name", "patchbay_abi"])
        // As cargo does: how panics end is the same for all crates of a library.
        .args(flags)
        .arg(source.join("lib.rs"));
    let mut sources: Vec<PathBuf> = fs::read_dir(&source)
        .expect("read the contract's sources")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    sources.sort();
    built("libpatchbay_abi", "rlib", &command, &sources)
}

/// `simple.c` with these arguments.
pub(crate) fn simple(arguments: &[&str]) -> PathBuf {
    let mut command = c("cc");
    command.args(arguments).arg(fixtures().join("simple.c"));
    built("simple", "so", &command, &[fixtures().join("simple.c"), header()])
}

/// `simple.c` together with a file in C++.
pub(crate) fn simple_with(file: &str, arguments: &[&str]) -> PathBuf {
    let mut command = c("c++");
    command
        .args(arguments)
        .args(["-DEXTRA", "-x", "c"])
        .arg(fixtures().join("simple.c"))
        .args(["-x", "c++"])
        .arg(fixtures().join(file));
    let sources = [fixtures().join("simple.c"), fixtures().join(file), header()];
    built("mixed", "so", &command, &sources)
}

/// A library that is no plugin, and knows its number.
pub(crate) fn version(number: u32, soname: Option<&str>) -> PathBuf {
    let mut command = c("cc");
    command.arg(format!("-DVERSION={number}")).arg(fixtures().join("version.c"));
    if let Some(soname) = soname {
        command.arg(format!("-Wl,-soname,{soname}"));
    }
    built("version", "so", &command, &[fixtures().join("version.c")])
}

fn c(compiler: &str) -> Command {
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", "-O1", "-I"]).arg(repository::c_include());
    command
}

fn header() -> PathBuf {
    repository::c_include().join("patchbay.h")
}

/// Runs the compiler, unless it has done the same before.
fn built(name: &str, extension: &str, command: &Command, sources: &[PathBuf]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    format!("{command:?}").hash(&mut hasher);
    for source in sources {
        fs::read(source).expect("read a source").hash(&mut hasher);
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
    fs::create_dir_all(&dir).expect("make the folder of fixtures");
    let built = dir.join(format!("{name}-{:016x}.{extension}", hasher.finish()));
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if built.exists() {
        return built;
    }
    // The compiler insists on a name it likes: a folder of its own instead of a suffix.
    let work = tempfile::tempdir_in(&dir).expect("make a folder to build in");
    let out = work.path().join(format!("{name}.{extension}"));
    let mut command = cloned(command);
    let output = command.arg("-o").arg(&out).output().expect("start the compiler");
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&out, &built).expect("move the library into place");
    built
}

fn cloned(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    copy.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    copy
}
