//! Plugins in Rust: cargo builds them, and says where the library is.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::failure::Failure;

/// The lines of cargo's report that matter here.
#[derive(Debug, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact {
        manifest_path: PathBuf,
        target: Target,
        filenames: Vec<PathBuf>,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// Builds the crate in a folder and returns its library. Cargo's own progress goes to the standard
/// error output.
pub(super) fn build(folder: &Path, release: bool) -> Result<PathBuf, Failure> {
    let manifest = folder.join("Cargo.toml");
    let manifest = std::fs::canonicalize(&manifest).map_err(|error| {
        Failure::failed(format!("cannot read `{}`", manifest.display())).because(&error)
    })?;
    let mut command = Command::new("cargo");
    command.args(["build", "--lib", "--message-format=json-render-diagnostics"]);
    command.arg("--manifest-path").arg(&manifest);
    if release {
        command.arg("--release");
    }
    let cannot = |error: std::io::Error| {
        Failure::failed("cannot run cargo")
            .because(&error)
            .hint("plugins in Rust are built by cargo; https://rustup.rs installs it")
    };
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let mut library = None;
    if let Some(report) = child.stdout.take() {
        for line in BufReader::new(report).lines().map_while(Result::ok) {
            library = library_of(&line, &manifest).or(library);
        }
    }
    let status = child.wait().map_err(cannot)?;
    if !status.success() {
        return Err(Failure::failed(format!("`{}` does not build", folder.display()))
            .cause(format!("cargo ended with {status}; what it said stands above")));
    }
    library.ok_or_else(|| {
        Failure::failed(format!("`{}` is built, but into no library", folder.display()))
            .hint("Cargo.toml needs: [lib] crate-type = [\"cdylib\", \"rlib\"]")
    })
}

/// The library that a line of the report names, if it is the one that was asked for.
fn library_of(line: &str, manifest: &Path) -> Option<PathBuf> {
    let Ok(Message::CompilerArtifact { manifest_path, target, filenames }) =
        serde_json::from_str(line)
    else {
        return None;
    };
    let ours = manifest_path == manifest && target.crate_types.iter().any(|t| t == "cdylib");
    let is_library = |file: &PathBuf| file.extension().is_some_and(|end| end == "so");
    ours.then(|| filenames.into_iter().find(is_library)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_in_the_report_of_cargo() {
        let line = r#"{"reason":"compiler-artifact","package_id":"x",
            "manifest_path":"/p/Cargo.toml","target":{"kind":["cdylib","rlib"],"crate_types":["cdylib","rlib"],"name":"p"},
            "filenames":["/t/libp.rlib","/t/libp.so"],"fresh":true}"#;
        assert_eq!(library_of(line, Path::new("/p/Cargo.toml")), Some("/t/libp.so".into()));
        assert_eq!(library_of(line, Path::new("/q/Cargo.toml")), None);
        assert_eq!(library_of(r#"{"reason":"build-finished"}"#, Path::new("/p")), None);
        assert_eq!(library_of("noise", Path::new("/p")), None);
    }
}
