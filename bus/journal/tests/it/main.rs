//! The journal from outside.

mod common;
mod disk;
