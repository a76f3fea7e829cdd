//! Runs the product and its peers on the same work in the same run. `bench/compare.sh` builds and
//! starts everything that this needs.
#![forbid(unsafe_code)]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use clap::Parser;
use patchbay_bench::{
    compare::{
        plan::{self, Contest, Curve, Group},
        plot,
        round::{Course, Line},
        table,
    },
    home::Outcome,
};
use patchbay_measure::{distance, figures::Spread};

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
    /// Works, or parts of the comparison (process, servers, durable, growth); all when absent.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Count allocations; what is measured is slower then.
    #[arg(long)]
    allocations: bool,
    /// Name of the allocator, for the record.
    #[arg(long, default_value = "the system's")]
    allocator: String,
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let contests: Vec<&Contest> =
        plan::ALL.iter().filter(|contest| wanted(contest, &arguments.only)).collect();
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
        allocations: arguments.allocations,
        undisturbed: may_be_undisturbed(),
    };
    let head = head(&arguments, &course);
    println!("{head}");
    let start = Instant::now();
    let mut record = File::create(arguments.out.join("results.jsonl"))?;
    let (mut text, mut all) = (head, Vec::new());
    for contest in contests {
        let lines = course.run(contest, &mut record)?;
        let table = table::markdown(contest, &lines);
        println!("{table}");
        text.push_str(&table);
        text.push('\n');
        if lines.iter().any(|line| line.contender != contest.contenders[0]) {
            let name = format!("{}.svg", contest.work);
            let rows = table::rows(contest, &lines);
            fs::write(arguments.out.join(name), plot::bars(&bar_title(contest), &rows))?;
        }
        all.extend(lines);
    }
    draw_growth(&arguments.out, &all)?;
    let took = format!("\nIt took {:.0} s.\n", start.elapsed().as_secs_f64());
    println!("{took}");
    fs::write(arguments.out.join("results.md"), text + &took)?;
    Ok(())
}

fn wanted(contest: &Contest, only: &[String]) -> bool {
    let group = match contest.group {
        Group::Process => "process-local",
        Group::Servers => "servers",
        Group::Durable => "durable",
        Group::Growth => "growth",
    };
    only.is_empty() || only.iter().any(|name| name == contest.work || name == group)
}

fn bar_title(contest: &Contest) -> String {
    let title =
        patchbay_measure::work::Work::named(contest.work_name()).map_or("", |work| work.title);
    let figure = table::main_figure(contest).label();
    format!("{title}: {figure} beside {}", contest.contenders[0])
}

fn draw_growth(out: &Path, lines: &[Line]) -> Outcome<()> {
    for Curve { title, axis, points } in plan::GROWTH {
        let points: Vec<(f64, f64)> = points
            .iter()
            .filter_map(|(work, grown)| {
                let of =
                    |line: &&Line| line.work == *work && Contest::is_of_product(&line.contender);
                let each: Vec<f64> = lines
                    .iter()
                    .filter(of)
                    .filter(|line| line.contender == "patchbay" || !work.starts_with("one"))
                    .map(|line| 1e9 / line.rate)
                    .collect();
                (!each.is_empty()).then(|| (*grown, Spread::of(each).median))
            })
            .collect();
        if points.len() > 1 {
            let name = format!("growth-{title}.svg");
            let title = format!("nanoseconds each: {}", title.replace('-', " "));
            fs::write(out.join(name), plot::growth(&title, axis, &points))?;
        }
    }
    Ok(())
}

/// Whether `chrt` may give a class that ordinary work does not preempt.
fn may_be_undisturbed() -> bool {
    Command::new("chrt").args(["-f", "10", "true"]).output().is_ok_and(|out| out.status.success())
}

/// The machine, the build and the settings.
fn head(arguments: &Arguments, course: &Course) -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let unknown = || "unknown".to_owned();
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let trip = distance::round_trip_ns();
    format!(
        "{}, commit {}, {}, Linux {}, {} x {}, allocator: {}. {} rounds of {} ms, {}. Cache line round trip {:.0} ns ({}).\n\n",
        said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_else(unknown),
        said("git", &["describe", "--always", "--dirty"]).unwrap_or_else(unknown),
        said("rustc", &["--version"]).unwrap_or_else(unknown),
        said("uname", &["-r"]).unwrap_or_else(unknown),
        std::thread::available_parallelism().map_or(0, usize::from),
        cpu.trim_start_matches([' ', '\t', ':']),
        arguments.allocator,
        course.rounds,
        course.length.as_millis(),
        if course.undisturbed {
            "in-process contenders in the class SCHED_FIFO"
        } else {
            "ordinary scheduling class"
        },
        trip,
        distance::name(trip),
    )
}
