//! A plugin that runs in a test as in a host.

use std::{
    ffi::c_void,
    fmt,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use patchbay_abi::{source::op, state};
use tokio::sync::oneshot;

use super::{
    call::Call,
    core::HostCore,
    handled::Handled,
    host::context,
    lane::{Control, Lane},
    own_lane::{OwnLane, SOURCE},
    slot_lane,
    transport::{Incoming, Inlet},
};
use crate::{
    error::PluginError,
    glue::{
        instance::Instance,
        table::{Identity, table},
    },
    message::Message,
    plugin::Plugin,
};

/// How many lanes a plugin runs on, and how busy each may be.
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    /// Threads.
    pub count: u32,
    /// Calls in flight on each.
    pub concurrency: u32,
    /// Deliveries that a loop of the plugin's own pulls at once.
    pub batch: u32,
    /// One delivery at a time on each lane, as a host does it with messages of one key.
    pub in_order: bool,
}

/// A plugin on lanes of a test's host. When it is dropped, the lanes are closed, joined, and the
/// plugin is destroyed; [`shutdown`](Running::shutdown) is the test's to call.
pub struct Running<P: Plugin> {
    instance: *mut Instance<P>,
    core: Arc<HostCore>,
    lanes: Vec<(Arc<Lane>, JoinHandle<u32>)>,
    table: Arc<patchbay_abi::Plugin>,
}

/// How long background work of the plugin has when it ends.
const QUIESCE_LIMIT: Duration = Duration::from_secs(5);

/// The table of a plugin in a test names nobody: the host does.
struct Nameless;

impl Identity for Nameless {
    const NAME: &'static str = "";
    const VERSION: &'static str = "";
}

/// An instance on its way to a lane's thread.
struct Handed(*mut c_void);

// SAFETY: an instance is `Sync`, and stays where it is until its lanes are joined.
unsafe impl Send for Handed {}
// SAFETY: the pointer is used to lend the plugin, which is `Sync`, and by the one who drops this.
unsafe impl<P: Plugin> Send for Running<P> {}
// SAFETY: as above.
unsafe impl<P: Plugin> Sync for Running<P> {}

// === impl Lanes ===

impl Default for Lanes {
    fn default() -> Self {
        Lanes { count: 1, concurrency: 16, batch: 16, in_order: false }
    }
}

// === impl Running ===

impl<P: Plugin> Running<P> {
    pub(crate) fn start(
        core: &Arc<HostCore>,
        name: &str,
        version: &str,
        lanes: Lanes,
    ) -> Result<Self, PluginError> {
        let context = context(core, name, version);
        let link = context.transport.link().clone();
        let instance = Box::into_raw(Box::new(Instance::new(P::new(context)?, link)));
        let table = Arc::new(table::<P, Nameless>());
        let mut running = Running { instance, core: core.clone(), lanes: Vec::new(), table };
        running.open(lanes)?;
        Ok(running)
    }

    fn open(&mut self, lanes: Lanes) -> Result<(), PluginError> {
        for number in 0..lanes.count.max(1) {
            let lane = Lane::new(lanes.in_order)?;
            let thread = self.lane(number, lane.clone(), lanes);
            self.lanes.push((lane, thread));
        }
        let own: Vec<_> = self.lanes.iter().map(|(lane, _)| lane.clone()).collect();
        self.core.set_lanes(&own);
        Ok(())
    }

    /// Waits for all calls, ends the lanes, and starts others: what a host does whose worker pool
    /// shrinks to nothing while there is no work, and grows again.
    ///
    /// # Errors
    /// When the system gives no descriptor for a new lane.
    pub fn change_lanes(&mut self, lanes: Lanes) -> Result<(), PluginError> {
        self.close();
        self.open(lanes)
    }

    /// Lane 0 last, as a host does.
    fn close(&mut self) {
        self.core.set_lanes(&[]);
        while let Some((lane, thread)) = self.lanes.pop() {
            lane.close();
            let ended = thread.join();
            if !thread::panicking() {
                assert!(matches!(ended, Ok(state::READY)), "a lane of the plugin died: {ended:?}");
            }
        }
    }

    fn lane(&self, number: u32, lane: Arc<Lane>, lanes: Lanes) -> JoinHandle<u32> {
        let (core, table) = (self.core.clone(), self.table.clone());
        let instance = Handed(self.instance.cast());
        thread::spawn(move || {
            let Handed(instance) = { instance };
            let Some(run_lane) = table.run_lane else {
                // SAFETY: the instance is destroyed after this thread was joined.
                unsafe { slot_lane::run(&table, instance, &lane, lanes.concurrency as usize) };
                return state::READY;
            };
            let own = OwnLane { lane, core, takes_control: number == 0 };
            let context = (&raw const own).cast_mut().cast::<c_void>();
            // SAFETY: as above; the lane lives until the loop has returned.
            unsafe {
                let (concurrency, batch) = (lanes.concurrency, lanes.batch);
                run_lane(instance, number, &raw const SOURCE, context, concurrency, batch)
            }
        })
    }

