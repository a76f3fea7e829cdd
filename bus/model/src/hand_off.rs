//! What a seat may be given, and what may start.

use patchbay_bus::{Outcome, redelivery::Allowance};

use crate::{
    delivery::{Delivery, Wait},
    effect::{Begins, Effect},
    event::{Moment, Publish, Said, Seen},
    seat::Item,
    state::State,
    step::Claim,
    subscription::Subscription,
};

impl State {
    /// A seat was given a window; the one before is settled.
    pub(crate) fn give(
        &mut self,
        claim: Claim,
        (limit, token): (usize, u64),
        got: Option<&[Seen]>,
        now: Moment,
    ) -> Result<(), String> {
        let (max_pending, unix_offset) = (self.limits.letters.max_pending, self.limits.unix_offset);
        let suspected = self.has_suspects();
        if let Some(got) = got.filter(|got| suspected && !got.is_empty()) {
            let ids: Vec<u64> = got.iter().map(|seen| seen.id).collect();
            self.check_alone(claim.subscription, &ids)?;
        }
        let subscription = self.subscription(claim.subscription)?;
        let seat = subscription.seats.get(&claim.seat).ok_or("no such seat")?;
        let over = subscription.closed || seat.revoked.is_some();
        let (Some(got), false) = (got, over) else {
            return if over == got.is_none() {
                Ok(())
            } else {
                Err(format!("the seat is over: {over}, it got {got:?}"))
            };
        };
        let generation = seat.generation;
        let allowance = subscription.breaker.as_ref().map(|breaker| breaker.allowance(now.now_ns));
        let most = match allowance {
            None | Some(Allowance::All) => limit,
            Some(Allowance::Probe) => limit.min(1),
            Some(Allowance::Nothing(_)) => 0,
        };
        let most = if subscription.is_choked(max_pending) { 0 } else { most };
        let part = subscription.share.part_of(generation);
        let most = if part.is_some() { most } else { 0 };
        if got.len() > most {
            return Err(format!("{} deliveries for a seat that may have {most}", got.len()));
        }
        if got.is_empty() && suspected {
            return Ok(());
        }
        if got.is_empty() {
            return match subscription.overlooked(claim.seat, now.now_ns) {
                Some(id) if most > 0 => Err(format!("nothing for a seat while {id} is ready")),
                _ => Ok(()),
            };
        }
        let mut items = Vec::new();
        for seen in got {
            let delivery = subscription.hand_out(seen, part.unwrap_or_default(), now.now_ns)?;
            items.push(Item::new(delivery));
        }
        if let Some(breaker) = &mut subscription.breaker {
            breaker.probing(now.now_ns);
        }
        let seat = subscription.seats.get_mut(&claim.seat).ok_or("no such seat")?;
        seat.cut = items.len();
        seat.items = items;
        seat.token = token;
        seat.unix_ns = now.now_ns.wrapping_add(unix_offset);
        Ok(())
    }

    /// Whether a hand-off starts, and whether it may.
    pub(crate) fn begin(&mut self, claim: Claim, position: usize) -> Result<Begins, String> {
        let subscription = self.subscription(claim.subscription)?;
        let seat = subscription.seats.get_mut(&claim.seat).ok_or("no such seat")?;
        let revoked = seat.revoked.is_some();
        let (is_cut, unix_ns) = (seat.is_cut, seat.unix_ns);
        let blocked = seat.blocked.clone();
        let Some(item) = seat.items.get_mut(position) else { return Ok(Begins::Stop) };
        let (key, expires_ns) = (item.delivery.key, item.delivery.facts.expires_ns);
        let passed = if key != 0 && blocked.contains(&key) {
            Some(Outcome::Skipped)
        } else if expires_ns != 0 && expires_ns <= unix_ns {
            Some(Outcome::Expired)
        } else {
            None
        };
        if let Some(outcome) = passed {
            item.say(outcome);
            seat.passed = position + 1;
            return Ok(Begins::Skip);
        }
        if is_cut || revoked {
            return Ok(Begins::Stop);
        }
        (seat.claimed, seat.passed) = (position + 1, position + 1);
        subscription.check_order(claim.seat, position)?;
        Ok(Begins::Go)
    }

