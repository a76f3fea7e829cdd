//! From one version of a plugin to another: what is asked for, how it goes, what came of it.
//!
//! Reading order: [`strategy`] and [`request`] (what is wanted, and what is refused before anything
//! starts) → [`latency`], [`sample`], [`verdict`] (what is measured and what that means) →
//! [`event`] (what the host tells, and what it is told to do) → [`record`] (what survives a crash)
//! → [`machine`] (all of it in order) → [`outline`] (the same as text, beforehand) and [`report`]
//! (afterwards).
//!
//! A change of the configuration is a transition like any other: both ends have the same bytes and
//! another configuration. The candidate of a transition never changes: another one is another
//! transition after this one, and its analysis begins from nothing (P-30).
//!
//! **Absent on purpose.** How anything is done: loading, splitting, mirroring and draining are the
//! host's. No clock and no dice: time comes with each event, and what depends on chance (which
//! message goes to the candidate) is drawn by the bus from the salt in the specification.

pub mod event;
pub mod latency;
pub mod machine;
pub mod outline;
pub mod record;
pub mod report;
pub mod request;
pub mod sample;
pub mod strategy;
pub mod verdict;

pub use self::{
    event::{Action, AskRefused, Asked, Effect, Event, Served, Ticket, Yield},
    latency::Latencies,
    machine::Transition,
    outline::{Outline, OutlineStep},
    record::{FORMAT, HostEnd, Outcome, OutcomeKind, Record, Recovery, Standing, recover},
    report::{Entry, Report, VersionReport},
    request::{RefusalKind, Refused, Request, StateRule, TransitionSpec, Version, VersionFacts},
    sample::{Comparison, Difference, Sample},
    strategy::{BlueGreen, Gradual, OnTimeout, Strategy, Terms},
    verdict::{Figures, Finding, Judgement, Metric, Rule},
};
