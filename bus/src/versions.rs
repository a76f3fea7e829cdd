//! Which version a generation is, for whoever signs what became of a delivery: generations are
//! numbered anew in every life of a host, and a dead letter outlives it (promise P-21).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crate::{broker::Broker, sync::lock};

/// The versions of the generations that there are.
#[derive(Debug, Default)]
pub(crate) struct Versions(Mutex<HashMap<u64, Arc<str>>>);

// === impl Versions ===

impl Versions {
    /// The version of a generation; empty where nobody said it.
    pub(crate) fn of(&self, generation: u64) -> Arc<str> {
        lock(&self.0).get(&generation).cloned().unwrap_or_default()
    }
}

impl Broker {
    /// Says which version a generation is: what fails in it is signed with that from now on.
    pub fn name_version(&self, generation: u64, version: &str) {
        lock(&self.dead_letters().versions.0).insert(generation, version.into());
    }

    /// A generation has ended: nothing of it is under way any more.
    pub fn forget_version(&self, generation: u64) {
        lock(&self.dead_letters().versions.0).remove(&generation);
    }
}
