//! Rounds: everybody once, in one order and then in the other, each in a process of its own.

use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::plan::{Contest, Figure, Group};
use crate::home::Outcome;

/// How a comparison is run.
#[derive(Debug)]
pub struct Course {
    /// Runs the product.
    pub product: PathBuf,
    /// Runs the peers.
    pub peers: PathBuf,
    /// Rounds.
    pub rounds: usize,
    /// What one measurement lasts.
    pub length: Duration,
    /// Whether allocations are counted.
    pub allocations: bool,
    /// Whether the class of those who are not disturbed by ordinary work may be used.
    pub undisturbed: bool,
}

/// One measurement, read back.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Line {
    /// Who.
    pub contender: String,
    /// Which contest.
    pub work: String,
    /// Which round, from 0.
    #[serde(default)]
    pub round: usize,
    /// Finished per second.
    pub rate: f64,
    /// Processor time for one, of the contender's process.
    pub cpu_ns: f64,
    /// Threads.
    pub threads: u64,
    /// Anonymous memory.
    pub anonymous: u64,
    /// Round trip of a cache line.
    pub round_trip_ns: f64,
    /// Allocations for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocations: Option<f64>,
    /// Median latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<f64>,
    /// 99 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<f64>,
    /// 99.9 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p999_us: Option<f64>,
}

/// Longest measurement beside its own length: a host with a thousand plugins starts in it.
const EXTRA: Duration = Duration::from_secs(60);

// === impl Course ===

impl Course {
    /// Runs one contest. Every line also goes to `record` at once. Whoever fails is named on the
    /// standard error and missing from the rest.
    ///
    /// # Errors
    /// `record` could not be written, or a program not started.
    pub fn run(&self, contest: &Contest, record: &mut File) -> Outcome<Vec<Line>> {
        let mut lines = Vec::new();
        let mut absent: Vec<&str> = Vec::new();
        for round in 0..self.rounds {
            let mut order = contest.contenders.to_vec();
            if round % 2 == 1 {
                order.reverse();
            }
            for contender in order {
                if absent.contains(&contender) {
                    continue;
                }
                match self.measure(contest, contender)? {
                    Ok(mut line) => {
                        line.round = round;
                        line.work = contest.work.to_owned();
                        writeln!(record, "{}", serde_json::to_string(&line)?)?;
                        lines.push(line);
                    }
                    Err(reason) => {
                        eprintln!("  {contender} is left out of `{}`: {reason}", contest.work);
                        absent.push(contender);
                    }
                }
            }
        }
        Ok(lines)
    }

    fn measure(&self, contest: &Contest, contender: &str) -> Outcome<Result<Line, String>> {
        let program = if Contest::is_of_product(contender) { &self.product } else { &self.peers };
        let limit = (self.length * 3 + EXTRA).as_secs().to_string();
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", &limit]);
        if self.undisturbed && matches!(contest.group, Group::Process | Group::Growth) {
            command.args(["chrt", "-f", "10"]);
        }
        command.arg(program).args([contender, contest.work_name()]);
        command.arg(self.length.as_millis().to_string());
        if self.allocations {
            command.arg("--allocations");
        }
        let output = command.stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(match text.lines().find(|line| line.starts_with('{')) {
            Some(line) if output.status.success() => Ok(serde_json::from_str(line)?),
            _ => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().last().unwrap_or("it said nothing").to_owned();
                Err(format!("{last} ({})", output.status))
            }
        })
    }
}

// === impl Line ===

impl Line {
    /// One figure of it.
    #[must_use]
    pub fn figure(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::Rate => Some(self.rate),
            Figure::Time => Some(1e9 / self.rate.max(1e-9)),
            Figure::Median => self.p50_us,
            Figure::High => self.p99_us,
        }
    }
}
