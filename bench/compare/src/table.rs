//! What was measured, in words a reader can hold against the goals.

use std::fmt::Write;

use patchbay_measure::{distance, figures::Spread};

use crate::{
    plan::{Beside, Contest, Curve, Figure, Goal},
    round::Line,
};

/// One contender of a contest, over all rounds.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Who.
    pub(crate) contender: String,
    /// The main figure.
    pub(crate) figure: Spread,
    /// Its ratio to the first contender, taken inside each round.
    pub(crate) ratio: Option<Spread>,
    /// All its lines.
    pub(crate) lines: Vec<Line>,
}

/// The rows of a contest, in its order.
pub(crate) fn rows(contest: &Contest, lines: &[Line]) -> Vec<Row> {
    let figure = contest.main_figure();
    let rows = contest.contenders.iter().map(|who| {
        let own: Vec<Line> = lines.iter().filter(|line| line.contender == *who).cloned().collect();
        Row {
            contender: (*who).to_owned(),
            figure: Spread::of(own.iter().filter_map(|line| line.figure(figure)).collect()),
            ratio: held(lines, who, Beside::Times(contest.contenders[0]), figure),
            lines: own,
        }
    });
    rows.filter(|row| !row.lines.is_empty()).collect()
}

/// A figure beside what it is held against, in every round in which both were measured.
fn held(lines: &[Line], who: &str, beside: Beside, figure: Figure) -> Option<Spread> {
    let of = |name: &str, round: usize| {
        lines
            .iter()
            .find(|line| line.contender == name && line.round == round)
            .and_then(|line| line.figure(figure))
    };
    let last = lines.iter().map(|line| line.round).max()?;
    let rounds = (0..=last).filter_map(|round| {
        let own = of(who, round)?;
        match beside {
            Beside::Nothing => Some(own),
            Beside::More(other) => Some(own - of(other, round)?),
            Beside::Times(other) => of(other, round).filter(|it| *it > 0.0).map(|it| own / it),
        }
    });
    let rounds: Vec<f64> = rounds.collect();
    (!rounds.is_empty()).then(|| Spread::of(rounds))
}

/// How often everybody was measured, and for how long.
fn rounds(lines: &[Line]) -> String {
    let count = lines.iter().map(|line| line.round + 1).max().unwrap_or(0);
    let mut lengths: Vec<u64> = lines.iter().map(|line| line.length_ms).collect();
    lengths.sort_unstable();
    lengths.dedup();
    let lengths: Vec<String> = lengths.iter().map(u64::to_string).collect();
    format!("Rounds: {count}, of {} ms.", lengths.join(" or "))
}

