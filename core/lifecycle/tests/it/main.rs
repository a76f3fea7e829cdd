//! Properties of the planner, of whole fleets and of transitions, run against a simulated executor.

mod fleets;
mod order;
mod plans;
mod support;
mod transitions;
