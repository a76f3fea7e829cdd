//! From nothing to a library: `patchbay plugin new`, `build` and `check`. No host is needed.

mod cargo;
mod cc;
mod check;
mod install;
mod scaffold;
mod sdk;

use std::path::PathBuf;

use serde::Serialize;

use crate::{args::BuildArgs, context::Context, failure::Failure, output::note};

pub(crate) use self::{check::check, scaffold::scaffold};

#[derive(Debug, Serialize)]
struct Built {
    name: String,
    version: String,
    library: PathBuf,
    digest: String,
}

/// Builds a plugin and puts its library where `plugin activate` finds it.
pub(crate) fn build(context: &Context, args: &BuildArgs) -> Result<(), Failure> {
    let name = &args.name;
    let folder = args.dir.clone().unwrap_or_else(|| context.home.workshop().join(name.as_str()));
    if !folder.is_dir() {
        return Err(Failure::failed(format!(
            "plugin `{name}` has no folder `{}`",
            folder.display()
        ))
        .hint(format!("`patchbay plugin new {name}` begins one; --dir names another folder")));
    }
    let paths = context.settings(None)?.settings.paths;
    let environment = if args.release { "production" } else { "development" };
    let library = paths.libraries.join(environment).join(format!("lib{name}.so"));
    note(&format!("building {name} in {}", folder.display()));
    if folder.join("Cargo.toml").is_file() {
        let built = cargo::build(&folder, args.release)?;
        install::install(name, &built, &library)?;
    } else {
        let scratch = tempfile_in(&library)?;
        let built = cc::build(&folder, args, &scratch);
        let installed = built.and_then(|()| install::install(name, &scratch, &library));
        // A library that could not be built or is not fit has left a part of itself.
        let _ = std::fs::remove_file(&scratch);
        installed?;
    }
    let candidate = check::inspect(&library)?;
    let built = Built {
        name: name.to_string(),
        version: candidate.manifest().version.to_string(),
        library,
        digest: candidate.digest().to_string(),
    };
    for warning in &candidate.manifest().warnings {
        note(&format!("warning: {warning}"));
    }
    context.output.show(&built, |built| {
        format!("built {} {} into {}", built.name, built.version, built.library.display())
    })
}

/// A name beside the library, on the same file system.
fn tempfile_in(library: &std::path::Path) -> Result<PathBuf, Failure> {
    if let Some(folder) = library.parent() {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::failed(format!("cannot make `{}`", folder.display())).because(&error)
        })?;
    }
    Ok(library.with_extension(format!("build-{}", std::process::id())))
}
