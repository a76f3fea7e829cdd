//! Taking back what lanes hold: a change of shares, relief, revocation, the end of a seat.

use patchbay_bus::{Fault, Outcome};

use crate::{effect::Effect, event::Moment, state::State, step::Claim, subscription::Share};

impl State {
    /// Who gets what from now on; what was not begun is decided anew.
    pub(crate) fn share(&mut self, at: u64, share: &Share) -> Result<Effect, String> {
        let subscription = self.subscription(at)?;
        subscription.share = share.clone();
        subscription.routes.clear();
        let seats: Vec<u64> = subscription.seats.keys().copied().collect();
        for seat in seats {
            self.take_back(Claim { subscription: at, seat });
        }
        let subscription = self.subscription(at)?;
        let (mut begun, mut passed) = (Vec::new(), Vec::new());
        for seat in subscription.seats.values().filter(|seat| seat.revoked.is_none()) {
            for (position, item) in seat.held() {
                let skipped = matches!(item.said, Some(Outcome::Skipped | Outcome::Expired));
                let list = if skipped { &mut passed } else { &mut begun };
                list.push(seat.token_at(position));
            }
        }
        begun.extend(subscription.open.keys());
        begun.sort_unstable();
        Ok(Effect::Begun(begun, passed))
    }

    /// What a seat has not begun goes back. Returns how many.
    fn take_back(&mut self, claim: Claim) -> usize {
        let Ok(subscription) = self.subscription(claim.subscription) else { return 0 };
        let Some(seat) = subscription.seats.get_mut(&claim.seat) else { return 0 };
        seat.is_cut = true;
        let claimed = seat.claimed.min(seat.cut);
        let cut = std::mem::replace(&mut seat.cut, claimed);
        let back: Vec<_> =
            seat.items[claimed..cut].iter().map(|item| item.delivery.clone()).collect();
        let moved = back.len();
        back.into_iter().for_each(|delivery| subscription.put_back(delivery));
        moved
    }

    /// Settles what a seat has finished. The call that was begun last runs, unless its lane said
    /// something; so do suspended ones. Returns how many it settled, and how many it had passed over.
    fn settle_finished(&mut self, claim: Claim, now: Moment) -> (usize, usize, Vec<Effect>) {
        let mut effects = Vec::new();
        let (mut finished, mut skipped) = (0, 0);
        let Ok(subscription) = self.subscription(claim.subscription) else {
            return (0, 0, effects);
        };
        let Some(seat) = subscription.seats.get_mut(&claim.seat) else { return (0, 0, effects) };
        let (begun, generation) = (seat.claimed.min(seat.cut), seat.generation);
        let mut ended = Vec::new();
        for (position, item) in seat.items.iter_mut().enumerate().take(begun) {
            let runs = position + 1 == begun || item.open;
            if item.gone || item.said.is_none() && runs {
                continue;
            }
            item.gone = true;
            let outcome = item.said.clone().unwrap_or(Outcome::Done);
            ended.push((item.delivery.clone(), outcome));
        }
        for (delivery, outcome) in ended {
            if matches!(outcome, Outcome::Skipped) {
                skipped += 1;
                if let Ok(subscription) = self.subscription(claim.subscription) {
                    subscription.put_back(delivery);
                }
            } else {
                finished += 1;
                let at = claim.subscription;
                effects.extend(self.conclude(at, delivery, generation, outcome, now));
            }
        }
        (finished, skipped, effects)
    }

    pub(crate) fn relieve(&mut self, claim: Claim, now: Moment) -> Vec<Effect> {
        let none = vec![Effect::Moved(0)];
        let Ok(subscription) = self.subscription(claim.subscription) else { return none };
        let Some(seat) = subscription.seats.get(&claim.seat) else { return none };
        if seat.items.is_empty() || seat.revoked.is_some() {
            return none;
        }
        let (_, skipped, mut effects) = self.settle_finished(claim, now);
        let moved = skipped + self.take_back(claim);
        effects.push(Effect::Moved(moved));
        effects
    }

