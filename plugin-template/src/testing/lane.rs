//! What a lane has to do: the host's end of it.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Wake,
};

use patchbay_abi::Delivery;
use rustix::event::{EventfdFlags, eventfd};

use super::{handled::Handled, transport::Incoming};

/// Names a call on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallId {
    Delivery(u64),
    Control(u64),
}

/// A lane's work and how to hear of it.
#[derive(Debug)]
pub(crate) struct Lane {
    state: Mutex<State>,
    changed: Condvar,
    /// For a loop of the plugin's own.
    bell: OwnedFd,
    next: AtomicU64,
    /// A delivery is handed out only when the one before has ended. Nobody is told of that end: the
    /// lane knows it.
    in_order: bool,
}

#[derive(Debug, Default)]
struct State {
    deliveries: VecDeque<(u64, Incoming)>,
    controls: VecDeque<(u64, Control)>,
    running: BTreeMap<CallId, InFlight>,
    /// Something may have changed since the lane looked last.
    rung: bool,
    closed: bool,
}

/// A control call.
pub(crate) struct Control {
    pub(crate) which: u32,
    pub(crate) arg: Vec<u8>,
    pub(crate) done: Done,
}

type Done = Box<dyn FnOnce(Handled) + Send>;

/// A call that the plugin's side has.
struct InFlight {
    /// Keeps the message alive.
    _message: Option<patchbay_slab::Message>,
    /// Keeps the argument at its address.
    _arg: Vec<u8>,
    done: Done,
    cancelled: bool,
}

/// What a lane gets when it asks.
#[derive(Debug)]
pub(crate) enum Next<T> {
    Some(T),
    NoneNow,
    Closed,
}

// === impl Lane ===

impl Lane {
    pub(crate) fn new(in_order: bool) -> io::Result<Arc<Self>> {
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Arc::new(Lane {
            state: Mutex::default(),
            changed: Condvar::new(),
            bell,
            next: AtomicU64::new(1),
            in_order,
        }))
    }

    pub(crate) fn deliver(&self, incoming: Incoming) -> CallId {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        self.change(|state| state.deliveries.push_back((token, incoming)));
        CallId::Delivery(token)
    }

    pub(crate) fn control(&self, control: Control) -> CallId {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.change(|state| state.controls.push_back((id, control)));
        CallId::Control(id)
    }

    /// Nothing more will come.
    pub(crate) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    pub(crate) fn cancel(&self, id: CallId) {
        self.change(|state| {
            if let Some(call) = state.running.get_mut(&id) {
                call.cancelled = true;
            }
        });
    }

    /// Whether the call waits or runs.
    pub(crate) fn has(&self, id: CallId) -> bool {
        let state = self.lock();
        state.running.contains_key(&id)
            || match id {
                CallId::Delivery(id) => state.deliveries.iter().any(|(known, _)| *known == id),
                CallId::Control(id) => state.controls.iter().any(|(known, _)| *known == id),
            }
    }

    /// Calls waiting and running.
    pub(crate) fn load(&self) -> usize {
        let state = self.lock();
        state.deliveries.len() + state.running.len()
    }

    /// Makes the lane look again.
    pub(crate) fn ring(&self) {
        self.change(|_| {});
    }

    // What the lane asks, on its own thread.

    pub(crate) fn next_delivery(&self) -> Next<Delivery> {
        let mut state = self.lock();
        let is_delivery = |id: &CallId| matches!(id, CallId::Delivery(_));
        if self.in_order && state.running.keys().any(is_delivery) {
            return Next::NoneNow;
        }
        let Some((token, incoming)) = state.deliveries.pop_front() else {
            return if state.closed { Next::Closed } else { Next::NoneNow };
        };
        let delivery = Delivery {
            message: incoming.message.as_ptr(),
            token,
            id: incoming.id,
            accepted_ns: incoming.accepted_ns,
            attempt: incoming.attempt,
            subscription: incoming.subscription,
        };
        let call = InFlight {
            _message: Some(incoming.message),
            _arg: Vec::new(),
            done: incoming.done,
            cancelled: false,
        };
        state.running.insert(CallId::Delivery(token), call);
        Next::Some(delivery)
    }

    /// Id, number and argument, which stays where it is until the call is over.
    pub(crate) fn next_control(&self) -> Next<(u64, u32, patchbay_abi::Str)> {
        let mut state = self.lock();
        let Some((id, control)) = state.controls.pop_front() else {
            return if state.closed { Next::Closed } else { Next::NoneNow };
        };
        let arg = patchbay_abi::Str::from_bytes(&control.arg);
        let call =
            InFlight { _message: None, _arg: control.arg, done: control.done, cancelled: false };
        state.running.insert(CallId::Control(id), call);
        Next::Some((id, control.which, arg))
    }

    pub(crate) fn complete(&self, id: CallId, handled: Handled) {
        let call = self.lock().running.remove(&id);
        if let Some(call) = call {
            (call.done)(handled);
        }
    }

    pub(crate) fn is_cancelled(&self, id: CallId) -> bool {
        self.lock().running.get(&id).is_some_and(|call| call.cancelled)
    }

    pub(crate) fn bell(&self) -> RawFd {
        self.bell.as_fd().as_raw_fd()
    }

    /// Waits until it was rung since the last time.
    pub(crate) fn wait(&self) {
        let mut state = self.lock();
        while !state.rung {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.rung = false;
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.rung = true;
        drop(state);
        self.changed.notify_one();
        // Full, it has been rung often enough.
        let _full = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot's waker makes the lane look again.
impl Wake for Lane {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("which", &self.which).finish_non_exhaustive()
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("cancelled", &self.cancelled).finish_non_exhaustive()
    }
}