    /// A lane says how a hand-off ended. A forward is published here.
    pub(crate) fn record(&mut self, claim: Claim, position: usize, said: &Said, now: Moment) {
        let Ok(subscription) = self.subscription(claim.subscription) else { return };
        let Some(seat) = subscription.seats.get(&claim.seat) else { return };
        let Some(key) = seat.items.get(position).map(|item| item.delivery.key) else { return };
        let token = seat.token_at(position);
        let outcome = self.outcome(claim, token, said, now);
        let Ok(subscription) = self.subscription(claim.subscription) else { return };
        let ordered = subscription.is_ordered();
        let Some(seat) = subscription.seats.get_mut(&claim.seat) else { return };
        let ends = matches!(outcome, Outcome::Forwarded);
        if !ends && ordered && key != 0 {
            seat.blocked.insert(key);
        }
        if let Some(item) = seat.items.get_mut(position) {
            item.say(outcome);
        }
    }

    pub(crate) fn suspend(&mut self, claim: Claim, position: usize) {
        let Ok(subscription) = self.subscription(claim.subscription) else { return };
        let ordered = subscription.is_ordered();
        let Some(seat) = subscription.seats.get_mut(&claim.seat) else { return };
        let Some(item) = seat.items.get_mut(position) else { return };
        item.open = true;
        if ordered && item.delivery.key != 0 {
            seat.blocked.insert(item.delivery.key);
        }
    }

    pub(crate) fn finish(&mut self, claim: Claim, token: u64, said: Option<&Said>, now: Moment) {
        let Ok(subscription) = self.subscription(claim.subscription) else { return };
        let Some(seat) = subscription.seats.get(&claim.seat) else { return };
        let position = seat.position(token);
        if position.is_some_and(|position| !seat.items[position].open) {
            return;
        }
        let outcome = said.map_or(Outcome::Done, |said| self.outcome(claim, token, said, now));
        let Ok(subscription) = self.subscription(claim.subscription) else { return };
        let Some(seat) = subscription.seats.get_mut(&claim.seat) else { return };
        match position {
            None => seat.finished.push((token, outcome)),
            Some(position) => {
                let item = &mut seat.items[position];
                item.open = false;
                if !matches!(outcome, Outcome::Done) {
                    item.say(outcome);
                }
            }
        }
    }

    fn outcome(&mut self, claim: Claim, token: u64, said: &Said, now: Moment) -> Outcome {
        match said {
            Said::Retry(delay_ns) => Outcome::Retry(*delay_ns),
            Said::Failed(reason) => Outcome::Failed(reason.clone()),
            Said::Fault(fault) => Outcome::Fault(fault.clone()),
            Said::Forward(topic) => self.forward(claim, token, topic, now),
        }
    }

    fn forward(&mut self, claim: Claim, token: u64, topic: &str, now: Moment) -> Outcome {
        use crate::{admission, effect::Answer};
        let Ok(subscription) = self.subscription(claim.subscription) else { return Outcome::Done };
        let owner = subscription.spec.owner.to_string();
        // Revoked meanwhile: whoever repeats it forwards it.
        let Some(cause) = subscription.leased(claim.seat, token) else { return Outcome::Done };
        let facts = cause.facts.forwarded(topic, &owner);
        if subscription.closed && subscription.recorded {
            // The journal has forgotten what is forwarded.
            return Outcome::Refused;
        }
        if facts.hops > self.limits.hops {
            return Outcome::HopLimit;
        }
        let publish =
            Publish { principal: owner, facts, not_before_ns: 0, dedup_key: None, follows: true };
        match admission::publish(self, &publish, now) {
            Answer::Accepted { .. } => Outcome::Forwarded,
            Answer::Full(_) | Answer::BacklogFull(_) | Answer::Closed => Outcome::Refused,
            Answer::HopLimit => Outcome::HopLimit,
            _ => Outcome::Fault(patchbay_bus::Fault {
                class: patchbay_bus::FaultClass::Invalid,
                text: String::new(),
            }),
        }
    }

