//! Transitions between versions.

mod courses;
mod dice;
mod refusals;
mod samples;
mod simulation;
mod trials;
mod verdicts;
mod world;
