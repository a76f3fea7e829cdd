//! `patchbay plugin activate` and `deactivate`: the link in `plugins/enabled`, and its outcome.
//!
//! The link is a statement of intent; the host does the rest. Without a host there is only the
//! intent, and that is said.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process,
};

use patchbay_gateway::TransitionStatus;
use patchbay_host::view::{GenerationView, PluginView, RescanReport};
use patchbay_loader::{Candidate, InspectLimits};
use patchbay_manifest::PluginName;
use serde::Serialize;

use super::plugin::{line, not_there, path};
use crate::{
    args::ActivateArgs,
    client::escaped,
    context::Context,
    failure::{Exit, Failure},
    output::note,
};

#[derive(Debug, Serialize)]
struct Activated {
    name: String,
    link: PathBuf,
    library: PathBuf,
    /// Absent when no host runs.
    plugin: Option<PluginView>,
    /// The transition of the plugin that runs; what the link says now is applied at its end.
    transition: Option<String>,
}

#[derive(Debug, Serialize)]
struct Deactivated {
    name: String,
    /// Whether a host runs, and what is still mapped of the plugin there.
    host: bool,
    generations: Vec<GenerationView>,
    /// The transition of the plugin that runs; the plugin ends at its end.
    transition: Option<String>,
}

pub(super) async fn activate(context: &Context, args: &ActivateArgs) -> Result<(), Failure> {
    let name = &args.name;
    let paths = context.settings(None)?.settings.paths;
    let library = paths.libraries.join(args.environment.to_string()).join(format!("lib{name}.so"));
    inspect(name, &library, args)?;
    let link = put_link(&paths.enabled, name, &library)?;
    let plugin = match context.client.post::<RescanReport>("/api/v1/rescan").await {
        Ok(report) => match report.plugins.into_iter().find(|view| view.name == name.as_str()) {
            Some(plugin) => Some(plugin),
            // Nothing changed for the host: it runs this library already.
            None => Some(context.client.get::<PluginView>(&path(name)).await?),
        },
        Err(failure) if failure.exit == Exit::Unreachable => None,
        Err(failure) => return Err(failure),
    };
    if let Some(plugin) = &plugin
        && (plugin.failure.is_some() || plugin.state == "failed")
    {
        return Err(not_there(plugin, "running"));
    }
    let transition = match plugin {
        Some(_) => running(context, name).await?,
        None => None,
    };
    let activated = Activated { name: name.to_string(), link, library, plugin, transition };
    context.output.show(&activated, |activated| match (&activated.plugin, &activated.transition) {
        (Some(plugin), None) => line(plugin),
        (Some(plugin), Some(id)) => format!("{}; {}", line(plugin), until(name, id)),
        (None, _) => {
            format!("{name} is linked; no host runs here, it takes effect at the next start")
        }
    })
}

