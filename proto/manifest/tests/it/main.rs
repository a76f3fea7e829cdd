//! The manifest as authors write it, and as nobody should.

mod bad_input;
mod good_input;
mod properties;
mod published_schema;
