//! The three ways to test a plugin: alone, on a real bus, and for speed.

use std::sync::Arc;

use patchbay_plugin::{
    Message, Plugin, PluginContext, PluginError, PluginProcessor, ProcessingStatus, Runtime,
    testing::{
        ConfigManager, LocalTransport, LocalTransportConfig, MockHost, TelemetryContext, TestHost,
        create_mock_context, create_test_message,
    },
};
use serde_json::{Value, json};

/// Turns `text` into upper case.
pub(crate) struct Upper {
    context: PluginContext,
}

impl PluginProcessor for Upper {
    const RUNTIME: Runtime = Runtime::None;

    fn create(context: PluginContext) -> Result<Self, PluginError> {
        Ok(Upper { context })
    }

    fn context(&self) -> &PluginContext {
        &self.context
    }

    async fn process(
        &self,
        topic: &str,
        message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        if topic != "transcript.raw" {
            return Ok(ProcessingStatus::Acknowledged);
        }
        let data: Value = message.json()?;
        let text = data
            .get("text")
            .and_then(Value::as_str)
            .ok_or_else(|| PluginError::InvalidData("missing text field".to_string()))?;
        if text.is_empty() {
            return Ok(ProcessingStatus::Failed("nothing to say".to_string()));
        }
        self.context
            .message_builder()
            .topic(self.context.topic_subcategory("result"))
            .json(&json!({ "processed_text": text.to_uppercase() }))
            .publish()
            .await?;
        Ok(ProcessingStatus::Acknowledged)
    }
}

// --- alone ---

#[tokio::test]
async fn test_process_transcript() {
    // Create a mock context
    let context = create_mock_context();
    assert_eq!(context.config.get::<String>("test.setting").unwrap(), "test_value");

    // Create a plugin instance
    let plugin = Upper::new(context).unwrap();
    assert_eq!(plugin.name(), "test_plugin");

    // Create a test message
    let message = create_test_message("transcript.raw", json!({ "text": "Hello world" }));

    // Test processing
    let result = plugin.process_message("transcript.raw", &message).await.unwrap();

    // Verify result
    assert!(matches!(result, ProcessingStatus::Acknowledged));
}

#[tokio::test]
async fn test_what_was_published_and_what_was_wrong() {
    let host = MockHost::new();
    let plugin = Upper::new(host.context()).unwrap();
    let message = create_test_message("transcript.raw", json!({ "text": "Hello world" }));
    plugin.process_message("transcript.raw", &message).await.unwrap();
    let result = &host.published("plugin.test_plugin.result")[0];
    assert_eq!(result.json::<Value>().unwrap()["processed_text"], "HELLO WORLD");

    let message = create_test_message("transcript.raw", json!({ "words": 2 }));
    let error = plugin.process_message("transcript.raw", &message).await.unwrap_err();
    assert!(matches!(error, PluginError::InvalidData(text) if text == "missing text field"));
}

// --- on a real bus ---

#[tokio::test]
async fn test_plugin_integration() {
    // Create a real transport
    let transport = LocalTransport::new(LocalTransportConfig::default());

    // Create a real context
    let context = PluginContext::new(
        "test_plugin",
        "1.0.0",
        Arc::new(transport.clone()),
        Arc::new(ConfigManager::new()),
        Arc::new(TelemetryContext::new()),
    );

    // Create and initialize plugin
    let plugin = Upper::new(context).unwrap();
    plugin.init().await.unwrap();

    // Subscribe to output topic
    let mut output_stream = transport.subscribe("plugin.test_plugin.result").await.unwrap();

    // Hand over a test message: without a host, the test does that itself
    let message = create_test_message("transcript.raw", json!({ "text": "Hello world" }));
    plugin.process_message("transcript.raw", &message).await.unwrap();

    // Verify plugin produces expected output
    let (topic, message) = output_stream.next().await.unwrap().unwrap();
    assert_eq!(topic, "plugin.test_plugin.result");
    assert_eq!(message.json::<Value>().unwrap()["processed_text"], "HELLO WORLD");

    // Shutdown plugin
    plugin.shutdown().await.unwrap();
}

#[tokio::test]
async fn test_plugin_integration_through_its_subscription() {
    let transport = LocalTransport::new(LocalTransportConfig::default());
    let host = TestHost::with_parts(
        "test_plugin",
        "1.0.0",
        Arc::new(transport.clone()),
        Arc::new(ConfigManager::new()),
        Arc::new(TelemetryContext::new()),
    );
    let plugin = host.run::<Upper>().unwrap();
    plugin.init().await.unwrap();
    let subscription = transport.connect(&plugin, "transcript.*").unwrap();
    let mut output_stream = transport.subscribe("plugin.test_plugin.result").await.unwrap();

    for text in ["Hello world", "", "Good bye"] {
        let message = create_test_message("transcript.raw", json!({ "text": text }));
        let published = transport.publish("transcript.raw", &message).await.unwrap();
        assert_eq!(published.routed, 1);
    }
    for expected in ["HELLO WORLD", "GOOD BYE"] {
        let (topic, message) = output_stream.next().await.unwrap().unwrap();
        assert_eq!(topic, "plugin.test_plugin.result");
        assert_eq!(message.json::<Value>().unwrap()["processed_text"], expected);
        assert_eq!(message.hops(), 1, "the bus knows what led to it");
    }
    crate::acts::until("all are settled", || subscription.ledger().in_flight == 0);
    let ledger = subscription.ledger();
    assert_eq!((ledger.accepted, ledger.done, ledger.dead), (3, 2, 1));
    let dead = transport.broker().dead_letters().after(0, 10);
    assert_eq!(dead[0].reason, "nothing to say");
    plugin.shutdown().await.unwrap();
}

// --- for speed ---

#[tokio::test]
async fn test_plugin_performance() {
    // Create plugin instance
    let plugin = Upper::new(create_mock_context()).unwrap();

    // Create test message
    let message = create_test_message("transcript.raw", json!({ "text": "Hello world" }));

    // Measure processing time
    let start = std::time::Instant::now();

    for _ in 0..1000 {
        plugin.process_message("transcript.raw", &message).await.unwrap();
    }

    let duration = start.elapsed();
    let messages_per_second = 1000.0 / duration.as_secs_f64();

    // Verify performance meets requirements
    assert!(messages_per_second > 500.0, "Performance too low: {messages_per_second:.2} msg/s");
}