    pub(crate) fn subscription(&mut self, id: u64) -> Result<&mut Subscription, String> {
        self.subscriptions.get_mut(&id).ok_or_else(|| format!("no subscription {id}"))
    }
}

impl Subscription {
    /// Takes a delivery that was seen in a window out of what waits.
    fn hand_out(&mut self, seen: &Seen, part: usize, now_ns: u64) -> Result<Delivery, String> {
        let Seen { id, attempt, .. } = seen;
        let found = self.waiting.get(id).ok_or_else(|| format!("{id} does not wait"))?;
        if self.given_up >= self.waiting.len() as u64 {
            return Err(format!("{id} was given up"));
        }
        if !found.wait.may_be_over(now_ns) {
            return Err(format!("{id} is early: {:?} at {now_ns}", found.wait));
        }
        if *attempt != found.attempts + 1 {
            return Err(format!("{id}: attempt {attempt} after {} attempts", found.attempts));
        }
        let facts = &found.facts;
        if (seen.tag, &seen.topic, seen.hops) != (facts.tag, &facts.topic, facts.hops) {
            return Err(format!("{id} is not what was published: {seen:?}, {facts:?}"));
        }
        if !found.suspect {
            self.check_part(id, part)?;
        }
        let Some(mut delivery) = self.waiting.remove(id) else { return Err("gone".into()) };
        if let Wait::Time { budgeted: true, .. } = delivery.wait {
            self.retries.budgeted += 1;
            self.check_budget(now_ns)?;
        }
        self.retries.firsts += u64::from(delivery.attempts == 0);
        delivery.wait = Wait::Lane;
        Ok(delivery)
    }

    /// Between two generations a key goes to one of them, and always the same.
    fn check_part(&mut self, id: &u64, part: usize) -> Result<(), String> {
        let Some(delivery) = self.waiting.get(id) else { return Ok(()) };
        if self.share.generations.len() < 2 {
            return Ok(());
        }
        let wrong = |why: &str| Err(format!("{id} went to part {part}: {why}"));
        if delivery.tried {
            return if part == 0 { Ok(()) } else { wrong("that part has failed it") };
        }
        let by = if delivery.key == 0 { id.wrapping_add(1) } else { delivery.key };
        let exact = (self.share.second <= 0.0, self.share.second >= 1.0);
        match (exact, part) {
            ((true, _), 1) => return wrong("it has no share"),
            ((_, true), 0) => return wrong("it has no share"),
            _ => {}
        }
        let before = *self.routes.entry(by).or_insert(part);
        if before == part { Ok(()) } else { wrong("its key goes to the other one") }
    }

    /// Retries that the host scheduled after a failure stay within their budget.
    fn check_budget(&self, now_ns: u64) -> Result<(), String> {
        let budget = &self.spec.budget;
        let time = u128::from(now_ns - self.retries.since_ns) * u128::from(budget.per_second)
            / 1_000_000_000;
        let firsts = u128::from(self.retries.firsts) * u128::from(budget.percent) / 100;
        let most = u128::from(budget.per_second) + time + firsts + 1;
        if u128::from(self.retries.budgeted) > most {
            return Err(format!("{} retries, {most} are in the budget", self.retries.budgeted));
        }
        Ok(())
    }

