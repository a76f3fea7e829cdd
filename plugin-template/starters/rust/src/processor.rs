//! What is done with a message.

use patchbay_plugin::{Message, PluginContext, PluginError, PluginProcessor, ProcessingStatus};

use crate::{config::Config, models::Text};

/// The plugin. Several messages are processed at once, so what changes needs a lock or an atomic.
pub struct MyPlugin {
    context: PluginContext,
    config: Config,
}

impl PluginProcessor for MyPlugin {
    fn create(context: PluginContext) -> Result<Self, PluginError> {
        let config = context.config.load()?;
        Ok(MyPlugin { context, config })
    }

    fn context(&self) -> &PluginContext {
        &self.context
    }

    async fn process(
        &self,
        _topic: &str,
        message: &Message,
    ) -> Result<ProcessingStatus, PluginError> {
        // `?` on what does not parse is an error that names the field.
        let text: Text<'_> = message.json()?;
        let counted = text.count(self.config.words_max)?;

        self.context
            .message_builder()
            .topic(self.context.topic_subcategory("counted"))
            .json(&counted)
            .publish()
            .await?;
        self.context.record_counter("my_plugin.words", counted.words as u64, ());
        Ok(ProcessingStatus::Acknowledged)
    }
}

#[cfg(test)]
mod tests {
    use patchbay_plugin::{
        ErrorClass,
        testing::{Handled, MockHost, block_on, create_test_message},
    };
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_count_is_published() {
        let host = MockHost::with_config(json!({ "words_max": 10 }));
        let plugin = host.run::<MyPlugin>().expect("the plugin is made");
        let message = create_test_message("texts.new", json!({ "text": "Hello world" }));

        let handled = block_on(plugin.deliver(&message));

        assert!(handled.is_acknowledged(), "{handled:?}");
        let counted = &host.published("plugin.test_plugin.counted")[0];
        assert_eq!(counted.json::<Value>().expect("JSON"), json!({ "words": 2 }));
        assert_eq!(host.telemetry.counter("my_plugin.words"), 2.0);
    }

    #[test]
    fn a_message_without_a_text_is_invalid_data() {
        let host = MockHost::with_config(json!({ "words_max": 10 }));
        let plugin = host.run::<MyPlugin>().expect("the plugin is made");
        let message = create_test_message("texts.new", json!({ "title": "Hello" }));

        match block_on(plugin.deliver(&message)) {
            Handled::Error(error) => assert_eq!(error.class(), ErrorClass::InvalidData),
            other => panic!("{other:?}"),
        }
    }
}
