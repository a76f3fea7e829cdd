//! `patchbay explain`.

use std::fmt::Write as _;

use patchbay_host::view::{DeliveryLife, MessageLife};
use uuid::Uuid;

use super::failures;
use crate::{context::Context, failure::Failure, output::harmless};

pub(super) async fn run(context: &Context, mid: Uuid) -> Result<(), Failure> {
    let life: MessageLife = context.client.get(&format!("/api/v1/messages/{mid}")).await?;
    context.output.show(&life, story)
}

/// A message from its publishing to where it is now.
fn story(life: &MessageLife) -> String {
    let mut text = String::new();
    let unknown = || "unknown".to_owned();
    let topic = life.topic.clone().unwrap_or_else(unknown);
    let at = life.published_at.clone().unwrap_or_else(unknown);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "message      {}", life.mid);
    let _ = writeln!(text, "published    {at} to {}", harmless(&topic));
    if let Some(seq) = life.seq {
        let _ = writeln!(text, "journal      message {seq}");
    }
    for record in &life.records {
        let at = record.at.as_deref().unwrap_or("-");
        let whose = match (&record.plugin, record.delivery) {
            (Some(plugin), Some(delivery)) => format!("{plugin} #{delivery} "),
            _ => String::new(),
        };
        let took = match record.took_us {
            Some(took) => {
                let took = std::time::Duration::from_micros(took);
                format!(" (after {})", humantime::format_duration(took))
            }
            None => String::new(),
        };
        let (kind, detail) = (&record.kind, harmless(&record.detail));
        let _ = writeln!(text, "  {at}  {kind:<10} {whose}{detail}{took}");
    }
    for delivery in &life.deliveries {
        now(&mut text, delivery);
    }
    let _ = writeln!(text, "note         {}", life.note);
    text
}

fn now(text: &mut String, delivery: &DeliveryLife) {
    let at = delivery.subscription.as_deref().unwrap_or("a subscription that is gone");
    let more = match (&delivery.due_at, delivery.generation, delivery.dead_letter) {
        (Some(due), ..) => format!(" until {due}"),
        (_, Some(generation), _) => format!(" with generation {generation}"),
        (_, _, Some(number)) => format!(", dead letter {number}"),
        _ => String::new(),
    };
    let state = delivery.state.replace('_', " ");
    let (plugin, number) = (&delivery.plugin, delivery.delivery);
    let _ = writeln!(text, "now          {plugin} #{number} for {at}: {state}{more}");
    let (attempts, failures) = (delivery.attempts, delivery.failures);
    let _ = writeln!(text, "  {attempts} attempts, {failures} failures");
    failures::tell(text, &delivery.history);
}
