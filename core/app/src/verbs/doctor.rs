//! `patchbay doctor`: what could keep the host or its plugins from working.

use std::{env, fs, os::unix::fs::PermissionsExt, path::Path};

use patchbay_host::view::HostStatus;
use patchbay_loader::{Candidate, InspectLimits};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::{
    context::Context,
    failure::{Exit, Failure},
    output::Rows,
    settings::Loaded,
};

/// Open files that a host with many plugins needs: a few for each plugin and each lane.
const FILES_MIN: u64 = 4_096;
/// Mappings that a process may have; each library takes about five.
const MAPPINGS_MIN: u64 = 65_530;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Problem,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    detail: String,
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let mut findings = Findings::default();
    platform(&mut findings);
    limits(&mut findings);
    tools(&mut findings);
    match context.settings(None) {
        Ok(loaded) => {
            let from =
                loaded.file.as_ref().map_or("defaults".to_owned(), |f| f.display().to_string());
            findings.add("settings", Verdict::Ok, from);
            folders(&mut findings, &loaded);
            links(&mut findings, &loaded);
        }
        Err(failure) => findings.add("settings", Verdict::Problem, failure.text()),
    }
    socket(&mut findings, context);
    host(&mut findings, context).await;
    let problems = findings.0.iter().filter(|f| f.verdict == Verdict::Problem).count();
    context.output.show(&findings.0, |findings| {
        let mut rows = Rows::new(["CHECK", "VERDICT", "DETAIL"]);
        for finding in findings {
            let verdict = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Problem => "PROBLEM",
            };
            let lines: Vec<&str> = finding.detail.trim().lines().map(str::trim).collect();
            let detail = lines.join("; ");
            rows.row([finding.check.to_owned(), verdict.to_owned(), detail]);
        }
        rows.text("nothing was checked")
    })?;
    match problems {
        0 => Ok(()),
        count => Err(Failure::failed(format!("{count} checks found a problem"))),
    }
}

/// Whether libraries can be proven unmapped in this very executable.
fn platform(findings: &mut Findings) {
    match patchbay_loader::effective() {
        Ok(()) => {
            findings.add(
                "unloading",
                Verdict::Ok,
                "the hooks are in effect; libraries can be proven unmapped",
            );
        }
        Err(error) => {
            let detail = format!("replaced libraries will stay mapped: {error}");
            findings.add("unloading", Verdict::Warning, detail);
        }
    }
}

fn limits(findings: &mut Findings) {
    // `up` raises the limit in effect to the one that is allowed.
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let verdict = if files < FILES_MIN { Verdict::Warning } else { Verdict::Ok };
    let advice = if files < FILES_MIN { "; raise the hard limit before many plugins" } else { "" };
    findings.add("open files", verdict, format!("{files} allowed{advice}"));
    let threads = getrlimit(Resource::Nproc).current;
    let threads = threads.map_or("no limit".to_owned(), |count| format!("{count} allowed"));
    findings.add("threads", Verdict::Ok, threads);
    let mappings = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    if let Some(count) = mappings.and_then(|text| text.trim().parse::<u64>().ok()) {
        let verdict = if count < MAPPINGS_MIN { Verdict::Warning } else { Verdict::Ok };
        findings.add("mappings", verdict, format!("{count} allowed (vm.max_map_count)"));
    }
}

/// What `plugin build` needs; a host needs none of it.
fn tools(findings: &mut Findings) {
    for (check, tool, need) in
        [("cargo", "cargo", "plugins in Rust"), ("compiler", "cc", "plugins in C")]
    {
        let found = env::var_os("PATH")
            .and_then(|path| env::split_paths(&path).map(|d| d.join(tool)).find(|f| f.exists()));
        match found {
            Some(file) => findings.add(check, Verdict::Ok, file.display().to_string()),
            None => {
                let detail = format!("`{tool}` is not there; `plugin build` needs it for {need}");
                findings.add(check, Verdict::Warning, detail);
            }
        }
    }
}