/// A contest as a table in Markdown, and its goals below it.
pub(crate) fn markdown(contest: &Contest, lines: &[Line]) -> String {
    let mut text = String::new();
    let title = contest.task().map_or(contest.work, |work| work.title);
    let figure = contest.main_figure();
    let is_latency = contest.task().is_some_and(|work| work.is_latency());
    let trips = Spread::of(lines.iter().map(|line| line.round_trip_ns).collect());
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "### `{}`: {title}\n\n{} Cache line round trip {:.0} ns [{:.0}-{:.0}], {}.\n",
        contest.work,
        rounds(lines),
        trips.median,
        trips.min,
        trips.max,
        distance::name(trips.median)
    );
    let counted = lines.iter().any(|line| line.allocations.is_some());
    let stepped = lines.iter().any(|line| line.instructions.is_some());
    let parted = lines.iter().any(|line| line.fill_ns.is_some());
    let weighed = lines.iter().any(|line| line.bytes_each.is_some());
    let mut columns = vec![
        "contender".to_owned(),
        if figure == Figure::Rate { "per second".to_owned() } else { figure.label().to_owned() }
            + ", median [min-max]",
        format!("beside {}, in a round", contest.contenders[0]),
        "CPU each".to_owned(),
        "threads".to_owned(),
    ];
    columns.extend(is_latency.then(|| "p50 / p99 / p99.9, us".to_owned()));
    columns.extend(counted.then(|| "allocations each".to_owned()));
    columns.extend(stepped.then(|| "instructions each".to_owned()));
    columns.extend(parted.then(|| "to fill / to drain, each".to_owned()));
    columns.extend(weighed.then(|| "memory each, bytes".to_owned()));
    let _ = writeln!(text, "| {} |", columns.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(columns.len() - 1));
    for row in rows(contest, lines) {
        let median = |pick: fn(&Line) -> Option<f64>| {
            Spread::of(row.lines.iter().filter_map(pick).collect()).median
        };
        let Spread { min, median: middle, max, .. } = row.figure;
        let ratio = row.ratio.map_or_else(String::new, |ratio| {
            format!("**{:.2}** [{:.2}-{:.2}]", ratio.median, ratio.min, ratio.max)
        });
        let mut cells = vec![
            row.contender.clone(),
            format!("{} [{} - {}]", figure.shown(middle), figure.shown(min), figure.shown(max)),
            ratio,
            Figure::Cpu.shown(median(|line| Some(line.cpu_ns))),
            row.lines.last().map_or(0, |line| line.threads).to_string(),
        ];
        cells.extend(is_latency.then(|| {
            let (p50, p99) = (median(|line| line.p50_us), median(|line| line.p99_us));
            format!("{p50:.1} / {p99:.1} / {:.1}", median(|line| line.p999_us))
        }));
        cells.extend(counted.then(|| format!("{:.3}", median(|line| line.allocations))));
        cells.extend(stepped.then(|| match row.lines.iter().find_map(|line| line.instructions) {
            Some(count) => format!("{count:.0}"),
            None => "-".to_owned(),
        }));
        cells.extend(parted.then(|| {
            let [fill, drain] = [median(|line| line.fill_ns), median(|line| line.drain_ns)];
            format!("{} / {}", Figure::Cpu.shown(fill), Figure::Cpu.shown(drain))
        }));
        cells.extend(weighed.then(|| format!("{:.0}", median(|line| line.bytes_each))));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    for goal in contest.goals {
        let _ = writeln!(text, "\n{}", judged(goal, lines));
    }
    text
}

/// How far a goal was reached.
#[derive(Clone, Copy, Debug)]
struct Judged {
    measured: Option<Spread>,
    verdict: &'static str,
}

// === impl Goal ===

impl Goal {
    fn judge(&self, lines: &[Line]) -> Judged {
        let measured = held(lines, self.who, self.beside, self.figure);
        let verdict = match measured.map(|it| it.median) {
            None => "not measured",
            Some(median) if self.figure.reaches(median, self.aim) => "the aim is reached",
            Some(median) if self.figure.reaches(median, self.least) => "reached",
            Some(_) => "**not reached**",
        };
        Judged { measured, verdict }
    }

    fn shown(&self, value: f64) -> String {
        match self.beside {
            // Two digits would make a figure equal to a goal that it does not reach.
            Beside::Times(_) if value < 1.0 => format!("{value:.3}"),
            Beside::Times(_) => format!("{value:.2}"),
            Beside::More(_) | Beside::Nothing => self.figure.shown(value),
        }
    }

    /// A value that stands in a goal: as few digits as it has.
    fn shown_bound(&self, value: f64) -> String {
        match self.beside {
            Beside::Times(_) => value.to_string(),
            Beside::Nothing if self.figure == Figure::Allocations => value.to_string(),
            Beside::More(_) | Beside::Nothing => self.figure.shown(value).replace(".0 ", " "),
        }
    }

    fn beside(&self) -> String {
        match self.beside {
            Beside::Times(other) => format!("beside {other}"),
            Beside::More(other) => format!("more than {other}"),
            Beside::Nothing => "by itself".to_owned(),
        }
    }

    fn bound(&self) -> &'static str {
        if self.figure.is_more_better() { "at least" } else { "at most" }
    }

    /// What it asks for: of what, beside what, how much, and the aim.
    fn words(&self) -> [String; 4] {
        [
            format!("{} {}", self.figure.label(), self.beside()),
            self.bound().to_owned(),
            self.shown_bound(self.least),
            self.shown_bound(self.aim),
        ]
    }
}

fn judged(goal: &Goal, lines: &[Line]) -> String {
    let Judged { measured, verdict } = goal.judge(lines);
    let measured = measured.map_or_else(|| "-".to_owned(), |it| goal.shown(it.median));
    let [what, bound, least, aim] = goal.words();
    format!("Goal: {}, {what}, {bound} {least}, aim {aim}: {measured}, {verdict}.", goal.who)
}

