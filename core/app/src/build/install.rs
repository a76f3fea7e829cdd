//! A built library to its place in `plugins/libraries`, in one step.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use patchbay_loader::{Candidate, InspectLimits};
use patchbay_manifest::PluginName;

use super::tempfile_in;
use crate::failure::Failure;

/// Copies a library beside its place and renames it: whoever has the old one open keeps it whole,
/// and nobody ever sees half a file. What is not fit to be loaded does not get there.
pub(super) fn install(name: &PluginName, built: &Path, library: &Path) -> Result<(), Failure> {
    let candidate = Candidate::inspect(built, &InspectLimits::default()).map_err(|error| {
        Failure::failed(format!("`{name}` is built, but no host would take it"))
            .because_of_its_source(&error)
            .hint("`patchbay plugin new` begins a plugin that is fit; compare with it")
    })?;
    let said = &candidate.manifest().name;
    if said != name {
        return Err(Failure::failed(format!("`{name}` is built, but calls itself `{said}`"))
            .hint("the name in the manifest and the name of the plugin must agree"));
    }
    let cannot = |error: io::Error| {
        Failure::failed(format!("cannot put the library at `{}`", library.display()))
            .because(&error)
    };
    let beside = tempfile_in(library)?.with_extension("new");
    let copied = fs::copy(built, &beside)
        .and_then(|_| fs::set_permissions(&beside, Permissions::from_mode(0o644)))
        .and_then(|()| File::open(&beside)?.sync_all())
        .and_then(|()| fs::rename(&beside, library));
    copied.map_err(|error| {
        let _ = fs::remove_file(&beside);
        cannot(error)
    })
}
