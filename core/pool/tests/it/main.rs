//! Pools over a real broker, with real threads.

mod brisk;
mod calls;
mod close;
mod control;
mod hang;
mod intake;
mod order;
mod rig;
mod size;
mod statuses;
mod storm;
