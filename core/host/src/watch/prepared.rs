//! A library that a link leads to, judged together with its settings.

use std::{error::Error, path::Path, sync::Arc};

use patchbay_lifecycle::{
    Digest, Facts, FailureKind, HealthRule, Lasting, PluginName, Refusal, Requirement,
    RestartPolicy,
};
use patchbay_loader::{Candidate, InspectLimits, LibraryProblem};
use patchbay_manifest::{Manifest, Restart};
use serde_json::{Map, Value};

use crate::settings::PluginSettings;

/// A library that may be opened, and what it will be given.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The file, open.
    pub(crate) candidate: Candidate,
    /// Its manifest, with the operator's values in place of the author's.
    pub(crate) manifest: Manifest,
    /// Its configuration: the manifest's defaults below the settings.
    pub(crate) config: Map<String, Value>,
    /// What decisions are made from.
    pub(crate) facts: Facts,
    /// The operator's values.
    pub(crate) settings: PluginSettings,
}

// === impl Prepared ===

impl Prepared {
    /// Reads and judges a library. No code of it runs.
    pub(crate) fn inspect(
        name: &PluginName,
        library: &Path,
        settings: &PluginSettings,
    ) -> Result<Arc<Prepared>, Refusal> {
        let candidate =
            Candidate::inspect(library, &InspectLimits::default()).map_err(|error| {
                let written_to = matches!(error.problem(), Some(LibraryProblem::Changed));
                Refusal {
                    kind: FailureKind::Inspect,
                    reason: chain(&error),
                    lasting: if written_to { Lasting::Passing } else { Lasting::Permanent },
                }
            })?;
        let own = &candidate.manifest().name;
        if own != name {
            let library = library.display();
            return Err(refused(
                FailureKind::Name,
                format!(
                    "the link `{name}` leads to `{library}`, which is the plugin `{own}`: name \
                     the link `{own}`, or link to another library"
                ),
            ));
        }
        let manifest = candidate
            .manifest()
            .overridden(&settings.worker_pool, &settings.subscriptions)
            .map_err(|error| {
                let reason = format!("the settings of plugin `{name}` do not fit: {error}");
                refused(FailureKind::Config, reason)
            })?;
        let config = manifest.merge_config(&settings.config);
        if let Err(errors) = manifest.check_config(&Value::Object(config.clone())) {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return Err(refused(
                FailureKind::Config,
                format!(
                    "the configuration of plugin `{name}` does not fit the schema in its \
                     manifest: {}; correct it in the settings",
                    errors.join("; ")
                ),
            ));
        }
        let facts = facts(&candidate, &manifest, &config, settings);
        let settings = settings.clone();
        Ok(Arc::new(Prepared { candidate, manifest, config, facts, settings }))
    }
}

fn refused(kind: FailureKind, reason: String) -> Refusal {
    Refusal { kind, reason, lasting: Lasting::Permanent }
}

fn facts(
    candidate: &Candidate,
    manifest: &Manifest,
    config: &Map<String, Value>,
    settings: &PluginSettings,
) -> Facts {
    let given = serde_json::json!([config, settings.worker_pool, settings.subscriptions]);
    let config = patchbay_loader::Digest::of(given.to_string().as_bytes());
    Facts {
        library: Digest(*candidate.digest().as_bytes()),
        config: Digest(*config.as_bytes()),
        version: manifest.version.clone(),
        priority: manifest.priority.number(),
        requires: manifest
            .requires
            .iter()
            .map(|it| Requirement { name: it.name.clone(), versions: it.req.clone() })
            .collect(),
        restart: match manifest.restart {
            Restart::Always => RestartPolicy::Always,
            Restart::OnFailure => RestartPolicy::OnFailure,
            Restart::Never => RestartPolicy::Never,
        },
        health: HealthRule {
            interval: manifest.health.interval,
            timeout: manifest.health.timeout,
            failures: manifest.health.failures,
        },
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
