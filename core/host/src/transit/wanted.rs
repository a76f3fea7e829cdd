//! The library that a request names, judged before anything is loaded.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use patchbay_lifecycle::{
    FailureKind, Lasting, PluginName, Refusal,
    transition::{RefusalKind, Refused},
};
use patchbay_loader::{Candidate, Digest, InspectLimits};

use super::request::TransitionRequest;
use crate::{
    context::Context,
    settings::PluginSettings,
    station::Station,
    watch::{
        given,
        prepared::{Prepared, chain},
    },
};

/// A library that fits, and where it is.
pub(crate) type Wanted = (PathBuf, Arc<Prepared>);

/// The library that a request names: a file, or the file among the libraries that has that version.
/// Blocks.
///
/// # Errors
/// There is none, or it does not fit: what does not, and what to try.
pub(crate) fn library_of(
    context: &Context,
    station: &Station,
    request: &TransitionRequest,
) -> Result<Wanted, Refused> {
    let (settings, to) = (&context.settings, request.to.as_str());
    let own = match &request.settings {
        Some(given) => given::on_top(settings, station.name(), given).map_err(unfit_settings)?,
        None => given::settings_of(settings, station.name())
            .map_err(|refusal| unfit_settings(refusal.reason))?,
    };
    let libraries = &settings.paths.libraries;
    let libraries = fs::canonicalize(libraries).map_err(|error| {
        let reason = format!("cannot read the folder `{}`: {error}", libraries.display());
        unknown(reason, "see whether it is there and may be read")
    })?;
    let serving = station.serving().and_then(|generation| station.incarnation(generation));
    if to.is_empty() {
        let Some(serving) = serving.filter(|_| request.settings.is_some()) else {
            let reason = "neither a version nor a library nor settings are named".to_owned();
            return Err(unknown(reason, "name one in `to`: a version such as 1.2.0, or a file"));
        };
        return as_it_serves(&libraries, station.name(), &own, &serving.prepared);
    }
    if semver::Version::parse(to).is_ok() {
        let serving = serving.map(|it| it.prepared.candidate.digest());
        by_version(&libraries, station.name(), &own, (to, serving))
    } else {
        by_file(&libraries, station.name(), &own, to)
    }
}

/// The library that serves, with other settings: the file that has its bytes.
fn as_it_serves(
    libraries: &Path,
    name: &PluginName,
    own: &PluginSettings,
    serving: &Prepared,
) -> Result<Wanted, Refused> {
    let (version, digest) = (serving.facts.version.to_string(), serving.candidate.digest());
    let found = by_version(libraries, name, own, (&version, Some(digest)))?;
    if found.1.candidate.digest() == digest {
        return Ok(found);
    }
    let reason = format!("no file has the bytes of version {version} that serves any more");
    Err(unknown(reason, "name the library that is to run with these settings in `to`"))
}

fn by_file(
    libraries: &Path,
    name: &PluginName,
    own: &PluginSettings,
    to: &str,
) -> Result<Wanted, Refused> {
    let path = libraries.join(to);
    let path = fs::canonicalize(&path).map_err(|error| {
        let reason = format!("cannot read the library `{}`: {error}", path.display());
        unknown(reason, "name a version such as 1.2.0, or a file that is there")
    })?;
    if !path.starts_with(libraries) {
        let (path, libraries) = (path.display(), libraries.display());
        let reason = format!("the library `{path}` is outside of `{libraries}`");
        return Err(refused(RefusalKind::Outside, reason, "copy it there first"));
    }
    fit(name, &path, own).map(|prepared| (path, prepared))
}

/// Of several libraries of that version, the one that serves is meant, else one of production, else
/// one of developers.
fn by_version(
    libraries: &Path,
    name: &PluginName,
    own: &PluginSettings,
    (to, serving): (&str, Option<Digest>),
) -> Result<Wanted, Refused> {
    let mut found = None;
    let folders =
        [libraries.to_owned(), libraries.join("production"), libraries.join("development")];
    let mut unfit = None;
    for path in folders.iter().flat_map(|folder| files_of(folder)) {
        match Candidate::inspect(&path, &InspectLimits::default()) {
            Ok(it) if it.manifest().name == *name && it.manifest().version.to_string() == to => {
                if Some(it.digest()) == serving {
                    found = Some(path);
                    break;
                }
                found.get_or_insert(path);
            }
            Ok(_) => {}
            // It may have been the one that is meant: its name says so, and nothing else can.
            Err(error) if is_named_after(&path, name) => {
                unfit.get_or_insert_with(|| chain(&error));
            }
            Err(_) => {}
        }
    }
    if let Some(path) = found {
        return fit(name, &path, own).map(|prepared| (path, prepared));
    }
    let reason = format!("no library of `{name}` has version {to}");
    let reason = match unfit {
        Some(problem) => format!("{reason}, and one cannot be judged: {problem}"),
        None => reason,
    };
    Err(unknown(reason, "build it with `patchbay plugin build`, or name its file"))
}

/// The libraries in a folder, in the order of their names.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "so"));
    files.sort_unstable();
    files
}

fn is_named_after(path: &Path, name: &PluginName) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
    stem.strip_prefix("lib").is_some_and(|stem| stem.starts_with(name.as_str()))
}

fn fit(name: &PluginName, path: &Path, own: &PluginSettings) -> Result<Arc<Prepared>, Refused> {
    Prepared::inspect(name, path, own).map_err(|refusal| contract(name, path, refusal))
}

fn contract(name: &PluginName, path: &Path, refusal: Refusal) -> Refused {
    let Refusal { kind, reason, lasting } = refusal;
    let (reason, remedy) = match (kind, lasting) {
        (FailureKind::Name, _) => {
            let reason =
                format!("the library `{}` is another plugin than `{name}`", path.display());
            (reason, "name a library of this plugin; `patchbay plugin check` shows whose it is")
        }
        (FailureKind::Config, _) => {
            (reason, "correct the settings first, or name a version that they fit")
        }
        (_, Lasting::Passing) => (reason, "try again when the file is complete"),
        _ => (reason, "build it again against this host; `patchbay plugin check` judges the file"),
    };
    refused(RefusalKind::Contract, reason, remedy)
}

fn unfit_settings(reason: String) -> Refused {
    refused(RefusalKind::Contract, reason, "correct the settings")
}

fn unknown(reason: String, remedy: &str) -> Refused {
    refused(RefusalKind::UnknownVersion, reason, remedy)
}

fn refused(kind: RefusalKind, reason: String, remedy: &str) -> Refused {
    Refused { kind, reason, remedy: remedy.to_owned() }
}
