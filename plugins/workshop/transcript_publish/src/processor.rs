//! From a reviewed segment to a published one.

use std::time::SystemTime;

use patchbay_plugin::{ErrorClass, Message, PluginContext, PluginError, ProcessingStatus};

use crate::{book::Written, error::OutputError, models::ReviewedTranscription, shelf::Shelf};

/// Publishes one segment. Once its line is in the file it is published, and a redelivery finds it
/// there: the message is acknowledged either way.
pub(crate) fn publish(
    context: &PluginContext,
    shelf: &Shelf,
    message: &Message,
) -> Result<ProcessingStatus, PluginError> {
    let reviewed: ReviewedTranscription = match message.json() {
        Ok(reviewed) => reviewed,
        Err(error) => return Ok(ProcessingStatus::Failed(error.to_string())),
    };
    match shelf.write(&reviewed.publish(SystemTime::now())) {
        Ok(Written::New) => context.record_counter("transcript_publish.published", 1, ()),
        Ok(Written::Known) => context.record_counter("transcript_publish.known", 1, ()),
        Err(error) if error.is_of_the_message() => {
            return Ok(ProcessingStatus::Failed(error.to_string()));
        }
        Err(error) => return Err(in_words(&error)),
    }
    Ok(ProcessingStatus::Acknowledged)
}

/// A full disk is emptied, a permission given, a foreign file moved away: trying again may help.
pub(crate) fn in_words(error: &OutputError) -> PluginError {
    PluginError::from_error(ErrorClass::Transient, error)
}
