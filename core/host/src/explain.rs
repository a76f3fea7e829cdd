//! The life of one message, from what the host knows of it.

use patchbay_bus::{Place, Whereabouts};
use uuid::Uuid;

use crate::{
    context::Context,
    moment, show,
    view::{DeliveryLife, MessageLife},
};

/// What is said about a message that no record is left of.
const IN_MEMORY: &str = "it is in memory only: such a message leaves no record of what was settled";

/// What became of a message; `None` when nothing is known of it.
pub(crate) fn explain(context: &Context, mid: u128) -> Option<MessageLife> {
    let found = context.broker.whereabouts(mid);
    let first = found.first()?;
    let (topic, time_ns) = (first.message.topic().to_owned(), first.message.time_ns());
    Some(MessageLife {
        mid: Uuid::from_u128(mid).to_string(),
        topic: Some(topic),
        published_at: Some(moment::text(time_ns)),
        seq: None,
        deliveries: found.iter().map(|it| delivery(context, it)).collect(),
        records: Vec::new(),
        note: IN_MEMORY.to_owned(),
    })
}

fn delivery(context: &Context, found: &Whereabouts) -> DeliveryLife {
    let (state, due, generation, dead_letter) = match &found.place {
        Place::Queued => ("queued", None, None, None),
        Place::Delayed { due_unix_ns } => ("delayed", Some(*due_unix_ns), None, None),
        Place::InFlight { generation } => ("in_flight", None, Some(*generation), None),
        Place::DeadPending => ("dead_pending", None, None, None),
        Place::Dead(letter) => ("dead", None, None, Some(letter.number)),
        _ => ("unknown", None, None, None),
    };
    DeliveryLife {
        plugin: found.owner.to_string(),
        subscription: found.subscription.as_ref().map(|it| it.spec().pattern.to_string()),
        delivery: found.delivery,
        state: state.to_owned(),
        due_at: due.map(moment::text),
        generation,
        dead_letter,
        accepted_at: moment::text(found.accepted_unix_ns),
        attempts: found.attempts,
        failures: found.failures,
        redrives: found.redrives,
        history: found.history.iter().map(|it| show::failure(context, it)).collect(),
    }
}
