//! Runs an event loop on its lane and waits one tick of its timer for each message.

use std::time::Duration;

use patchbay_plugin::{
    Message, PluginContext, PluginError, PluginProcessor, ProcessingStatus, export_plugin,
};

struct Sleeper {
    context: PluginContext,
}

impl PluginProcessor for Sleeper {
    fn create(context: PluginContext) -> Result<Self, PluginError> {
        Ok(Sleeper { context })
    }

    fn context(&self) -> &PluginContext {
        &self.context
    }

    async fn process(
        &self,
        _topic: &str,
        _message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(ProcessingStatus::Acknowledged)
    }
}

export_plugin!(
    Sleeper,
    manifest: r#"{
        "apiVersion": "patchbay/v1",
        "name": "bench_sleeper",
        "version": "1.0.0",
        "description": "Waits one tick",
        "subscriptions": ["bench.>"],
        "worker_pool": { "min_workers": 0 }
    }"#
);
