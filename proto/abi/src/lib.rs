//! The contract between the host and a plugin library.
//!
//! Everything that crosses the boundary is declared here and, for C, in `include/patchbay.h`;
//! `include/layout.def` lists the offset of every field, and both faces are checked against it.
//!
//! Reading order: [`text`] (borrowed and owned bytes) → [`message`] → [`outcome`] → [`waker`] →
//! [`host`] (what the host offers) → [`source`] (what a lane pulls from) → [`plugin`] (what a
//! library offers) → [`note`] (what a library says about itself before any of its code runs).
//!
//! # Rules of the boundary
//!
//! * **Nobody frees across.** Memory that a side made is given back through a function pointer of
//!   that side ([`Buf::free`], [`MessageOps::release`]).
//! * **Wakers go one way**, from the host to the library. A library asks to be woken through the
//!   [`Source::bell`] and by tokens; no function pointer of a library is kept by the host but its
//!   vtable and, for the length of one call, [`Buf::free`]. Waking a foreign waker would run plugin
//!   code on a host thread and pin the library there for ever.
//! * **Codes are `u32`**, never a Rust `enum` or `bool`: an unknown value is a value, not undefined
//!   behaviour.
//! * **Structs grow at the end.** Each begins with its `size`; a reader uses a field only if the
//!   writer's `size` covers it ([`has_field`](macro@has_field)).
//! * **No entry unwinds.** A panic is caught on the side where it starts and reported as
//!   [`state::PANICKED`] with its text.
//!
//! **Absent on purpose.** No allocation, no dependency, no behaviour beyond reading a borrowed
//! string: this crate is linked into every plugin.

#![no_std]

pub mod host;
pub mod message;
pub mod note;
pub mod outcome;
pub mod plugin;
pub mod source;
pub mod text;
pub mod waker;

pub use host::{Host, Publish, PublishMany, TimerRequest};
pub use message::{Delivery, Draft, Header, Message, MessageOps};
pub use note::{Note, NoteHead};
pub use outcome::Outcome;
pub use plugin::{Plugin, PluginEntry};
pub use source::{Op, Source};
pub use text::{Buf, Str};
pub use waker::{Waker, WakerOps};

/// Breaking version of the contract. It is part of [`ENTRY_SYMBOL`] and must be equal on both sides.
pub const MAJOR: u16 = 1;
/// Additive version: fields and services appended since `MAJOR.0`.
pub const MINOR: u16 = 1;
/// The one symbol a library exports: a [`PluginEntry`].
pub const ENTRY_SYMBOL: &str = "patchbay_plugin_v1";
/// Largest alignment a library may ask for its call slots, in bytes.
pub const CALL_ALIGN_MAX: u32 = 64;
/// Largest call slot a library may ask for, in bytes. A larger future belongs on the heap.
pub const CALL_SIZE_MAX: u32 = 1 << 20;

/// What a call into the library, or one into the host, says about itself.
pub mod state {
    /// The call is over; the outcome is written.
    pub const READY: u32 = 0;
    /// The call waits; it will wake its waker, and is then polled again.
    pub const PENDING: u32 = 1;
    /// The call panicked; the outcome carries the text.
    pub const PANICKED: u32 = 2;
    /// The call returned an error; the outcome carries class and text.
    pub const ERROR: u32 = 3;
}

/// Whether the struct at `$ptr` was written by somebody who knew `$field`: its leading `size` covers
/// the field. `$ptr` must point to a struct of type `$ty` whose first field is `size: u32`.
#[macro_export]
macro_rules! has_field {
    ($ptr:expr, $ty:ty, $field:ident) => {{
        let size: u32 = (*$ptr).size;
        let end = ::core::mem::offset_of!($ty, $field) + $crate::field_size(|s: &$ty| &s.$field);
        size as usize >= end
    }};
}

/// Size in bytes of the field that `pick` borrows. Part of [`has_field!`](macro@has_field).
#[doc(hidden)]
pub const fn field_size<S, F>(_pick: fn(&S) -> &F) -> usize {
    size_of::<F>()
}
