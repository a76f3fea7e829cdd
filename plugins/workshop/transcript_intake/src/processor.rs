//! From a raw message to drafts.

use std::time::{Duration, UNIX_EPOCH};

use patchbay_plugin::{Message, PluginContext, PluginError, ProcessingStatus, PublishError};

use crate::{
    config::Settings,
    formats,
    models::{Cue, DraftTranscription, Origin},
    progress::Progress,
};

/// Topic of the drafts.
pub(crate) const DRAFT_TOPIC: &str = "transcript.draft";
/// Drafts of a document that are published at once.
const TOGETHER: usize = 64;
/// When to go on with a document whose drafts found no room.
const GO_ON_AFTER: Duration = Duration::from_millis(250);

/// Reads messages and passes their segments on.
#[derive(Debug)]
pub(crate) struct Processor {
    settings: Settings,
    progress: Progress,
}

// === impl Processor ===

impl Processor {
    pub(crate) fn new(settings: Settings) -> Processor {
        Processor { settings, progress: Progress::default() }
    }

    /// Documents that are under way.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Passes the segments of a message on: a single one by forwarding, so that the message is
    /// settled and its draft published in one step; those of a document many at once.
    pub(crate) fn take_in(
        &self,
        context: &PluginContext,
        message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        let cues_max = self.settings.document.cues_max;
        let cues = match formats::read(message.content_type(), message.payload(), cues_max) {
            Ok(cues) => cues,
            // Reading it again would find the same.
            Err(error) => return Ok(ProcessingStatus::Failed(error.to_string())),
        };
        let transcript = transcript_of(message);
        let origin = Origin {
            transcript: &transcript,
            message: message.id().0,
            published_ns: published_ns(message),
        };
        match <[Cue; 1]>::try_from(cues) {
            Ok(only) => {
                let [cue] = only;
                let draft = build(context, &cue.into_only_draft(origin, &self.settings.language))?;
                context.record_counter("transcript_intake.drafts", 1, ());
                Ok(ProcessingStatus::Forward(DRAFT_TOPIC.to_owned(), draft))
            }
            Err(cues) => self.publish_all(context, message, cues, origin),
        }
    }

    /// Publishes the drafts of a document for which there is room, and asks for the document again
    /// when there is none for the next. A lane is not kept waiting, and the next attempt goes on
    /// where this one ended.
    fn publish_all(
        &self,
        context: &PluginContext,
        message: &Message,
        cues: Vec<Cue>,
        origin: Origin<'_>,
    ) -> Result<ProcessingStatus, PluginError> {
        let mut published = self.progress.take(message.delivery_id());
        let mut cues = cues.into_iter().enumerate().skip(published);
        loop {
            let drafts = cues.by_ref().take(TOGETHER).map(|(index, cue)| {
                build(context, &cue.into_draft_at(index, origin, &self.settings.language))
            });
            let drafts = drafts.collect::<Result<Vec<Message>, PluginError>>()?;
            if drafts.is_empty() {
                return Ok(ProcessingStatus::Acknowledged);
            }
            let (more, stopped) = match context.transport.try_publish_batch(drafts) {
                Ok(all) => (all, None),
                Err(stopped) => (stopped.accepted, Some(stopped)),
            };
            published += more;
            context.record_counter("transcript_intake.drafts", more as u64, ());
            if let Some(stopped) = stopped {
                self.progress.keep(message.delivery_id(), published);
                return match stopped.error {
                    PublishError::Full(_) => Ok(ProcessingStatus::RetryLater(GO_ON_AFTER)),
                    _ => Err(stopped.into()),
                };
            }
        }
    }
}

/// The key names the transcript; a message without one is a transcript of its own.
fn transcript_of(message: &Message) -> String {
    message.key().map_or_else(|| message.id().to_string(), str::to_owned)
}

fn build(context: &PluginContext, draft: &DraftTranscription) -> Result<Message, PluginError> {
    let builder = context.message_builder().topic(DRAFT_TOPIC).key(draft.transcript.as_str());
    Ok(builder.json(draft).build()?)
}

fn published_ns(message: &Message) -> u64 {
    let since = message.timestamp().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
