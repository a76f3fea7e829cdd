//! `patchbay status`, `topic list`, `ledger`.

use patchbay_host::view::{HostStatus, LedgerView, TopicView};

use crate::{context::Context, failure::Failure, output::Rows};

pub(super) async fn status(context: &Context) -> Result<(), Failure> {
    let status: HostStatus = context.client.get("/api/v1/status").await?;
    context.output.show(&status, |status| {
        let ready = if status.ready { "ready" } else { "not ready" };
        let plugins: Vec<String> =
            status.plugins.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let plugins = if plugins.is_empty() { "none".to_owned() } else { plugins.join(", ") };
        let sum = &status.ledger;
        format!(
            "host         {} (version {}), {}, {ready}, {}\n\
             since        {}\n\
             plugins      {plugins}\n\
             messages     {} accepted, {} queued, {} delayed, {} in flight, {} done, \
             {} forwarded, {} dead, {} dropped; {} retried\n\
             dead letters {} of at most {}{}\n\
             durability   {}, journal {}\n\
             unloading    {}{}",
            status.host_id,
            status.version,
            status.phase,
            status.health,
            status.started_at,
            sum.accepted,
            sum.queued,
            sum.delayed,
            sum.in_flight,
            sum.done,
            sum.forwarded,
            sum.dead,
            dropped(sum),
            sum.retried,
            status.dead_letters.count,
            status.dead_letters.max_count,
            match status.dead_letters.pending {
                0 => String::new(),
                count => format!("; FULL: {count} stay in their queues"),
            },
            status.durability,
            status.journal,
            status.unload,
            match status.quarantined {
                0 => String::new(),
                count => format!("; {count} libraries in quarantine"),
            },
        )
    })
}

pub(super) async fn topics(context: &Context) -> Result<(), Failure> {
    let topics: Vec<TopicView> = context.client.get("/api/v1/topics").await?;
    context.output.show(&topics, |topics| {
        let mut rows = Rows::new(["PATTERN", "SUBSCRIBERS", "ACCEPTED", "UNSETTLED"]);
        for topic in topics {
            rows.row([
                topic.pattern.clone(),
                topic.subscribers.join(", "),
                topic.accepted.to_string(),
                topic.unsettled.to_string(),
            ]);
        }
        rows.text("nobody subscribes to anything")
    })
}

pub(super) async fn ledger(context: &Context) -> Result<(), Failure> {
    let ledger: Vec<LedgerView> = context.client.get("/api/v1/ledger").await?;
    context.output.show(&ledger, |ledger| {
        let mut rows = Rows::new([
            "PLUGIN",
            "PATTERN",
            "ACCEPTED",
            "QUEUED",
            "DELAYED",
            "IN FLIGHT",
            "DONE",
            "FORWARDED",
            "DEAD",
            "DROPPED",
            "RETRIED",
        ]);
        for of in ledger {
            let counts =
                [of.accepted, of.queued, of.delayed, of.in_flight, of.done, of.forwarded, of.dead];
            let [accepted, queued, delayed, in_flight, done, forwarded, dead] =
                counts.map(|count| count.to_string());
            let gone = match (of.orphaned, of.cut_off) {
                (true, _) => " (gone)",
                (false, true) => " (cut off)",
                (false, false) => "",
            };
            rows.row([
                format!("{}{gone}", of.plugin),
                of.pattern.clone(),
                accepted,
                queued,
                delayed,
                in_flight,
                done,
                forwarded,
                dead,
                dropped(of),
                of.retried.to_string(),
            ]);
        }
        rows.text("there is no subscription")
    })
}

/// How many were dropped, and why.
fn dropped(ledger: &LedgerView) -> String {
    if ledger.dropped.is_empty() {
        return "0".to_owned();
    }
    let reasons: Vec<String> =
        ledger.dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.join(", ")
}
