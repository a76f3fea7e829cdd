//! The library's side of the boundary: the table of functions, and what stands behind each.
//!
//! Reading order: [`panic`] (nothing unwinds across) → [`waker`] → [`outcome`] → [`instance`] →
//! [`call`] (one call in the host's memory) → [`table`].

pub(crate) mod call;
pub(crate) mod instance;
pub(crate) mod outcome;
pub(crate) mod panic;
pub(crate) mod table;
pub(crate) mod waker;
