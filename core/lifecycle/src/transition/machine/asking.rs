//! What operators may ask, and when.

use super::{Phase, Transition};
use crate::{
    Now,
    transition::{
        event::{AskRefused, Asked, Effect},
        record::{Outcome, OutcomeKind},
        request::StateRule,
    },
};

// === impl Transition ===

impl Transition {
    /// An operator asks for something.
    ///
    /// # Errors
    /// [`AskRefused`]; nothing has changed.
    pub fn ask(&mut self, asked: Asked, who: &str, now: Now) -> Result<Vec<Effect>, AskRefused> {
        if self.phase == Phase::Over {
            let outcome = self.outcome.as_ref().map(ToString::to_string).unwrap_or_default();
            return Err(AskRefused::Over { outcome });
        }
        if self.phase.is_leaving() || self.turn.is_some() {
            return Err(self.wrong(&asked, "it is on its way to an end; wait for it"));
        }
        let mut out = Vec::new();
        match asked {
            Asked::Pause => {
                if self.paused.is_none() {
                    self.paused = Some(now.mono_ns);
                    self.tell(format!("paused by {who}"), now, &mut out);
                }
            }
            Asked::Resume => {
                if self.paused.is_none() {
                    return Err(self.wrong(&asked, "it does not wait; look at its status"));
                }
                self.tell(format!("resumed by {who}"), now, &mut out);
                self.go_on(now, &mut out);
            }
            Asked::Promote => self.promote(who, now, &mut out)?,
            Asked::Abort => {
                if self.is_committed() {
                    return Err(self.wrong(&asked, "the cutover is done: roll it back instead"));
                }
                let reason = format!("aborted by {who}");
                let outcome = Outcome::new(OutcomeKind::Aborted, "operator", &reason);
                self.turn_to(outcome, now, &mut out);
            }
            Asked::Rollback => {
                if self.is_committed() {
                    if self.spec.state == StateRule::ForwardOnly {
                        return Err(AskRefused::ForwardOnly);
                    }
                    self.way_back()?;
                }
                let reason = format!("rolled back by {who}");
                let outcome = Outcome::new(OutcomeKind::RolledBack, "operator", &reason);
                self.turn_to(outcome, now, &mut out);
            }
        }
        Ok(out)
    }

    /// Whether the cutover is durable, or may be at any moment.
    pub(super) fn is_committed(&self) -> bool {
        self.cut || self.phase == Phase::Committing
    }

    fn wrong(&self, asked: &Asked, remedy: &'static str) -> AskRefused {
        AskRefused::WrongPhase { verb: asked.verb(), phase: self.phase(), remedy }
    }

    /// The time that it waited counts for nothing.
    fn go_on(&mut self, now: Now, out: &mut Vec<Effect>) {
        if let Some(since) = self.paused.take() {
            let waited = now.mono_ns.saturating_sub(since);
            self.since = self.since.saturating_add(waited);
            self.deadline = self.deadline.saturating_add(waited);
            self.bake_until = self.bake_until.map(|until| until.saturating_add(waited));
        }
        match self.phase {
            Phase::Waiting => self.ready(now, out),
            _ => self.weigh(now, out),
        }
    }

    fn promote(&mut self, who: &str, now: Now, out: &mut Vec<Effect>) -> Result<(), AskRefused> {
        match self.phase {
            Phase::Waiting
            | Phase::Replaying
            | Phase::Probing
            | Phase::Shifting
            | Phase::Mirroring
            | Phase::Baking => {}
            Phase::Noting
            | Phase::Loading
            | Phase::Initialising
            | Phase::Checking
            | Phase::Starting => {
                return Err(self.wrong(&Asked::Promote, "wait until the candidate is started"));
            }
            _ => return Err(self.wrong(&Asked::Promote, "the cutover is under way already")),
        }
        self.tell(format!("promoted by {who}"), now, out);
        self.paused = None;
        match self.phase {
            Phase::Replaying => {
                self.forget(out);
                self.begin_trial(now, out);
            }
            Phase::Waiting | Phase::Probing => {
                self.forget(out);
                self.ready(now, out);
            }
            _ if self.running => self.hurry = true,
            Phase::Baking => self.finalise(now, out),
            _ => self.advance(now, out),
        }
        Ok(())
    }
}