/// All goals of contests that were run, as a table in Markdown.
pub(crate) fn goals<'a>(results: impl Iterator<Item = (&'a Contest, Vec<Line>)>) -> String {
    let mut text = String::from(
        "| work | who | figure | goal (aim) | measured [min-max] | |\n|---|---|---|---:|---:|---|\n",
    );
    for (contest, lines) in results {
        let title = contest.task().map_or(contest.work, |work| work.title);
        for goal in contest.goals {
            let Judged { measured, verdict } = goal.judge(&lines);
            let measured = measured.map_or_else(
                || "-".to_owned(),
                |it| {
                    let [min, median, max] =
                        [it.min, it.median, it.max].map(|value| goal.shown(value));
                    format!("{median} [{min} - {max}]")
                },
            );
            let ([what, bound, least, aim], who) = (goal.words(), goal.who);
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {title} | {who} | {what} | {bound} {least} ({aim}) | {measured} | {verdict} |"
            );
        }
    }
    text
}

/// What one costs as something grows: how much there is, and nanoseconds each.
pub(crate) fn points(curve: &Curve, lines: &[Line]) -> Vec<(f64, f64)> {
    let points = curve.points.iter().filter_map(|(work, grown)| {
        // Where others compete as well, it is the product with a plugin.
        let own = |who: &str| {
            let of = |line: &&Line| line.work == *work && line.contender == who;
            let each: Vec<f64> = lines.iter().filter(of).map(|line| 1e9 / line.rate).collect();
            (!each.is_empty()).then(|| Spread::of(each).median)
        };
        Some((*grown, own("patchbay").or_else(|| own("patchbay-bus"))?))
    });
    points.collect()
}

/// A curve in one line.
pub(crate) fn course(curve: &Curve, points: &[(f64, f64)]) -> String {
    let steps: Vec<String> =
        points.iter().map(|(grown, each)| format!("{grown}: {each:.0} ns")).collect();
    format!("* {} ({}): {}\n", curve.title.replace('-', " "), curve.axis, steps.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;

    fn line(contender: &str, round: usize, rate: f64) -> Line {
        Line { contender: contender.into(), round, rate, ..Line::default() }
    }

    #[test]
    fn a_ratio_is_taken_inside_a_round_before_the_median() {
        // The machine was ten times slower in the second round; the ratio was the same.
        let lines = [
            line("tokio-mpsc", 0, 10.0),
            line("patchbay", 0, 30.0),
            line("tokio-mpsc", 1, 1.0),
            line("patchbay", 1, 3.0),
            line("tokio-mpsc", 2, 5.0),
            line("patchbay", 2, 20.0),
        ];
        let ratio = held(&lines, "patchbay", Beside::Times("tokio-mpsc"), Figure::Rate);
        let ratio = ratio.expect("a ratio");
        assert_eq!((ratio.min, ratio.median, ratio.max), (3.0, 3.0, 4.0));
    }

    #[test]
    fn a_goal_that_is_missed_says_so() {
        let contest = plan::ALL.iter().find(|contest| contest.work == "one").expect("it exists");
        let lines = [line("tokio-mpsc", 0, 10.0), line("patchbay", 0, 20.0)];
        let text = markdown(contest, &lines);
        assert!(text.contains("at least 2.5, aim 4: 2.00, **not reached**"), "{text}");
        assert!(text.contains("beside ractor, at least 5, aim 5: -, not measured"), "{text}");
        let lines = [line("tokio-mpsc", 0, 10.0), line("patchbay", 0, 30.0)];
        assert!(markdown(contest, &lines).contains("3.00, reached"));
    }

    #[test]
    fn what_may_only_be_added_is_a_difference() {
        let contest = plan::ALL.iter().find(|it| it.work == "replaced").expect("it exists");
        let took = |who: &str, p999_us: f64| Line { p999_us: Some(p999_us), ..line(who, 0, 1.0) };
        let lines = [took("patchbay", 500.0), took("patchbay-graceful", 6_000.0)];
        let text = goals([(contest, lines.to_vec())].into_iter());
        assert!(text.contains("at most 5 ms (5 ms) | 5.5 ms"), "{text}");
        assert!(text.contains("**not reached**"), "{text}");
    }
}
