//! Views of the life of one message.

use serde::{Deserialize, Serialize};

use super::FailureRecord;

/// What became of a message, as far as the host knows: `GET /api/v1/messages/{mid}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageLife {
    /// Id of the message.
    pub mid: String,
    /// Topic that it was published to.
    pub topic: Option<String>,
    /// When it was published, RFC 3339.
    pub published_at: Option<String>,
    /// Number in the journal; absent for a message that is in memory only.
    pub seq: Option<u64>,
    /// Its deliveries that are not settled, and its dead letters: where they are now.
    pub deliveries: Vec<DeliveryLife>,
    /// What the journal says about it, oldest first. Empty for a message that is in memory only.
    pub records: Vec<LifeRecord>,
    /// What is not known, and why.
    pub note: String,
}

/// Where one delivery of a message is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryLife {
    /// Plugin that owns the subscription.
    pub plugin: String,
    /// Pattern of the subscription; absent when it is gone.
    pub subscription: Option<String>,
    /// Number of the delivery within the subscription.
    pub delivery: u64,
    /// `queued`, `delayed`, `in_flight`, `dead_pending` or `dead`.
    pub state: String,
    /// When a delayed one is due, RFC 3339.
    pub due_at: Option<String>,
    /// Generation that has it, when it is in flight.
    pub generation: Option<u64>,
    /// Number of the dead letter.
    pub dead_letter: Option<u64>,
    /// When it was accepted, RFC 3339.
    pub accepted_at: String,
    /// Hand-offs so far.
    pub attempts: u32,
    /// Charged failures.
    pub failures: u32,
    /// How often it was sent back from the dead letters.
    pub redrives: u32,
    /// The latest failures, oldest first.
    pub history: Vec<FailureRecord>,
}

/// One record of the journal about a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeRecord {
    /// Number of the record.
    pub number: u64,
    /// When, RFC 3339; absent when the record does not say.
    pub at: Option<String>,
    /// Stable word for the kind of record.
    pub kind: String,
    /// Plugin whose delivery it is about; absent for the message as a whole.
    pub plugin: Option<String>,
    /// Pattern of its subscription.
    pub subscription: Option<String>,
    /// Number of the delivery within the subscription.
    pub delivery: Option<u64>,
    /// How long the attempt took that ended here, microseconds.
    pub took_us: Option<u64>,
    /// The rest, in words.
    pub detail: String,
}
