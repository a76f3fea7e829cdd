//! Runs the product and its peers on the same work in the same run, in turns, and puts what they
//! reached side by side. `bench/compare.sh` builds and starts everything that this needs.
//!
//! Reading order: [`plan`] → [`round`] → [`table`] → [`plot`].
//!
//! **Absent on purpose.** Neither the product nor its peers: they are programs that this one starts.
#![forbid(unsafe_code)]

mod callgrind;
mod plan;
mod plot;
mod round;
mod table;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use clap::Parser;
use patchbay_measure::{distance, entry::Outcome};

use crate::{
    plan::{Contest, Group},
    round::{Course, Line},
};

/// What a measurement takes beside its own length, as experience has it: for the estimate alone.
const START: Duration = Duration::from_millis(350);
/// And what counting one contender's instructions takes.
const COUNT: Duration = Duration::from_secs(10);
/// Where the table of goals stands in a page.
const MARKS: [&str; 2] = ["<!-- goals -->\n", "<!-- /goals -->\n"];

/// Runs the product and its peers on the same work in the same run.
#[derive(Debug, Parser)]
struct Arguments {
    /// The product's program.
    #[arg(long)]
    product: PathBuf,
    /// The peers' program.
    #[arg(long)]
    peers: PathBuf,
    /// Where tables, lines and plots go.
    #[arg(long)]
    out: PathBuf,
    /// Rounds.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Milliseconds of one measurement.
    #[arg(long, default_value_t = 400)]
    milliseconds: u64,
    /// Works, or parts (process-local, servers, durable, transitions, growth); all when absent.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only contests with a goal, and only those whom it names.
    #[arg(long)]
    goals: bool,
    /// Counts instructions too, where there is valgrind.
    #[arg(long)]
    instructions: bool,
    /// Everybody who needs no server runs in the class SCHED_FIFO; only root may.
    #[arg(long)]
    fifo: bool,
    /// A page whose table of goals is replaced.
    #[arg(long)]
    page: Option<PathBuf>,
    /// Name of the allocator, for the record.
    #[arg(long, default_value = "the system's")]
    allocator: String,
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let contests: Vec<&Contest> =
        plan::ALL.iter().filter(|contest| wanted(contest, &arguments)).collect();
    if contests.is_empty() {
        let names: Vec<&str> = plan::ALL.iter().map(|contest| contest.work).collect();
        return Err(format!("nothing is called that; there is {}", names.join(", ")).into());
    }
    fs::create_dir_all(&arguments.out)?;
    let course = Course {
        product: arguments.product.clone(),
        peers: arguments.peers.clone(),
        rounds: arguments.rounds,
        length: Duration::from_millis(arguments.milliseconds),
        for_goals: arguments.goals,
        fifo: arguments.fifo,
        counts_instructions: arguments.instructions && callgrind::is_installed(),
    };
    let head = head(&arguments, &course);
    let guess: Duration = contests.iter().map(|contest| estimate(contest, &course)).sum();
    println!("{head}");
    eprintln!("{} works, about {:.0} minutes", contests.len(), guess.as_secs_f64() / 60.0);
    let start = Instant::now();
    let mut record = File::create(arguments.out.join("results.jsonl"))?;
    let (mut tables, mut all): (String, Vec<Line>) = Default::default();
    for (index, contest) in contests.iter().enumerate() {
        let lines = course.run(contest, &mut record)?;
        let table = table::markdown(contest, &lines);
        println!("{table}");
        let (done, of, took) = (index + 1, contests.len(), start.elapsed().as_secs());
        eprintln!("[{done} of {of}] `{}` is done, {took} s so far", contest.work);
        tables.push_str(&table);
        tables.push('\n');
        if lines.iter().any(|line| line.contender != contest.contenders[0]) {
            let name = format!("{}.svg", contest.work);
            let rows = table::rows(contest, &lines);
            tables.push_str(&format!("![{}]({name})\n\n", contest.work));
            fs::write(arguments.out.join(name), plot::bars(&bar_title(contest), &rows))?;
        }
        all.extend(lines);
    }
    let results = contests.iter().map(|contest| {
        let own = all.iter().filter(|line| line.work == contest.work);
        (*contest, own.cloned().collect())
    });
    let goals = table::goals(results);
    let growth = draw_growth(&arguments.out, &all)?;
    let took = format!("It took {:.0} s.\n", start.elapsed().as_secs_f64());
    println!("{goals}\n{growth}\n{took}");
    if let Some(page) = &arguments.page {
        put_into(page, &format!("{head}{goals}"))?;
    }
    let text = format!(
        "# What was measured\n\nWritten by `bench/compare.sh`, nothing by hand. {took}\n{head}\
         ## Goals\n\n{goals}\n## Growth, nanoseconds each\n\n{growth}\n## Contests\n\n{tables}"
    );
    fs::write(arguments.out.join("README.md"), text)?;
    Ok(())
}

