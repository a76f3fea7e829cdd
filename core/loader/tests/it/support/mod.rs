//! What the tests share: fixture libraries, a host in miniature, lanes.

pub(crate) mod build;
pub(crate) mod child;
pub(crate) mod desk;
pub(crate) mod rig;
pub(crate) mod services;

pub(crate) use desk::{Answer, Desk};
pub(crate) use rig::{Rig, SOON};
