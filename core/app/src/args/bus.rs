//! Verbs about messages.

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use patchbay_wire::{Topic, TopicPattern};

use super::{duration, future, header, pattern, topic};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay publish orders.new '{\"id\": 7}'
  patchbay publish orders.new '{\"id\": 7}' --key customer-12 --header source=shop
  patchbay publish orders.new '{\"id\": 7}' --level disk --dedup-key order-7
  patchbay publish reminders.send '{\"id\": 7}' --not-before 10m --expires 1h
  patchbay publish transcript.raw --file meeting.vtt
  tail -f orders.ndjson | patchbay publish orders.new --lines --file -

Prints {mid, seq, level, routed, duplicate} for each message that was accepted; `routed` is
the number of subscriptions that got it. Publishing what nobody subscribes to is no error.")]
pub(crate) struct PublishArgs {
    /// Topic to publish to
    #[arg(value_parser = topic)]
    pub(crate) topic: Topic,
    /// Payload, JSON (use --file for any other bytes)
    #[arg(value_name = "JSON", conflicts_with = "file")]
    pub(crate) json: Option<String>,
    /// Take the payload from a file, any bytes; `-` is the standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Publish one message for each line of --file
    #[arg(long, requires = "file", conflicts_with = "count")]
    pub(crate) lines: bool,
    /// Ordering key
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Header, may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// Publish the message this many times
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,
    /// How long the message is of use
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) ttl: Option<Duration>,
    /// Until when the message is of use: a time, or a duration from now
    #[arg(long, value_name = "TIME", value_parser = future, conflicts_with = "ttl")]
    pub(crate) expires: Option<String>,
    /// When the message may first be handed out: a time, or a duration from now
    #[arg(long, value_name = "TIME", value_parser = future)]
    pub(crate) not_before: Option<String>,
    /// A repeat to the topic under the same key is delivered to nobody
    #[arg(long, value_name = "KEY", conflicts_with_all = ["lines", "count"])]
    pub(crate) dedup_key: Option<String>,
    /// At least this level, if it is above that of the topic
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) level: Option<LevelArg>,
    /// How long to wait for room when a queue is full
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
}

/// How safe a message is once it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelArg {
    /// In a bounded queue: it ends with the host
    Memory,
    /// Written to the journal: it survives the death of the host
    Process,
    /// Forced to the disk: it survives the death of the machine
    Disk,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay subscribe orders.new
  patchbay subscribe 'orders.>' --count 3 --timeout 10s
  patchbay subscribe '$PB.>' -o json          what the host does

`*` stands for one part of a topic, a last `>` for all further ones. Watching settles nothing and
slows nobody: messages that come faster than they can be shown are missed, and counted.")]
pub(crate) struct SubscribeArgs {
    /// Topic or pattern
    #[arg(value_parser = pattern)]
    pub(crate) pattern: TopicPattern,
    /// End after this many messages
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,
    /// End after this time; with --count, fail when they did not come
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay request plugin.greeter.hello '{\"name\": \"Ada\"}'
  patchbay request plugin.greeter.hello --file question.bin --timeout 30s

Prints the payload of the reply; with -o json the whole message. Fails at once when nobody
subscribes to the topic.")]
pub(crate) struct RequestArgs {
    /// Topic to ask on
    #[arg(value_parser = topic)]
    pub(crate) topic: Topic,
    /// Payload, JSON (use --file for any other bytes)
    #[arg(value_name = "JSON", conflicts_with = "file")]
    pub(crate) json: Option<String>,
    /// Take the payload from a file, any bytes; `-` is the standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Ordering key
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Header, may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// How long to wait for the reply
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicVerb {
    /// List patterns, their subscribers, and how much they were given
    List,
}
