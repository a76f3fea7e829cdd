//! The `patchbay` command: runs a host, and speaks to one.
//!
//! Reading order: [`args`] (what may be typed) → [`failure`] (how a verb ends) → [`home`] and
//! [`settings`] (the folder and what it says) → [`context`] → [`verbs`] (one file a family) →
//! [`build`] (plugins from source) → [`up`] (the host itself).
//!
//! **Absent on purpose.** No decisions about plugins or messages: those are the host's.

#![forbid(unsafe_code)]

mod args;
mod build;
mod client;
mod context;
mod failure;
mod home;
mod output;
mod settings;
mod up;
mod verbs;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use crate::{args::Typed, context::Context};

fn main() -> ExitCode {
    // Help and usage errors end here, with clap's own status: 0 and 2.
    let typed = Typed::parse();
    let context = Context::new(&typed.global);
    match verbs::run(&context, typed.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody can be told that nobody can be told.
            let _ = io::stderr().write_all(failure.text().as_bytes());
            ExitCode::from(failure.exit as u8)
        }
    }
}
