//! What a plugin does and says, through the table of functions that its host calls.

#![expect(clippy::unwrap_used, reason = "a test says where it failed")]

mod acts;
mod batches;
mod calls;
mod compile_fail;
mod control;
mod exported;
mod own_loop;
mod panics;
mod publishing;
mod starters;
mod statuses;
mod styles;
mod telemetry;
