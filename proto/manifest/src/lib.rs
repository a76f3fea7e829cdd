//! The manifest of a plugin: what it may say, and every way in which it may be wrong.
//!
//! Reading order: [`problem`] → `quantity` → [`node`] → `fields` → [`name`] → [`worker_pool`]
//! → [`subscription`] → [`policy`] → [`transition`] → [`requires`] → [`manifest`] → [`config`] → [`mod@schema`].
//!
//! Bytes become a tree of values under limits ([`node`]), then a reader that was written by hand
//! goes over it (`fields`) and reports all mistakes with place and remedy, not only the first.
//!
//! **Absent on purpose.** No file, no library, no clock: the loader hands in the bytes it found in
//! a library, the host hands in the operator's overrides. Reading a manifest decides nothing.

#![forbid(unsafe_code)]

pub mod config;
mod fields;
pub mod manifest;
pub mod name;
pub mod node;
pub mod policy;
pub mod problem;
mod quantity;
pub mod requires;
pub mod schema;
pub mod subscription;
pub mod transition;
pub mod worker_pool;

pub use self::{
    config::ConfigError,
    manifest::{API_VERSION, ENTRY_POINT, Manifest},
    name::{NameError, PluginName},
    node::Format,
    policy::{
        HealthManifest, Permissions, Priority, Restart, StateManifest, TransitionStrategy, Unload,
    },
    problem::{ManifestError, Problem, ProblemKind, Warning},
    requires::Dependency,
    schema::schema,
    subscription::{
        BacklogManifest, KeySource, OnError, Order, Overflow, QueueManifest, RetryManifest,
        SubscriptionManifest,
    },
    transition::{OnDrainTimeout, ProbeAnswer, ProbeManifest, TransitionManifest},
    worker_pool::WorkerPoolManifest,
};
