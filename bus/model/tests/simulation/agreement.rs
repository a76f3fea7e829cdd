//! Whether the broker shows what the model says.

use patchbay_bus::{DropReason, PublishError, Published};
use patchbay_model::{Answer, Effect, Event};

use crate::world::{Disagreement, World};

/// What a publisher was told, in the model's words.
pub(crate) fn told(result: Result<Published, PublishError>) -> Result<Answer, Disagreement> {
    Ok(match result {
        Ok(Published { id, routed, duplicate, .. }) => {
            Answer::Accepted { mid: id, routed, duplicate }
        }
        Err(PublishError::Full { subscription }) => Answer::Full(subscription.id()),
        Err(PublishError::BacklogFull { subscription }) => Answer::BacklogFull(subscription.id()),
        Err(PublishError::TooLarge { .. }) => Answer::TooLarge,
        Err(PublishError::Topic(_)) => Answer::Topic,
        Err(PublishError::HopLimit { .. }) => Answer::HopLimit,
        Err(PublishError::Expired) => Answer::Expired,
        Err(PublishError::DedupMismatch { .. }) => Answer::DedupMismatch,
        Err(PublishError::Closed) => Answer::Closed,
        Err(other) => return Err(format!("an answer that nobody expects: {other}")),
    })
}

/// Two words for the same thing must be the same.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    seen: &T,
    must: &T,
) -> Result<(), Disagreement> {
    if seen == must {
        return Ok(());
    }
    Err(format!("{what}: the broker says {seen:?}, the model {must:?}"))
}

/// The effect that an event was made for.
pub(crate) fn answer(effects: &[Effect]) -> Result<Answer, Disagreement> {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Answered(answer) => Some(*answer),
        _ => None,
    });
    found.ok_or_else(|| format!("no answer among {effects:?}"))
}

impl World {
    /// Everything that can be looked at, after every operation.
    pub(crate) fn compare(&mut self) -> Result<(), Disagreement> {
        self.write_down();
        self.follow_gifts()?;
        let now = self.now();
        for subscription in &self.subscriptions {
            let id = subscription.id();
            let model = &self.state.subscriptions[&id];
            if let Some(differs) = model.balance(now.now_ns).differs(&subscription.ledger()) {
                return Err(format!("subscription {id}: {differs}"));
            }
            let what = format!("breaker of subscription {id} open");
            same(&what, &subscription.is_tripped(), &model.is_tripped())?;
            self.check_woken(id, now.now_ns)?;
        }
        self.compare_letters()
    }

    /// Where the oldest is given up, how many is the broker's choice.
    fn follow_gifts(&mut self) -> Result<(), Disagreement> {
        for subscription in self.subscriptions.clone() {
            let id = subscription.id();
            let ledger = subscription.ledger();
            let seen =
                ledger.dropped.count(DropReason::Newest) + ledger.dropped.count(DropReason::Oldest);
            let known = self.state.subscriptions[&id].dropped(DropReason::Newest);
            if seen > known || seen == known && self.record.is_none() {
                self.tell(&Event::GaveUp { subscription: id, more: seen - known })?;
            }
        }
        Ok(())
    }

    fn compare_letters(&self) -> Result<(), Disagreement> {
        let seen = self.broker.dead_letters().after(0, usize::MAX);
        same("number of dead letters", &seen.len(), &self.state.letters.len())?;
        for (seen, must) in seen.iter().zip(&self.state.letters) {
            let attempts: Vec<u32> = seen.history.iter().map(|failure| failure.attempt).collect();
            let what = format!("dead letter {}", must.number);
            same(&what, &seen.number, &must.number)?;
            same(&what, &seen.subscription, &must.subscription)?;
            same(&what, &seen.delivery, &must.delivery.id)?;
            same(&what, &seen.cause, &must.cause)?;
            same(&what, &seen.attempts, &must.delivery.attempts)?;
            same(&what, &seen.failures, &must.failures)?;
            same(&what, &seen.redrives, &must.delivery.redrives)?;
            let failed = must.delivery.history.iter().map(|failed| failed.attempt);
            same(&what, &attempts, &failed.collect())?;
            same(&what, &seen.message.topic(), &must.delivery.facts.topic.as_str())?;
            same(&what, &seen.message.hops(), &must.delivery.facts.hops)?;
        }
        Ok(())
    }

    /// Something lies ready: then some lane that may take it is awake, or was woken.
    fn check_woken(&self, id: u64, now_ns: u64) -> Result<(), Disagreement> {
        if self.state.has_suspects() {
            return Ok(());
        }
        let model = &self.state.subscriptions[&id];
        let choked = model.pending.len() > self.state.limits.letters.max_pending;
        let Some(ready) = model.overlooked(0, now_ns) else { return Ok(()) };
        if model.closed || model.is_tripped() || choked {
            return Ok(());
        }
        let mine = |lane: &&crate::lane::Lane| {
            self.subscriptions[lane.at].id() == id
                && model.share.generations.contains(&lane.seat.generation())
                && !self.is_revoked(lane)
        };
        let mut lanes = self.lanes.iter().filter(mine).peekable();
        if lanes.peek().is_none() || lanes.any(|lane| lane.is_awake()) {
            return Ok(());
        }
        Err(format!("subscription {id}: {ready} lies ready, all lanes sleep, and nobody was woken"))
    }
}
