//! Publishes reviewed segments.
//!
//! `transcript.reviewed` carries what passed the review. Each segment becomes one line of
//! `TRANSCRIPT.jsonl`, for programs, and one paragraph of `TRANSCRIPT.md`, for people. A segment
//! that comes again, by a redelivery or because its document was published once more, is known by
//! its name and not written twice, also after a restart.
//!
//! Files are written without waiting for the disk: what a plugin does on its lane holds up nobody
//! else. After a power cut the last lines may be missing, never half a line.
//!
//! Reading order: `lib` → `processor` → `models` → `shelf` → `book` → `page`.

mod book;
mod config;
mod error;
mod models;
mod page;
mod processor;
mod shelf;

use patchbay_plugin::{
    Message, Metrics, Plugin, PluginContext, PluginError, ProcessingStatus, Runtime,
};

use crate::{config::Settings, shelf::Shelf};

/// The plugin.
#[derive(Debug)]
pub struct TranscriptPublish {
    context: PluginContext,
    shelf: Shelf,
}

impl Plugin for TranscriptPublish {
    /// Waits for nothing but files.
    const RUNTIME: Runtime = Runtime::None;

    fn new(context: PluginContext) -> Result<Self, PluginError> {
        let settings: Settings = context.config.load()?;
        Ok(TranscriptPublish { context, shelf: settings.shelf() })
    }

    fn name(&self) -> &str {
        &self.context.plugin_name
    }

    /// Makes the folder, so that a wrong one is noticed before the first message.
    async fn init(&self) -> Result<(), PluginError> {
        self.shelf.prepare().map_err(|error| processor::in_words(&error))
    }

    async fn process_message(
        &self,
        _topic: &str,
        message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        processor::publish(&self.context, &self.shelf, message)
    }

    async fn metrics(&self) -> Metrics {
        Metrics::new().with("open_transcripts", self.shelf.open_count())
    }

    async fn shutdown(&self) -> Result<(), PluginError> {
        self.shelf.close();
        Ok(())
    }
}

patchbay_plugin::export_plugin!(TranscriptPublish, "../manifest.yaml");

#[cfg(test)]
mod tests;
