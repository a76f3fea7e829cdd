//! A plugin of a strict author compiles: the macro's own `unsafe` is not the author's.

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, missing_debug_implementations)]

use patchbay_plugin::{
    Message, Plugin, PluginContext, PluginError, ProcessingStatus, export_plugin, testing::MockHost,
};

#[derive(Debug)]
struct Strict {
    context: PluginContext,
}

impl Plugin for Strict {
    fn new(context: PluginContext) -> Result<Self, PluginError> {
        Ok(Strict { context })
    }

    fn name(&self) -> &str {
        &self.context.plugin_name
    }

    async fn process_message(
        &self,
        _topic: &str,
        _message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        Ok(ProcessingStatus::Acknowledged)
    }

    async fn health_check(&self) -> bool {
        false
    }
}

export_plugin!(Strict, manifest: "name: strict # a comment\nversion: \"1.0.0\"\n");

#[test]
fn a_plugin_of_a_strict_author_is_one_like_any_other() {
    assert!(MockHost::new().run::<Strict>().is_ok());
}
