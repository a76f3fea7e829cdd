//! The host's log, on the standard error output.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::{
    args::{LogFormat, UpArgs},
    failure::Failure,
    settings::{LogForm, LogSettings},
};

/// Starts logging: as typed, else as the settings say.
pub(super) fn start(settings: &LogSettings, args: &UpArgs) -> Result<(), Failure> {
    let directives = args.log.as_deref().unwrap_or(&settings.filter);
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failure::usage(format!("`{directives}` does not say what to log"))
            .because(&error)
            .hint("write a level such as `info`, or `info,patchbay_host=debug`")
    })?;
    let json = match args.log_format {
        Some(format) => format == LogFormat::Json,
        None => settings.format == LogForm::Json,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init()
    } else {
        let colours = io::stderr().is_terminal();
        registry.with(fmt::layer().with_ansi(colours).with_writer(io::stderr)).try_init()
    };
    started.map_err(|error| Failure::failed("cannot start the log").because(&error))
}
