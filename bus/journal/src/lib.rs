//! The durable journal: what was accepted is there after a crash, in the order it was accepted.
//!
//! A [`Journal`] is a folder of preallocated segments. Whoever has something to say
//! [appends](Journal::append) a [`Record`]; whoever must know that it will be there
//! [waits](Journal::wait) for a [`Level`], and does the write or the flush for everybody else when
//! nobody is at it. Opening reads everything back, and hands over what is [`Recovered`].
//!
//! | question | file |
//! |---|---|
//! | what stands in the files, byte by byte | `frame`, `manifest`, `mark`, `record/encode` |
//! | what a record means | `record` |
//! | what all records add up to | `books` |
//! | how a record gets into the buffer | `head` |
//! | who writes, who flushes, who waits | `commit`, `journal`, `keeper` |
//! | making and freeing segments, a full disk | `folder`, `room`, `owed` |
//! | copying forward what an old segment still holds | `clean`, `weigh` |
//! | what a crash left, what is damage | `scan`, `page`, `sheet`, `open` |
//! | reading messages back | `read`, `stored`, `backlog`, `trace` |
//!
//! # The format
//!
//! A folder holds `manifest` and `synced` (see `manifest` and `mark`), `lock`, and segments
//! `NNNNNNNN.seg`, all of one size.
//! A segment is a head of 64 bytes and records without gaps; after the last one stand at least 25
//! zero bytes, or the end of the file. The first record of every segment is a checkpoint: with it,
//! no older segment is needed but for the messages in it. A record is a frame of 25 bytes and a
//! body; frame and head are laid out in `frame`. In bodies, numbers are LEB128, strings stand
//! behind their length, lists behind their count. `segment.next` and `manifest.next` are unfinished
//! and are removed; `quarantine-…` are copies of damaged files, which nobody reads.
//!
//! # What holds
//!
//! * A level is reported only after the call that reaches it has returned.
//! * After the first error of a write, flush or rename nothing is written, flushed or reported any
//!   more (P-7). A full volume is no such error: room is prepared ahead and checked before (P-8).
//! * A segment is freed only when every record that frees it is on the device (P-4).
//! * Opening never makes up an empty journal where there was one: what is missing is listed (P-10).
//! * What is not whole has whole records behind it: then it is damage (P-10), but where the machine
//!   stopped or the volume was taken away since, and nothing says that it was on the device. A device
//!   writes in any order: it is cut then with all behind it, so that a prefix is left (P-3).
//! * What is not whole at the end is an unfinished write (P-9), unless the mark vouches for it, or it
//!   is there in every sector up to its last byte, or the machine has run on and it ends as a write
//!   does: then it is damage. The mark is written at most one `sync_interval` after the flush that it
//!   tells of. Other damage to a record within that time, with nothing written after it and the process
//!   dead before the mark, is cut as an unfinished write: nothing on the device tells them apart, and a
//!   second flush for each would cost half of the rate. It is reported as such, with its length and the
//!   number of the last record before it, by opening and by `verify`.
//!
//! **Absent on purpose.** Queues, plugins, clocks, retries: nothing here knows why a record is
//! written. No compression, no encryption, no network.

#![forbid(unsafe_code)]

mod backlog;
mod books;
mod clean;
mod closing;
mod commit;
mod config;
mod damage;
mod error;
mod folder;
mod frame;
mod head;
mod health;
mod ids;
mod journal;
mod keeper;
mod level;
mod manifest;
mod mark;
mod open;
mod owed;
mod page;
mod place;
pub mod planted;
mod read;
mod record;
mod recovered;
mod room;
mod scan;
mod segment;
mod sheet;
mod storage;
mod stored;
mod trace;
mod verify;
mod walk;
mod weigh;
mod wire;
mod zeroes;

pub use backlog::Backlog;
pub use config::{JournalConfig, OnCorruption};
pub use damage::{Damage, Lost, Wrong};
pub use error::{AppendError, CommitError, Failed, OpenError, ReadError};
pub use health::{JournalHealth, JournalState};
pub use journal::{Journal, Reached};
pub use level::{Level, UnknownLevel};
pub use open::LOST;
pub use place::{Moment, Place, Position};
pub use record::{
    Attempt, Begun, Checkpoint, Counters, DROP_REASONS, Dead, Dedup, DedupKey, DedupKeys, End,
    Ended, Failure, Header, KeyValue, Kind, Letter, Moved, MovedTarget, Publish, Record, Redriven,
    Retry, Settled, Span, Standing, Subscribe, SubscriptionState, Target,
};
pub use recovered::{
    OwnedFailure, OwnedLetter, Recovered, RecoveredKey, RecoveredLetter, RecoveredSub,
    RecoveryReport, Tried,
};
pub use room::Wanting;
#[cfg(feature = "testing")]
pub use storage::{CrashChoice, Op, SimStorage};
pub use storage::{DiskStorage, LockError, Storage, StoredFile};
pub use stored::Stored;
pub use trace::TraceEntry;
pub use verify::{Verified, is_there, verify};
pub use wire::{Items, List};
