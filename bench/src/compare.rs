//! Runs contenders in turn and puts what they reached side by side.
//!
//! Reading order: [`plan`] → [`round`] → [`table`] → [`plot`].

pub mod plan;
pub mod plot;
pub mod round;
pub mod table;
