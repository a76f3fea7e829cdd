//! One call in memory that the host provides.
//!
//! A slot holds a fixed head, which `poll` and `cancel` understand without knowing the plugin, and
//! behind it the future. Every future that is put into a slot was counted in [`Room`]; that they
//! agree is asserted where one is put there, and folds away.

use std::{cell::Cell, future::Future, pin::Pin, ptr, task::Poll};

use patchbay_abi::{CALL_ALIGN_MAX, CALL_SIZE_MAX, Delivery, Outcome, Waker, state};

use super::{
    instance::{Instance, control, process},
    outcome::{Answer, panicked},
    panic::contain,
    waker::with_context,
};
use crate::{host::HostRef, message::Message, plugin::Plugin, scope::Scope};

/// The fixed head of a slot.
#[repr(C)]
struct Head {
    /// What the future borrows as its message.
    delivery: Delivery,
    scope: Scope,
    poll: unsafe fn(*mut u8, *const Waker, &mut Outcome, &Cell<Stage>) -> u32,
    drop: unsafe fn(*mut u8),
}

/// How far a call has come: what is left to do when it panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is no future yet.
    Making,
    /// There is one.
    Running,
    /// It has answered, and is being dropped: the answer stands.
    Answered,
}

/// A slot that holds the future `F`.
#[repr(C)]
struct Slot<F> {
    head: Head,
    future: F,
}

/// How much room a plugin's calls need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) size: usize,
    pub(crate) align: usize,
}

// === impl Room ===

impl Room {
    /// Room for every call of `P`.
    pub(crate) const fn of<P: Plugin>() -> Room {
        let process = Room::made_by_2(process::<P>);
        let control = Room::made_by_3(control::<P>);
        let size = if process.size > control.size { process.size } else { control.size };
        let align = if process.align > control.align { process.align } else { control.align };
        Room { size, align }
    }

    /// Room for what a function makes. Its name is the only way to say the type.
    const fn made_by_2<A, B, F>(_make: fn(A, B) -> F) -> Room {
        Room::holding::<F>()
    }

    const fn made_by_3<A, B, C, F>(_make: fn(A, B, C) -> F) -> Room {
        Room::holding::<F>()
    }

    const fn holding<F>() -> Room {
        const {
            assert!(
                size_of::<Slot<F>>() <= CALL_SIZE_MAX as usize,
                "the future of a handler is too large for a call slot: put what is large on the \
                 heap, for instance with Box::pin"
            );
            assert!(
                align_of::<Slot<F>>() <= CALL_ALIGN_MAX as usize,
                "the future of a handler is aligned more strictly than a call slot can be"
            );
        }
        Room { size: size_of::<Slot<F>>(), align: align_of::<Slot<F>>() }
    }

    const fn covers(self, other: Room) -> bool {
        self.size >= other.size && self.align >= other.align
    }
}

/// Begins the call for a delivery. Returns one of [`state`].
///
/// # Safety
/// The contract of `process`: a live instance of `P`, a slot as the table asks for, a delivery
/// whose message outlives the call.
pub(crate) unsafe fn begin_process<P: Plugin>(
    instance: &'static Instance<P>,
    delivery: *const Delivery,
    slot: *mut u8,
    waker: *const Waker,
    outcome: &mut Outcome,
) -> u32 {
    // SAFETY: the host lends the delivery for the call; the rest is passed on.
    unsafe {
        let delivery = copied(delivery);
        begin::<P, _, _>(instance.link.host, delivery, slot, waker, outcome, |message| {
            process(instance, message)
        })
    }
}

/// Copies a delivery in the pieces in which the host has just written it. One wide load of several of
/// them would wait until all have reached the cache, which costs more than the rest of the call.
///
/// # Safety
/// A delivery that is alive.
#[inline]
unsafe fn copied(delivery: *const Delivery) -> Delivery {
    // SAFETY: as promised.
    unsafe {
        Delivery {
            message: (&raw const (*delivery).message).read_volatile(),
            token: (&raw const (*delivery).token).read_volatile(),
            id: (&raw const (*delivery).id).read_volatile(),
            accepted_ns: (&raw const (*delivery).accepted_ns).read_volatile(),
            attempt: (&raw const (*delivery).attempt).read_volatile(),
            subscription: (&raw const (*delivery).subscription).read_volatile(),
        }
    }
}

/// Begins a control call. Returns one of [`state`].
///
/// # Safety
/// The contract of `op`: as above, and an argument that outlives the call.
pub(crate) unsafe fn begin_control<P: Plugin>(
    instance: &'static Instance<P>,
    which: u32,
    arg: &'static [u8],
    slot: *mut u8,
    waker: *const Waker,
    outcome: &mut Outcome,
) -> u32 {
    let none = Delivery {
        message: ptr::null(),
        token: 0,
        id: 0,
        accepted_ns: 0,
        attempt: 0,
        subscription: 0,
    };
    // SAFETY: passed on; the message of a control call is never looked at.
    unsafe {
        begin::<P, _, _>(instance.link.host, none, slot, waker, outcome, |_| {
            control(instance, which, arg)
        })
    }
}

