//! Takes transcripts in.
//!
//! `transcript.raw` carries what people and recognisers have: a WebVTT, SubRip or plain-text file,
//! lines of one, or a JSON object. Each segment of it goes to `transcript.draft`. The content type
//! says which format it is; without one, the text does. The key of the message is the name of the
//! transcript.
//!
//! A message with one segment is forwarded; one with many publishes each and is acknowledged, in
//! several attempts when there is no room for all of them; one that cannot be read fails, with the
//! line and the remedy.
//!
//! Reading order: `lib` → `processor` → `formats` → `models`.

mod config;
mod error;
mod formats;
mod models;
mod processor;
mod progress;

use patchbay_plugin::{
    Message, Metrics, Plugin, PluginContext, PluginError, ProcessingStatus, Runtime,
};

use crate::processor::Processor;

/// The plugin.
#[derive(Debug)]
pub struct TranscriptIntake {
    context: PluginContext,
    processor: Processor,
}

impl Plugin for TranscriptIntake {
    /// Waits for nothing but the host.
    const RUNTIME: Runtime = Runtime::None;

    fn new(context: PluginContext) -> Result<Self, PluginError> {
        let processor = Processor::new(context.config.load()?);
        Ok(TranscriptIntake { context, processor })
    }

    fn name(&self) -> &str {
        &self.context.plugin_name
    }

    async fn process_message(
        &self,
        _topic: &str,
        message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        self.processor.take_in(&self.context, message)
    }

    async fn metrics(&self) -> Metrics {
        Metrics::new().with("documents_under_way", self.processor.progress().documents())
    }

    async fn reset(&self) -> Result<(), PluginError> {
        self.processor.progress().forget();
        Ok(())
    }
}

patchbay_plugin::export_plugin!(TranscriptIntake, "../manifest.yaml");

#[cfg(test)]
mod tests;
