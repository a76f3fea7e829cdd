//! What was measured, in words a reader can hold against the goals.

use std::fmt::Write;

use patchbay_measure::{distance, figures::Spread, work::Work};

use super::{
    plan::{Contest, Figure, Goal},
    round::Line,
};

/// One contender of a contest, over all rounds.
#[derive(Clone, Debug)]
pub struct Row {
    /// Who.
    pub contender: String,
    /// The main figure.
    pub figure: Spread,
    /// Its ratio to the first contender, taken inside each round.
    pub ratio: Option<Spread>,
    /// All its lines.
    pub lines: Vec<Line>,
}

/// The figure that a work is about.
#[must_use]
pub fn main_figure(contest: &Contest) -> Figure {
    match Work::named(contest.work_name()) {
        Some(work) if work.is_latency() => Figure::Median,
        Some(work) if work.kind == patchbay_measure::work::Kind::Request => Figure::Time,
        _ => Figure::Rate,
    }
}

/// The rows of a contest, in its order.
#[must_use]
pub fn rows(contest: &Contest, lines: &[Line]) -> Vec<Row> {
    let figure = main_figure(contest);
    let of =
        |who: &str| lines.iter().filter(|line| line.contender == who).cloned().collect::<Vec<_>>();
    let rows = contest.contenders.iter().map(|who| {
        let own = of(who);
        Row {
            contender: (*who).to_owned(),
            figure: Spread::of(own.iter().filter_map(|line| line.figure(figure)).collect()),
            ratio: ratio(lines, who, contest.contenders[0], figure),
            lines: own,
        }
    });
    rows.filter(|row| !row.lines.is_empty()).collect()
}

/// Rounds in which both were measured, one divided by the other.
fn ratio(lines: &[Line], who: &str, against: &str, figure: Figure) -> Option<Spread> {
    let of = |name: &str, round: usize| {
        lines
            .iter()
            .find(|line| line.contender == name && line.round == round)
            .and_then(|line| line.figure(figure))
            .filter(|value| *value > 0.0)
    };
    let last = lines.iter().map(|line| line.round).max()?;
    let ratios: Vec<f64> =
        (0..=last).filter_map(|round| Some(of(who, round)? / of(against, round)?)).collect();
    (!ratios.is_empty()).then(|| Spread::of(ratios))
}

/// A contest as a table in Markdown, and its goals below it.
#[must_use]
pub fn markdown(contest: &Contest, lines: &[Line]) -> String {
    let mut text = String::new();
    let title = Work::named(contest.work_name()).map_or(contest.work, |work| work.title);
    let title = if contest.work == "nats" { "1 to 1, beside servers" } else { title };
    let unit = match main_figure(contest) {
        Figure::Rate => "per second",
        Figure::Time => "us a round trip",
        Figure::Median | Figure::High => "us, p50 / p99 / p99.9",
    };
    let trips = Spread::of(lines.iter().map(|line| line.round_trip_ns).collect());
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "### `{}`: {title}\n\nCache line round trip {:.0} ns [{:.0}-{:.0}], {}.\n",
        contest.work,
        trips.median,
        trips.min,
        trips.max,
        distance::name(trips.median)
    );
    let counted = lines.iter().any(|line| line.allocations.is_some());
    let _ = writeln!(
        text,
        "| contender | {unit}, median [min-max] | ratio in a round, median [min-max] | CPU ns each | threads |{}",
        if counted { " allocations each |" } else { "" }
    );
    let _ = writeln!(text, "|---|---:|---:|---:|---:|{}", if counted { "---:|" } else { "" });
    for row in rows(contest, lines) {
        let cpu = Spread::of(row.lines.iter().map(|line| line.cpu_ns).collect());
        let threads = row.lines.last().map_or(0, |line| line.threads);
        let ratio = row.ratio.map_or_else(String::new, |ratio| {
            format!("**{:.2}** [{:.2}-{:.2}]", ratio.median, ratio.min, ratio.max)
        });
        let _ = write!(
            text,
            "| {} | {} | {ratio} | {:.0} | {threads} |",
            row.contender,
            shown(contest, &row),
            cpu.median
        );
        if counted {
            let each = row.lines.iter().filter_map(|line| line.allocations).collect();
            let _ = write!(text, " {:.3} |", Spread::of(each).median);
        }
        text.push('\n');
    }
    for goal in contest.goals {
        let _ = writeln!(text, "\n{}", judged(goal, lines));
    }
    text
}

fn shown(contest: &Contest, row: &Row) -> String {
    let Spread { min, median, max, .. } = row.figure;
    match main_figure(contest) {
        Figure::Rate if median >= 1e6 => {
            format!("{:.2} M [{:.2}-{:.2}]", median / 1e6, min / 1e6, max / 1e6)
        }
        Figure::Rate => format!("{:.1} k [{:.1}-{:.1}]", median / 1e3, min / 1e3, max / 1e3),
        Figure::Time => format!("{:.1} [{:.1}-{:.1}]", median / 1e3, min / 1e3, max / 1e3),
        Figure::Median | Figure::High => {
            let of = |pick: fn(&Line) -> Option<f64>| {
                Spread::of(row.lines.iter().filter_map(pick).collect()).median
            };
            let (p99, p999) = (of(|line| line.p99_us), of(|line| line.p999_us));
            format!("{median:.1} / {p99:.1} / {p999:.1}")
        }
    }
}

fn judged(goal: &Goal, lines: &[Line]) -> String {
    let Goal { who, against, figure, least, aim } = *goal;
    let label = figure.label();
    let bound = format!("at least {least}, aim {aim}");
    let Some(ratio) = ratio(lines, who, against, figure) else {
        return format!("Goal: {who} against {against}, {label} {bound}: not measured.");
    };
    let verdict = if figure.reaches(ratio.median, aim) {
        "the aim is reached"
    } else if figure.reaches(ratio.median, least) {
        "reached"
    } else {
        "**not reached**"
    };
    format!("Goal: {who} against {against}, {label} {bound}: {:.2}, {verdict}.", ratio.median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::plan;

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
        let ratio = ratio(&lines, "patchbay", "tokio-mpsc", Figure::Rate).expect("a ratio");
        assert_eq!((ratio.min, ratio.median, ratio.max), (3.0, 3.0, 4.0));
    }

    #[test]
    fn a_goal_that_is_missed_says_so() {
        let contest = plan::ALL.iter().find(|contest| contest.work == "one").expect("it exists");
        let lines = [line("tokio-mpsc", 0, 10.0), line("patchbay", 0, 20.0)];
        let text = markdown(contest, &lines);
        assert!(text.contains("2.00, **not reached**"), "{text}");
        assert!(text.contains("against ractor, rate at least 5, aim 5: not measured"), "{text}");
        let lines = [line("tokio-mpsc", 0, 10.0), line("patchbay", 0, 30.0)];
        assert!(markdown(contest, &lines).contains("3.00, reached"));
    }
}
