//! How every contender of a comparison is measured: the same work, the same message, the same way
//! of counting, whoever does it.
//!
//! A contender is started in a process of its own, runs a [`Work`](work::Work) until it is told to
//! stop, and counts what its consumers have finished; [`meter`] reads that count at two moments.
//! What comes out is one [`Record`](record::Record), a line of JSON.
//!
//! Reading order: [`entry`] → [`work`] → [`source`] → [`meter`] → [`record`].
//!
//! **Absent on purpose.** No assertion about speed, and no contender: those who are measured depend
//! on this crate, never the other way round. `unsafe` only in [`allocations`], which counts.

pub mod allocations;
pub mod distance;
pub mod entry;
pub mod figures;
pub mod histogram;
pub mod meter;
pub mod process;
pub mod record;
pub mod source;
pub mod work;
