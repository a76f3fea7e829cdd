//! Why the host refuses or fails what a caller asks for.
//!
//! One enum per family of operations. Each error has a stable [`code`](HostError::code) for
//! programs and a [`hint`](HostError::hint) for people.

use std::{path::PathBuf, time::Duration};

use patchbay_bus::RecoverError;
use patchbay_journal::OpenError;
use patchbay_lifecycle::transition::Refused;

/// Why the host could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A folder could not be made or opened.
    #[error("cannot prepare folder `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of the host's own could not be read or written.
    #[error("cannot {operation} `{}`", path.display())]
    File {
        /// Verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There was a journal, and it is not there any more (P-10).
    #[error("the journal `{}` is gone: `{}` says that there was one", path.display(), known.display())]
    JournalGone {
        /// Its folder.
        path: PathBuf,
        /// The file that knows of it.
        known: PathBuf,
    },
    /// The journal is whole, and belongs to other data (P-10).
    #[error("the journal `{}` is not the one that `{}` names", path.display(), known.display())]
    OtherJournal {
        /// Its folder.
        path: PathBuf,
        /// The file that names the one that belongs here.
        known: PathBuf,
    },
    /// A setting is out of its range.
    #[error("setting `{setting}` {problem}")]
    Setting {
        /// Path of the setting.
        setting: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// The journal cannot be used.
    #[error("cannot open the journal `{}`", path.display())]
    Journal {
        /// Its folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<OpenError>,
    },
    /// What the journal says cannot be gone on with.
    #[error("cannot go on from the journal `{}`", path.display())]
    Recovery {
        /// Its folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<RecoverError>,
    },
    /// The actors of the host did not start.
    #[error("cannot start the actors of the host")]
    Actors,
    /// A thread of the host did not start.
    #[error("cannot start the {thread} thread")]
    Thread {
        /// Which.
        thread: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The store of library copies cannot be used.
    #[error("cannot open the store of libraries `{}`", path.display())]
    Store {
        /// Folder of the store.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why an operation on a plugin was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// No plugin of that name is enabled or known.
    #[error("no plugin `{plugin}` is known")]
    UnknownPlugin {
        /// The name as asked for.
        plugin: String,
    },
    /// Nothing waits under that name.
    #[error("nothing waits for a plugin `{plugin}` that is gone")]
    NoOrphan {
        /// The name as asked for.
        plugin: String,
    },
    /// The plugin is not in a state that allows it.
    #[error("cannot {operation} plugin `{plugin}`: it is {state}")]
    WrongState {
        /// Name.
        plugin: String,
        /// Verb.
        operation: &'static str,
        /// State it is in.
        state: String,
    },
    /// The plugin answered with an error.
    #[error("plugin `{plugin}` failed to {operation}: {reason}")]
    Plugin {
        /// Name.
        plugin: String,
        /// Verb.
        operation: &'static str,
        /// What it said.
        reason: String,
    },
    /// It took longer than allowed. What was asked for may still happen.
    #[error("no answer to {operation} within {}", humantime::format_duration(*limit))]
    Timeout {
        /// Verb.
        operation: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// A transition, or what one is asked, is refused; nothing has changed.
    #[error("{reason}")]
    Refused {
        /// Stable word for the reason.
        code: &'static str,
        /// What is wrong, and where.
        reason: String,
        /// What to try.
        remedy: String,
    },
    /// The host is shutting down.
    #[error("the host is shutting down")]
    Closing,
}

/// Why an operation on dead letters was refused. Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LetterError {
    /// The selection or the rate is not valid.
    #[error("the selection is not valid: {problem}")]
    Invalid {
        /// What is wrong, where, and what to try.
        problem: String,
    },
    /// The same key was used for another job.
    #[error("the key `{}` belongs to operation {id}, which was asked for something else", key.escape_debug())]
    KeyTaken {
        /// The key.
        key: String,
        /// The operation that has it.
        id: String,
    },
    /// As many operations run as may.
    #[error("{most} operations run already")]
    TooMany {
        /// How many may.
        most: usize,
    },
    /// There is no such operation, or it ended long ago.
    #[error("there is no operation `{}`", id.escape_debug())]
    UnknownOperation {
        /// The id as asked for.
        id: String,
    },
    /// The host is shutting down.
    #[error("the host is shutting down")]
    Closing,
}

/// Why a publish or a request from outside was refused. Nothing was accepted, unless
/// [`is_unknown`](PublishError::is_unknown) says that this is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A matching subscription has no room, and none got the message.
    #[error("the queue of {subscription} is full")]
    Full {
        /// Plugin and pattern.
        subscription: String,
    },
    /// As many durable messages wait for a matching subscription as may.
    #[error("the backlog of {subscription} is full")]
    BacklogFull {
        /// Plugin and pattern.
        subscription: String,
    },
    /// Nobody subscribes to its topic, and the settings say that somebody has to.
    #[error("no subscription matches the topic, and `reject_unmatched` names it")]
    NoMatch,
    /// It would be of no use any more when it may first be handed out.
    #[error("the message expires before it may be handed out")]
    Expired,
    /// Something else was published under the same dedup key.
    #[error("the dedup key was used for another payload, by message {first}")]
    DedupMismatch {
        /// The message that was accepted under it.
        first: String,
    },
    /// There is no room on disk for it.
    #[error("there is no room in the journal for the message")]
    StorageFull,
    /// The journal cannot write any more.
    #[error("the journal has failed; {}", if *written { "whether the message was recorded is not known" } else { "the message was not recorded" })]
    JournalFailed {
        /// Whether the message may have been recorded.
        written: bool,
    },
    /// The host keeps no journal.
    #[error("the host keeps no journal, so it can accept nothing at level `{level}`")]
    NoJournal {
        /// The level asked for.
        level: String,
    },
    /// The payload is larger than allowed.
    #[error("the payload has {size} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Bytes offered.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Topic, key or a header is not valid.
    #[error("the message is not valid: {problem}")]
    Invalid {
        /// What is wrong, where, and what to try.
        problem: String,
    },
    /// The topic belongs to the host.
    #[error("topic `{topic}` is reserved for the host")]
    Reserved {
        /// The topic.
        topic: String,
    },
    /// The chain of causes is longer than allowed.
    #[error("the message has passed through more than {limit} handlers")]
    HopLimit {
        /// Hops allowed.
        limit: u32,
    },
    /// Nobody subscribes to the topic of a request.
    #[error("nobody answers requests on `{topic}`")]
    NoResponders {
        /// The topic.
        topic: String,
    },
    /// No reply came in time. The request was accepted.
    #[error("no reply within {}", humantime::format_duration(*limit))]
    NoReply {
        /// The limit.
        limit: Duration,
    },
    /// The host is shutting down.
    #[error("the host is shutting down")]
    Closed,
}

// === impl HostError ===

impl HostError {
    /// Stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            HostError::UnknownPlugin { .. } => "unknown_plugin",
            HostError::NoOrphan { .. } => "unknown_orphan",
            HostError::WrongState { .. } => "wrong_state",
            HostError::Plugin { .. } => "plugin_failed",
            HostError::Timeout { .. } => "timeout",
            HostError::Refused { code, .. } => code,
            HostError::Closing => "closing",
        }
    }

    /// What to try.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            HostError::UnknownPlugin { .. } => {
                "`patchbay plugin list` shows the names; `patchbay plugin activate` adds one"
            }
            HostError::NoOrphan { .. } => {
                "`patchbay ledger` shows what waits; deactivate a plugin before purging it"
            }
            HostError::WrongState { .. } => "`patchbay plugin info` shows why it is in this state",
            HostError::Plugin { .. } => "`patchbay plugin logs` shows what the plugin wrote",
            HostError::Refused { remedy, .. } => remedy,
            HostError::Timeout { .. } => "`patchbay plugin info` shows whether it still happened",
            HostError::Closing => "start the host again with `patchbay up`",
        }
    }
}

