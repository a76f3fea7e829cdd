//! Five hundred plugins that have nothing to do, in a real host: memory and threads.
//!
//! The libraries are copies of one file with another name written into each (names of equal
//! length), so that five hundred different files are mapped, as five hundred plugins would be.
//!
//! `idle [--plugins N]`, default 500, at most 999.

use std::{error::Error, fs, os::unix, path::Path, time::Duration};

use patchbay_bench::{figures::print, libraries::path_of, process};
use patchbay_host::{Host, HostHandle, NewMessage, Room, Settings};
use serde_json::json;

/// End of the library's name, which is overwritten: eight bytes, because a comparison with the name
/// may be compiled into words of that size.
const SUFFIX: &str = "_ack_000";
/// Idle lanes leave after their idle timeout; this is how long that and the start may take.
const SETTLE_MAX: Duration = Duration::from_secs(120);

fn main() -> Result<(), Box<dyn Error>> {
    let plugins = plugins_wanted()?;
    let home = tempfile::tempdir()?;
    make_plugins(home.path(), plugins)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(home.path(), plugins))
}

fn plugins_wanted() -> Result<usize, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok(500),
        (Some("--plugins"), Some(count)) => Ok(count.parse::<usize>()?.min(999)),
        _ => Err("usage: idle [--plugins N]".into()),
    }
}

fn make_plugins(home: &Path, count: usize) -> Result<(), Box<dyn Error>> {
    let library = fs::read(path_of("ack")?)?;
    for folder in ["plugins/enabled", "plugins/libraries"] {
        fs::create_dir_all(home.join(folder))?;
    }
    for number in 1..=count {
        let name = format!("bench_ack_{number:03}");
        let file = home.join(format!("plugins/libraries/lib{name}.so"));
        fs::write(&file, renamed(&library, &format!("_ack_{number:03}")))?;
        unix::fs::symlink(
            format!("../libraries/lib{name}.so"),
            home.join("plugins/enabled").join(name),
        )?;
    }
    Ok(())
}

/// The library with the end of its name overwritten wherever it stands.
fn renamed(library: &[u8], suffix: &str) -> Vec<u8> {
    assert_eq!(suffix.len(), SUFFIX.len(), "an equal length keeps every offset");
    let mut renamed = library.to_vec();
    for at in 0..=library.len() - SUFFIX.len() {
        if &library[at..at + SUFFIX.len()] == SUFFIX.as_bytes() {
            renamed[at..at + SUFFIX.len()].copy_from_slice(suffix.as_bytes());
        }
    }
    renamed
}

async fn measure(home: &Path, plugins: usize) -> Result<(), Box<dyn Error>> {
    let settings: Settings = serde_json::from_value(json!({
        "paths": {
            "enabled": home.join("plugins/enabled"),
            "libraries": home.join("plugins/libraries"),
            "store": home.join("data/store"),
        },
    }))?;
    let host = Host::start(settings).await?;
    host.ready(SETTLE_MAX).await?;
    let running = host.plugins().iter().filter(|plugin| plugin.state == "running").count();
    if running != plugins {
        let why = host.plugins().iter().find_map(|plugin| plugin.failure.clone());
        return Err(format!("{running} of {plugins} plugins run: {why:?}").into());
    }
    // One message each: a plugin that never worked is not idle but new.
    let message = NewMessage { topic: "bench.idle".to_owned(), ..NewMessage::default() };
    host.publish(message, Room::Now).await?;
    let threads = settled(&host).await?;
    let anonymous = process::anonymous_bytes();
    println!("{:<58} {:<24} measured", "figure", "goal");
    print(
        &format!("{plugins} idle plugins: anonymous memory of the whole host"),
        "under 60 MB",
        &format!("{:.1} MB ({:.0} kB each)", megabytes(anonymous), kilobytes(anonymous, plugins)),
    );
    print(
        &format!("{plugins} idle plugins: threads of the whole host"),
        "none each",
        &threads.to_string(),
    );
    host.shutdown(SETTLE_MAX).await;
    Ok(())
}

/// Waits until every lane has gone, and says how many threads are left then.
async fn settled(host: &HostHandle) -> Result<u64, String> {
    let end = tokio::time::Instant::now() + SETTLE_MAX;
    while host.plugins().iter().any(|plugin| plugin.workers.count > 0) {
        if tokio::time::Instant::now() > end {
            return Err(format!("lanes are still there after {SETTLE_MAX:?}"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(process::threads())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn kilobytes(bytes: u64, plugins: usize) -> f64 {
    bytes as f64 / 1e3 / plugins.max(1) as f64
}
