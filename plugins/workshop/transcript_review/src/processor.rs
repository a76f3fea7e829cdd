//! From a draft to a reviewed segment.

use std::time::Instant;

use patchbay_plugin::{
    ErrorClass, Message, PluginContext, PluginError, ProcessingStatus, info, warn,
};

use crate::{
    Parts,
    client::AskError,
    glossary::{Glossary, News},
    models::{DraftTranscription, KnownName},
};

/// Topic of the reviewed segments.
pub(crate) const REVIEWED_TOPIC: &str = "transcript.reviewed";

/// Reviews one draft.
pub(crate) async fn review(
    context: &PluginContext,
    parts: &Parts,
    message: &Message,
) -> Result<ProcessingStatus, PluginError> {
    let draft: DraftTranscription = match message.json() {
        Ok(draft) => draft,
        Err(error) => return Ok(ProcessingStatus::Failed(error.to_string())),
    };
    let span = context.create_span("review", [("segment", draft.segment.as_str())]);
    // The message that is forwarded carries the trace on.
    let _entered = span.enter();
    let checked = match draft.check(&parts.rules) {
        Ok(checked) => checked,
        Err(refusal) => {
            span.error(refusal.to_string());
            return Ok(ProcessingStatus::Failed(refusal.to_string()));
        }
    };
    let names = match &parts.glossary {
        None => Vec::new(),
        Some(glossary) => match look_up(context, glossary, checked.names()).await {
            Ok(names) => names,
            // A service that is away is waited for, however long.
            Err(error) if error.is_away() => {
                context.record_counter("transcript_review.glossary_away", 1, ());
                return Ok(ProcessingStatus::RetryLater(parts.retry_after));
            }
            // One that answers nonsense is an error, which is charged, so that its message ends
            // among the dead letters and somebody looks.
            Err(error) => return Err(PluginError::from_error(ErrorClass::Transient, &error)),
        },
    };
    let reviewed = checked.review(names);
    let key = reviewed.transcript.as_str();
    let forward =
        context.message_builder().topic(REVIEWED_TOPIC).key(key).json(&reviewed).build()?;
    Ok(ProcessingStatus::Forward(REVIEWED_TOPIC.to_owned(), forward))
}

/// Looks names up, in a span of its own and with the time it takes.
async fn look_up(
    context: &PluginContext,
    glossary: &Glossary,
    names: &[String],
) -> Result<Vec<KnownName>, AskError> {
    let span = context.create_span("look up names", ());
    let begin = Instant::now();
    let tell = |news| match news {
        News::Away(why) => warn!(context, "{why}; drafts are asked back until it answers"),
        News::Back => info!(context, "the glossary answers again"),
    };
    let answer = glossary.look_up(names, tell).await;
    let took = begin.elapsed().as_secs_f64();
    context.record_histogram("transcript_review.look_up_seconds", took, ());
    match &answer {
        Ok(_) => span.ok(),
        Err(error) => span.error(error.to_string()),
    }
    answer
}