impl From<Refused> for HostError {
    fn from(refused: Refused) -> HostError {
        let Refused { kind, reason, remedy } = refused;
        HostError::Refused { code: kind.as_str(), reason, remedy }
    }
}

// === impl LetterError ===

impl LetterError {
    /// Stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            LetterError::Invalid { .. } => "invalid_request",
            LetterError::KeyTaken { .. } => "idempotency_mismatch",
            LetterError::TooMany { .. } => "too_many_operations",
            LetterError::UnknownOperation { .. } => "unknown_operation",
            LetterError::Closing => "closing",
        }
    }

    /// What to try.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            LetterError::Invalid { .. } => {
                "`patchbay dlq list` shows the numbers, and takes the same filters"
            }
            LetterError::KeyTaken { .. } => "use a new key for a new job",
            LetterError::TooMany { .. } => "wait for one of them to end, or cancel it",
            LetterError::UnknownOperation { .. } => "`GET /api/v1/operations` lists them",
            LetterError::Closing => "start the host again with `patchbay up`",
        }
    }
}

// === impl PublishError ===

impl PublishError {
    /// Whether nobody knows if the message was accepted (P-5).
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, PublishError::NoReply { .. } | PublishError::JournalFailed { written: true })
    }

    /// Stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            PublishError::Full { .. } => "queue_full",
            PublishError::BacklogFull { .. } => "backlog_full",
            PublishError::NoMatch => "no_match",
            PublishError::Expired => "expired",
            PublishError::DedupMismatch { .. } => "dedup_mismatch",
            PublishError::StorageFull => "storage_full",
            PublishError::JournalFailed { .. } => "journal_failed",
            PublishError::NoJournal { .. } => "no_journal",
            PublishError::TooLarge { .. } => "too_large",
            PublishError::Invalid { .. } => "invalid_message",
            PublishError::Reserved { .. } => "reserved_topic",
            PublishError::HopLimit { .. } => "hop_limit",
            PublishError::NoResponders { .. } => "no_responders",
            PublishError::NoReply { .. } => "no_reply",
            PublishError::Closed => "closing",
        }
    }

    /// What to try.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            PublishError::Full { .. } => "publish more slowly, or raise the subscription's queue",
            PublishError::BacklogFull { .. } => {
                "publish more slowly, let the plugin catch up, or raise its backlog"
            }
            PublishError::NoMatch => {
                "activate the plugin that subscribes to it; `patchbay topic list` shows who does"
            }
            PublishError::Expired => "choose a later expiry or an earlier start",
            PublishError::DedupMismatch { .. } => "use a new key for a new message",
            PublishError::StorageFull => {
                "make room on the disk; publishes are accepted again by themselves"
            }
            PublishError::JournalFailed { .. } => {
                "restart the host: it reads what is really on disk; a repeat with the same dedup \
                 key is safe"
            }
            PublishError::NoJournal { .. } => "start the host with a journal",
            PublishError::TooLarge { .. } => "send a reference to the data instead of the data",
            PublishError::Invalid { .. } => "correct the message and publish it again",
            PublishError::Reserved { .. } => "use a topic that does not start with `$PB`",
            PublishError::HopLimit { .. } => "look for plugins that forward to each other",
            PublishError::NoResponders { .. } => {
                "`patchbay topic list` shows who subscribes to what"
            }
            PublishError::NoReply { .. } => "allow more time, or look at the plugin's log",
            PublishError::Closed => "start the host again with `patchbay up`",
        }
    }
}
