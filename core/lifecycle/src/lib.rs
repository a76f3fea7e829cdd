//! Pure decisions of the control plane.
//!
//! Reading order: [`state`], [`identity`], [`cause`], [`failure`] (words) → [`observed`] and
//! [`mod@plan`] (what is, what to do) → [`planner`] → [`restart`], [`health`], [`order`] (rules) →
//! [`intent`] and [`track`] (one plugin) → [`fleet`] (all of them). Each module imports only from those before it.
//! [`transition`] stands beside them: how one version of a plugin takes over from another; and so does
//! [`mod@blame`]: whose call has ended a process.
//!
//! **Absent on purpose.** No runtime, no I/O, no clock, no random numbers: time and dice come as
//! arguments. That is what lets property tests run ten thousand lives of a fleet in a second.
#![forbid(unsafe_code)]

pub mod blame;
pub mod cause;
pub mod failure;
pub mod fleet;
pub mod health;
pub mod identity;
pub mod intent;
pub mod observed;
pub mod order;
pub mod plan;
pub mod planner;
pub mod restart;
pub mod state;
pub mod track;
pub mod transition;

pub use patchbay_manifest::PluginName;

pub use self::{
    cause::{Cause, Change, Now},
    failure::{Failure, FailureKind, Lasting, Refusal, Retry},
    fleet::{Command, CommandError, Effect, Fleet, Reading},
    health::{Check, HealthRecord, HealthRule, Verdict},
    identity::{Digest, Generation, Identity},
    intent::{Facts, Intent, Requirement},
    observed::{Instance, Observed, Queue, StepEnd},
    order::{Node, Order},
    plan::{Flow, Plan, Step},
    planner::{Target, plan},
    restart::{Decision, RestartLimits, RestartPolicy, RestartWindow, Setback, Setbacks, backoff},
    state::State,
    track::Track,
};
