//! Plugins that have nothing to do, in a real host: memory and threads.

use std::time::Duration;

use patchbay_host::{NewMessage, Room};
use patchbay_measure::{entry::Outcome, meter::Window, process};
use serde_json::{Map, json};
use tokio::time::{Instant, sleep};

use crate::home::{self, Copies, Home, name_of};

const LOOK: Duration = Duration::from_millis(200);
/// Fewer than a host with idle plugins has for other reasons than each of them.
const THREADS: u64 = 32;

pub(super) async fn run(plugins: usize) -> Outcome<Window> {
    let copies = [Copies { library: "ack", first: 1, count: plugins }];
    let soon = json!({ "worker_pool": { "min_workers": 0, "idle_timeout": "1s" } });
    let settings: Map<_, _> =
        (1..=plugins).map(|number| (name_of("ack", number), soon.clone())).collect();
    let home = Home::start(&copies, json!({ "plugins": settings })).await?;
    // One message each: a plugin that never worked is not idle but new.
    let message = NewMessage { topic: "bench.idle".to_owned(), ..NewMessage::default() };
    home.host.publish(message, Room::Now).await?;
    until("all have worked", || home.done(|_| true) == plugins as u64).await?;
    let lanes = || home.host.plugins().iter().map(|plugin| plugin.workers.count).sum::<u32>();
    until("all lanes have gone", || lanes() == 0).await?;
    settled(0).await?;
    let anonymous = process::anonymous_bytes();
    let window = Window {
        threads: process::threads(),
        anonymous,
        // Of the whole host: whatever a plugin costs anywhere is in it.
        bytes_each: Some(anonymous as f64 / plugins as f64),
        ..Window::default()
    };
    home.stop().await;
    Ok(window)
}

/// Waits until nothing runs but what a host has without plugins, and `busy` lanes: those of idle
/// plugins have gone, and the threads that loaded the libraries.
pub(super) async fn settled(busy: u64) -> Outcome<()> {
    until("the threads have ended", || process::threads() < THREADS + busy).await
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Outcome<()> {
    let end = Instant::now() + home::READY_MAX;
    while !is_so() {
        if Instant::now() > end {
            return Err(format!("waited {:?} in vain until {what}", home::READY_MAX).into());
        }
        sleep(LOOK).await;
    }
    Ok(())
}
