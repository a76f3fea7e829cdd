//! HTTP over a [`HostHandle`](patchbay_host::HostHandle): `/api/v1`, health, event streams.
//!
//! Reading order: [`limits`] → [`problem`] → [`gateway`] → `exchange` (bodies in and out) →
//! `message` (the API's form of a message) → [`routes`].
//!
//! Every route stands in one list, [`routes::all`]; the router, the aliases of older interfaces and
//! the check of `openapi.json` are made from it.
//!
//! **Absent on purpose.** No listener, no rights: the application decides where a router is served
//! and who may reach it: a socket which only the user who runs the host may open.

#![forbid(unsafe_code)]

mod exchange;
mod exposition;
pub mod gateway;
pub mod limits;
mod message;
pub mod problem;
pub mod routes;
mod stream;

pub use self::{
    gateway::{Gateway, StopRequest},
    limits::GatewayLimits,
    message::{DeadLetter, Outcome, Passed},
    routes::{
        router,
        transitions::{TransitionPlan, TransitionStatus},
    },
};
