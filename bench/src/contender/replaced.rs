//! A plugin whose version is replaced: what messages pay for it, and how fast the old one is back.

use std::{fs, path::Path, sync::Arc, time::Duration};

use patchbay_host::{HostError, TransitionRequest};
use patchbay_lifecycle::transition::{Asked as Ask, OutcomeKind, Report};
use patchbay_measure::{
    entry::{Asked, Outcome},
    figures::Spread,
    histogram::Histogram,
    meter::{self, Window},
    source::now_ns,
    work::Work,
};
use serde_json::json;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{hosted, publishing::Publishers, typed::Terminal};
use crate::home::{Home, name_of};

/// The two versions, the one that serves first in front.
const VERSIONS: [&str; 2] = ["1.0.0", "2.0.0"];
/// Share of the second one in a split, percent.
const SHARE: u8 = 30;
/// Steps of a gradual transition, and how long each lasts at least.
const STEPS: [u8; 5] = [1, 5, 25, 50, 100];
const STEP_MS: u64 = 100;
/// How long messages flow between a cutover and the command to go back.
const SERVED: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(1);
/// Longest wait for a transition to get somewhere.
const COURSE_MAX: Duration = Duration::from_secs(30);

/// What plugins wrote down.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// How old messages were.
    pub(super) ages: Histogram,
    /// When the version that served first got a message after it had got none for a while,
    /// nanoseconds.
    resumed: Vec<u64>,
}

/// Two versions share the messages and nobody decides.
pub(super) async fn split(work: &Work, length: Duration) -> Outcome<Window> {
    let (home, name) = (hosted::acknowledging(work, json!({})).await?, name_of("ack", 1));
    home.add_version("ack", 1, VERSIONS[1])?;
    let steps = Some(vec![SHARE, 100]);
    let wish = TransitionRequest { steps, hold: Some(SHARE), ..to(VERSIONS[1], "gradual") };
    start(&home, &name, wish).await?;
    until(&home, &name, |report| report.share == SHARE && report.paused).await?;
    Ok(hosted::into_acknowledging(home, work, length).await)
}

/// A transition has been, and is over.
pub(super) async fn after(work: &Work, length: Duration) -> Outcome<Window> {
    let (home, name) = (hosted::acknowledging(work, json!({})).await?, name_of("ack", 1));
    home.add_version("ack", 1, VERSIONS[1])?;
    start(&home, &name, to(VERSIONS[1], "graceful")).await?;
    over(&home, &name, OutcomeKind::Completed).await?;
    Ok(hosted::into_acknowledging(home, work, length).await)
}

/// Messages at a steady rate while transitions follow one another, or none happens.
pub(super) async fn under_load(asked: &Asked<'_>) -> Outcome<Window> {
    let Asked { contender, work, length } = *asked;
    let (name, notes) = (name_of("job", 1), tempfile::tempdir()?);
    let home = Arc::new(hosted::noting(&name, notes.path()).await?);
    home.add_version("job", 1, VERSIONS[1])?;
    let topic = name.clone() + ".x";
    let publishers = Publishers::start(work, &[topic], || home.host.publisher("bench"));
    let measured = {
        let home = Arc::clone(&home);
        spawn_blocking(move || meter::measure(Duration::ZERO, length, None, || home.done(|_| true)))
    };
    let end = Instant::now() + length;
    let terminal = (contender == "patchbay-typed").then(|| Terminal::open(&home)).transpose()?;
    let mut asked_at = Vec::new();
    let mut transitions = 0_u32;
    while Instant::now() < end {
        match (contender, work.name) {
            ("patchbay" | "patchbay-typed", "rollback") => {
                asked_at.push(roll_back(&home, &name, terminal.as_ref()).await?);
            }
            ("patchbay-graceful", "replaced") => {
                forward(&home, &name, transitions, "graceful").await?;
            }
            ("patchbay-gradual", "replaced") => {
                forward(&home, &name, transitions, "gradual").await?;
            }
            ("patchbay", "replaced") => sleep(LOOK).await,
            _ => return asked.refused(),
        }
        transitions += 1;
    }
    let mut window = measured.await?;
    publishers.stop();
    drop(terminal);
    Arc::into_inner(home).ok_or("the host is still in use")?.stop().await;
    let noted = noted(notes.path())?;
    if !asked_at.is_empty() {
        window.took_ms = Some(noted.back_after(&asked_at)?);
    }
    Ok(window.with_latency(&noted.ages))
}

