//! The time in which a candidate is measured: probes, mirror, growing shares, bake.

use super::{Measured, Phase, Transition};
use crate::{
    Now,
    transition::{
        event::{Action, Effect, Yield},
        record::{Outcome, OutcomeKind},
        sample::Sample,
        strategy::Strategy,
        verdict::{Figures, Judgement, Verdict},
    },
};

// === impl Transition ===

impl Transition {
    /// The candidate is started.
    pub(super) fn begin_trial(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.since = now.mono_ns;
        match &self.spec.strategy {
            Strategy::Immediate | Strategy::Graceful => self.ready(now, out),
            Strategy::Gradual(_) => {
                self.step = 0;
                self.take_share(now, out);
            }
            Strategy::BlueGreen(plan) if plan.probes > 0 => {
                let text = format!("runs {} probes", plan.probes);
                self.enter(Phase::Probing, text, now, out);
                self.perform(Action::Probe, out);
            }
            Strategy::BlueGreen(_) => self.mirror(now, out),
        }
    }

    pub(super) fn replayed(&mut self, brought: Yield, now: Now, out: &mut Vec<Effect>) {
        let Yield::Tried { tried, passed, differences } = brought else {
            return self.fail_trial("the dead letters were not replayed".to_owned(), now, out);
        };
        self.measured.comparison.differences.extend(differences);
        let required = self.spec.terms.require_dlq_pass.unwrap_or(0.0);
        let text = format!("{passed} of {tried} dead letters pass, {required} % required");
        if (passed as f64) * 100.0 < required * tried as f64 {
            return self.fail_trial(text, now, out);
        }
        self.tell(text, now, out);
        self.begin_trial(now, out);
    }

    pub(super) fn probed(&mut self, brought: Yield, now: Now, out: &mut Vec<Effect>) {
        let Yield::Tried { tried, passed, differences } = brought else {
            return self.fail_trial("the probes were not run".to_owned(), now, out);
        };
        self.measured.comparison.differences.extend(differences);
        let text = format!("{passed} of {tried} probes pass");
        if passed < tried || tried == 0 {
            return self.fail_trial(text, now, out);
        }
        self.tell(text.clone(), now, out);
        self.mirror(now, out);
    }

    fn mirror(&mut self, now: Now, out: &mut Vec<Effect>) {
        match &self.spec.strategy {
            Strategy::BlueGreen(plan) if plan.mirror => {
                self.mirrors = true;
                self.enter(Phase::Mirroring, "runs copies of messages through it", now, out);
                self.perform(Action::Mirror(true), out);
            }
            _ => {
                let reason = "every probe passed".to_owned();
                let findings = Vec::new();
                self.verdict = Some(Judgement { verdict: Verdict::Pass, reason, findings });
                self.ready(now, out);
            }
        }
    }

    /// The share of the present step.
    fn take_share(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Strategy::Gradual(gradual) = &self.spec.strategy else { return };
        match gradual.trial().get(self.step).copied() {
            None => self.ready(now, out),
            Some(share) => {
                let holds = gradual.hold == Some(share);
                self.share = share;
                let text = format!("the candidate gets {share} %");
                self.enter(Phase::Shifting, text, now, out);
                self.perform(Action::SetShare(share), out);
                if holds && self.paused.is_none() {
                    self.paused = Some(now.mono_ns);
                    self.tell(format!("holds at {share} % until it is resumed"), now, out);
                }
            }
        }
    }

