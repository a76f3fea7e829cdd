//! What a plugin is given.

use std::{ops::Deref, sync::Arc, time::Duration};

use crate::{
    builder::MessageBuilder,
    config::Config,
    host::Link,
    log::Level,
    telemetry::{Attributes, Span, Telemetry},
    timer::Sleep,
    transport::{Publish, Transport},
};

/// A plugin's access to its host. A clone is one reference count; keep it in the plugin.
#[derive(Clone, Debug)]
pub struct PluginContext {
    parts: Arc<ContextParts>,
}

/// What a [`PluginContext`] dereferences to.
#[derive(Debug)]
#[non_exhaustive]
pub struct ContextParts {
    /// Publishing and subscribing.
    pub transport: Transport,
    /// The plugin's settings.
    pub config: Config,
    /// Logs, metrics and spans.
    pub telemetry: Telemetry,
    /// The plugin's name, from its manifest.
    pub plugin_name: String,
    /// The plugin's version, from its manifest.
    pub plugin_version: String,
}

// === impl PluginContext ===

impl PluginContext {
    pub(crate) fn from_link(link: &Arc<Link>, name: &str, version: &str, config: &str) -> Self {
        PluginContext {
            parts: Arc::new(ContextParts {
                transport: Transport::new(link.clone()),
                config: Config::new(link.clone(), config),
                telemetry: Telemetry::new(link.clone()),
                plugin_name: name.to_owned(),
                plugin_version: version.to_owned(),
            }),
        }
    }

    /// A new message. Unless told otherwise it goes to [`topic`](PluginContext::topic), names this
    /// plugin as its source, and carries the trace of the span that is entered.
    pub fn message_builder(&self) -> MessageBuilder<'_> {
        MessageBuilder::new(self)
    }

    /// The plugin's standard topic: `plugin.<name>`.
    #[must_use]
    pub fn topic(&self) -> String {
        format!("plugin.{}", self.plugin_name)
    }

    /// A topic below the standard one: `plugin.<name>.<subcategory>`.
    #[must_use]
    pub fn topic_subcategory(&self, subcategory: &str) -> String {
        format!("plugin.{}.{subcategory}", self.plugin_name)
    }

    /// Publishes bytes and waits for room where a subscription is full. Short for
    /// `message_builder().topic(topic).payload(payload).publish()`.
    pub fn publish(&self, topic: impl AsRef<str>, payload: impl AsRef<[u8]>) -> Publish {
        self.message_builder().topic(topic.as_ref()).payload(payload.as_ref()).publish()
    }

    /// Waits, by the host's clock in a call without tokio and by tokio's elsewhere.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(self.transport.link().clone(), duration)
    }

    /// Begins a span below the one that is entered, or below the trace of the message that is being
    /// handled. It ends when it is dropped.
    #[must_use]
    pub fn create_span(&self, name: &str, attributes: impl Attributes) -> Span {
        self.telemetry.create_span(name, attributes)
    }

    /// Adds to a sum. [`Telemetry::counter`] saves the look-up of the name.
    pub fn record_counter(&self, name: &str, value: u64, attributes: impl Attributes) {
        self.telemetry.counter(name).add_with(value, attributes);
    }

    /// Sets a value that comes and goes.
    pub fn record_gauge(&self, name: &str, value: f64, attributes: impl Attributes) {
        self.telemetry.gauge(name).set_with(value, attributes);
    }

    /// Adds a value to a distribution.
    pub fn record_histogram(&self, name: &str, value: f64, attributes: impl Attributes) {
        self.telemetry.histogram(name).record_with(value, attributes);
    }

    /// Writes a log line. The macros [`info!`](crate::info) and its like add where it comes from.
    pub fn log(&self, level: Level, text: impl AsRef<str>) {
        self.telemetry.log(level, &self.plugin_name, "", 0, text.as_ref());
    }
}

impl Deref for PluginContext {
    type Target = ContextParts;

    fn deref(&self) -> &ContextParts {
        &self.parts
    }
}
