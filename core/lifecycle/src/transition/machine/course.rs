//! The course of a transition that goes well: what follows from the end of each action.

use super::{Phase, Transition, nanoseconds};
use crate::{
    Now, Refusal,
    transition::{
        event::{Action, Effect, Yield},
        record::{Outcome, OutcomeKind, Standing},
        request::StateRule,
        sample::Sample,
        strategy::{OnTimeout, Strategy},
    },
};

// === impl Transition ===

impl Transition {
    /// The action that was waited for has ended.
    pub(super) fn ended(
        &mut self,
        result: Result<Yield, Refusal>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if self.phase.is_leaving() {
            return self.left(result, now, out);
        }
        match (self.phase, result) {
            (Phase::Committing, Ok(_)) => {
                // Durable: from here on the way out is the way back.
                self.cut = true;
                if let Some(outcome) = self.take_turn(now, out) {
                    return self.leave(outcome, now, out);
                }
                let open = self.spec.state != StateRule::HandOver;
                self.phase = Phase::CuttingOver;
                self.perform(Action::Cutover { from: self.old, to: self.candidate, open }, out);
            }
            (Phase::Draining, Err(refusal)) => self.not_drained(&refusal, now, out),
            (Phase::Baking, Err(refusal)) => {
                self.turn = None;
                self.lost = Some(format!("it cannot be started again: {}", refusal.reason));
                self.tell("the old version cannot be kept ready", now, out);
                self.baked(now, out);
            }
            (phase, Err(refusal)) if self.fenced && self.way_back().is_err() => {
                self.turn = None;
                self.tell(refusal.reason, now, out);
                self.went_well(phase, Yield::Done, now, out);
            }
            (phase, Err(refusal)) => {
                let cause = match phase {
                    Phase::Noting | Phase::Committing => "record",
                    Phase::HandingOver => "state",
                    _ => "candidate_failed",
                };
                let outcome = self.turn.take().unwrap_or_else(|| failed(cause, &refusal));
                self.leave(outcome, now, out);
            }
            (phase, Ok(brought)) => {
                match phase {
                    Phase::CuttingOver => self.fence(),
                    Phase::Baking => self.cold = false,
                    _ => {}
                }
                if let Some(outcome) = self.take_turn(now, out) {
                    return self.leave(outcome, now, out);
                }
                self.went_well(phase, brought, now, out);
            }
        }
    }

    fn went_well(&mut self, phase: Phase, brought: Yield, now: Now, out: &mut Vec<Effect>) {
        let candidate = self.candidate;
        match phase {
            Phase::Noting => {
                self.enter(Phase::Loading, format!("loads generation {candidate}"), now, out);
                self.perform(Action::Load(candidate), out);
            }
            Phase::Loading => {
                self.phase = Phase::Initialising;
                self.perform(Action::Init(candidate), out);
            }
            Phase::Initialising => {
                self.phase = Phase::Checking;
                self.perform(Action::Check(candidate), out);
            }
            Phase::Checking => {
                self.phase = Phase::Starting;
                self.perform(Action::Start(candidate), out);
            }
            Phase::Starting => {
                self.deadline = now.mono_ns.saturating_add(nanoseconds(self.spec.terms.deadline));
                self.since = now.mono_ns;
                self.tell("the candidate is ready", now, out);
                if self.spec.terms.require_dlq_pass.is_some() {
                    self.enter(Phase::Replaying, "replays dead letters into it", now, out);
                    self.perform(Action::Replay, out);
                } else {
                    self.begin_trial(now, out);
                }
            }
            Phase::Replaying => self.replayed(brought, now, out),
            Phase::Probing => self.probed(brought, now, out),
            Phase::Mirroring | Phase::Shifting => {
                self.since = now.mono_ns;
                self.measured.step_base = self.measured.candidate.clone();
                if std::mem::take(&mut self.hurry) {
                    self.advance(now, out);
                }
            }
            Phase::Unmirroring => {
                self.mirrors = false;
                self.commit(now, out);
            }
            Phase::CuttingOver => self.cut_over(now, out),
            Phase::Draining => {
                self.tell("the old version holds nothing any more", now, out);
                self.drained(now, out);
            }
            Phase::Revoking => self.drained(now, out),
            Phase::HandingOver => {
                self.phase = Phase::Opening;
                self.perform(Action::Open(candidate), out);
            }
            Phase::Opening => self.bake(now, out),
            Phase::Baking => {
                self.tell("the old version is ready to take over again", now, out);
                self.baked(now, out);
            }
            _ => {}
        }
    }

    /// Everything before the cutover is done.
    pub(super) fn ready(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.paused.is_some() {
            return self.enter(Phase::Waiting, "is ready for the cutover and waits", now, out);
        }
        if self.mirrors {
            self.phase = Phase::Unmirroring;
            return self.perform(Action::Mirror(false), out);
        }
        self.commit(now, out);
    }

    fn commit(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.epoch += 1;
        self.enter(Phase::Committing, "records the cutover", now, out);
        self.record(Standing::CutOver, now, out);
    }

