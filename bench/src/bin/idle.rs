//! Five hundred plugins that have nothing to do, in a real host: memory and threads.
//!
//! The libraries are copies of one file with another name written into each (names of equal
//! length), so that five hundred different files are mapped, as five hundred plugins would be.
//!
//! `idle [--plugins N]`, default 500, at most 999.

use std::{error::Error, time::Duration};

use patchbay_bench::home::{Copies, Home};
use patchbay_host::{HostHandle, NewMessage, Room};
use patchbay_measure::{figures::print, process};
use serde_json::json;

/// Idle lanes leave after their idle timeout; this is how long that and the start may take.
const SETTLE_MAX: Duration = Duration::from_secs(120);

fn main() -> Result<(), Box<dyn Error>> {
    let plugins = plugins_wanted()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(plugins))
}

fn plugins_wanted() -> Result<usize, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok(500),
        (Some("--plugins"), Some(count)) => Ok(count.parse::<usize>()?.min(999)),
        _ => Err("usage: idle [--plugins N]".into()),
    }
}

async fn measure(plugins: usize) -> Result<(), Box<dyn Error>> {
    let copies = [Copies { library: "ack", first: 1, count: plugins }];
    let home = Home::start(&copies, json!({})).await?;
    let host = &home.host;
    // One message each: a plugin that never worked is not idle but new.
    let message = NewMessage { topic: "bench.idle".to_owned(), ..NewMessage::default() };
    host.publish(message, Room::Now).await?;
    let threads = settled(host).await?;
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
    home.stop().await;
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
