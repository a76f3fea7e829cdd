//! `patchbay dlq`.

mod work;

use std::fmt::Write as _;

use patchbay_gateway::DeadLetter;
use patchbay_host::view::UnreadableView;

use super::{failures, subscribe::payload_text};
use crate::{
    args::{DlqVerb, FilterArgs},
    client::escaped,
    context::Context,
    failure::Failure,
    output::{Rows, harmless},
};

pub(super) async fn run(context: &Context, verb: DlqVerb) -> Result<(), Failure> {
    match verb {
        DlqVerb::List { unreadable: true, .. } => {
            let lost: Vec<UnreadableView> =
                context.client.get("/api/v1/dead-letters/unreadable").await?;
            context.output.show(&lost, |lost| {
                let mut rows = Rows::new(["NUMBER", "PLUGIN", "WHY"]);
                for letter in lost {
                    rows.row([
                        letter.number.to_string(),
                        letter.plugin.clone(),
                        letter.why.clone(),
                    ]);
                }
                rows.text("every dead letter can be read")
            })
        }
        DlqVerb::List { filter, unreadable: false } => {
            let dead: Vec<DeadLetter> =
                context.client.get(&format!("/api/v1/dead-letters{}", query(&filter))).await?;
            context.output.show(&dead, |dead| {
                let mut rows = Rows::new([
                    "NUMBER", "AT", "PLUGIN", "TOPIC", "ATTEMPTS", "CLASS", "REASON", "MESSAGE",
                ]);
                for letter in dead {
                    rows.row([
                        letter.number.to_string(),
                        letter.at.clone(),
                        letter.plugin.clone(),
                        letter.message.topic.clone(),
                        letter.attempts.to_string(),
                        letter.class.clone(),
                        letter.reason.clone(),
                        letter.message.id.clone(),
                    ]);
                }
                rows.text("there are no dead letters")
            })
        }
        DlqVerb::Show { id } => {
            let path = format!("/api/v1/dead-letters/{}", escaped(&id));
            let dead: DeadLetter = context.client.get(&path).await?;
            context.output.show(&dead, story)
        }
        DlqVerb::Redrive(args) => work::run(context, "redrive", args).await,
        DlqVerb::Purge(args) => work::run(context, "purge", args).await,
    }
}

/// A filter as a query.
fn query(filter: &FilterArgs) -> String {
    let limit = filter.limit.map(|limit| limit.to_string());
    let given = [
        ("plugin", &filter.plugin),
        ("topic", &filter.topic.as_ref().map(ToString::to_string)),
        ("class", &filter.class),
        ("since", &filter.since),
        ("until", &filter.until),
        ("reason", &filter.reason),
        ("limit", &limit),
    ];
    let mut query = String::new();
    for (name, value) in given {
        if let Some(value) = value {
            let before = if query.is_empty() { '?' } else { '&' };
            // Writing to a string cannot fail.
            let _ = write!(query, "{before}{name}={}", escaped(value));
        }
    }
    query
}

/// A dead letter from its publishing to its death.
fn story(dead: &DeadLetter) -> String {
    let mut text = String::new();
    let message = &dead.message;
    let key = message.key.as_deref().map_or(String::new(), |key| format!(", key `{key}`"));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "dead letter  {}, message {}", dead.number, message.id);
    let _ = writeln!(text, "published    {} to {}{}", message.time, message.topic, harmless(&key));
    let version = match &*dead.version {
        "" => String::new(),
        version => format!(" {version} (generation {})", dead.generation),
    };
    let of = dead.subscription;
    let _ = writeln!(text, "plugin       {}{version}, subscription {of}", dead.plugin);
    let _ = writeln!(text, "died         {} ({}): {}", dead.at, dead.class, harmless(&dead.reason));
    let _ = writeln!(text, "attempts     {}, of which {} failed", dead.attempts, dead.failures);
    if dead.redrives > 0 {
        let _ = writeln!(text, "sent back    {} times before", dead.redrives);
    }
    failures::tell(&mut text, &dead.history);
    for (name, value) in &message.headers.0 {
        let _ = writeln!(text, "header       {}: {}", harmless(name), harmless(value));
    }
    let _ = writeln!(text, "payload      {} bytes: {}", message.size, payload_text(message));
    text
}
