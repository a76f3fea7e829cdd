//! Verbs about plugins.

use std::{fmt, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use patchbay_manifest::PluginName;
use patchbay_wire::TopicPattern;

use super::pattern;

#[derive(Debug, Subcommand)]
pub(crate) enum PluginVerb {
    /// Begin a plugin from a template
    New(NewArgs),
    /// Build a plugin of plugins/workshop into plugins/libraries
    Build(BuildArgs),
    /// Judge a library without running any of its code
    Check(CheckArgs),
    /// Link a built plugin into plugins/enabled, and wait for the outcome
    Activate(ActivateArgs),
    /// Remove a plugin's link from plugins/enabled, and wait for the outcome
    Deactivate(NameArgs),
    /// Delete what waits for a plugin that is gone
    Purge(PurgeArgs),
    /// Give messages again to a plugin that was cut off because of its backlog
    Attach(AttachArgs),
    /// List plugins: state, version, workers, queue, and why one is not running
    List,
    /// Show everything about a plugin
    Info(InfoArgs),
    /// Stop handing messages to a plugin; they stay queued
    Pause(NameArgs),
    /// Hand messages to a paused plugin again
    Resume(NameArgs),
    /// Ask a plugin to forget what it learned from messages
    Reset(NameArgs),
    /// Replace a plugin's instance by a new one, or try a failed plugin again
    Restart(NameArgs),
    /// Show what a plugin logged
    Logs(LogsArgs),
    /// Show which versions of plugins are mapped
    Generations(GenerationsArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay plugin new greeter
  patchbay plugin new greeter --template c
  patchbay plugin new greeter --dir ~/src/greeter

Rust plugins need the author's kit, the folder plugin-template of the Patchbay repository. It is
found where this program was built; --sdk or PATCHBAY_SDK names another place.")]
pub(crate) struct NewArgs {
    /// Name: letters, digits, `_` and `-`, beginning with a letter
    pub(crate) name: PluginName,
    /// Language of the template
    #[arg(long, value_enum, default_value = "rust")]
    pub(crate) template: Template,
    /// Folder to make [default: plugins/workshop/NAME in the home folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Folder of the author's kit, or of the Patchbay repository
    #[arg(long, value_name = "DIR", env = "PATCHBAY_SDK")]
    pub(crate) sdk: Option<PathBuf>,
}

/// Language of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// An async plugin in Rust
    Rust,
    /// A plugin in C
    C,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay plugin build greeter                 into plugins/libraries/development
  patchbay plugin build greeter --release       into plugins/libraries/production
  patchbay plugin build greeter --dir ~/src/greeter

A running plugin whose library is rebuilt is replaced by the host at once.")]
pub(crate) struct BuildArgs {
    /// Name of the plugin
    pub(crate) name: PluginName,
    /// Build optimised, into plugins/libraries/production
    #[arg(long)]
    pub(crate) release: bool,
    /// Folder with the sources [default: plugins/workshop/NAME in the home folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Folder of the author's kit, or of the Patchbay repository (for patchbay.h)
    #[arg(long, value_name = "DIR", env = "PATCHBAY_SDK")]
    pub(crate) sdk: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay plugin check plugins/libraries/development/libgreeter.so")]
pub(crate) struct CheckArgs {
    /// The library
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay plugin activate greeter
  patchbay plugin activate greeter production")]
pub(crate) struct ActivateArgs {
    /// Name of the plugin
    pub(crate) name: PluginName,
    /// Which of its builds
    #[arg(value_enum, default_value = "development")]
    pub(crate) environment: Environment,
}

/// A folder of built libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Environment {
    /// plugins/libraries/development
    Development,
    /// plugins/libraries/production
    Production,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay plugin info greeter
  patchbay plugin info greeter -o json")]
pub(crate) struct InfoArgs {
    /// Name of the plugin
    pub(crate) name: PluginName,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay plugin logs greeter
  patchbay plugin logs greeter --follow")]
pub(crate) struct LogsArgs {
    /// Name of the plugin
    pub(crate) name: PluginName,
    /// Keep showing new lines until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay plugin pause greeter
  patchbay plugin resume greeter")]
pub(crate) struct NameArgs {
    /// Name of the plugin
    pub(crate) name: PluginName,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay plugin purge greeter
  patchbay plugin purge greeter --pattern 'greetings.>'

Durable messages stay when their plugin is deactivated; `patchbay ledger` shows them as gone, with
the plugin's name. They are handed out when the plugin comes back. This deletes them and their dead
letters for good.")]
pub(crate) struct PurgeArgs {
    /// Name of the plugin
    pub(crate) name: PluginName,
    /// Only what waits for the subscription of this pattern
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) pattern: Option<TopicPattern>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay plugin attach greeter
  patchbay plugin attach greeter --pattern 'greetings.>'

A subscription with `overflow: detach` is cut off when its backlog is full: messages pass it by until
half of it is worked off; `patchbay ledger` shows it. This lets it in at once. While its backlog is
still full, the next message cuts it off again.")]
pub(crate) struct AttachArgs {
    /// Name of the plugin
    pub(crate) name: PluginName,
    /// Only the subscription of this pattern
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) pattern: Option<TopicPattern>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay plugin generations
  patchbay plugin generations greeter")]
pub(crate) struct GenerationsArgs {
    /// Only those of this plugin
    pub(crate) name: Option<PluginName>,
}

// === impl Environment ===

impl fmt::Display for Environment {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Environment::Development => "development",
            Environment::Production => "production",
        })
    }
}