/// From the version that serves to the other one.
async fn forward(home: &Home, name: &str, nth: u32, strategy: &str) -> Outcome<()> {
    let version = VERSIONS[(nth as usize + 1) % 2];
    start(home, name, to(version, strategy)).await?;
    over(home, name, OutcomeKind::Completed).await
}

/// To the new version and back by command, from the bake. Says when the command was given.
async fn roll_back(home: &Home, name: &str, terminal: Option<&Terminal>) -> Outcome<u64> {
    let wish = TransitionRequest { bake_ms: Some(60_000), ..to(VERSIONS[1], "graceful") };
    start(home, name, wish).await?;
    until(home, name, |report| report.bake_left_ms.is_some()).await?;
    sleep(SERVED).await;
    let asked_ns = now_ns();
    match terminal {
        Some(terminal) => terminal.types(&["transition", "rollback", name]).await?,
        None => drop(home.host.transition_ask(name, Ask::Rollback, "bench").await?),
    }
    over(home, name, OutcomeKind::RolledBack).await?;
    Ok(asked_ns)
}

fn to(version: &str, strategy: &str) -> TransitionRequest {
    TransitionRequest {
        to: version.to_owned(),
        strategy: Some(strategy.to_owned()),
        steps: (strategy == "gradual").then(|| STEPS.to_vec()),
        min_samples: Some(20),
        min_time_ms: Some(STEP_MS),
        bake_ms: Some(0),
        ..TransitionRequest::default()
    }
}

/// Begins a transition as soon as the one before has left the books.
async fn start(home: &Home, name: &str, wish: TransitionRequest) -> Outcome<()> {
    let end = Instant::now() + COURSE_MAX;
    loop {
        match home.host.transition_start(name, wish.clone(), "bench").await {
            Err(HostError::Refused { code: "transition_running", .. }) if Instant::now() < end => {
                sleep(LOOK).await;
            }
            begun => return Ok(begun.map(|_| ())?),
        }
    }
}

async fn over(home: &Home, name: &str, kind: OutcomeKind) -> Outcome<()> {
    let report = until(home, name, |report| report.ended_unix_ns.is_some()).await?;
    match &report.outcome {
        Some(outcome) if outcome.kind == kind => Ok(()),
        _ => Err(format!("a transition ended as {:?}", report.outcome).into()),
    }
}

async fn until(
    home: &Home,
    name: &str,
    is_there: impl Fn(&Report) -> bool,
) -> Outcome<Arc<Report>> {
    let end = Instant::now() + COURSE_MAX;
    loop {
        let report = home.host.transition(name)?;
        if let Some(report) = report.as_ref().filter(|report| is_there(report)) {
            return Ok(Arc::clone(report));
        }
        if Instant::now() > end {
            return Err(format!("a transition did not get on: {report:?}").into());
        }
        sleep(LOOK).await;
    }
}

/// Reads what plugins left in a folder at their end.
pub(super) fn noted(folder: &Path) -> Outcome<Noted> {
    let mut noted = Noted::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?;
        let (resumed, ages) = text.split_once('\n').unwrap_or_default();
        if entry.file_name().to_string_lossy().starts_with(VERSIONS[0]) {
            noted.resumed.extend(resumed.split(' ').filter_map(|at| at.parse::<u64>().ok()));
        }
        noted.ages.read(ages);
    }
    noted.resumed.sort_unstable();
    Ok(noted)
}

// === impl Noted ===

impl Noted {
    /// The median time from a command to the first message that the version got again, ms.
    fn back_after(&self, asked_at: &[u64]) -> Outcome<f64> {
        let took = asked_at.iter().map(|asked| {
            let back = self.resumed.iter().find(|at| *at > asked)?;
            Some((back - asked) as f64 / 1e6)
        });
        let took: Vec<f64> = took.flatten().collect();
        if took.len() < asked_at.len() {
            return Err("the old version did not come back each time".into());
        }
        Ok(Spread::of(took).median)
    }
}
