//! Verbs about the host itself.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;
use patchbay_manifest::PluginName;

use super::duration;

#[derive(Debug, Args)]
#[command(after_help = "\
Prints one line that begins with `ready` once every enabled plugin has started or failed, and a
table of the plugins. Log lines go to the standard error output. SIGTERM or SIGINT lets the plugins
finish what they have begun and ends with status 0; a second one ends at once with 130.")]
pub(crate) struct UpArgs {
    /// Settings file [default: patchbay.yaml in the home folder, when there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Form of the log [default: as the settings say, else text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// What to log, such as `info,patchbay_host=debug` [default: as the settings say, else info]
    #[arg(long, env = "PATCHBAY_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For reading
    Text,
    /// For programs: one JSON object a line
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without --plugin: returns when a host answers and every enabled plugin has started or failed.

  patchbay wait --timeout 10s
  patchbay wait --plugin greeter --state running
  patchbay wait --plugin greeter --state gone")]
pub(crate) struct WaitArgs {
    /// How long to wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub(crate) timeout: Duration,
    /// Wait for this plugin
    #[arg(long, value_name = "NAME")]
    pub(crate) plugin: Option<PluginName>,
    /// The state to wait for, such as running, paused, failed or gone
    #[arg(long, value_name = "STATE", requires = "plugin", default_value = "running")]
    pub(crate) state: String,
}

#[derive(Debug, Args)]
pub(crate) struct ShutdownArgs {
    /// How long the plugins may take [default: as the host's settings say]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Check the settings: file and environment
    Validate {
        /// Settings file [default: patchbay.yaml in the home folder]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Show settings in effect and where each comes from
    #[command(after_help = "\
Examples:
  patchbay config get
  patchbay config get limits
  patchbay config get plugins.greeter.config

Later ones win: defaults, the file, the environment (PATCHBAY__LIMITS__POLL=2s), what a plugin was
given while the host ran (`patchbay transition start NAME --config FILE`).")]
    Get {
        /// Path of a setting or of a section
        path: Option<String>,
        /// Settings file [default: patchbay.yaml in the home folder]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay completions bash > ~/.local/share/bash-completion/completions/patchbay
  patchbay completions zsh > \"${fpath[1]}/_patchbay\"")]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}
