//! Runs the product at one work and prints one line of JSON. `compare` starts it, in a process of
//! its own for each measurement.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use patchbay_bench::contender;
use patchbay_measure::{allocations::Counting, entry};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    entry::main(contender::ALL.iter().copied(), contender::run)
}
