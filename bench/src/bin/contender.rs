//! Runs the product at one work and prints one line of JSON. `compare` starts it, in a process of
//! its own for each measurement.
//!
//! `contender NAME WORK MILLISECONDS [--allocations]`, or `contender --list`.
#![forbid(unsafe_code)]

use std::{process::ExitCode, time::Duration};

use patchbay_bench::{contender, home::Outcome};
use patchbay_measure::{
    allocations::{self, Counting},
    work::Work,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome<String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (name, work, length) = match &arguments[..] {
        ["--list"] => {
            let lines = contender::ALL.iter().map(|(name, what)| format!("{name}\t{what}"));
            return Ok(lines.collect::<Vec<_>>().join("\n"));
        }
        [name, work, length] => (name, work, length),
        [name, work, length, "--allocations"] => {
            allocations::start();
            (name, work, length)
        }
        _ => return Err("usage: contender NAME WORK MILLISECONDS [--allocations]".into()),
    };
    let work = Work::named(work).ok_or_else(|| format!("there is no work `{work}`"))?;
    Ok(contender::run(name, work, Duration::from_millis(length.parse()?))?.to_string())
}
