//! The command line of every program of contenders, and what it prints: one line of JSON.
//!
//! `PROGRAM NAME WORK MILLISECONDS [--allocations]`, or `PROGRAM --list`.

use std::{error::Error, process::ExitCode, time::Duration};

use crate::{allocations, distance, meter::Window, record::Record, work::Work};

/// What anything in a contender may fail with.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// A measurement that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Of whom.
    pub contender: &'a str,
    /// At what.
    pub work: &'static Work,
    /// How long.
    pub length: Duration,
}

/// Runs what the command line asks for. `all` are names and what they are; threads of a contender
/// that never end by themselves end with the process.
pub fn main<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    measure: impl FnOnce(&Asked<'_>) -> Outcome<Window>,
) -> ExitCode {
    match answer(all, measure) {
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

fn answer<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    measure: impl FnOnce(&Asked<'_>) -> Outcome<Window>,
) -> Outcome<String> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--list"] {
        return Ok(all.map(|(name, what)| format!("{name}\t{what}\n")).collect());
    }
    if arguments.last().is_some_and(|last| last == "--allocations") {
        arguments.pop();
        allocations::start();
    }
    let [contender, work, length] = &arguments[..] else {
        return Err("usage: NAME WORK MILLISECONDS [--allocations], or --list".into());
    };
    if all.into_iter().all(|(name, _)| name != contender) {
        return Err(format!("there is no contender `{contender}` in this build").into());
    }
    let work = Work::named(work).ok_or_else(|| format!("there is no work `{work}`"))?;
    let length = Duration::from_millis(length.parse()?);
    let round_trip_ns = distance::round_trip_ns();
    let window = measure(&Asked { contender, work, length })?;
    Ok(Record { contender: contender.clone(), work: work.name, window, round_trip_ns }.to_string())
}

impl Asked<'_> {
    /// The answer of a contender that does not do this work.
    ///
    /// # Errors
    /// Always.
    pub fn refused<T>(&self) -> Outcome<T> {
        Err(format!("`{}` does not do `{}`", self.contender, self.work.name).into())
    }
}