fn wanted(contest: &Contest, arguments: &Arguments) -> bool {
    let group = match contest.group {
        Group::Process => "process-local",
        Group::Servers => "servers",
        Group::Durable => "durable",
        Group::Transitions => "transitions",
        Group::Growth => "growth",
    };
    let Arguments { only, goals, .. } = arguments;
    (only.is_empty() || only.iter().any(|name| name == contest.work || name == group))
        && (!goals || !contest.goals.is_empty())
}

fn estimate(contest: &Contest, course: &Course) -> Duration {
    let competing = contest.competing(course.for_goals);
    let each = competing.iter().map(|who| contest.length(course.length, who) * 3 / 2 + START);
    let counted = course.counts_instructions && plan::COUNTED.contains(&contest.work);
    let extra = if counted { COUNT * competing.len() as u32 } else { Duration::ZERO };
    each.sum::<Duration>() * contest.rounds(course.rounds) as u32 + extra
}

fn bar_title(contest: &Contest) -> String {
    let title = contest.task().map_or("", |work| work.title);
    let label = contest.main_figure().label();
    format!("{title}: {label} beside {}", contest.contenders[0])
}

fn draw_growth(out: &Path, lines: &[Line]) -> Outcome<String> {
    let (mut text, mut plots) = (String::new(), String::from("\n"));
    for curve in plan::GROWTH {
        let points = table::points(curve, lines);
        if points.len() > 1 {
            text.push_str(&table::course(curve, &points));
            let title = format!("nanoseconds each: {}", curve.title.replace('-', " "));
            let name = format!("growth-{}.svg", curve.title);
            plots.push_str(&format!("![{}]({name})\n", curve.title));
            fs::write(out.join(name), plot::growth(&title, curve.axis, &points))?;
        }
    }
    Ok(text + &plots)
}

/// Replaces what stands between the marks of a page.
fn put_into(page: &Path, table: &str) -> Outcome<()> {
    let text = fs::read_to_string(page)?;
    let no_marks = || format!("{} has no table of goals between {MARKS:?}", page.display());
    let (before, rest) = text.split_once(MARKS[0]).ok_or_else(no_marks)?;
    let (_, after) = rest.split_once(MARKS[1]).ok_or_else(no_marks)?;
    Ok(fs::write(page, [before, MARKS[0], table, MARKS[1], after].concat())?)
}

/// The machine, the build and the settings.
fn head(arguments: &Arguments, course: &Course) -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let unknown = || "unknown".to_owned();
    // What it writes itself makes nothing dirty.
    let changes = ["status", "--porcelain", "--", ".", ":!bench/results", ":!README.md"];
    let dirty = said("git", &changes).is_none_or(|changes| !changes.is_empty());
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let trip = distance::round_trip_ns();
    format!(
        "{}, commit {}{}, {}, Linux {}, {} x {}, allocator: {} (servers: their own). Rounds: {}, of {} ms; each \
         table says its own; {}. Cache line round trip {:.0} ns ({}). {}\n\n",
        said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_else(unknown),
        said("git", &["describe", "--always"]).unwrap_or_else(unknown),
        if dirty { "-dirty" } else { "" },
        said("rustc", &["--version"]).unwrap_or_else(unknown),
        said("uname", &["-r"]).unwrap_or_else(unknown),
        std::thread::available_parallelism().map_or(0, usize::from),
        cpu.trim_start_matches([' ', '\t', ':']),
        arguments.allocator,
        course.rounds,
        course.length.as_millis(),
        if course.fifo {
            "in the class SCHED_FIFO where no server is needed"
        } else {
            "in the ordinary scheduling class"
        },
        trip,
        distance::name(trip),
        match (arguments.instructions, course.counts_instructions) {
            (true, true) => {
                "Instructions are counted by Callgrind, as the difference of two numbers of messages: \
                 both sides, one thread at a time, with what they spin while they wait."
            }
            (true, false) => "Instructions are not counted: there is no valgrind here.",
            (false, _) => "Instructions are not counted.",
        },
    )
}
