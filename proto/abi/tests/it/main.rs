//! The contract has two faces, Rust's and C's, and one table (`include/layout.def`) that both are
//! checked against.

#![expect(clippy::unwrap_used, reason = "a test says where it failed")]

mod c_face;
mod rust_face;
mod table;
