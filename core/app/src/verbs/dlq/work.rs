//! `patchbay dlq redrive` and `purge`: begun by the host, watched from here.

use std::time::Duration;

use patchbay_host::{
    LetterFilter,
    view::{OperationPlan, OperationView},
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::{
    args::WorkArgs,
    client::escaped,
    context::Context,
    failure::{Exit, Failure},
    output::{Rows, note},
    verbs::fresh_key,
};

/// Period at which a short operation is asked after; a longer one is asked less often.
const PERIOD: Duration = Duration::from_millis(10);
const PERIOD_MAX: Duration = Duration::from_millis(500);
/// Distance between two words about how far it came.
const TELL: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize)]
struct Work {
    select: LetterFilter,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    dry_run: bool,
}

pub(super) async fn run(context: &Context, verb: &str, args: WorkArgs) -> Result<(), Failure> {
    let WorkArgs { numbers, filter, all, rate, dry_run, no_wait, key } = args;
    let select = LetterFilter {
        numbers,
        plugin: filter.plugin,
        topic: filter.topic.map(|topic| topic.to_string()),
        class: filter.class,
        since: filter.since,
        until: filter.until,
        reason: filter.reason,
        limit: filter.limit.map(Into::into),
        all,
    };
    if select.is_empty() {
        return Err(Failure::usage(format!("which dead letters are to be {}?", done(verb)))
            .hint("name their numbers, filter them as `dlq list` does, or say --all"));
    }
    let path = format!("/api/v1/dead-letters/{verb}");
    let work = Work { select, rate: rate.map(Into::into), dry_run };
    if dry_run {
        let plan: OperationPlan = context.client.send(&path, &work).await?;
        return context.output.show(&plan, told_plan);
    }
    let mut operation: OperationView =
        context.client.send_once(&path, &work, &fresh_key(key)).await?;
    if no_wait {
        return context.output.show(&operation, |it| {
            format!("operation {} is running: `patchbay operation show {0}`", it.id)
        });
    }
    let path = format!("/api/v1/operations/{}", escaped(&operation.id));
    let (mut period, mut told) = (PERIOD, Instant::now());
    while operation.state == "running" {
        sleep(period).await;
        period = (period * 2).min(PERIOD_MAX);
        operation = context.client.get(&path).await?;
        if told.elapsed() >= TELL {
            told = Instant::now();
            note(&format!("{} of {} {}", operation.done, operation.selected, done(verb)));
        }
    }
    context.output.show(&operation, told_end)?;
    how_it_ended(&operation)
}

fn done(verb: &str) -> &'static str {
    if verb == "purge" { "purged" } else { "sent back" }
}

fn told_plan(plan: &OperationPlan) -> String {
    let mut rows =
        Rows::new(["NUMBER", "WOULD", "PLUGIN", "SUBSCRIPTION", "TOPIC", "CLASS", "MESSAGE"]);
    for letter in &plan.letters {
        rows.row([
            letter.number.to_string(),
            letter.would.clone(),
            letter.plugin.clone(),
            letter.subscription.clone().unwrap_or_else(|| "gone".to_owned()),
            letter.topic.clone(),
            letter.class.clone(),
            letter.mid.clone(),
        ]);
    }
    let mut text = rows.text("no dead letter is selected");
    if !plan.absent.is_empty() {
        let absent: Vec<String> = plan.absent.iter().map(ToString::to_string).collect();
        text.push_str(&format!("\nnot there: {}", absent.join(", ")));
    }
    text
}

fn told_end(operation: &OperationView) -> String {
    let mut text = format!(
        "{} of {} dead letters {}",
        operation.done,
        operation.selected,
        done(&operation.kind)
    );
    if operation.absent > 0 {
        text.push_str(&format!("; {} were not there (any more)", operation.absent));
    }
    if operation.refused > 0 {
        text.push_str(&format!("; {} were refused", operation.refused));
    }
    text
}

fn how_it_ended(operation: &OperationView) -> Result<(), Failure> {
    if operation.state != "done" {
        let hint = match operation.state.as_str() {
            "interrupted" => "the next host goes on with it: `patchbay operation list`",
            _ => "what was done stays done; asking again does the rest",
        };
        return Err(Failure::failed(format!("the operation was {}", operation.state)).hint(hint));
    }
    if operation.refused > 0 {
        let count = operation.refused;
        let failure =
            Failure::new(Exit::Refused, format!("{count} dead letters stay where they are"));
        let failure = match operation.problems.first() {
            Some(problem) => failure.cause(problem.reason.clone()),
            None => failure,
        };
        return Err(failure.hint(
            "activate the plugin that had the subscription, or purge what is not needed any more",
        ));
    }
    if operation.done == 0 && operation.absent > 0 {
        return Err(Failure::failed("there is no dead letter of these numbers (any more)")
            .hint("`patchbay dlq list` shows the numbers"));
    }
    Ok(())
}
