//! The command line of every program of contenders, and what it prints: one line of JSON.
//!
//! `PROGRAM NAME WORK MILLISECONDS [--allocations | --messages N]`, or `PROGRAM --list`. With a number
//! of messages the work ends when they are finished: for tools that count what a program does.

use std::{error::Error, process::ExitCode, time::Duration};

use crate::{
    allocations, distance,
    meter::Window,
    record::Record,
    source,
    work::{Kind, Work},
};

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
    let mut messages = None;
    if let [.., option, number] = &arguments[..]
        && option == "--messages"
    {
        messages = Some(number.parse()?);
        arguments.truncate(arguments.len() - 2);
    }
    let [contender, work, length] = &arguments[..] else {
        let usage = "usage: NAME WORK MILLISECONDS [--allocations | --messages N], or --list";
        return Err(usage.into());
    };
    if all.into_iter().all(|(name, _)| name != contender) {
        return Err(format!("there is no contender `{contender}` in this build").into());
    }
    let work = Work::named(work).ok_or_else(|| format!("there is no work `{work}`"))?;
    let length = Duration::from_millis(length.parse()?);
    if let Some(messages) = messages {
        if work.kind != Kind::Flow || work.publishers * work.consumers != 1 {
            return Err(format!("`{}` is not from one publisher to one consumer", work.name).into());
        }
        source::bind(messages);
    }
    // Whoever counts instructions wants none that were spun away.
    let round_trip_ns = if messages.is_some() { 0.0 } else { distance::round_trip_ns() };
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
