//! What the benchmarks share: the libraries they load, the hosts they load them into, and the
//! product as a contender beside its peers.
//!
//! **Absent on purpose.** No assertion about speed: a benchmark prints what it measured, and a
//! reader compares ratios of one run. How something is measured is `patchbay-measure`'s matter.
#![forbid(unsafe_code)]

pub mod contender;
pub mod home;
pub mod libraries;
pub mod services;
