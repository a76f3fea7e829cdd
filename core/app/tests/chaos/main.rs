//! The real host, its files and its socket, under everything that can happen to them.
//!
//! What publishers were told and what plugins saw is written down outside the host, and judged by
//! the checker of `patchbay-testkit`. Every test ends with it.

#![forbid(unsafe_code)]

mod arena;
mod connection;
mod dice;
mod ending;
mod fault;
mod flow;
mod full;
mod kill;
mod load;
mod plan;
mod poison;
mod power;

use serde_json::{Value, json};

/// The level of a topic is its first token.
fn levels() -> Value {
    json!({"durability": [
        {"topics": "disk.>", "level": "disk"},
        {"topics": "process.>", "level": "process"},
        {"topics": "recorder.>", "level": "disk"},
    ]})
}
