//! Reviews draft segments.
//!
//! `transcript.draft` carries what was taken in. A draft that says something, in a language that is
//! published, at a time that can be, and with a confidence that suffices, goes on to
//! `transcript.reviewed`, together with what a glossary service knows of the names in it. Every
//! other one fails with the reason, and rests among the dead letters.
//!
//! While the glossary is away, drafts are asked back later: nothing is lost, nothing is charged.
//!
//! Reading order: `lib` → `processor` → `models` → `rules` → `names` → `glossary` → `client`.

mod client;
mod config;
mod glossary;
mod models;
mod names;
mod processor;
mod rules;

use std::time::Duration;

use patchbay_plugin::{Message, Metrics, Plugin, PluginContext, PluginError, ProcessingStatus};

use crate::{config::Settings, glossary::Glossary, rules::Rules};

/// The plugin.
#[derive(Debug)]
pub struct TranscriptReview {
    context: PluginContext,
    parts: Parts,
}

/// What a review needs, made from the settings.
#[derive(Debug)]
pub(crate) struct Parts {
    rules: Rules,
    glossary: Option<Glossary>,
    retry_after: Duration,
}

impl Plugin for TranscriptReview {
    fn new(context: PluginContext) -> Result<Self, PluginError> {
        let settings: Settings = context.config.load()?;
        let parts = Parts {
            rules: settings.rules(),
            glossary: settings.glossary()?,
            retry_after: settings.glossary.retry_after,
        };
        Ok(TranscriptReview { context, parts })
    }

    fn name(&self) -> &str {
        &self.context.plugin_name
    }

    async fn process_message(
        &self,
        _topic: &str,
        message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        processor::review(&self.context, &self.parts, message).await
    }

    async fn metrics(&self) -> Metrics {
        let answers = self.parts.glossary.as_ref().map_or(0, Glossary::remembered);
        Metrics::new().with("glossary_answers", answers)
    }

    /// Forgets what the glossary said.
    async fn reset(&self) -> Result<(), PluginError> {
        if let Some(glossary) = &self.parts.glossary {
            glossary.forget();
        }
        Ok(())
    }
}

patchbay_plugin::export_plugin!(TranscriptReview, "../manifest.yaml");

#[cfg(test)]
mod tests;
