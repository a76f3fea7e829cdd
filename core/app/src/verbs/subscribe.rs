//! `patchbay subscribe`.

use std::{future::pending, num::NonZeroU64, time::Duration};

use patchbay_gateway::Passed;
use patchbay_wire::api::{MessageView, PayloadView};

use crate::{
    args::SubscribeArgs,
    client::{Lines, escaped},
    context::Context,
    failure::{Exit, Failure},
    output::{harmless, note},
};

/// Characters of a payload that are shown in a line for reading.
const SHOWN_MAX: usize = 400;

pub(super) async fn run(context: &Context, args: &SubscribeArgs) -> Result<(), Failure> {
    let path = format!("/api/v1/taps?pattern={}", escaped(args.pattern.as_ref()));
    let mut lines = context.client.lines(&path).await?;
    // Whoever starts this in the background and then publishes waits for this line.
    note(&format!("watching {}", args.pattern));
    let mut seen = 0;
    tokio::select! {
        result = show(context, &mut lines, args.count, &mut seen) => result,
        () = after(args.timeout) => match args.count {
            None => Ok(()),
            Some(count) => {
                let wanted = format!("{seen} of {count} messages came in time");
                Err(Failure::failed(wanted).hint("allow more time with --timeout"))
            }
        },
    }
}

async fn show(
    context: &Context,
    lines: &mut Lines,
    count: Option<NonZeroU64>,
    seen: &mut u64,
) -> Result<(), Failure> {
    while let Some(passed) = lines.next::<Passed>().await? {
        if passed.missed > 0 {
            note(&format!("missed {} messages: they came too fast", passed.missed));
        }
        context.output.show_line(&passed.message, told)?;
        *seen += 1;
        if count.is_some_and(|count| *seen >= count.get()) {
            return Ok(());
        }
    }
    Err(Failure::new(Exit::Unreachable, "the host ended the stream"))
}

async fn after(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => pending().await,
    }
}

/// A message in one line.
fn told(message: &MessageView) -> String {
    let key = message.key.as_deref().map_or(String::new(), |key| format!(" [{}]", harmless(key)));
    format!("{} {}{key} {}", message.time, harmless(&message.topic), payload_text(message))
}

/// A payload for reading: harmless, and cut when it is long.
pub(super) fn payload_text(message: &MessageView) -> String {
    let text = match &message.payload {
        PayloadView::Data(value) => value.to_string(),
        PayloadView::Text(text) => harmless(text),
        PayloadView::Base64(text) => format!("base64:{text}"),
    };
    match text.char_indices().nth(SHOWN_MAX) {
        None => text,
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], message.size),
    }
}
