//! What an author implements.
//!
//! [`Plugin`] is the whole contract, with a default for everything but the essence.
//! [`PluginProcessor`] is the short way: construction and one method, and the rest follows.

use std::future::Future;

use crate::{
    context::PluginContext,
    error::PluginError,
    message::Message,
    runtime::Runtime,
    status::{Health, Metrics, ProcessingStatus},
};

/// A plugin.
///
/// Methods are plain `async fn`s. Several calls run at once, on several threads when the manifest
/// allows more than one worker: state behind `&self` is shared. A future is dropped, at a point where
/// it waits, when its deadline passes or the host stops; write handlers so that a redelivery is
/// harmless ([`Message::delivery_id`] is the same for every attempt).
///
/// The order of life: [`new`](Plugin::new), [`init`](Plugin::init), [`start`](Plugin::start),
/// messages, and [`shutdown`](Plugin::shutdown), which is called after a failed `init` as well.
///
/// ```
/// use patchbay_plugin::{Message, Plugin, PluginContext, PluginError, ProcessingStatus};
///
/// struct Upper {
///     context: PluginContext,
/// }
///
/// impl Plugin for Upper {
///     fn new(context: PluginContext) -> Result<Self, PluginError> {
///         Ok(Upper { context })
///     }
///
///     fn name(&self) -> &str {
///         &self.context.plugin_name
///     }
///
///     async fn process_message(
///         &self,
///         _topic: &str,
///         message: &Message,
///     ) -> Result<ProcessingStatus, PluginError> {
///         let upper = message.text()?.to_uppercase();
///         self.context.publish(self.context.topic_subcategory("result"), upper).await?;
///         Ok(ProcessingStatus::Acknowledged)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a plugin",
    note = "implement `patchbay_plugin::Plugin`, or `PluginProcessor` when only the processing is of \
            interest"
)]
pub trait Plugin: Sized + Send + Sync + 'static {
    /// Who drives the futures: see [`Runtime`].
    const RUNTIME: Runtime = Runtime::DEFAULT;

    /// Makes the plugin from what the host gives it. No I/O here: that is for
    /// [`init`](Plugin::init), which may wait and may fail for a while.
    ///
    /// # Errors
    /// A configuration that makes no sense. The plugin is then not loaded.
    fn new(context: PluginContext) -> Result<Self, PluginError>;

    /// The plugin's name, as its manifest has it: usually `&self.context.plugin_name`.
    fn name(&self) -> &str;

    /// Acquires what the plugin needs. Messages follow only if it succeeds.
    fn init(&self) -> impl Future<Output = Result<(), PluginError>> + Send {
        async { Ok(()) }
    }

    /// Called when messages are about to flow.
    fn start(&self) -> impl Future<Output = Result<(), PluginError>> + Send {
        async { Ok(()) }
    }

    /// Deals with one message. `topic` is `message.topic()`.
    fn process_message(
        &self,
        topic: &str,
        message: &Message,
    ) -> impl Future<Output = Result<ProcessingStatus, PluginError>> + Send;

    /// Releases everything. No message follows.
    fn shutdown(&self) -> impl Future<Output = Result<(), PluginError>> + Send {
        async { Ok(()) }
    }

    /// Whether the plugin can do its work.
    fn health_check(&self) -> impl Future<Output = bool> + Send {
        async { true }
    }

    /// [`health_check`](Plugin::health_check) with words. The host asks this one.
    fn health(&self) -> impl Future<Output = Health> + Send {
        async { Health::from(self.health_check().await) }
    }

    /// Numbers of the plugin's own.
    fn metrics(&self) -> impl Future<Output = Metrics> + Send {
        async { Metrics::new() }
    }

    /// Called when no messages will come for a while.
    fn pause(&self) -> impl Future<Output = Result<(), PluginError>> + Send {
        async { Ok(()) }
    }

    /// Called when messages come again.
    fn resume(&self) -> impl Future<Output = Result<(), PluginError>> + Send {
        async { Ok(()) }
    }

    /// Forgets what was learned from messages.
    fn reset(&self) -> impl Future<Output = Result<(), PluginError>> + Send {
        async { Ok(()) }
    }

    /// State for a successor; empty when there is none to hand over.
    fn export_state(&self) -> impl Future<Output = Result<Vec<u8>, PluginError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Takes over the state of a predecessor. By default, any state is refused.
    fn import_state(&self, state: &[u8]) -> impl Future<Output = Result<(), PluginError>> + Send {
        let refused = !state.is_empty();
        async move {
            if refused {
                return Err(PluginError::permanent("this plugin takes over no state"));
            }
            Ok(())
        }
    }
}

/// A plugin of which only the processing is of interest; [`Plugin`] follows by itself.
///
/// ```
/// use patchbay_plugin::{Message, PluginContext, PluginError, PluginProcessor, ProcessingStatus};
///
/// struct Router {
///     context: PluginContext,
/// }
///
/// impl PluginProcessor for Router {
///     fn create(context: PluginContext) -> Result<Self, PluginError> {
///         Ok(Router { context })
///     }
///
///     fn context(&self) -> &PluginContext {
///         &self.context
///     }
///
///     async fn process(
///         &self,
///         topic: &str,
///         message: &Message,
///     ) -> Result<ProcessingStatus, PluginError> {
///         match topic {
///             "orders.new" => Ok(ProcessingStatus::Forward("orders.eu".into(), message.clone())),
///             _ => Ok(ProcessingStatus::Acknowledged),
///         }
///     }
/// }
/// ```
pub trait PluginProcessor: Sized + Send + Sync + 'static {
    /// Who drives the futures: see [`Runtime`].
    const RUNTIME: Runtime = Runtime::DEFAULT;

    /// Makes the plugin: [`Plugin::new`].
    ///
    /// # Errors
    /// A configuration that makes no sense.
    fn create(context: PluginContext) -> Result<Self, PluginError>;

    /// The context it was made from.
    fn context(&self) -> &PluginContext;

    /// Deals with one message.
    fn process(
        &self,
        topic: &str,
        message: &Message,
    ) -> impl Future<Output = Result<ProcessingStatus, PluginError>> + Send;
}

impl<T: PluginProcessor> Plugin for T {
    const RUNTIME: Runtime = <T as PluginProcessor>::RUNTIME;

    fn new(context: PluginContext) -> Result<Self, PluginError> {
        T::create(context)
    }

    fn name(&self) -> &str {
        &self.context().plugin_name
    }

    fn process_message(
        &self,
        topic: &str,
        message: &Message,
    ) -> impl Future<Output = Result<ProcessingStatus, PluginError>> + Send {
        self.process(topic, message)
    }
}
