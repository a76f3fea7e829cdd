//! The ways out: before the cutover the candidate is taken away, after it the old version is
//! brought back.

use std::time::Duration;

use super::{Phase, Transition, nanoseconds};
use crate::{
    Now, Refusal,
    transition::{
        event::{Action, AskRefused, Effect, Yield},
        record::{Outcome, OutcomeKind, Standing},
        request::StateRule,
    },
};

/// How long after something that must not fail has failed it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

// === impl Transition ===

impl Transition {
    /// Whether the old version may serve again.
    ///
    /// # Errors
    /// Why it may not.
    pub(super) fn way_back(&self) -> Result<(), AskRefused> {
        if self.fenced && self.spec.state == StateRule::ForwardOnly {
            return Err(AskRefused::ForwardOnly);
        }
        match &self.lost {
            Some(reason) => Err(AskRefused::OldIsGone { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// The way out that was decided while something ran, if it can still be gone.
    pub(super) fn take_turn(&mut self, now: Now, out: &mut Vec<Effect>) -> Option<Outcome> {
        let outcome = self.turn.take()?;
        match self.way_back() {
            Err(refused) if self.cut => {
                self.tell(format!("{}; {refused}", outcome.reason), now, out);
                None
            }
            _ => Some(outcome),
        }
    }

    /// Leaves, whichever way there is. Nothing runs.
    pub(super) fn leave(&mut self, outcome: Outcome, now: Now, out: &mut Vec<Effect>) {
        self.paused = None;
        if !self.cut {
            self.outcome = Some(outcome.clone());
            self.enter(Phase::Withdrawing, outcome.reason, now, out);
            return self.withdraw(out);
        }
        let outcome = Outcome { kind: OutcomeKind::RolledBack, ..outcome };
        self.outcome = Some(outcome.clone());
        if self.cold {
            self.enter(Phase::Warming, outcome.reason, now, out);
            return self.perform(Action::Warm(self.old), out);
        }
        self.revert(outcome.reason, now, out);
    }

    fn revert(&mut self, reason: String, now: Now, out: &mut Vec<Effect>) {
        self.epoch += 1;
        self.enter(Phase::Reverting, reason, now, out);
        self.record_way_back(now, out);
    }

    fn record_way_back(&mut self, now: Now, out: &mut Vec<Effect>) {
        if let Some(outcome) = self.outcome.clone() {
            self.record(Standing::Restoring { outcome }, now, out);
        }
    }

    /// Takes away from the candidate what it has, one thing after the other.
    fn withdraw(&mut self, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.share) > 0 {
            self.perform(Action::SetShare(0), out);
        } else if std::mem::take(&mut self.mirrors) {
            self.perform(Action::Mirror(false), out);
        } else {
            self.phase = Phase::Dismissing;
            self.perform(Action::Dismiss(self.candidate), out);
        }
    }

    /// An action on the way out has ended. Nothing on this way can be refused; what must not fail
    /// is tried again until it does not.
    pub(super) fn left(&mut self, result: Result<Yield, Refusal>, now: Now, out: &mut Vec<Effect>) {
        if let Err(refusal) = &result {
            self.tell(refusal.reason.clone(), now, out);
        }
        match (self.phase, result.is_ok()) {
            (Phase::Finalising, _) => {
                // Also when it was not recorded: then the bake ends once more after a crash.
                self.phase = Phase::Retiring;
                self.perform(Action::Dismiss(self.old), out);
            }
            (Phase::Withdrawing, _) => self.withdraw(out),
            (Phase::Dismissing | Phase::Removing, _) => {
                self.phase = Phase::Closing;
                if let Some(outcome) = self.outcome.clone() {
                    self.record(Standing::Over { outcome }, now, out);
                }
            }
            (Phase::Retiring | Phase::Closing, _) => {
                let text = self.outcome.as_ref().map(ToString::to_string).unwrap_or_default();
                self.ended_unix_ns = Some(now.unix_ns);
                self.enter(Phase::Over, text, now, out);
            }
            (Phase::Warming, true) => {
                self.cold = false;
                let reason = "the old version is ready".to_owned();
                self.revert(reason, now, out);
            }
            (Phase::Warming, false) => {
                // It cannot be had back, so the new version goes on.
                self.outcome = None;
                self.lost = Some("it cannot be started again".to_owned());
                self.bake(now, out);
            }
            (Phase::Reverting, true) => {
                self.phase = Phase::Restoring;
                self.restore(out);
            }
            (Phase::Reverting | Phase::Restoring, false) => {
                self.again_at = Some(now.mono_ns.saturating_add(nanoseconds(AGAIN)));
            }
            (Phase::Restoring, true) => {
                self.share = 0;
                let text = format!("generation {} serves again", self.old);
                self.enter(Phase::Receding, text, now, out);
                self.perform(Action::Drain(self.candidate, self.spec.terms.drain_deadline), out);
            }
            (Phase::Receding, false) => {
                self.phase = Phase::Stripping;
                self.perform(Action::Revoke(self.candidate), out);
            }
            (Phase::Receding, true) | (Phase::Stripping, _) => {
                self.phase = Phase::Removing;
                self.perform(Action::Dismiss(self.candidate), out);
            }
            _ => {}
        }
    }

    fn restore(&mut self, out: &mut Vec<Effect>) {
        self.perform(Action::Cutover { from: self.candidate, to: self.old, open: true }, out);
    }

    /// What failed on the way back is tried again.
    pub(super) fn try_again(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.again_at.is_none_or(|at| at > now.mono_ns) {
            return;
        }
        self.again_at = None;
        match self.phase {
            Phase::Reverting => self.record_way_back(now, out),
            Phase::Restoring => self.restore(out),
            _ => {}
        }
    }
}