    /// The present step is done.
    pub(super) fn advance(&mut self, now: Now, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Shifting => {
                self.step += 1;
                self.take_share(now, out);
            }
            _ => self.ready(now, out),
        }
    }

    /// Weighs what is known, and acts on it.
    pub(super) fn weigh(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.running {
            return;
        }
        match self.phase {
            Phase::Shifting | Phase::Mirroring => self.weigh_trial(now, out),
            Phase::Baking => self.weigh_bake(now, out),
            _ => {}
        }
    }

    pub(super) fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Replaying | Phase::Probing
                if self.paused.is_none() && self.deadline <= now.mono_ns =>
            {
                self.forget(out);
                let text = "it was not tried to the end by the deadline".to_owned();
                self.fail_trial(text, now, out);
            }
            Phase::Reverting | Phase::Restoring => self.try_again(now, out),
            _ => self.weigh(now, out),
        }
    }

    fn weigh_trial(&mut self, now: Now, out: &mut Vec<Effect>) {
        let judgement = self.judge_trial();
        self.latest = Some(judgement.clone());
        if judgement.verdict == Verdict::Fail {
            return self.fail_with(judgement, now, out);
        }
        if self.paused.is_some() {
            return;
        }
        let terms = &self.spec.terms;
        let took = now.mono_ns.saturating_sub(self.since);
        let samples = self.measured.candidate.since(&self.measured.step_base).attempts;
        let enough = took >= super::nanoseconds(terms.min_time) && samples >= terms.min_samples;
        if enough && judgement.verdict == Verdict::Pass {
            let last = match &self.spec.strategy {
                Strategy::Gradual(gradual) => self.step + 1 >= gradual.trial().len(),
                _ => true,
            };
            if last {
                self.verdict = Some(judgement);
            }
            return self.advance(now, out);
        }
        if now.mono_ns >= self.deadline {
            let reason = if judgement.verdict == Verdict::Pass {
                format!("{samples} samples at this step, {} required", terms.min_samples)
            } else {
                judgement.reason.clone()
            };
            let reason = format!("inconclusive at the deadline: {reason}");
            self.fail_with(Judgement { verdict: Verdict::Fail, reason, ..judgement }, now, out);
        }
    }

    fn judge_trial(&mut self) -> Judgement {
        let measured = &mut self.measured;
        if let Some(reason) = &measured.blind {
            let reason = format!("nothing can be measured: {reason}");
            return Judgement { verdict: Verdict::Inconclusive, reason, findings: Vec::new() };
        }
        let origin = measured.origin.get_or_insert_with(|| measured.stable.clone());
        let stable: Sample = measured.stable.since(origin);
        let comparison = self.mirrors.then_some(&measured.comparison);
        self.spec.terms.rule.judge(
            &Figures::from(&measured.candidate),
            &Figures::from(&stable),
            self.spec.terms.min_samples,
            comparison,
        )
    }

    /// In the bake only a failure counts: the analysis is over, this is a watch.
    fn weigh_bake(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Measured { candidate, step_base, baseline, blind, .. } = &self.measured;
        if blind.is_none() && candidate.generation == self.candidate {
            let judgement = self.spec.terms.rule.judge(
                &Figures::from(&candidate.since(step_base)),
                &Figures::from(baseline),
                self.spec.terms.min_samples,
                None,
            );
            let bad = judgement.verdict == Verdict::Fail;
            let reason = format!("in the bake: {}", judgement.reason);
            self.latest = Some(judgement);
            if bad && self.way_back().is_ok() {
                let outcome = Outcome::new(OutcomeKind::RolledBack, "verdict", &reason);
                return self.turn_to(outcome, now, out);
            }
        }
        if self.paused.is_none() && self.bake_until.is_none_or(|until| until <= now.mono_ns) {
            self.finalise(now, out);
        }
    }

    fn fail_trial(&mut self, reason: String, now: Now, out: &mut Vec<Effect>) {
        self.fail_with(Judgement::failed(reason), now, out);
    }

    fn fail_with(&mut self, judgement: Judgement, now: Now, out: &mut Vec<Effect>) {
        let reason = judgement.reason.clone();
        // The first verdict is the verdict.
        self.verdict.get_or_insert(judgement);
        self.leave(Outcome::new(OutcomeKind::RolledBack, "verdict", &reason), now, out);
    }
}
