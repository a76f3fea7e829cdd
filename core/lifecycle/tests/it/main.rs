//! Properties of the planner and of whole fleets, run against a simulated executor.

mod fleets;
mod order;
mod plans;
mod support;
