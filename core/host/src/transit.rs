//! Moving a plugin from one version to another, without losing anything.
//!
//! What to do is decided by [`patchbay_lifecycle::transition`], which is pure. Here it is done:
//! [`wanted`], [`request`] (may it start) → [`conductor`] (events in, actions out) → [`stage`] (the
//! actions) → [`mirror`], [`observer`], [`outputs`] (a candidate that works on copies, and what is
//! measured) → [`library`], [`lead`], [`kept`], [`history`], [`answers`] (what a crash must not take away).

pub(crate) mod answers;
pub(crate) mod conductor;
pub(crate) mod history;
pub(crate) mod kept;
mod latency;
pub(crate) mod lead;
pub(crate) mod library;
mod lines;
mod mirror;
pub(crate) mod observer;
pub(crate) mod outputs;
pub(crate) mod probes;
pub(crate) mod request;
mod stage;
pub(crate) mod wanted;

use std::path::PathBuf;

use crate::settings::Settings;

/// Where everything about transitions is kept: beside the store of libraries.
pub(crate) fn folder(settings: &Settings) -> PathBuf {
    settings.paths.store.with_file_name("transitions")
}
