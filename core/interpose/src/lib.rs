//! Hooks of the executable that account for what a library leaves behind, and the record of what it
//! takes with it.
//!
//! A library can be unmapped safely only when none of its threads, thread-local destructors and
//! `pthread` keys are left, and glibc tells nobody how many there are. This crate defines four
//! functions of glibc in the executable, where every library that is loaded later finds them
//! first; each writes down what it sees and goes on to the real one. A fifth is `exit`: a library that
//! calls it under a running host leaves its name, and the process ends with a status that says so.
//!
//! Reading order: [`range`] (which addresses are a library's) → [`keys`] → [`destructors`] →
//! [`threads`] (what was written down) → `hooks` (who writes it) → [`effective`](fn@effective)
//! (whether the hooks are in force in this process). [`crash`] has a page of its own, and so has
//! [`memory`], which hooks nothing.
//!
//! Rules kept in every hook:
//!
//! * No allocation through Rust: the host's allocator may itself register a thread-local
//!   destructor. Tables are static and lock-free, nodes come from `malloc`.
//! * The real function is always called, so that glibc's own safety net stays.
//! * In doubt a library counts as busy. What could not be written down is [`lost`], and after a
//!   loss nothing is proven any more.
//!
//! The hooks take part only if the executable refers to this crate: call [`effective`] at start.
//!
//! **Absent on purpose.** No policy: what a count means is decided in `patchbay-loader`. No linker
//! argument: an executable exports what a shared library of the link defines too, and
//! [`effective`] is the proof.

#[cfg(not(target_os = "linux"))]
compile_error!("patchbay-interpose reads the link map of Linux");

pub mod crash;
pub mod destructors;
mod effective;
#[cfg(hooked)]
mod glibc;
#[cfg(hooked)]
mod hooks;
pub mod keys;
pub mod memory;
pub mod range;
pub mod threads;

pub use effective::{NotEffective, effective};
pub use range::Range;
pub use threads::{enlist, enter};

/// How many facts could not be written down since the process started: a table was full or
/// `malloc` failed. Not 0: no library can be proven free any more.
#[must_use]
pub fn lost() -> usize {
    destructors::lost() + threads::lost()
}

/// Gives the table entries of a library back. Only for a library that is proven unmapped.
pub fn forget(range: Range) {
    destructors::forget(range);
}
