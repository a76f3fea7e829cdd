//! What follows when an attempt ends, and when a window does.

use patchbay_bus::{
    DeadCause, HISTORY_MAX, Outcome,
    redelivery::{self, Next, Standing},
};

use crate::{
    delivery::{Deadline, Delivery, Failed, Wait},
    effect::{Effect, End},
    event::Moment,
    letters::Letter,
    state::State,
    subscription::{Open, Subscription},
};

impl State {
    /// Settles what a seat has done: late ends first, then its window from front to back.
    pub(crate) fn settle(&mut self, at: u64, seat: u64, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(subscription) = self.subscriptions.get_mut(&at) else { return effects };
        let Some(found) = subscription.seats.get_mut(&seat) else { return effects };
        let finished = std::mem::take(&mut found.finished);
        let generation = found.generation;
        let mut ended = Vec::new();
        for (token, outcome) in finished {
            match subscription.open.remove(&token) {
                Some(call) => ended.push((call.delivery, call.generation, outcome)),
                None => subscription.counts.stale += 1,
            }
        }
        if let Some(seat_now) = subscription.seats.get_mut(&seat) {
            seat_now.blocked.clear();
            let items = std::mem::take(&mut seat_now.items);
            let (token, passed, cut) = (seat_now.token, seat_now.passed, seat_now.cut);
            (seat_now.claimed, seat_now.passed, seat_now.cut) = (0, 0, 0);
            seat_now.is_cut = false;
            if let Some(running) = &mut seat_now.revoked {
                // The window was taken away: what it says is refused.
                if !items.is_empty() {
                    subscription.counts.stale += std::mem::take(running);
                }
            } else {
                for (position, item) in items.into_iter().enumerate().take(cut) {
                    let token = token + position as u64;
                    if item.gone {
                        // Whoever ended a call after it was written off said so too late.
                        let late = item.written_off && !item.open;
                        subscription.counts.stale += u64::from(late);
                    } else if position >= passed || matches!(item.said, Some(Outcome::Skipped)) {
                        subscription.put_back(item.delivery);
                    } else if item.said.is_none() && item.open {
                        let delivery = item.delivery;
                        subscription.open.insert(token, Open { delivery, seat, generation });
                    } else {
                        let outcome = item.said.unwrap_or(Outcome::Done);
                        ended.push((item.delivery, generation, outcome));
                    }
                }
            }
        }
        for (delivery, generation, outcome) in ended {
            effects.extend(self.conclude(at, delivery, generation, outcome, now));
        }
        effects
    }

    /// One attempt ended.
    pub(crate) fn conclude(
        &mut self,
        at: u64,
        mut delivery: Delivery,
        generation: u64,
        outcome: Outcome,
        now: Moment,
    ) -> Vec<Effect> {
        let unix_offset = self.limits.unix_offset;
        let Some(subscription) = self.subscriptions.get_mut(&at) else { return Vec::new() };
        delivery.attempts += 1;
        let revoked = matches!(outcome, Outcome::Revoked);
        let (outcome, tried) = if subscription.share.is_on_trial(generation) {
            redelivery::on_trial(outcome)
        } else {
            (outcome, false)
        };
        let charge = !subscription.is_tripped();
        if let Some(breaker) = &mut subscription.breaker {
            match outcome {
                Outcome::Fault(_) => breaker.record(now.now_ns, 1, 1),
                Outcome::Expired | Outcome::Revoked => {}
                _ => breaker.record(now.now_ns, 1, 0),
            }
        }
        if matches!(outcome, Outcome::Fault(_)) {
            remember(&mut delivery);
        }
        let standing = Standing {
            attempts: if tried { 0 } else { delivery.attempts },
            failures: delivery.failures,
            accepted_ns: if tried { now.now_ns } else { delivery.accepted_ns },
            charge,
        };
        // Chance decides between the two ends of a span.
        let retry = &subscription.spec.retry;
        let first = redelivery::next(retry, standing, outcome.clone(), now.now_ns, 0);
        let last = redelivery::next(retry, standing, outcome, now.now_ns, u64::MAX);
        let id = delivery.id;
        let ended = |end| vec![Effect::Ended { subscription: at, delivery: id, end }];
        match first {
            Next::Done => {
                subscription.counts.done += 1;
                ended(End::Done)
            }
            Next::Forwarded => {
                subscription.counts.forwarded += 1;
                ended(End::Forwarded)
            }
            Next::Expired => {
                subscription.counts.expired += 1;
                ended(End::Dropped(patchbay_bus::DropReason::Expired))
            }
            Next::Untouched => {
                delivery.attempts -= 1;
                subscription.put_back(delivery);
                Vec::new()
            }
            Next::Again { due_ns, charged, budgeted } => {
                delivery.failures += u32::from(charged);
                delivery.tried |= tried;
                subscription.counts.repeated += u64::from(revoked);
                subscription.counts.retried += u64::from(!revoked);
                let latest_ns = match last {
                    Next::Again { due_ns, .. } => due_ns,
                    _ => due_ns,
                };
                repeat(subscription, delivery, (due_ns, latest_ns), budgeted, (now, unix_offset));
                Vec::new()
            }
            Next::Dead { cause, charged, .. } => {
                if cause == DeadCause::Failed {
                    remember(&mut delivery);
                }
                let failures = delivery.failures + u32::from(charged && charge);
                let ended = ended(End::Dead(cause));
                let letter = Letter { number: 0, subscription: at, delivery, failures, cause };
                let held = self.offer(letter);
                if let Some(subscription) = self.subscriptions.get_mut(&at) {
                    match held {
                        None => subscription.counts.dead += 1,
                        Some(letter) => subscription.pending.push(letter),
                    }
                }
                ended
            }
        }
    }
}

fn repeat(
    subscription: &mut Subscription,
    mut delivery: Delivery,
    (earliest_ns, latest_ns): (u64, u64),
    budgeted: bool,
    (now, unix_offset): (Moment, u64),
) {
    let unix_ns = |at_ns: u64| at_ns.wrapping_add(unix_offset);
    let delay_ns = |at_ns: u64| at_ns.saturating_sub(now.now_ns);
    delivery.deadline = Some(Deadline::between(
        (unix_ns(earliest_ns), delay_ns(earliest_ns)),
        (unix_ns(latest_ns), delay_ns(latest_ns)),
    ));
    (delivery.suspect, delivery.accused) = (false, false);
    delivery.wait = if latest_ns <= now.now_ns && !budgeted {
        Wait::Lane
    } else {
        Wait::Time { earliest_ns, latest_ns, budgeted }
    };
    subscription.waiting.insert(delivery.id, delivery);
}

fn remember(delivery: &mut Delivery) {
    if delivery.history.len() == HISTORY_MAX {
        delivery.history.remove(0);
    }
    delivery.history.push(Failed { attempt: delivery.attempts, death: false });
}
