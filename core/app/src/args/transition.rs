//! Verbs about transitions from one version of a plugin to another.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use patchbay_manifest::PluginName;

use super::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum TransitionVerb {
    /// Replace a running plugin by another version of it, or by itself with other settings, and
    /// show how it goes
    Start(StartArgs),
    /// Show where a plugin's latest transition stands
    Status(StatusArgs),
    /// Take no step forward until it is resumed; failures still count
    Pause(AskArgs),
    /// Go on after a pause or a hold
    Resume(AskArgs),
    /// Go on without waiting: the next step, or past the bake
    Promote(AskArgs),
    /// Give up, before the cutover
    Abort(AskArgs),
    /// Bring the old version back, at any time before the end
    Rollback(AskArgs),
    /// List transitions, the latest first, also those of former lives of the host
    List(ListArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay transition start greeter --to 1.1.0 --dry-run
  patchbay transition start greeter --to 1.1.0 --strategy gradual --steps 1,10,50 --min-time 30s
  patchbay transition start greeter --to plugins/libraries/development/libgreeter.so
  patchbay transition start greeter --to 2.0.0 --strategy blue-green --require-dlq-pass 99%
  patchbay transition start greeter --to 2.0.0 --strategy immediate --force --no-wait
  patchbay transition start greeter --config greeter.yaml --strategy gradual

What is not given is taken from `transition` in the new version's manifest, or is usual. The
transition goes on when this command is interrupted: `patchbay transition status greeter` shows it.
Exit status: 0 the new version serves, 1 the old one does, 2 and 4 refused before anything started.")]
pub(crate) struct StartArgs {
    /// Name of the plugin
    pub(crate) name: PluginName,
    /// The library file, or the version of one in plugins/libraries [default: what serves]
    #[arg(long, value_name = "VERSION|FILE", required_unless_present = "config")]
    pub(crate) to: Option<String>,
    /// YAML or JSON with the settings that it gets from now on, as they stand below `plugins.NAME`
    /// in patchbay.yaml: they lie on top of those, in place of what was given so before
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How the new version takes over [default: as its manifest says, else graceful]
    #[arg(long, value_enum)]
    pub(crate) strategy: Option<StrategyArg>,
    /// gradual: percentages that rise; the last is 100 in any case [default: 1,5,25,50,100]
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    pub(crate) steps: Option<Vec<u8>>,
    /// gradual: stay at this step until resumed, to compare the versions
    #[arg(long, value_name = "PERCENT")]
    pub(crate) hold: Option<u8>,
    /// Least messages that the new version handles at every step [default: 50]
    #[arg(long, value_name = "N")]
    pub(crate) min_samples: Option<u64>,
    /// Least time of every step [default: 10s]
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) min_time: Option<Duration>,
    /// How long the old version stays ready after the cutover
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) bake: Option<Duration>,
    /// How long the trial may take; what is undecided by then has failed [default: 30m]
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) deadline: Option<Duration>,
    /// How long the old version may finish what it holds
    #[arg(long, value_name = "D", value_parser = duration)]
    pub(crate) drain_deadline: Option<Duration>,
    /// What happens when that was not enough [default: abort]
    #[arg(long, value_enum)]
    pub(crate) on_drain_timeout: Option<OnTimeoutArg>,
    /// blue-green: run copies of messages through it, or do not [default: as `mirror_safe` says]
    #[arg(long, value_name = "BOOL")]
    pub(crate) mirror: Option<bool>,
    /// So many of the plugin's dead letters must pass in the new version first
    #[arg(long, value_name = "PERCENT", value_parser = percentage)]
    pub(crate) require_dlq_pass: Option<f64>,
    /// Do what is only unwise: other bytes of the same version, more permissions, a dropped
    /// subscription
    #[arg(long)]
    pub(crate) force: bool,
    /// Only show the plan
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Return once it is under way; the host goes on
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Asked twice under the same key, it is started once [default: a new one]
    #[arg(long, value_name = "TEXT")]
    pub(crate) key: Option<String>,
    /// Why, for those who look at it later
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
}

/// What is asked of a transition that runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay transition pause greeter
  patchbay transition promote greeter --key release-42
  patchbay transition rollback greeter")]
pub(crate) struct AskArgs {
    /// Name of the plugin
    pub(crate) name: PluginName,
    /// Asked twice under the same key, it is done once, and the answer is the same for a day
    /// [default: a new one]
    #[arg(long, value_name = "TEXT")]
    pub(crate) key: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay transition list
  patchbay transition list greeter --limit 5")]
pub(crate) struct ListArgs {
    /// Name of the plugin [default: all of them]
    pub(crate) name: Option<PluginName>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay transition status greeter
  patchbay transition status greeter --follow")]
pub(crate) struct StatusArgs {
    /// Name of the plugin
    pub(crate) name: PluginName,
    /// Show every step until it ends
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// How a new version takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyArg {
    /// It takes everything at once; what the old one runs is taken away
    Immediate,
    /// It takes everything that is new; the old one finishes what it holds
    Graceful,
    /// It gets a growing share, and each step has to be earned
    #[value(alias = "canary")]
    Gradual,
    /// It is tried on probes and on copies of messages first
    BlueGreen,
}

/// What happens when the old version is not done in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnTimeoutArg {
    /// Back to the old version
    Abort,
    /// What it still runs is taken away from it
    Force,
}

/// A percentage, with or without its sign.
fn percentage(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let share = number.parse::<f64>().ok().filter(|share| (0.0..=100.0).contains(share));
    share.ok_or_else(|| "write a percentage from 0 to 100, such as `99%`".to_owned())
}

// === impl StrategyArg ===

impl StrategyArg {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            StrategyArg::Immediate => "immediate",
            StrategyArg::Graceful => "graceful",
            StrategyArg::Gradual => "gradual",
            StrategyArg::BlueGreen => "blue-green",
        }
    }
}

// === impl OnTimeoutArg ===

impl OnTimeoutArg {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            OnTimeoutArg::Abort => "abort",
            OnTimeoutArg::Force => "force",
        }
    }
}
