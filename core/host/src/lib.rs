//! The host: discovers, runs, watches and stops plugins.
//!
//! Reading order: [`settings`] → [`view`] → [`error`] → [`handle`].
#![forbid(unsafe_code)]

mod actors;
mod audit;
mod closing;
mod context;
mod crash;
mod dice;
mod events;
mod executor;
mod explain;
mod handler;
mod incarnation;
mod journal;
mod lane;
mod letters;
mod moment;
mod obituary;
mod open;
mod operations;
mod orphans;
mod publishing;
mod reclaim;
mod records;
mod services;
mod show;
mod snapshot;
mod station;
mod telemetry;
mod transit;
mod watch;
mod wish;

pub mod error;
pub mod handle;
pub mod host;
pub mod settings;
pub mod view;

pub use patchbay_bus::Level;

pub use self::{
    error::{HostError, LetterError, PublishError, StartError},
    handle::HostHandle,
    host::Host,
    letters::LetterFilter,
    operations::{LetterJob, LetterWork},
    publishing::{EventTap, MessageTap, NewMessage, Room},
    settings::{
        DeadLetterSettings, Durability, JournalSettings, Limits, OnFull, Paths, PluginSettings,
        Settings,
    },
    transit::{
        probes::{Expectation, Probe},
        request::TransitionRequest,
    },
};
