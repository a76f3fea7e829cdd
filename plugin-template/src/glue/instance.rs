//! One instance of a plugin, and the futures of its calls.

use std::{future::Future, sync::Arc, time::Duration};

use patchbay_abi::source::op;

use super::{
    outcome::Reply,
    panic::{listen, unlisten},
};
use crate::{
    error::PluginError, host::Link, message::Message, plugin::Plugin, status::ProcessingStatus,
};

/// What the host's instance pointer points to.
#[derive(Debug)]
pub(crate) struct Instance<P> {
    // Dropped in this order: a plugin's destructor may use its context, and what it panics with is
    // still heard.
    pub(crate) plugin: P,
    #[cfg(feature = "tokio")]
    pub(crate) runtimes: crate::own_loop::Runtimes,
    _listening: Listening,
    pub(crate) link: Arc<Link>,
}

/// While it lives, panics outside every call go to this host.
#[derive(Debug)]
struct Listening(Arc<Link>);

// === impl Instance ===

impl<P: Plugin> Instance<P> {
    pub(crate) fn new(plugin: P, link: Arc<Link>) -> Self {
        listen(&link.host);
        Instance {
            plugin,
            #[cfg(feature = "tokio")]
            runtimes: crate::own_loop::Runtimes::new(P::RUNTIME),
            _listening: Listening(link.clone()),
            link,
        }
    }

    /// Ends what runs beside the calls.
    pub(crate) fn quiesce(&self, limit: Duration) {
        #[cfg(feature = "tokio")]
        self.runtimes.stop(limit);
        #[cfg(not(feature = "tokio"))]
        let _nothing_runs = limit;
    }
}

// === impl Listening ===

impl Drop for Listening {
    fn drop(&mut self) {
        unlisten(&self.0.host);
    }
}

/// The future of a delivery. The measured future and the one that runs are both this one: another
/// `async` block around it would already be larger.
pub(crate) fn process<'a, P: Plugin>(
    instance: &'a Instance<P>,
    message: &'a Message,
) -> impl Future<Output = Result<ProcessingStatus, PluginError>> + Send + 'a {
    instance.plugin.process_message(message.topic(), message)
}

/// The future of a control call.
pub(crate) async fn control<P: Plugin>(
    instance: &Instance<P>,
    which: u32,
    arg: &[u8],
) -> Result<Reply, PluginError> {
    let plugin = &instance.plugin;
    match which {
        op::INIT => plugin.init().await?,
        op::START => plugin.start().await?,
        op::SHUTDOWN => plugin.shutdown().await?,
        op::PAUSE => plugin.pause().await?,
        op::RESUME => plugin.resume().await?,
        op::RESET => plugin.reset().await?,
        op::HEALTH => {
            return Ok(match plugin.health().await.verdict {
                Ok(detail) => Reply::Bytes(detail.into_bytes()),
                Err(why) => Reply::Unhealthy(why),
            });
        }
        op::METRICS => return Ok(Reply::Bytes(plugin.metrics().await.as_json().into_bytes())),
        op::EXPORT_STATE => return Ok(Reply::Bytes(plugin.export_state().await?)),
        op::IMPORT_STATE => plugin.import_state(arg).await?,
        unknown => {
            let text = format!("control call {unknown} is not known to this plugin's kit");
            return Err(PluginError::permanent(text));
        }
    }
    Ok(Reply::Done)
}
