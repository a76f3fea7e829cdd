//! Settings of plugins, judged by the manifests in their libraries.

use std::path::PathBuf;

use patchbay_host::{Paths, PluginSettings};
use patchbay_loader::{Candidate, InspectLimits};
use patchbay_manifest::Manifest;
use serde_json::Value;

use crate::{failure::Failure, settings::Settings};

/// Checks the settings of every plugin whose library is there, and returns the plugins' names. A
/// plugin that is not built yet cannot be judged.
pub(super) fn check(settings: &Settings) -> Result<Vec<String>, Failure> {
    let mut judged = Vec::new();
    let mut problems = Vec::new();
    for (name, of_plugin) in &settings.plugins {
        let Some(library) = library(&settings.paths, name) else { continue };
        match Candidate::inspect(&library, &InspectLimits::default()) {
            Ok(candidate) => {
                problems.extend(judge(name, of_plugin, candidate.manifest()));
                judged.push(name.clone());
            }
            Err(error) => {
                let failure = Failure::failed(error.to_string()).because_of_its_source(&error);
                problems.push(format!("`plugins.{name}`: {}", failure.text()));
            }
        }
    }
    if problems.is_empty() {
        return Ok(judged);
    }
    let failure = Failure::failed("the settings of plugins do not fit their manifests");
    Err(problems
        .into_iter()
        .fold(failure, Failure::cause)
        .hint("`patchbay plugin check FILE` shows the manifest of a library"))
}

/// The library that would run: the one that is linked, else one that is built.
fn library(paths: &Paths, name: &str) -> Option<PathBuf> {
    let built = |environment: &str| paths.libraries.join(environment).join(format!("lib{name}.so"));
    [paths.enabled.join(name), built("development"), built("production")]
        .into_iter()
        .find(|file| file.exists())
}

fn judge(name: &str, settings: &PluginSettings, manifest: &Manifest) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(error) = manifest.overridden(&settings.worker_pool, &settings.subscriptions) {
        problems.extend(error.problems().iter().map(|p| format!("`plugins.{name}`: {p}")));
    }
    let config = Value::Object(manifest.merge_config(&settings.config));
    if let Err(errors) = manifest.check_config(&config) {
        problems.extend(errors.iter().map(|e| format!("`plugins.{name}.config`: {e}")));
    }
    problems
}