    /// Something that a seat of the only generation with a share should have been given.
    #[must_use]
    pub fn overlooked(&self, seat: u64, now_ns: u64) -> Option<u64> {
        if self.share.generations.len() != 1 || self.given_up > 0 {
            return None;
        }
        let busy = |other: &crate::seat::Seat| !other.items.is_empty() && other.revoked.is_none();
        let others = self.seats.iter().any(|(id, other)| *id != seat && busy(other));
        if self.is_ordered() && others {
            // Keys share lanes, so one seat may hold back keys of others for a while.
            return None;
        }
        // What waits for a key that is held, or for its next attempt, may fill the memory: the rest is
        // read back after it.
        let held = self.waiting.values().any(|one| one.attempts > 0) || !self.open.is_empty();
        if self.recorded && held {
            return None;
        }
        // What was recorded for later is looked at by a lane before its time is known.
        let unsorted = |one: &&Delivery| self.recorded && one.late && one.attempts == 0;
        let waiting = self.waiting.values().filter(|one| !unsorted(one));
        let ready = waiting.filter(|one| one.wait.is_over(now_ns));
        let ready = ready.filter(|one| !self.is_ordered() || one.key == 0 || self.is_free(one));
        ready.map(|one| one.id).next()
    }

    /// Whether nothing holds back a delivery's key.
    fn is_free(&self, delivery: &Delivery) -> bool {
        let same = |other: &Delivery| other.key == delivery.key && other.id != delivery.id;
        !self.open.values().any(|call| same(&call.delivery))
            && !self.waiting.values().any(|other| same(other) && other.attempts > 0)
            && !self.waiting.values().any(|other| same(other) && other.id < delivery.id)
    }

    /// Hand-offs of one key start in the order of acceptance and never overlap (promise P-16).
    fn check_order(&self, seat: u64, position: usize) -> Result<(), String> {
        let Some(item) = self.seats.get(&seat).and_then(|seat| seat.items.get(position)) else {
            return Ok(());
        };
        let me = &item.delivery;
        if !self.is_ordered() || me.key == 0 {
            return Ok(());
        }
        let same = |other: &Delivery| other.key == me.key && other.id != me.id;
        // Before its first hand-off, what was published for later has no place in the order.
        let placed = |other: &Delivery| other.attempts > 0 || !other.late;
        // One that began before those which only the journal has holds its key from then on.
        let mine = if self.recorded { !me.late } else { placed(me) };
        let earlier = |other: &Delivery| {
            same(other) && other.id < me.id && placed(other) && (mine || other.attempts > 0)
        };
        if let Some(other) = self.waiting.values().find(|other| earlier(other)) {
            return Err(format!("{} began before {} of the same key", me.id, other.id));
        }
        if let Some(call) = self.open.values().find(|call| same(&call.delivery)) {
            return Err(format!("{} began while {} runs", me.id, call.delivery.id));
        }
        for (id, other) in &self.seats {
            for (at, held) in other.held().filter(|(_, held)| same(&held.delivery)) {
                let begun = at < other.claimed;
                let ended = *id == seat && at < position && !held.open && !again(&held.said);
                if begun && !ended {
                    return Err(format!("{} began while {} runs", me.id, held.delivery.id));
                }
                if !begun && earlier(&held.delivery) {
                    return Err(format!("{} began before {}", me.id, held.delivery.id));
                }
            }
        }
        Ok(())
    }

    /// The delivery of a hand-off whose lease is still the seat's.
    pub(crate) fn leased(&self, seat: u64, token: u64) -> Option<&Delivery> {
        if let Some(call) = self.open.get(&token) {
            return Some(&call.delivery);
        }
        let seat = self.seats.get(&seat).filter(|seat| seat.revoked.is_none())?;
        let item = &seat.items[seat.position(token)?];
        (!item.gone).then_some(&item.delivery)
    }
}

/// Whether a lane said something that may keep its delivery unsettled.
fn again(said: &Option<Outcome>) -> bool {
    let ends = |outcome: &Outcome| matches!(outcome, Outcome::Forwarded | Outcome::Expired);
    said.as_ref().is_some_and(|outcome| !ends(outcome))
}

impl From<Begins> for Effect {
    fn from(begins: Begins) -> Effect {
        Effect::Begins(begins)
    }
}
