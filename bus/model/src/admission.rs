//! Whether a message is accepted: by all subscriptions that want it, or by none.

use patchbay_bus::Overflow;

use crate::{
    delivery::{Deadline, Delivery, Wait},
    effect::Answer,
    event::{Moment, Publish},
    matching,
    state::{Repeat, State},
    subscription::Subscription,
};

/// Accepts a message or refuses it.
pub(crate) fn publish(state: &mut State, publish: &Publish, now: Moment) -> Answer {
    let facts = &publish.facts;
    if facts.size() > state.limits.message_bytes {
        return Answer::TooLarge;
    }
    if facts.hops > state.limits.hops {
        return Answer::HopLimit;
    }
    if !matching::is_topic(&facts.topic) {
        return Answer::Topic;
    }
    if facts.expires_ns != 0 && publish.not_before_ns >= facts.expires_ns {
        return Answer::Expired;
    }
    if state.limits.durable && state.closed && !publish.follows {
        return Answer::Closed;
    }
    let Some(key) = &publish.dedup_key else { return admit(state, publish, now) };
    let window = state.limits.window.as_nanos();
    state.repeats.retain(|repeat| u128::from(now.now_ns - repeat.at_ns) <= window);
    let scope = (publish.principal.clone(), facts.topic.clone(), key.clone());
    let payload = (facts.tag, facts.payload);
    if let Some(first) = state.repeats.iter().find(|repeat| repeat.scope == scope) {
        if first.payload != payload {
            return Answer::DedupMismatch;
        }
        return Answer::Accepted { mid: first.mid, routed: first.routed, duplicate: true };
    }
    let answer = admit(state, publish, now);
    if let Answer::Accepted { mid, routed, .. } = answer {
        state.repeats.push(Repeat { at_ns: now.now_ns, scope, payload, mid, routed });
        if state.repeats.len() > state.limits.keys {
            state.repeats.remove(0);
        }
    }
    answer
}

fn admit(state: &mut State, publish: &Publish, now: Moment) -> Answer {
    let facts = &publish.facts;
    if state.closed && !publish.follows {
        return Answer::Closed;
    }
    let wanting = |subscription: &&mut Subscription| {
        subscription.routed && matching::wants(subscription.spec.pattern.as_str(), &facts.topic)
    };
    let mut wanting: Vec<&mut Subscription> =
        state.subscriptions.values_mut().filter(wanting).collect();
    let size = facts.size();
    for subscription in &wanting {
        if state.limits.durable {
            if size > subscription.spec.backlog.bytes {
                return Answer::TooLarge;
            }
            if subscription.depth() >= subscription.spec.backlog.count as u64 {
                return Answer::BacklogFull(subscription.id);
            }
        } else if !subscription.has_room(size) {
            if size > subscription.spec.limits.bytes {
                return Answer::TooLarge;
            }
            if matches!(subscription.spec.overflow, Overflow::Reject | Overflow::Block) {
                return Answer::Full(subscription.id);
            }
        }
    }
    for subscription in &mut wanting {
        accept(subscription, publish, (now, state.limits.durable));
    }
    Answer::Accepted { mid: facts.mid, routed: wanting.len() as u32, duplicate: false }
}

fn accept(subscription: &mut Subscription, publish: &Publish, (now, durable): (Moment, bool)) {
    let id = subscription.next_id;
    subscription.next_id += 1;
    subscription.accepted += 1;
    subscription.recorded |= durable;
    if !durable && !subscription.has_room(publish.facts.size()) {
        if !subscription.gives_up() {
            subscription.counts.newest += 1;
            return;
        }
        // One of those that wait goes, and be it this one. More of them, when so many came back that
        // one is not enough.
        subscription.may_give_up += subscription.depth();
        subscription.given_up += 1;
    }
    let wait = match publish.not_before_ns.saturating_sub(now.unix_ns) {
        0 => Wait::Lane,
        later => {
            let due_ns = now.now_ns.saturating_add(later);
            Wait::Time { earliest_ns: due_ns, latest_ns: due_ns, budgeted: false }
        }
    };
    let delivery = Delivery {
        id,
        key: subscription.key_of(&publish.facts.key),
        facts: publish.facts.clone(),
        accepted_ns: now.now_ns,
        attempts: 0,
        failures: 0,
        history: Vec::new(),
        redrives: 0,
        tried: false,
        late: wait != Wait::Lane,
        wait,
        deadline: (wait != Wait::Lane).then(|| {
            let deadline = (publish.not_before_ns, publish.not_before_ns - now.unix_ns);
            Deadline::between(deadline, deadline)
        }),
        begun: false,
        accused: false,
        suspect: false,
        deaths: 0,
        known: false,
    };
    subscription.waiting.insert(id, delivery);
}
