//! What a verb works with, once the command line is understood.

use std::path::Path;

use crate::{
    args::Global,
    client::Client,
    failure::Failure,
    home::Home,
    output::Output,
    settings::{Loaded, load},
};

/// Decided once, from the global options.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) output: Output,
    pub(crate) client: Client,
}

// === impl Context ===

impl Context {
    pub(crate) fn new(global: &Global) -> Context {
        let home = Home::new(&global.home);
        let client = Client::new(home.socket());
        Context { home, output: Output::new(global.output), client }
    }

    /// The settings in effect here.
    pub(crate) fn settings(&self, file: Option<&Path>) -> Result<Loaded, Failure> {
        load(&self.home, file, std::env::vars())
    }
}
