//! Verbs about dead letters.

use std::num::{NonZeroU32, NonZeroUsize};

use clap::{Args, Subcommand};
use patchbay_wire::TopicPattern;

use super::{past, pattern};

#[derive(Debug, Subcommand)]
pub(crate) enum DlqVerb {
    /// List dead letters, oldest first
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// Those instead whose message is lost to damage: they can be purged by their number
        #[arg(long, conflicts_with_all = ["plugin", "topic", "class", "since", "until", "reason", "limit"])]
        unreadable: bool,
    },
    /// Show a dead letter with its message and its failures
    #[command(after_help = "\
Examples:
  patchbay dlq show 12
  patchbay dlq show 0198c0de-0000-7000-8000-000000000001")]
    Show {
        /// Number of the dead letter, or id of the message
        id: String,
    },
    /// Send dead letters back to the subscriptions that they died in, with a clean count
    #[command(after_help = "\
Examples:
  patchbay dlq redrive 12 13
  patchbay dlq redrive --plugin billing --since 2h --dry-run
  patchbay dlq redrive --topic 'orders.>' --reason 'connection refused' --rate 50
  patchbay dlq redrive --all

Only the subscription that a message died in gets it again; others that had it do not. One whose
subscription is gone stays where it is, and the command ends with status 4. Asking twice does no
harm: what was sent back is not a dead letter any more.")]
    Redrive(WorkArgs),
    /// Delete dead letters for good
    #[command(after_help = "\
Examples:
  patchbay dlq purge 12 13
  patchbay dlq purge --class max_age --until 2026-01-31T00:00:00Z
  patchbay dlq purge --all --dry-run")]
    Purge(WorkArgs),
}

/// Which dead letters. What is given must all be true.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Only those of this plugin
    #[arg(long, value_name = "NAME")]
    pub(crate) plugin: Option<String>,
    /// Only those published to a topic of this pattern
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) topic: Option<TopicPattern>,
    /// Only those of this class, such as max_failures or failed
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,
    /// Only those that died since then: a time, or a duration before now
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub(crate) since: Option<String>,
    /// Only those that died before then: a time, or a duration before now
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub(crate) until: Option<String>,
    /// Only those with this text in their reason
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// At most so many, oldest first
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<NonZeroUsize>,
}

/// What is to be done, and how fast.
#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    /// Numbers of dead letters
    #[arg(value_name = "NUMBER")]
    pub(crate) numbers: Vec<u64>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// All of them; needed when no number and no filter is given
    #[arg(long)]
    pub(crate) all: bool,
    /// At most so many a second [default: 1000]
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<NonZeroU32>,
    /// Only show what would happen
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Return at once; the host goes on
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Asked twice under the same key, it is done once [default: a new one]
    #[arg(long, value_name = "TEXT", conflicts_with = "dry_run")]
    pub(crate) key: Option<String>,
}
