//! What is wanted of a plugin name, and what its library says about itself.

use semver::{Version, VersionReq};

use crate::{Digest, HealthRule, PluginName, Refusal, RestartPolicy};

/// What an inspected library says about itself, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The library's bytes.
    pub library: Digest,
    /// The configuration and settings it will get.
    pub config: Digest,
    /// Version in the manifest.
    pub version: Version,
    /// Start priority; lower starts earlier.
    pub priority: u8,
    /// Plugins that must serve before it starts.
    pub requires: Vec<Requirement>,
    /// When it is restarted.
    pub restart: RestartPolicy,
    /// How its health is checked.
    pub health: HealthRule,
}

/// One required plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Its name.
    pub name: PluginName,
    /// The versions that will do.
    pub versions: VersionReq,
}

/// What the folder of links says about a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Intent {
    /// There is no link.
    #[default]
    Absent,
    /// There is one, and it cannot be used.
    Refused(Refusal),
    /// This is to run.
    Wanted(Facts),
}
