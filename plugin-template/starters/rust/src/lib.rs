//! Counts the words of texts.
//!
//! Every message on `texts.>` is a JSON object with a `text`. The answer, `{"words": 2}`, goes to
//! `plugin.my_plugin.counted`.

#![forbid(unsafe_code)]

mod config;
mod error;
mod models;
mod processor;

pub use processor::MyPlugin;

patchbay_plugin::export_plugin!(MyPlugin, "../manifest.json");
