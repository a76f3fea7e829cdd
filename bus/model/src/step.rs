//! One event, and what must follow.

use crate::{
    admission,
    effect::{Effect, End},
    event::{Event, Moment},
    seat::Seat,
    state::State,
    subscription::Subscription,
};

/// A seat of a subscription.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) subscription: u64,
    pub(crate) seat: u64,
}

/// Lets an event happen, and says what must follow from it.
pub fn step(state: &mut State, event: &Event, now: Moment) -> Vec<Effect> {
    let effects =
        apply(state, event, now).unwrap_or_else(|forbidden| vec![Effect::Forbidden(forbidden)]);
    state.subscriptions.values_mut().for_each(Subscription::drop_if_closed);
    effects
}

fn apply(state: &mut State, event: &Event, now: Moment) -> Result<Vec<Effect>, String> {
    match event {
        Event::Subscribe { subscription, spec } => {
            let spec = (**spec).clone();
            if let Some(found) = state.subscriptions.get_mut(subscription) {
                found.adopt(spec, now)?;
                return Ok(Vec::new());
            }
            let same = |one: &&Subscription| {
                one.orphan && one.spec.owner == spec.owner && one.spec.pattern == spec.pattern
            };
            if let Some(orphan) = state.subscriptions.values().find(same) {
                return Err(format!("{} waits for its owner, who got {subscription}", orphan.id));
            }
            let made = Subscription::new(*subscription, spec, now.now_ns);
            state.subscriptions.insert(*subscription, made);
        }
        Event::Unroute(id) => state.subscription(*id)?.routed = false,
        Event::Remove(id) => {
            let subscription = state.subscription(*id)?;
            (subscription.routed, subscription.closed) = (false, true);
            let ended = |delivery: &u64| Effect::Ended {
                subscription: *id,
                delivery: *delivery,
                end: End::Dropped(patchbay_bus::DropReason::Unload),
            };
            return Ok(subscription.waiting.keys().map(ended).collect());
        }
        Event::CloseIntake => state.closed = true,
        Event::Publish(publish) => {
            return Ok(vec![Effect::Answered(admission::publish(state, publish, now))]);
        }
        Event::Enter { subscription, seat, generation } => {
            let subscription = state.subscription(*subscription)?;
            subscription.seats.insert(*seat, Seat::new(*generation));
        }
        Event::Take { subscription, seat, limit, token, got } => {
            let claim = Claim { subscription: *subscription, seat: *seat };
            let effects = state.settle(*subscription, *seat, now);
            state.subscriptions.values_mut().for_each(Subscription::drop_if_closed);
            state.give(claim, (*limit, *token), got.as_deref(), now)?;
            return Ok(effects);
        }
        Event::Begin { subscription, seat, position } => {
            let claim = Claim { subscription: *subscription, seat: *seat };
            return Ok(vec![state.begin(claim, *position)?.into()]);
        }
        Event::Record { subscription, seat, position, said } => {
            let claim = Claim { subscription: *subscription, seat: *seat };
            state.record(claim, *position, said, now);
        }
        Event::Suspend { subscription, seat, position } => {
            state.suspend(Claim { subscription: *subscription, seat: *seat }, *position);
        }
        Event::Finish { subscription, seat, token, said } => {
            let claim = Claim { subscription: *subscription, seat: *seat };
            state.finish(claim, *token, said.as_ref(), now);
        }
        Event::Settle { subscription, seat } => {
            return Ok(state.settle(*subscription, *seat, now));
        }
        Event::Leave { subscription, seat } => {
            return Ok(state.leave(Claim { subscription: *subscription, seat: *seat }, now));
        }
        Event::Relieve { subscription, seat } => {
            return Ok(state.relieve(Claim { subscription: *subscription, seat: *seat }, now));
        }
        Event::Revoke { subscription, seat, culprits } => {
            let claim = Claim { subscription: *subscription, seat: *seat };
            return Ok(state.revoke(claim, culprits, now));
        }
        Event::RevokeCall { subscription, token, fault } => {
            return Ok(state.revoke_call(*subscription, *token, fault, now));
        }
        Event::Share { subscription, share } => {
            return Ok(vec![state.share(*subscription, share)?]);
        }
        Event::GaveUp { subscription, more } => {
            let subscription = state.subscription(*subscription)?;
            let most = std::mem::take(&mut subscription.may_give_up);
            if *more > most {
                return Err(format!("{more} more were given up, at most {most} may be"));
            }
            subscription.given_up += more;
        }
        Event::Redrive(number) => return Ok(vec![state.redrive(*number, now)]),
        Event::Purge(number) => return Ok(vec![state.purge(*number)]),
        Event::Death(death) => state.die(death, now),
    }
    Ok(Vec::new())
}