    /// Nothing that begins from now on is begun by the old version.
    fn fence(&mut self) {
        self.fenced = true;
        self.share = 100;
        self.measured.freeze();
    }

    fn cut_over(&mut self, now: Now, out: &mut Vec<Effect>) {
        let text = format!("generation {} serves", self.candidate);
        match self.spec.strategy {
            Strategy::Immediate => {
                self.enter(Phase::Revoking, text, now, out);
                self.perform(Action::Revoke(self.old), out);
            }
            _ => {
                self.enter(Phase::Draining, text, now, out);
                self.perform(Action::Drain(self.old, self.spec.terms.drain_deadline), out);
            }
        }
    }

    fn not_drained(&mut self, refusal: &Refusal, now: Now, out: &mut Vec<Effect>) {
        match self.spec.terms.on_timeout {
            OnTimeout::Abort if self.way_back().is_ok() => {
                let outcome = failed("drain_deadline", refusal);
                self.leave(Outcome { kind: OutcomeKind::RolledBack, ..outcome }, now, out);
            }
            _ => {
                self.enter(Phase::Revoking, "the old version was not done in time", now, out);
                self.perform(Action::Revoke(self.old), out);
            }
        }
    }

    fn drained(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.spec.state == StateRule::HandOver {
            self.enter(Phase::HandingOver, "hands the state over", now, out);
            return self.perform(Action::HandOver { from: self.old, to: self.candidate }, out);
        }
        self.bake(now, out);
    }

    /// The old version stays ready for a while.
    pub(super) fn bake(&mut self, now: Now, out: &mut Vec<Effect>) {
        let bake = nanoseconds(self.spec.terms.bake);
        let until = *self.bake_until.get_or_insert(now.mono_ns.saturating_add(bake));
        if until <= now.mono_ns && self.paused.is_none() {
            return self.finalise(now, out);
        }
        if self.phase != Phase::Baking {
            self.enter(Phase::Baking, "bakes, with the old version ready", now, out);
        }
    }

    /// Nothing runs in the bake any more.
    fn baked(&mut self, now: Now, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.hurry) {
            return self.finalise(now, out);
        }
        self.weigh(now, out);
    }

    pub(super) fn finalise(&mut self, now: Now, out: &mut Vec<Effect>) {
        let reason = format!("version {} serves", self.spec.to.version);
        let outcome = Outcome::new(OutcomeKind::Completed, "done", &reason);
        self.outcome = Some(outcome.clone());
        self.enter(Phase::Finalising, "is finalised", now, out);
        self.record(Standing::Over { outcome }, now, out);
    }

    /// A generation failed by itself.
    pub(super) fn faulted(
        &mut self,
        generation: crate::Generation,
        refusal: &Refusal,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if self.phase.is_leaving() {
            return;
        }
        if generation == self.candidate {
            if self.turn.is_some() {
                return;
            }
            let reason = format!("the candidate failed: {}", refusal.reason);
            if self.cut && self.way_back().is_err() {
                return self.tell(reason, now, out);
            }
            let tried = self.cut || self.share > 0 || self.mirrors;
            let kind = if tried { OutcomeKind::RolledBack } else { OutcomeKind::Aborted };
            self.turn_to(Outcome::new(kind, "candidate_failed", &reason), now, out);
        } else if generation == self.old {
            self.lost = Some(refusal.reason.clone());
            let tried = self.is_tried() && !self.is_committed() && self.turn.is_none();
            self.tell(format!("the old version failed: {}", refusal.reason), now, out);
            if tried {
                // Without it there is nothing to compare with; its supervisor needs a free hand.
                let reason = format!("the serving version failed: {}", refusal.reason);
                let outcome = Outcome::new(OutcomeKind::Aborted, "serving_failed", &reason);
                self.turn_to(outcome, now, out);
            }
        }
    }

    /// Leaves now, or as soon as what runs has ended.
    pub(super) fn turn_to(&mut self, outcome: Outcome, now: Now, out: &mut Vec<Effect>) {
        if self.running && !self.phase.may_be_left() {
            self.turn = Some(outcome);
            return;
        }
        self.forget(out);
        self.leave(outcome, now, out);
    }
}

fn failed(cause: &str, refusal: &Refusal) -> Outcome {
    Outcome::new(OutcomeKind::Aborted, cause, &refusal.reason)
}

// === impl Measured ===

impl super::Measured {
    pub(super) fn take(
        &mut self,
        stable: Sample,
        candidate: Sample,
        comparison: crate::transition::sample::Comparison,
    ) {
        (self.stable, self.candidate, self.comparison) = (stable, candidate, comparison);
        self.comparison.differences.truncate(crate::transition::sample::DIFFERENCES_MAX);
    }

    /// The cutover: from here on the candidate is compared with what the old version did before.
    pub(super) fn freeze(&mut self) {
        self.baseline = match &self.origin {
            Some(origin) => self.stable.since(origin),
            None => self.stable.clone(),
        };
        self.step_base = self.candidate.clone();
    }
}
