//! The host of a test, as its author sees it.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    config::ConfigManager,
    core::HostCore,
    mock::{MockTransport, Sent},
    run::{Lanes, Running},
    table::host_ref,
    telemetry::TelemetryContext,
    transport::MessageTransport,
};
use crate::{
    context::PluginContext, error::PluginError, host::Link, message::Message, plugin::Plugin,
};

/// A host for one plugin, in the test's process. See the [module](super).
#[derive(Debug)]
pub struct TestHost<T: MessageTransport = MockTransport> {
    /// What carries messages.
    pub transport: Arc<T>,
    /// The plugin's settings.
    pub config: Arc<ConfigManager>,
    /// What the plugin logged and measured.
    pub telemetry: Arc<TelemetryContext>,
    name: String,
    version: String,
    core: Arc<HostCore>,
}

/// A host whose transport records and delivers nothing.
///
/// ```
/// use patchbay_plugin::testing::{MockHost, block_on};
///
/// let host = MockHost::new();
/// let context = host.context();
/// block_on(context.publish("greetings", "hello"))?;
/// assert_eq!(host.published("greetings")[0].text()?, "hello");
/// # Ok::<(), patchbay_plugin::PluginError>(())
/// ```
pub type MockHost = TestHost<MockTransport>;

/// A context for a plugin called `test_plugin`, version 1.0.0, with the setting `test.setting` and a
/// transport that records. [`MockHost`] shows what was recorded.
#[must_use]
pub fn create_mock_context() -> PluginContext {
    let host = MockHost::new();
    host.config.set_value("test.setting", json!("test_value"));
    host.context()
}

// === impl TestHost ===

impl MockHost {
    /// For a plugin called `test_plugin`, version 1.0.0, without settings.
    #[must_use]
    pub fn new() -> Self {
        MockHost::with_config(json!({}))
    }

    /// For a plugin called `test_plugin`, version 1.0.0, with these settings.
    #[must_use]
    pub fn with_config(settings: Value) -> Self {
        let transport = Arc::new(MockTransport::new());
        let config = Arc::new(ConfigManager::from_json(settings));
        let telemetry = Arc::new(TelemetryContext::new());
        TestHost::with_parts("test_plugin", "1.0.0", transport, config, telemetry)
    }

    /// What was published so far.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.transport.sent()
    }

    /// The messages that were published to a topic so far.
    #[must_use]
    pub fn published(&self, topic: &str) -> Vec<Message> {
        self.transport.published(topic)
    }
}

impl Default for MockHost {
    fn default() -> Self {
        MockHost::new()
    }
}

impl<T: MessageTransport> TestHost<T> {
    /// For a plugin of that name and version, with these parts.
    #[must_use]
    pub fn with_parts(
        name: &str,
        version: &str,
        transport: Arc<T>,
        config: Arc<ConfigManager>,
        telemetry: Arc<TelemetryContext>,
    ) -> Self {
        let core = HostCore::new(name, transport.clone(), config.clone(), telemetry.clone());
        TestHost {
            transport,
            config,
            telemetry,
            name: name.to_owned(),
            version: version.to_owned(),
            core,
        }
    }

    /// A context of this host, for a plugin whose methods the test calls itself.
    #[must_use]
    pub fn context(&self) -> PluginContext {
        context(&self.core, &self.name, &self.version)
    }

    /// From now on it is a host of contract 1.0 to the contexts and plugins that are made: its table of
    /// functions ends where that one's did. For plugins that are to run on older hosts as well.
    pub fn speak_1_0(&self) {
        self.core.speak_1_0();
    }

    /// From now on the host's clock stands still, until [`advance`](TestHost::advance).
    pub fn stop_clock(&self) {
        self.core.timers.stop_clock();
    }

    /// Advances the host's clock: timers that are due fire.
    pub fn advance(&self, by: Duration) {
        self.core.timers.advance(by);
    }

    /// Makes a plugin and runs it as a host would, on one lane.
    ///
    /// # Errors
    /// That of the plugin's construction.
    pub fn run<P: Plugin>(&self) -> Result<Running<P>, PluginError> {
        self.run_on(Lanes::default())
    }

    /// Makes a plugin and runs it as a host would.
    ///
    /// # Errors
    /// That of the plugin's construction.
    pub fn run_on<P: Plugin>(&self, lanes: Lanes) -> Result<Running<P>, PluginError> {
        Running::start(&self.core, &self.name, &self.version, lanes)
    }
}

impl PluginContext {
    /// A context made of these parts, for a plugin whose methods a test calls itself.
    /// [`TestHost`] does more.
    #[must_use]
    pub fn new(
        name: &str,
        version: &str,
        transport: Arc<dyn MessageTransport>,
        config: Arc<ConfigManager>,
        telemetry: Arc<TelemetryContext>,
    ) -> Self {
        context(&HostCore::new(name, transport, config, telemetry), name, version)
    }
}

pub(crate) fn context(core: &Arc<HostCore>, name: &str, version: &str) -> PluginContext {
    let link = Link::new(host_ref(core), Some(core.clone()));
    PluginContext::from_link(&link, name, version, &core.config.text())
}
