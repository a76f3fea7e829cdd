//! From a path to a running instance of a library, and back to a proven unmapping.
//!
//! The way in: [`Candidate::inspect`] opens a file once and reads what it says about itself, with
//! none of its code run → [`Store::admit`] makes a private copy of exactly that →
//! [`Loader::load`] maps the copy, checks that it keeps to the contract, and makes an
//! [`Instance`] → [`Instance::run_lane`] runs it on threads that the host brings, fed by the
//! host's [`LaneSource`] and served by its [`Services`]. The way out: [`Instance::retire`] ends it
//! and proves that nothing is left; what cannot be proven stays mapped, in quarantine, and is
//! looked at again by [`Loader::recheck`].
//!
//! Rules kept here:
//!
//! * Code of a library runs only on threads of its generation, which are joined before it is
//!   closed; no function of a library is kept anywhere but in its table.
//! * What a library says is checked, copied and freed on its own thread. Whatever the contract
//!   does not allow is an [`Outcome`], never undefined behaviour. (A library is trusted code all
//!   the same: it shares the process.)
//! * In doubt it stays mapped.
//!
//! **Absent on purpose.** No runtime, no actors, no bus: a runtime must not reach a library, and
//! the room with `unsafe` stays small. No policy: when to load, retry or retire is the host's.

mod bounded;
mod candidate;
mod digest;
mod elf;
mod host_table;
mod instance;
mod lane;
mod lane_source;
mod lanes;
mod library;
mod limits;
mod loader;
mod messages;
mod note;
mod outcome;
mod own_loop;
mod panic_text;
mod problem;
mod process;
mod quarantine;
mod remains;
mod services;
mod slot_loop;
mod slots;
mod store;
mod table;
mod waker;

pub use candidate::{Candidate, InspectError};
pub use digest::Digest;
pub use elf::ElfFacts;
pub use instance::{Instance, InstanceFacts, Retired};
pub use lane::LaneEnd;
pub use lane_source::{Begin, Call, Handed, LaneSource, Next, NextOp, Op};
pub use limits::{
    BATCH_MAX, CONCURRENCY_MAX, InspectLimits, LaneLimits, LoadLimits, OPS_MAX, PAIRS_MAX,
    RetireLimits, SLOT_BYTES_MAX,
};
pub use loader::{LoadError, LoadProblem, Loader};
pub use messages::Lent;
pub use note::NoteFacts;
pub use outcome::{ErrorClass, Outcome};
pub use patchbay_interpose::{NotEffective, effective};
pub use problem::LibraryProblem;
pub use process::end_process;
pub use quarantine::{QuarantineReason, QuarantineView, Step};
pub use services::{
    LogLevel, LogLine, MessageParts, MetricKind, Publish, PublishMany, Refused, Services,
    SpanBegin, SpanBegun, SpanStatus, Wait,
};
pub use store::{PrivateCopy, Store, StoreError};
pub use table::TableError;