pub(super) async fn deactivate(context: &Context, name: &PluginName) -> Result<(), Failure> {
    let link = context.settings(None)?.settings.paths.enabled.join(name.as_str());
    match fs::symlink_metadata(&link) {
        Ok(found) if !found.is_symlink() => {
            return Err(Failure::failed(format!("`{}` is not a link", link.display()))
                .hint("it was not made by `plugin activate`; move it away by hand"));
        }
        Ok(_) => fs::remove_file(&link).map_err(|error| {
            Failure::failed(format!("cannot remove the link `{}`", link.display())).because(&error)
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            note(&format!("{name} has no link in `{}`", link.with_file_name("").display()));
        }
        Err(error) => {
            return Err(
                Failure::failed(format!("cannot look at `{}`", link.display())).because(&error)
            );
        }
    }
    let (host, (transition, generations)) = match gone(context, name).await {
        Ok(found) => (true, found),
        Err(failure) if failure.exit == Exit::Unreachable => (false, (None, Vec::new())),
        Err(failure) => return Err(failure),
    };
    let result = Deactivated { name: name.to_string(), host, generations, transition };
    context.output.show(&result, |result| {
        let kept = result.generations.iter().find_map(|of| of.quarantine.as_deref());
        match (result.host, &result.transition, kept) {
            (false, ..) => format!("{name} is not linked; no host runs here"),
            (_, Some(id), _) => format!("{name} has no link any more; {}", until(name, id)),
            (_, None, None) => format!("{name} is deactivated, and its library unmapped"),
            (_, None, Some(why)) => {
                format!("{name} is deactivated; its library stays mapped: {why}")
            }
        }
    })
}

/// The transition of a plugin that runs.
async fn running(context: &Context, name: &PluginName) -> Result<Option<String>, Failure> {
    let at = format!("{}/transition", path(name));
    let status: TransitionStatus = context.client.get(&at).await?;
    let running = status.report.filter(|report| report.ended_unix_ns.is_none());
    Ok(running.map(|report| report.spec.id))
}

/// What a link says is applied when the transition that runs has ended (P-30).
fn until(name: &PluginName, id: &str) -> String {
    format!("transition {id} runs: `patchbay transition status {name} --follow` shows its end")
}

/// Lets the host see that the link is gone, and returns the transition that runs, at the end of
/// which the plugin ends; without one, what is still mapped of the plugin.
async fn gone(
    context: &Context,
    name: &PluginName,
) -> Result<(Option<String>, Vec<GenerationView>), Failure> {
    let report: RescanReport = context.client.post("/api/v1/rescan").await?;
    if report.plugins.iter().any(|view| view.name == name.as_str())
        && let Some(id) = running(context, name).await?
    {
        return Ok((Some(id), Vec::new()));
    }
    let until = format!("{}?until=gone,stopped&timeout={}", path(name), escaped("60s"));
    let _: Option<PluginView> = context.client.get(&until).await?;
    let all: Vec<GenerationView> = context.client.get("/api/v1/generations").await?;
    Ok((None, all.into_iter().filter(|of| of.plugin == name.as_str()).collect()))
}

/// Refuses what the host would refuse, before anything is changed.
fn inspect(name: &PluginName, library: &Path, args: &ActivateArgs) -> Result<(), Failure> {
    if !library.exists() {
        let other = if args.environment.to_string() == "production" { " --release" } else { "" };
        return Err(Failure::failed(format!(
            "plugin `{name}` has no library `{}`",
            library.display()
        ))
        .hint(format!("`patchbay plugin build {name}{other}` makes it")));
    }
    let candidate = Candidate::inspect(library, &InspectLimits::default())
        .map_err(|error| Failure::failed(format!("cannot activate `{name}`")).because(&error))?;
    let named = &candidate.manifest().name;
    if named != name {
        return Err(Failure::failed(format!("cannot activate `{name}`"))
            .cause(format!("the manifest in `{}` says `{named}`", library.display()))
            .hint("the name in the manifest and the name of the plugin must agree"));
    }
    Ok(())
}

/// Makes or replaces the link in one step: whoever looks sees the old one or the new one.
fn put_link(enabled: &Path, name: &PluginName, library: &Path) -> Result<PathBuf, Failure> {
    let link = enabled.join(name.as_str());
    let cannot = |error: io::Error| {
        Failure::failed(format!("cannot make the link `{}`", link.display())).because(&error)
    };
    fs::create_dir_all(enabled).map_err(cannot)?;
    if fs::symlink_metadata(&link).is_ok_and(|found| !found.is_symlink()) {
        return Err(Failure::failed(format!("`{}` is there and is not a link", link.display()))
            .hint("move it away; plugins/enabled holds links only"));
    }
    let enabled = fs::canonicalize(enabled).map_err(cannot)?;
    let target = relative(&enabled, &fs::canonicalize(library).map_err(cannot)?);
    // Not in the folder itself: the host watches that one.
    let beside = enabled.with_file_name(format!(".link-{name}-{}", process::id()));
    let _ = fs::remove_file(&beside);
    symlink(&target, &beside).map_err(cannot)?;
    fs::rename(&beside, &link).map_err(|error| {
        let _ = fs::remove_file(&beside);
        cannot(error)
    })?;
    Ok(link)
}

/// The way from a folder to a file, so that a home folder may be moved as a whole.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let mut way: PathBuf = from.components().skip(shared).map(|_| "..").collect();
    way.extend(to.components().skip(shared));
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_two_folders_goes_up_and_down() {
        let way = relative(
            Path::new("/h/plugins/enabled"),
            Path::new("/h/plugins/libraries/development/liba.so"),
        );
        assert_eq!(way, Path::new("../libraries/development/liba.so"));
    }

    #[test]
    fn a_link_is_replaced_in_one_step_and_a_file_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let enabled = folder.path().join("enabled");
        let name = PluginName::parse("a").expect("a name");
        for library in ["one.so", "two.so"] {
            let library = folder.path().join(library);
            fs::write(&library, "").expect("a file");
            let link = put_link(&enabled, &name, &library).expect("a link");
            assert_eq!(fs::canonicalize(link).ok(), fs::canonicalize(library).ok());
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 3);
        fs::remove_file(enabled.join("a")).expect("a link");
        fs::write(enabled.join("a"), "").expect("a file");
        let refused = put_link(&enabled, &name, &folder.path().join("one.so"));
        assert!(refused.expect_err("refused").text().contains("not a link"));
    }
}
