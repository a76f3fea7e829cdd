//! Settings: defaults, then the file, then the environment; later ones win.
//!
//! Everything is checked before anything is used, and every problem is told with its path. The
//! known keys are those of the defaults themselves, so a setting that is added to a struct is known
//! here at once.
//!
//! Reading order: [`shape`] (which keys exist) → [`overlay`] (one layer onto another) →
//! [`environment`] → [`mod@load`] → [`given`] (what plugins were given since).

mod environment;
mod given;
mod load;
mod overlay;
mod shape;

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use patchbay_gateway::{GatewayLimits, limits::duration};
use patchbay_host::{
    DeadLetterSettings, Durability, JournalSettings, Limits, Paths, PluginSettings,
};
use patchbay_wire::TopicPattern;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::{
    given::{of_plugin, put_on_top},
    load::load,
};

/// Everything that `patchbay.yaml` may say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) paths: Paths,
    pub(crate) limits: Limits,
    /// How safe the messages of which topics are (P-3).
    pub(crate) durability: Durability,
    /// Topics on which a message that no subscription matches is refused (P-2).
    pub(crate) reject_unmatched: Vec<TopicPattern>,
    pub(crate) journal: JournalSettings,
    /// How many dead letters are kept (P-21).
    pub(crate) dead_letters: DeadLetterSettings,
    pub(crate) gateway: GatewayLimits,
    pub(crate) log: LogSettings,
    /// How long a shutdown may take before it is cut short (P-35).
    #[serde(with = "duration")]
    pub(crate) shutdown_timeout: Duration,
    pub(crate) plugins: BTreeMap<String, PluginSettings>,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogSettings {
    pub(crate) format: LogForm,
    /// Directives such as `info,patchbay_host=debug`.
    pub(crate) filter: String,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogForm {
    Text,
    Json,
}

/// Settings in effect, with where each came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    /// The same as a document.
    pub(crate) document: Value,
    /// Who set a value last, by path; absent = the default.
    pub(crate) origins: BTreeMap<String, Origin>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    /// Name of the variable.
    Environment(String),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Path of the setting, such as `limits.poll`.
    pub(crate) path: String,
    pub(crate) what: String,
    pub(crate) origin: Origin,
}

// === impl Settings ===

impl Settings {
    /// What the host itself is told.
    pub(crate) fn host(&self) -> patchbay_host::Settings {
        patchbay_host::Settings {
            paths: self.paths.clone(),
            limits: self.limits.clone(),
            durability: self.durability.clone(),
            reject_unmatched: self.reject_unmatched.clone(),
            journal: self.journal.clone(),
            dead_letters: self.dead_letters.clone(),
            plugins: self.plugins.clone(),
        }
    }
}

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => to.write_str("default"),
            Origin::File(path) => write!(to, "{}", path.display()),
            Origin::Environment(name) => write!(to, "${name}"),
        }
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Environment(name) => write!(to, "`{}` (${name}): {}", self.path, self.what),
            _ => write!(to, "`{}`: {}", self.path, self.what),
        }
    }
}
