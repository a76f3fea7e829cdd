//! Rounds: everybody once, in one order and then in the other, each in a process of its own.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    callgrind,
    plan::{self, COUNTED, Contest, Figure, Group},
};
use patchbay_measure::{entry::Outcome, work::Work};

/// How a comparison is run.
#[derive(Debug)]
pub(crate) struct Course {
    /// Runs the product.
    pub(crate) product: PathBuf,
    /// Runs the peers.
    pub(crate) peers: PathBuf,
    /// Rounds.
    pub(crate) rounds: usize,
    /// What one measurement lasts.
    pub(crate) length: Duration,
    /// Whether only those compete whom a goal names.
    pub(crate) for_goals: bool,
    /// Whether everybody who needs no server runs in a class that ordinary work does not preempt,
    /// and in which nobody preempts whoever woke him.
    pub(crate) fifo: bool,
    /// Whether instructions are counted too.
    pub(crate) counts_instructions: bool,
}

/// One measurement, read back.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Line {
    /// Who.
    pub(crate) contender: String,
    /// Which contest.
    pub(crate) work: String,
    /// Which round, from 0.
    #[serde(default)]
    pub(crate) round: usize,
    /// Finished per second.
    pub(crate) rate: f64,
    /// Processor time for one, of the contender's process.
    pub(crate) cpu_ns: f64,
    /// Threads.
    pub(crate) threads: u64,
    /// Anonymous memory.
    pub(crate) anonymous: u64,
    /// Round trip of a cache line.
    pub(crate) round_trip_ns: f64,
    /// Allocations for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) allocations: Option<f64>,
    /// Median latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<f64>,
    /// 99 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<f64>,
    /// 99.9 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p999_us: Option<f64>,
    /// Memory for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_each: Option<f64>,
    /// Time of the whole, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) took_ms: Option<f64>,
    /// Nanoseconds for one to be put where it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fill_ns: Option<f64>,
    /// Nanoseconds for one to be taken from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) drain_ns: Option<f64>,
    /// Instructions for one, of both sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) instructions: Option<f64>,
    /// What one measurement lasted, milliseconds.
    #[serde(default)]
    pub(crate) length_ms: u64,
}

/// Longest measurement beside its own length: ten million messages are written and read in it.
const EXTRA: Duration = Duration::from_secs(180);
/// How long allocations are counted: the count changes little, and what is counted is slower.
const COUNTING: Duration = Duration::from_millis(100);

// === impl Course ===

impl Course {
    /// Runs one contest. Its lines also go to `record`. Whoever fails is named on the
    /// standard error and missing from the rest.
    ///
    /// # Errors
    /// `record` could not be written, or a program not started.
    pub(crate) fn run(&self, contest: &Contest, record: &mut File) -> Outcome<Vec<Line>> {
        let mut lines: Vec<Line> = Vec::new();
        let mut absent: Vec<&str> = Vec::new();
        for round in 0..contest.rounds(self.rounds) {
            let mut order = contest.competing(self.for_goals);
            if round % 2 == 1 {
                order.reverse();
            }
            for contender in order {
                if absent.contains(&contender) {
                    continue;
                }
                let length = contest.length(self.length, contender);
                match self.measure(contest, contender, length, false)? {
                    Ok(mut line) => {
                        line.round = round;
                        line.length_ms = length.as_millis() as u64;
                        lines.push(line);
                    }
                    Err(reason) => {
                        eprintln!("  {contender} is left out of `{}`: {reason}", contest.work);
                        absent.push(contender);
                    }
                }
            }
        }
        // Counted by themselves: nobody's rate is to suffer.
        if matches!(contest.group, Group::Process | Group::Durable) {
            for contender in contest.competing(self.for_goals) {
                let Ok(counted) = self.measure(contest, contender, COUNTING, true)? else {
                    continue;
                };
                let own = lines.iter_mut().filter(|line| line.contender == contender);
                own.for_each(|line| line.allocations = counted.allocations);
            }
        }
        if self.counts_instructions && COUNTED.contains(&contest.work) {
            for contender in contest.competing(self.for_goals) {
                if absent.contains(&contender) {
                    continue;
                }
                match callgrind::each(self.program(contender), contender, contest.work)? {
                    Ok(counted) => {
                        let own = lines.iter_mut().filter(|line| line.contender == contender);
                        own.for_each(|line| line.instructions = Some(counted));
                    }
                    Err(reason) => eprintln!(
                        "  instructions of {contender} at `{}` are not counted: {reason}",
                        contest.work
                    ),
                }
            }
        }
        for line in &lines {
            writeln!(record, "{}", serde_json::to_string(line)?)?;
        }
        Ok(lines)
    }

    fn program(&self, contender: &str) -> &Path {
        if Contest::is_of_product(contender) { &self.product } else { &self.peers }
    }

    fn measure(
        &self,
        contest: &Contest,
        contender: &str,
        length: Duration,
        counting: bool,
    ) -> Outcome<Result<Line, String>> {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", &(length * 3 + EXTRA).as_secs().to_string()]);
        let served = matches!(contest.group, Group::Servers | Group::Durable)
            || plan::SERVED.contains(&contender);
        if self.fifo && !served {
            command.args(["chrt", "-f", "10"]);
        }
        command.arg(self.program(contender)).args([
            contender,
            contest.work,
            &length.as_millis().to_string(),
        ]);
        if counting {
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
    pub(crate) fn figure(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::Rate => Some(self.rate),
            Figure::Time => Some(1e9 / self.rate.max(1e-9)),
            Figure::Median => self.p50_us,
            Figure::High => self.p99_us,
            Figure::Highest => self.p999_us,
            Figure::Cpu => Some(self.cpu_ns),
            Figure::Bytes => self.bytes_each,
            Figure::Took => self.took_ms,
            Figure::Allocations => {
                Some(self.allocations? / Work::named(&self.work)?.publishes_each())
            }
        }
    }
}
