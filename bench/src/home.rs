//! A real host in a folder of its own, with as many plugins as wanted.
//!
//! Each plugin is a copy of one library with another number written into its name (names of equal
//! length), so that as many different files are mapped as there would be in earnest.

use std::{
    env, fs,
    os::unix,
    path::{Path, PathBuf},
    time::Duration,
};

use patchbay_host::{Host, HostHandle, Settings};
use patchbay_measure::entry::Outcome;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::libraries::path_of;

/// Longest wait for all plugins to be where they should.
pub const READY_MAX: Duration = Duration::from_secs(120);
/// Longest orderly end.
const END_MAX: Duration = Duration::from_secs(20);

/// A running host; [`stop`](Home::stop) ends it.
#[derive(Debug)]
pub struct Home {
    /// Its face.
    pub host: HostHandle,
    folder: TempDir,
}

/// The plugins to start: a bench library and how many copies of it.
#[derive(Clone, Copy, Debug)]
pub struct Copies {
    /// `ack` or `job`.
    pub library: &'static str,
    /// Number of the first copy.
    pub first: usize,
    /// How many.
    pub count: usize,
}

/// Where data is kept: where the others have theirs.
#[must_use]
pub fn place() -> PathBuf {
    env::var_os("PATCHBAY_BENCH_DATA").map_or_else(env::temp_dir, PathBuf::from)
}

/// The name of a copy: three digits of sixteen are enough for four thousand.
#[must_use]
pub fn name_of(library: &str, number: usize) -> String {
    format!("bench_{library}_{number:03x}")
}

// === impl Home ===

impl Home {
    /// Starts a host with these plugins; `settings` is laid over the defaults. Returns when all of
    /// them run.
    ///
    /// # Errors
    /// When one does not, with its reason.
    pub async fn start(plugins: &[Copies], settings: Value) -> Outcome<Home> {
        let folder = tempfile::tempdir_in(place())?;
        let mut wanted = 0;
        for copies in plugins {
            enable(folder.path(), *copies)?;
            wanted += copies.count;
        }
        let mut all = json!({
            "paths": {
                "enabled": folder.path().join("plugins/enabled"),
                "libraries": folder.path().join("plugins/libraries"),
                "settings": folder.path().join("plugins/settings"),
                "store": folder.path().join("data/store"),
                "journal": folder.path().join("data/journal"),
            },
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut all, settings) {
            all.extend(more);
        }
        let settings: Settings = serde_json::from_value(all)?;
        let host = Host::start(settings).await?;
        host.ready(READY_MAX).await?;
        let running = host.plugins().iter().filter(|plugin| plugin.state == "running").count();
        if running != wanted {
            let why = host.plugins().iter().find_map(|plugin| plugin.failure.clone());
            return Err(format!("{running} of {wanted} plugins run: {why:?}").into());
        }
        Ok(Home { host, folder })
    }

    /// Puts another version of a copy beside the one that runs.
    ///
    /// # Errors
    /// The library cannot be read or written.
    pub fn add_version(&self, kind: &str, number: usize, version: &str) -> Outcome<()> {
        let folder = self.folder.path().join("plugins/libraries");
        let name = name_of(kind, number);
        let library = fs::read(folder.join(format!("lib{name}.so")))?;
        let other = renamed(&library, &versioned("1.0.0"), &versioned(version));
        Ok(fs::write(folder.join(format!("lib{name}-{version}.so")), other)?)
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends the host and removes its folder.
    pub async fn stop(self) {
        self.host.shutdown(END_MAX).await;
    }

    /// Deliveries that plugins whose name `counts` have acknowledged.
    pub fn done(&self, counts: impl Fn(&str) -> bool) -> u64 {
        self.host.ledger().iter().filter(|row| counts(&row.plugin)).map(|row| row.done).sum()
    }
}

fn enable(home: &Path, copies: Copies) -> Outcome<()> {
    let Copies { library: kind, first, count } = copies;
    let library = fs::read(path_of(kind)?)?;
    for folder in ["plugins/enabled", "plugins/libraries"] {
        fs::create_dir_all(home.join(folder))?;
    }
    for number in first..first + count {
        let name = name_of(kind, number);
        let file = home.join(format!("plugins/libraries/lib{name}.so"));
        fs::write(&file, renamed(&library, &suffix(kind, 0), &suffix(kind, number)))?;
        let link = format!("../libraries/lib{name}.so");
        unix::fs::symlink(link, home.join("plugins/enabled").join(name))?;
    }
    Ok(())
}

/// End of a library's name: eight bytes, because a comparison with the name may be compiled into
/// words of that size.
fn suffix(kind: &str, number: usize) -> String {
    format!("_{kind}_{number:03x}")
}

/// A version as it stands in a manifest.
fn versioned(version: &str) -> String {
    format!(r#""version": "{version}""#)
}

/// The library with one text overwritten by another wherever it stands.
fn renamed(library: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "an equal length keeps every offset");
    let mut renamed = library.to_vec();
    for at in 0..=library.len() - from.len() {
        if &library[at..at + from.len()] == from.as_bytes() {
            renamed[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    renamed
}