fn folders(findings: &mut Findings, loaded: &Loaded) {
    let paths = &loaded.settings.paths;
    for (check, folder) in [
        ("enabled", &paths.enabled),
        ("libraries", &paths.libraries),
        ("store", &paths.store),
        ("journal", &paths.journal),
    ] {
        let shown = folder.display();
        match fs::metadata(folder) {
            Ok(found) if !found.is_dir() => {
                findings.add(check, Verdict::Problem, format!("`{shown}` is not a folder"));
            }
            Ok(found) if found.permissions().mode() & 0o002 != 0 => {
                let detail =
                    format!("`{shown}` may be written by everybody: so may what the host runs");
                findings.add(check, Verdict::Problem, detail);
            }
            Ok(_) if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() => {
                findings.add(check, Verdict::Problem, format!("`{shown}` may not be written"));
            }
            Ok(_) => findings.add(check, Verdict::Ok, shown.to_string()),
            Err(_) => {
                let detail = format!("`{shown}` is not there yet; `patchbay up` makes it");
                findings.add(check, Verdict::Ok, detail);
            }
        }
    }
}

/// Whether every link leads to a library that the host would take.
fn links(findings: &mut Findings, loaded: &Loaded) {
    let mut links: Vec<_> =
        fs::read_dir(&loaded.settings.paths.enabled).into_iter().flatten().flatten().collect();
    links.sort_by_key(fs::DirEntry::file_name);
    for link in links {
        let shown = link.path().display().to_string();
        match Candidate::inspect(&link.path(), &InspectLimits::default()) {
            Ok(candidate) => {
                let manifest = candidate.manifest();
                let mut detail = format!("{} {}", manifest.name, manifest.version);
                let warned = !manifest.warnings.is_empty();
                for warning in &manifest.warnings {
                    detail.push_str(&format!("; {warning}"));
                }
                let verdict = if warned { Verdict::Warning } else { Verdict::Ok };
                findings.add("plugin", verdict, detail);
            }
            Err(error) => {
                let failure = Failure::failed(shown).because(&error);
                findings.add("plugin", Verdict::Problem, failure.text());
            }
        }
    }
}

fn socket(findings: &mut Findings, context: &Context) {
    let socket = context.home.socket();
    if let Ok(found) = fs::symlink_metadata(&socket) {
        let mode = found.permissions().mode() & 0o777;
        let verdict = if mode == 0o600 { Verdict::Ok } else { Verdict::Problem };
        findings.add("socket", verdict, format!("{} (mode {mode:o})", socket.display()));
    }
}

async fn host(findings: &mut Findings, context: &Context) {
    match context.client.get::<HostStatus>("/api/v1/status").await {
        Ok(status) => {
            let degraded = status.health != "healthy";
            let verdict = if degraded { Verdict::Warning } else { Verdict::Ok };
            let detail = format!("{}, {}, version {}", status.phase, status.health, status.version);
            findings.add("host", verdict, detail);
            let (verdict, detail) = match status.durability.as_str() {
                "reduced" => (
                    Verdict::Warning,
                    "reduced: some topics are at level `process`, which a power cut may cost",
                ),
                "memory" => (Verdict::Ok, "memory: no topic is durable"),
                _ => (Verdict::Ok, "disk: durable topics survive a power cut"),
            };
            findings.add("durability", verdict, detail);
            let well = status.journal == "ready";
            let verdict = if well { Verdict::Ok } else { Verdict::Problem };
            findings.add("journal", verdict, status.journal);
        }
        Err(failure) if failure.exit == Exit::Unreachable => {
            let stale = exists(&context.home.socket());
            let rest = if stale { "; a socket was left behind, `up` replaces it" } else { "" };
            findings.add("host", Verdict::Ok, format!("none runs here{rest}"));
        }
        Err(failure) => findings.add("host", Verdict::Problem, failure.text()),
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

// === impl Findings ===

impl Findings {
    fn add(&mut self, check: &'static str, verdict: Verdict, detail: impl Into<String>) {
        self.0.push(Finding { check, verdict, detail: detail.into() });
    }
}
