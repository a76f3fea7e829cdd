//! The actors: who decides, who performs, who watches.
//!
//! ```text
//! RootSupervisor
//! ├── RegistryActor      owns the fleet; every decision is one call of a pure function
//! │   └── PluginActor    one per plugin name; performs that plugin's plans, one at a time
//! ├── WatcherActor       reads the folder of links, tells the registry
//! └── HealthActor        asks serving plugins for their health, tells the registry
//! ```
//!
//! No message of the bus ever enters a mailbox, and no handler here waits for a plugin: whatever
//! takes time runs in a task that its actor owns, and comes back as a message. Mailboxes are
//! unbounded (ractor's), so each producer is bounded instead: the watcher coalesces, a plugin has
//! one plan and one health check at a time, and callers wait for their answers.

pub(crate) mod health;
pub(crate) mod plugin;
pub(crate) mod registry;
pub(crate) mod root;
pub(crate) mod watcher;

use std::time::Duration;

/// How long an actor may take to answer a question; they never wait for plugins.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