    /// Ends a seat: what runs is repeated, or charged.
    pub(crate) fn revoke(
        &mut self,
        claim: Claim,
        culprits: &[(u64, Fault)],
        now: Moment,
    ) -> Vec<Effect> {
        let nothing = Effect::Revoked { finished: 0, running: 0, unstarted: 0 };
        let Ok(subscription) = self.subscription(claim.subscription) else { return vec![nothing] };
        let Some(seat) = subscription.seats.get(&claim.seat) else { return vec![nothing] };
        if seat.revoked.is_some() {
            return vec![nothing];
        }
        let generation = seat.generation;
        let (finished, skipped, mut effects) = self.settle_finished(claim, now);
        let unstarted = skipped + self.take_back(claim);
        let taken = |token| match culprits.iter().find(|(culprit, _)| *culprit == token) {
            Some((_, fault)) => Outcome::Fault(fault.clone()),
            None => Outcome::Revoked,
        };
        let Ok(subscription) = self.subscription(claim.subscription) else { return effects };
        let Some(seat) = subscription.seats.get_mut(&claim.seat) else { return effects };
        let mut ended = Vec::new();
        for position in 0..seat.cut {
            let token = seat.token_at(position);
            let item = &mut seat.items[position];
            if !item.gone {
                item.gone = true;
                ended.push((item.delivery.clone(), generation, taken(token)));
            }
        }
        let mut running = ended.len();
        seat.revoked = Some(running as u64);
        let open = subscription.open.iter().filter(|(_, call)| call.seat == claim.seat);
        let open: Vec<u64> = open.map(|(token, _)| *token).collect();
        for token in open {
            let is_forwarded = subscription.is_forwarded(token);
            if let Some(call) = subscription.open.remove(&token) {
                let outcome = if is_forwarded { Outcome::Forwarded } else { taken(token) };
                ended.push((call.delivery, call.generation, outcome));
                running += 1;
            }
        }
        for (delivery, generation, outcome) in ended {
            let at = claim.subscription;
            effects.extend(self.conclude(at, delivery, generation, outcome, now));
        }
        effects.push(Effect::Revoked { finished, running, unstarted });
        effects
    }

    pub(crate) fn revoke_call(
        &mut self,
        at: u64,
        token: u64,
        fault: &Fault,
        now: Moment,
    ) -> Vec<Effect> {
        let Ok(subscription) = self.subscription(at) else { return Vec::new() };
        let mut found = None;
        let is_forwarded = subscription.is_forwarded(token);
        if let Some(call) = subscription.open.remove(&token) {
            found = Some((call.delivery, call.generation));
        } else {
            for seat in subscription.seats.values_mut().filter(|seat| seat.revoked.is_none()) {
                let Some(position) = seat.position(token) else { continue };
                let (cut, generation) = (seat.cut, seat.generation);
                let item = &mut seat.items[position];
                if position < cut && !item.gone && item.open {
                    (item.gone, item.written_off) = (true, true);
                    found = Some((item.delivery.clone(), generation));
                }
            }
        }
        let written_off = Effect::WrittenOff(found.is_some());
        let mut effects = Vec::new();
        if let Some((delivery, generation)) = found {
            let fault = Outcome::Fault(fault.clone());
            let outcome = if is_forwarded { Outcome::Forwarded } else { fault };
            effects.extend(self.conclude(at, delivery, generation, outcome, now));
        }
        effects.push(written_off);
        effects
    }

    /// A lane gives its seat up: late ends count, what runs is repeated.
    pub(crate) fn leave(&mut self, claim: Claim, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        let at = claim.subscription;
        let Ok(subscription) = self.subscription(at) else { return effects };
        let Some(seat) = subscription.seats.get_mut(&claim.seat) else { return effects };
        for (token, outcome) in std::mem::take(&mut seat.finished) {
            let Ok(subscription) = self.subscription(at) else { return effects };
            match subscription.open.remove(&token) {
                Some(call) => {
                    let generation = call.generation;
                    effects.extend(self.conclude(at, call.delivery, generation, outcome, now));
                }
                None => subscription.counts.stale += 1,
            }
        }
        effects.extend(self.revoke(claim, &[], now));
        if let Ok(subscription) = self.subscription(at) {
            subscription.seats.remove(&claim.seat);
        }
        effects
    }
}
