//! `patchbay transition`: begun by the host, watched from here.

mod told;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use patchbay_gateway::{TransitionPlan, TransitionStatus};
use patchbay_host::TransitionRequest;
use patchbay_lifecycle::transition::{Entry, OutcomeKind, Report};
use patchbay_manifest::PluginName;
use tokio::time::sleep;

use super::{fresh_key, plugin};
use crate::{
    args::{AskArgs, ListArgs, StartArgs, StatusArgs, TransitionVerb},
    client::escaped,
    context::Context,
    failure::Failure,
    output::{note, print},
    settings,
};

/// Period at which a running transition is looked at.
const PERIOD: Duration = Duration::from_millis(100);
/// After this long without a line of progress the figures so far are shown, if they have changed.
const FIGURES: Duration = Duration::from_secs(2);

pub(super) async fn run(context: &Context, verb: TransitionVerb) -> Result<(), Failure> {
    match verb {
        TransitionVerb::Start(args) => start(context, args).await,
        TransitionVerb::Status(args) => status(context, &args).await,
        TransitionVerb::Pause(args) => ask(context, args, "pause").await,
        TransitionVerb::Resume(args) => ask(context, args, "resume").await,
        TransitionVerb::Promote(args) => ask(context, args, "promote").await,
        TransitionVerb::Abort(args) => ask(context, args, "abort").await,
        TransitionVerb::Rollback(args) => ask(context, args, "rollback").await,
        TransitionVerb::List(args) => list(context, &args).await,
    }
}

fn path(name: &PluginName) -> String {
    format!("{}/transition", plugin::path(name))
}

async fn start(context: &Context, args: StartArgs) -> Result<(), Failure> {
    let (name, dry_run, no_wait) = (args.name.clone(), args.dry_run, args.no_wait);
    let request = request(args)?;
    if dry_run {
        let at = format!("{}/plan", path(&name));
        let plan: TransitionPlan = context.client.send(&at, &request).await?;
        return context.output.show(&plan, |plan| plan.text.clone());
    }
    let begun: Report = context.client.send(&path(&name), &request).await?;
    if no_wait {
        return context.output.show(&begun, |it| format!("transition {} runs", it.spec.id));
    }
    follow(context, &name, begun).await
}

/// The request as the host reads it. A file is named as it is here; whatever else is a version.
fn request(args: StartArgs) -> Result<TransitionRequest, Failure> {
    let ms = |time: Option<Duration>| {
        time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    let to = args.to.unwrap_or_default();
    let to = match std::fs::canonicalize(&to) {
        Ok(path) if Path::new(&to).is_file() => path.to_string_lossy().into_owned(),
        _ => to,
    };
    let settings = args.config.as_deref().map(settings::of_plugin).transpose()?;
    Ok(TransitionRequest {
        to,
        settings,
        strategy: args.strategy.map(|strategy| strategy.as_str().to_owned()),
        steps: args.steps,
        hold: args.hold,
        min_samples: args.min_samples,
        min_time_ms: ms(args.min_time),
        drain_deadline_ms: ms(args.drain_deadline),
        on_timeout: args.on_drain_timeout.map(|it| it.as_str().to_owned()),
        bake_ms: ms(args.bake),
        deadline_ms: ms(args.deadline),
        mirror: args.mirror,
        require_dlq_pass: args.require_dlq_pass,
        force: args.force,
        idempotency_key: Some(fresh_key(args.key)),
        why: args.why,
        ..TransitionRequest::default()
    })
}

async fn status(context: &Context, args: &StatusArgs) -> Result<(), Failure> {
    let status: TransitionStatus = context.client.get(&path(&args.name)).await?;
    match status.report.clone() {
        Some(report) if args.follow => follow(context, &args.name, report).await,
        _ => context.output.show(&status, |status| told::status(&args.name, status)),
    }
}

async fn list(context: &Context, args: &ListArgs) -> Result<(), Failure> {
    let of = args
        .name
        .as_ref()
        .map_or(String::new(), |name| format!("&plugin={}", escaped(name.as_str())));
    let path = format!("/api/v1/transitions?limit={}{of}", args.limit);
    let all: Vec<Report> = context.client.get(&path).await?;
    context.output.show(&all, |all| told::table(all))
}

async fn ask(context: &Context, args: AskArgs, verb: &str) -> Result<(), Failure> {
    let key = fresh_key(args.key);
    let at = format!("{}/{verb}", path(&args.name));
    let report: Report = context.client.post_once(&at, &key).await?;
    context.output.show(&report, told::line)
}

/// Shows every line of progress until the end, and the report then.
async fn follow(context: &Context, name: &PluginName, mut report: Report) -> Result<(), Failure> {
    let id = report.spec.id.clone();
    let mut last: Option<Entry> = None;
    let (mut shown, mut figures) = (Instant::now(), String::new());
    let say = |line: &str| {
        if context.output.is_json() {
            note(line);
            return Ok(());
        }
        print(line)
    };
    loop {
        for entry in after(&report.entries, last.as_ref()) {
            say(&told::entry(entry))?;
            shown = Instant::now();
        }
        let so_far = told::figures(&report);
        if shown.elapsed() >= FIGURES && so_far.as_ref().is_some_and(|it| *it != figures) {
            figures = so_far.unwrap_or_default();
            say(&told::now(&report, &figures))?;
            shown = Instant::now();
        }
        last = report.entries.last().cloned().or(last);
        if report.ended_unix_ns.is_some() {
            break;
        }
        sleep(PERIOD).await;
        let status: TransitionStatus = context.client.get(&path(name)).await?;
        match status.report.filter(|it| it.spec.id == id) {
            Some(next) => report = next,
            None => {
                return Err(Failure::failed(format!("transition {id} is not there any more"))
                    .hint(
                        "the host was restarted, or another one was started; look at its status",
                    ));
            }
        }
    }
    context.output.show(&report, told::report)?;
    match &report.outcome {
        Some(outcome) if outcome.kind == OutcomeKind::Completed => Ok(()),
        Some(outcome) => Err(Failure::failed(format!(
            "the transition was {}: version {} serves",
            outcome.kind.as_str().replace('_', " "),
            report.spec.from.version
        ))
        .cause(outcome.reason.clone())),
        None => Err(Failure::failed("the transition ended without an outcome")),
    }
}

/// The entries after one that was shown; all of them when that one was forgotten.
fn after<'a>(entries: &'a [Entry], last: Option<&Entry>) -> &'a [Entry] {
    let seen = last.and_then(|last| entries.iter().rposition(|entry| entry == last));
    &entries[seen.map_or(0, |at| at + 1)..]
}
