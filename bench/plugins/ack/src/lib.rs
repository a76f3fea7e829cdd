//! Acknowledges every message at its first poll.
//!
//! The name has a fixed length: the idle benchmark makes five hundred plugins of one library by
//! writing other digits into copies of the file.

use patchbay_plugin::{
    Message, PluginContext, PluginError, PluginProcessor, ProcessingStatus, Runtime, export_plugin,
};

struct Ack {
    context: PluginContext,
}

impl PluginProcessor for Ack {
    const RUNTIME: Runtime = Runtime::None;

    fn create(context: PluginContext) -> Result<Self, PluginError> {
        Ok(Ack { context })
    }

    fn context(&self) -> &PluginContext {
        &self.context
    }

    async fn process(
        &self,
        _topic: &str,
        _message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        Ok(ProcessingStatus::Acknowledged)
    }
}

export_plugin!(
    Ack,
    manifest: r#"{
        "apiVersion": "patchbay/v1",
        "name": "bench_ack_000",
        "version": "1.0.0",
        "description": "Acknowledges at once",
        "subscriptions": ["bench.>"],
        "worker_pool": { "min_workers": 0 }
    }"#
);
