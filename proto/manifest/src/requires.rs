//! What a plugin needs to be there first.

use std::fmt;

use semver::VersionReq;
use serde::{Serialize, Serializer};

use crate::{
    fields::At,
    name::{NAME_REMEDY, PluginName},
    node::Node,
    problem::{Problem, ProblemKind, Report, shown},
};

/// Most plugins one may require.
pub const REQUIRES_MAX: usize = 128;
const VERSION_REMEDY: &str = "write for example `>= 1.0.0`, `^1.2` or `*`";

/// Another plugin that must be running. Written `redis-diagnostics >= 1.0.0`, or as an object
/// with `name` and `version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The plugin.
    pub name: PluginName,
    /// The versions that will do. As usual with ranges, a pre-release version will only do when
    /// the range names one of the same `major.minor.patch`.
    pub req: VersionReq,
}

// === impl Dependency ===

impl Dependency {
    /// Reads the list. `own` is the name of the plugin itself, when that could be read.
    pub(crate) fn read_list(
        at: At<'_>,
        own: Option<&PluginName>,
        report: &mut Report,
    ) -> Option<Vec<Dependency>> {
        let entries = at.clone().list(report)?;
        if entries.len() > REQUIRES_MAX {
            let problem = format!("{} plugins are too many", entries.len());
            return at.invalid(problem, format!("{REQUIRES_MAX} are allowed"), report);
        }
        let mut found: Vec<Dependency> = Vec::with_capacity(entries.len());
        for entry in entries {
            let path = entry.path.clone();
            let Some(dependency) = Dependency::read(entry, report) else { continue };
            let name = &dependency.name;
            if own == Some(name) {
                let problem = format!("`{name}` requires itself");
                let kind = ProblemKind::Conflict;
                report.problem(Problem::new(kind, path, problem, "remove the entry"));
            } else if found.iter().any(|other| other.name == *name) {
                let problem = format!("`{name}` is required twice");
                let remedy = "put both ranges into one entry, with a comma between them";
                report.problem(Problem::new(ProblemKind::Conflict, path, problem, remedy));
            } else {
                found.push(dependency);
            }
        }
        Some(found)
    }

    fn read(at: At<'_>, report: &mut Report) -> Option<Dependency> {
        match at.node {
            Node::Text(text) => {
                let text = text.trim();
                let end = text
                    .find(|c: char| c.is_whitespace() || "<>=^~*,@".contains(c))
                    .unwrap_or(text.len());
                let (name, req) = text.split_at(end);
                let name = read_name(&at, name, report)?;
                Some(Dependency { name, req: read_req(&at, req, report)? })
            }
            Node::Object(_) => {
                let mut fields = at.fields(report)?;
                fields.require("name", "redis-diagnostics");
                let name = fields.get("name", |at, report| {
                    let text = at.text(report)?;
                    read_name(&at, text, report)
                });
                let req = fields.get("version", |at, report| {
                    let text = at.text(report)?;
                    read_req(&at, text, report)
                });
                fields.finish();
                Some(Dependency { name: name?, req: req.unwrap_or(VersionReq::STAR) })
            }
            _ => at.wrong_type("a text such as `redis-diagnostics >= 1.0.0`", report),
        }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.req)
    }
}

impl Serialize for Dependency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads the name of a plugin.
pub(crate) fn read_name(at: &At<'_>, text: &str, report: &mut Report) -> Option<PluginName> {
    match PluginName::parse(text) {
        Ok(name) => Some(name),
        Err(error) => at.invalid(error.to_string(), NAME_REMEDY, report),
    }
}

fn read_req(at: &At<'_>, text: &str, report: &mut Report) -> Option<VersionReq> {
    let text = text.trim();
    if text.is_empty() {
        return Some(VersionReq::STAR);
    }
    if text.len() > 256 {
        return at.invalid("the range of versions is too long", VERSION_REMEDY, report);
    }
    match VersionReq::parse(text) {
        Ok(req) => Some(req),
        Err(error) => {
            let problem = format!("{} is not a range of versions: {error}", shown(text));
            at.invalid(problem, VERSION_REMEDY, report)
        }
    }
}
