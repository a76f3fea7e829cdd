//! What tests of several crates share.
//!
//! [`eventually`](fn@eventually) waits for a value; [`repository`] names the folders of the
//! checkout; [`Home`] is a home folder for one test; [`fixture`] builds libraries in C;
//! [`Enclosure`] has mounts of its own; [`tether`](fn@tether) lets a process die with its test;
//! [`checker`] judges what publishers and plugins wrote down, without anything of the product.
//! The rules of the repository itself (who may depend on whom, how long a file may be, which
//! licences a dependency may have) are tests of this crate, in `tests/it`.
//!
//! **Absent on purpose.** Nothing of the product: a crate under test must be able to use this one
//! without a cycle, and a check of the product must not be made of its own parts.

#![forbid(unsafe_code)]

pub mod checker;
mod enclosure;
mod eventually;
pub mod fixture;
mod home;
pub mod repository;
mod tether;

pub use enclosure::{Enclosure, quoted};
pub use eventually::eventually;
#[cfg(feature = "tokio")]
pub use eventually::eventually_async;
pub use home::Home;
pub use tether::{tether, this_again};
