use std::{future::Future, rc::Rc};

use patchbay_plugin::{Message, PluginContext, PluginError, PluginProcessor, ProcessingStatus};

struct Local(PluginContext);

impl PluginProcessor for Local {
    fn create(context: PluginContext) -> Result<Self, PluginError> {
        Ok(Local(context))
    }

    fn context(&self) -> &PluginContext {
        &self.0
    }

    fn process(
        &self,
        _: &str,
        _: &Message,
    ) -> impl Future<Output = Result<ProcessingStatus, PluginError>> {
        let shared = Rc::new(1);
        async move {
            std::future::ready(()).await;
            drop(shared);
            Ok(ProcessingStatus::Acknowledged)
        }
    }
}

fn main() {}
