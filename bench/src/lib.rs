//! What the benchmarks share: figures, the process seen from outside, and the libraries they load.
//!
//! **Absent on purpose.** No assertion about speed: a benchmark prints what it measured, and a
//! reader compares ratios of one run. `unsafe` only in [`allocations`], which counts.

pub mod allocations;
pub mod figures;
pub mod libraries;
pub mod process;
pub mod services;
