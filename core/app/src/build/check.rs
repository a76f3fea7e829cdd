//! `patchbay plugin check`: what a library says about itself. None of its code is run.

use std::{fmt::Write as _, path::Path};

use patchbay_loader::{Candidate, InspectLimits};
use serde::Serialize;
use serde_json::Value;

use crate::{args::CheckArgs, context::Context, failure::Failure, output::harmless};

#[derive(Debug, Serialize)]
struct Report {
    name: String,
    version: String,
    file: String,
    bytes: u64,
    digest: String,
    /// Contract that it was built for.
    contract: String,
    /// `own` or `host`: who runs the loop on its threads.
    runs: &'static str,
    /// Whether it can be unmapped when it is replaced.
    unloads: bool,
    needs: Vec<String>,
    warnings: Vec<String>,
    manifest: Value,
}

/// Judges a library.
pub(crate) fn check(context: &Context, args: &CheckArgs) -> Result<(), Failure> {
    let candidate = inspect(&args.file)?;
    let (manifest, note, elf) = (candidate.manifest(), candidate.note(), candidate.elf());
    let mut warnings: Vec<String> = manifest.warnings.iter().map(ToString::to_string).collect();
    if elf.static_tls {
        warnings.push(
            "it takes thread-local storage from the small reserve of the process; compile without \
             -ftls-model=initial-exec"
                .to_owned(),
        );
    }
    if let Err(problems) = manifest.check_config(&Value::Object(manifest.config.clone())) {
        warnings.extend(problems.iter().map(|p| format!("its own default config: {p}")));
    }
    let report = Report {
        name: manifest.name.to_string(),
        version: manifest.version.to_string(),
        file: candidate.real_path().display().to_string(),
        bytes: candidate.bytes(),
        digest: candidate.digest().to_string(),
        contract: format!("{}.{}", note.major, note.minor),
        runs: if note.own_loop() { "own" } else { "host" },
        unloads: !candidate.stays_mapped(),
        needs: elf.needed.clone(),
        warnings,
        manifest: manifest.to_value(),
    };
    context.output.show(&report, human)
}

/// Inspects a library with what to try when it is not fit.
pub(super) fn inspect(file: &Path) -> Result<Candidate, Failure> {
    Candidate::inspect(file, &InspectLimits::default()).map_err(|error| {
        Failure::failed(error.to_string()).because_of_its_source(&error).hint(
            "`patchbay plugin new` begins a plugin that is fit, `patchbay plugin build` builds one",
        )
    })
}

fn human(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut say = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<10} {}", harmless(value));
    };
    say("plugin", &format!("{} {}", report.name, report.version));
    if let Some(description) = report.manifest.get("description").and_then(Value::as_str) {
        say("does", description);
    }
    say("file", &format!("{} ({} bytes)", report.file, report.bytes));
    say("digest", &report.digest);
    say("contract", &report.contract);
    say("loop", report.runs);
    say("unloads", if report.unloads { "yes" } else { "no: it asks to stay mapped" });
    if !report.needs.is_empty() {
        say("needs", &report.needs.join(", "));
    }
    let subscriptions = report.manifest.get("subscriptions").and_then(Value::as_array);
    for subscription in subscriptions.into_iter().flatten() {
        let pattern = subscription.get("topic").and_then(Value::as_str).unwrap_or_default();
        say("listens", pattern);
    }
    for warning in &report.warnings {
        say("warning", warning);
    }
    let verdict = match report.warnings.len() {
        0 => "fit to be loaded".to_owned(),
        count => format!("fit to be loaded, with {count} warnings"),
    };
    say("verdict", &verdict);
    text
}
