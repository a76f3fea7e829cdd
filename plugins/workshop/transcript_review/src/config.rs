//! Settings of the plugin; `manifest.yaml` holds the defaults and what they mean.

use std::time::Duration;

use patchbay_plugin::{ErrorClass, PluginError};
use serde::{Deserialize, Deserializer, de::Error};

use crate::{client::Client, glossary::Glossary, rules::Rules};

/// All settings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    confidence: Confidence,
    languages: Vec<String>,
    text: Text,
    pub(crate) glossary: GlossarySettings,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confidence {
    min: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    chars_max: usize,
}

/// Where names are looked up.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GlossarySettings {
    url: String,
    #[serde(deserialize_with = "duration")]
    timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) retry_after: Duration,
    names_max: usize,
    answers_max: usize,
}

// === impl Settings ===

impl Settings {
    /// The rules of the review.
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            confidence_min: self.confidence.min,
            languages: self.languages.clone(),
            text_chars_max: self.text.chars_max,
            names_max: self.glossary.names_max,
        }
    }

    /// The glossary, unless none is set.
    ///
    /// # Errors
    /// Its address is none.
    pub(crate) fn glossary(&self) -> Result<Option<Glossary>, PluginError> {
        let GlossarySettings { url, timeout, answers_max, .. } = &self.glossary;
        if url.is_empty() {
            return Ok(None);
        }
        let client = Client::new(url, *timeout).map_err(|error| {
            PluginError::from_error(ErrorClass::Permanent, &error).context("glossary.url")
        })?;
        Ok(Some(Glossary::new(client, *answers_max)))
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text)
        .map_err(|error| D::Error::custom(format!("`{text}` is no duration such as `2s`: {error}")))
}