/// # Safety
/// As [`begin_process`]. `make` makes one of the futures that [`Room::of`] counts.
#[inline]
unsafe fn begin<P: Plugin, F, A>(
    host: HostRef,
    delivery: Delivery,
    slot: *mut u8,
    waker: *const Waker,
    outcome: &mut Outcome,
    make: impl FnOnce(&'static Message) -> F,
) -> u32
where
    F: Future<Output = A>,
    A: Answer,
{
    const {
        assert!(Room::of::<P>().covers(Room::holding::<F>()), "this future was not counted");
    }
    let place = slot.cast::<Slot<F>>();
    let head = Head {
        delivery,
        scope: Scope::new(host, delivery.message),
        poll: poll_future::<F, A>,
        drop: drop_future::<F>,
    };
    // SAFETY: the slot is as large as `Slot<F>` and aligned for it, and ours until the call is over.
    // Written here and not below: nothing in it can panic, and it is not moved into a closure first.
    unsafe { (&raw mut (*place).head).write(head) };
    let stage = Cell::new(Stage::Making);
    // SAFETY: as above. The future borrows its message from the head, which is not touched any more.
    let state = contain(|| unsafe {
        let scope = &(*place).head.scope;
        scope.enter(waker, || {
            let message = Message::from_delivery(&raw const (*place).head.delivery);
            (&raw mut (*place).future).write(make(message));
            stage.set(Stage::Running);
            poll_future::<F, A>(slot, waker, outcome, &stage)
        })
    });
    // SAFETY: the slot holds a head, and a future if there is one.
    unsafe { conclude(slot, state, stage.get(), outcome) }
}

/// Polls the call in a slot. Returns one of [`state`].
///
/// # Safety
/// The slot holds a call that is not over; `waker` is the host's.
pub(crate) unsafe fn poll(slot: *mut u8, waker: *const Waker, outcome: &mut Outcome) -> u32 {
    let stage = Cell::new(Stage::Running);
    // SAFETY: every slot begins with a head, and its functions fit the future behind it.
    let state = contain(|| unsafe {
        let head = &*slot.cast::<Head>();
        head.scope.enter(waker, || (head.poll)(slot, waker, outcome, &stage))
    });
    // SAFETY: as above.
    unsafe { conclude(slot, state, stage.get(), outcome) }
}

/// What is left to do after a poll.
///
/// # Safety
/// The slot holds a head, and by its stage a future; neither is touched after a call that is over.
#[inline]
unsafe fn conclude(
    slot: *mut u8,
    state: Result<u32, String>,
    stage: Stage,
    outcome: &mut Outcome,
) -> u32 {
    // SAFETY: as promised; a call that is over is not borrowed by anybody.
    unsafe {
        match state {
            Ok(state::PENDING) => state::PENDING,
            Ok(state) => {
                drop_head(slot);
                state
            }
            Err(text) => panicked_at(slot, stage, text, outcome),
        }
    }
}

/// # Safety
/// As [`conclude`].
#[cold]
unsafe fn panicked_at(slot: *mut u8, stage: Stage, text: String, outcome: &mut Outcome) -> u32 {
    // SAFETY: as promised.
    unsafe {
        match stage {
            Stage::Making => drop_head(slot),
            Stage::Running => end(slot),
            Stage::Answered => {
                drop_head(slot);
                return state::READY;
            }
        }
    }
    panicked(outcome, text);
    state::PANICKED
}

/// Drops the call in a slot.
///
/// # Safety
/// The slot holds a call that is not over.
pub(crate) unsafe fn cancel(slot: *mut u8) {
    // SAFETY: passed on.
    unsafe { end(slot) }
}

/// Drops future and head. What panics there has been reported by the hook; the call's outcome
/// stands.
///
/// # Safety
/// The slot holds a call, which is not touched afterwards.
unsafe fn end(slot: *mut u8) {
    // SAFETY: as in `poll`.
    let _reported = contain(|| unsafe {
        let head = &*slot.cast::<Head>();
        head.scope.enter(ptr::null(), || (head.drop)(slot));
    });
    // SAFETY: the future is gone, which may have used the head.
    unsafe { drop_head(slot) }
}

/// # Safety
/// Nothing borrows the head any more.
#[inline]
unsafe fn drop_head(slot: *mut u8) {
    // SAFETY: as promised.
    unsafe {
        let scope = &raw mut (*slot.cast::<Head>()).scope;
        if !(*scope).is_plain() {
            let _reported = contain(|| ptr::drop_in_place(scope));
        }
    }
}

/// Polls, and drops a future that has answered.
unsafe fn poll_future<F: Future<Output = A>, A: Answer>(
    slot: *mut u8,
    waker: *const Waker,
    outcome: &mut Outcome,
    stage: &Cell<Stage>,
) -> u32 {
    // SAFETY: the head with this function stands before a future of this type, which is not moved
    // before it is dropped.
    unsafe {
        let future = &raw mut (*slot.cast::<Slot<F>>()).future;
        match with_context(waker, |cx| Pin::new_unchecked(&mut *future).poll(cx)) {
            Poll::Pending => state::PENDING,
            Poll::Ready(answer) => {
                answer.write(outcome);
                stage.set(Stage::Answered);
                ptr::drop_in_place(future);
                state::READY
            }
        }
    }
}

unsafe fn drop_future<F>(slot: *mut u8) {
    // SAFETY: as above; called once.
    unsafe { ptr::drop_in_place(&raw mut (*slot.cast::<Slot<F>>()).future) }
}