    /// The plugin.
    #[must_use]
    pub fn plugin(&self) -> &P {
        // SAFETY: alive until this value is dropped.
        &unsafe { &*self.instance }.plugin
    }

    /// Hands a message over; the first lane with the fewest calls handles it.
    #[must_use = "the call goes on, but nobody hears what became of it"]
    pub fn deliver(&self, message: &Message) -> Call {
        let (sender, done) = oneshot::channel();
        // SAFETY: a message of ours, of which a reference is taken.
        let raw = unsafe { patchbay_slab::Message::from_raw(message.clone().into_raw()) };
        let incoming = Incoming {
            message: raw,
            id: message.delivery_id(),
            attempt: message.attempt().max(1),
            accepted_ns: 0,
            subscription: message.subscription(),
            done: Box::new(move |handled| drop(sender.send(handled))),
        };
        let lanes = self.lanes.iter().map(|(lane, _)| lane);
        let Some(lane) = lanes.min_by_key(|lane| lane.load()) else {
            unreachable!("there is at least one lane")
        };
        Call { lane: lane.clone(), id: lane.deliver(incoming), done }
    }

    /// Makes a control call: one of [`patchbay_abi::source::op`].
    #[must_use = "the call goes on, but nobody hears what became of it"]
    pub fn control(&self, which: u32, arg: &[u8]) -> Call {
        let (sender, done) = oneshot::channel();
        let control = Control {
            which,
            arg: arg.to_vec(),
            done: Box::new(move |handled| drop(sender.send(handled))),
        };
        let lane = &self.lanes[0].0;
        Call { lane: lane.clone(), id: lane.control(control), done }
    }

    /// [`Plugin::init`] and [`Plugin::start`].
    ///
    /// # Errors
    /// Those of the plugin; a panic is a permanent one.
    pub async fn init(&self) -> Result<(), PluginError> {
        done(self.control(op::INIT, &[]).await)?;
        done(self.control(op::START, &[]).await).map(drop)
    }

    /// [`Plugin::shutdown`].
    ///
    /// # Errors
    /// As [`init`](Running::init).
    pub async fn shutdown(&self) -> Result<(), PluginError> {
        done(self.control(op::SHUTDOWN, &[]).await).map(drop)
    }

    /// [`Plugin::health`]: the detail, or what is wrong.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn health(&self) -> Result<String, PluginError> {
        done(self.control(op::HEALTH, &[]).await)
    }

    /// [`Plugin::metrics`] as JSON text.
    ///
    /// # Errors
    /// As [`init`](Running::init).
    pub async fn metrics(&self) -> Result<String, PluginError> {
        done(self.control(op::METRICS, &[]).await)
    }

    pub(crate) fn inlet(&self) -> Inlet {
        let core = Arc::downgrade(&self.core);
        Arc::new(move |incoming| match core.upgrade() {
            Some(core) => core.deliver(incoming),
            None => (incoming.done)(Handled::Cancelled),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.core.name
    }
}

fn done(handled: Handled) -> Result<String, PluginError> {
    match handled {
        Handled::Acknowledged(reply) => Ok(reply),
        Handled::Failed(why) => Err(PluginError::permanent(why)),
        Handled::Error(error) => Err(error),
        Handled::Panicked(text) => Err(PluginError::permanent(format!("panicked: {text}"))),
        other => Err(PluginError::permanent(format!("the call ended as {other:?}"))),
    }
}

impl<P: Plugin> Drop for Running<P> {
    fn drop(&mut self) {
        self.close();
        let (table, instance) = (self.table.clone(), Handed(self.instance.cast()));
        // On a thread of its own, as a host does: the test's may belong to a runtime, where another
        // one cannot be ended.
        let end = thread::spawn(move || {
            let Handed(instance) = { instance };
            let limit = QUIESCE_LIMIT.as_nanos() as u64;
            // SAFETY: no call runs any more, and the instance is given back once.
            unsafe { ((table.quiesce)(instance, limit), (table.destroy)(instance)) }
        });
        let (quiesced, destroyed) = end.join().unwrap_or((state::PANICKED, state::PANICKED));
        if !thread::panicking() {
            assert_eq!(quiesced, state::READY, "the plugin panicked when it was quiesced");
            assert_eq!(destroyed, state::READY, "the plugin panicked when it was destroyed");
        }
    }
}

impl<P: Plugin> fmt::Debug for Running<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("name", &self.core.name)
            .field("lanes", &self.lanes.len())
            .finish_non_exhaustive()
    }
}
