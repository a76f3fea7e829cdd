//! The host's own messages: `$PB.plugin.<name>.state` and its like.
//!
//! They go through the bus as every message does, so that taps, plugins and bridges can hear them.
//! An event that finds no room is gone: nobody waits for the slowest listener.

use std::sync::{Mutex, PoisonError};

use patchbay_bus::{Broker, DEAD_TOPICS, DeadLetter, Outgoing, Publisher};
use patchbay_lifecycle::transition::{Entry, TransitionSpec};
use serde::Serialize;

use crate::{
    moment,
    view::{DeadLettersView, LedgerView, LogLine, StateChange},
};

/// On whose behalf the host publishes.
const PRINCIPAL: &str = "$PB";
const HEADERS: &[(&str, &str)] = &[("content-type", "application/json"), ("ce-source", "patchbay")];

/// Publishes events.
#[derive(Debug)]
pub(crate) struct EventDesk(Mutex<Publisher>);

// === impl EventDesk ===

impl EventDesk {
    pub(crate) fn new(broker: &Broker) -> EventDesk {
        EventDesk(Mutex::new(broker.publisher(PRINCIPAL)))
    }

    /// A plugin changed its state, or one of its generations did.
    pub(crate) fn state_changed(&self, change: &StateChange) {
        let what = if change.generation.is_some() { "generation" } else { "state" };
        self.publish(&format!("$PB.plugin.{}.{what}", change.plugin), change);
    }

    /// A transition went on.
    pub(crate) fn transition(&self, spec: &TransitionSpec, entry: &Entry) {
        #[derive(Serialize)]
        struct Progress<'a> {
            id: &'a str,
            plugin: &'a str,
            from: &'a str,
            to: &'a str,
            #[serde(flatten)]
            entry: &'a Entry,
        }
        let progress = Progress {
            id: &spec.id,
            plugin: &spec.plugin,
            from: &spec.from.version,
            to: &spec.to.version,
            entry,
        };
        self.publish(&format!("$PB.transition.{}", spec.plugin), &progress);
    }

    /// The dead letters became full, or have room again.
    pub(crate) fn dead_letters(&self, letters: &DeadLettersView) {
        let what = if letters.is_full { "full" } else { "room" };
        self.publish(&format!("$PB.dlq.{what}"), letters);
    }

    /// A message died: what it was, with what is known of its death.
    pub(crate) fn dead(&self, letter: &DeadLetter) {
        let message = &letter.message;
        let (number, generation) = (letter.number.to_string(), letter.generation.to_string());
        let at = moment::text(letter.at_unix_ns);
        let told = [
            ("Patchbay-Dead-Number", &*number),
            ("Patchbay-Dead-Class", letter.cause.label()),
            ("Patchbay-Dead-Reason", &letter.reason),
            ("Patchbay-Dead-Topic", message.topic()),
            ("Patchbay-Dead-Plugin", &letter.owner),
            ("Patchbay-Dead-Version", &letter.version),
            ("Patchbay-Dead-Generation", &generation),
            ("Patchbay-Dead-At", &at),
        ];
        let is_its = |(name, _): &(&str, &str)| !told.iter().any(|(own, _)| own == name);
        let headers: Vec<(&str, &str)> = message.headers().filter(is_its).chain(told).collect();
        self.send(Outgoing {
            topic: &format!("{DEAD_TOPICS}{}", letter.owner),
            key: message.key(),
            headers: &headers,
            payload: message.payload(),
            // Whoever sends it back does not do so for ever.
            cause: Some(message),
            no_wait: true,
            ..Outgoing::default()
        });
    }

    /// A subscription was cut off because of its backlog, or let in again.
    pub(crate) fn cut_off(&self, row: &LedgerView) {
        #[derive(Serialize)]
        struct CutOff<'a> {
            plugin: &'a str,
            pattern: &'a str,
            cut_off: bool,
            passed: u64,
        }
        let LedgerView { plugin, pattern, cut_off, passed, .. } = row;
        let told = CutOff { plugin, pattern, cut_off: *cut_off, passed: *passed };
        self.publish(&format!("$PB.plugin.{plugin}.cut_off"), &told);
    }

    /// A plugin wrote a log line.
    pub(crate) fn logged(&self, line: &LogLine) {
        self.publish(&format!("$PB.log.{}", line.plugin), line);
    }

    fn publish(&self, topic: &str, data: &impl Serialize) {
        let Ok(payload) = serde_json::to_vec(data) else { return };
        self.send(Outgoing {
            topic,
            headers: HEADERS,
            payload: &payload,
            no_wait: true,
            ..Outgoing::default()
        });
    }

    fn send(&self, outgoing: Outgoing<'_>) {
        let published = self.0.lock().unwrap_or_else(PoisonError::into_inner).publish(outgoing);
        if let Err(error) = published {
            tracing::trace!(topic = outgoing.topic, %error, "an event was not published");
        }
    }
}
