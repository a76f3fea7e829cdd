//! The actions of a transition, done: each is one function that says how it ended, and decides
//! nothing.
//!
//! What is true of the plugin's generations afterwards is reported to the registry as the ordinary
//! steps, so that everybody else sees a transition as what it is made of.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use patchbay_lifecycle::{
    Check, FailureKind, Flow, Generation, Identity, Lasting, Refusal, Step,
    transition::{Action, Comparison, Difference, Record, Sample, Yield},
};
use patchbay_pool::Op;

use super::{
    conductor::Shift,
    kept, library,
    mirror::Mirror,
    outputs::{self, Side},
    probes::{self, Probe},
};
use crate::{
    context::LineFrom,
    executor::{Executor, refused},
    incarnation::Incarnation,
    open::longest_call,
    station::{Flowing, Trial},
    watch::prepared::chain,
};

/// How often it is looked whether something has ended.
const LOOK: Duration = Duration::from_millis(2);
/// Longest wait for the end of copies that run, before the candidate gets real messages.
const COPIES_END: Duration = Duration::from_secs(5);
/// Longest wait for the candidate's answers to probes and dead letters, unless its calls end sooner.
const ANSWERS: Duration = Duration::from_secs(30);
/// Dead letters that are replayed at most, the latest ones.
const LETTERS_MAX: usize = 10_000;
/// Least time between two health checks of a generation.
const CHECKED_EVERY: Duration = Duration::from_secs(1);
/// How long a generation that does not serve may finish what it holds.
const DISMISS_DRAIN: Duration = Duration::from_secs(1);

/// The hands of one transition.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(super) executor: Arc<Executor>,
    /// What serves when it begins, and what is to serve.
    pub(super) old: (Generation, Identity),
    pub(super) new: (Generation, Identity),
    salt: u64,
    /// Those that the request brought.
    probes: Vec<Probe>,
    comparison: Arc<outputs::Comparison>,
    mirror: Mutex<Option<Arc<Mirror>>>,
    /// The state that a generation exported.
    snapshot: Mutex<Option<(Generation, Vec<u8>)>>,
    crashes: Mutex<Vec<Generation>>,
    checks: Mutex<HashMap<Generation, Checked>>,
}

/// The latest health check of a generation, and how many failed in a row.
#[derive(Clone, Copy, Debug)]
struct Checked {
    at: Instant,
    failed: u32,
}

// === impl Stage ===

impl Stage {
    pub(super) fn new(
        executor: Arc<Executor>,
        shift: Shift,
        salt: u64,
        probes: Vec<Probe>,
    ) -> Stage {
        Stage {
            executor,
            old: shift.old,
            new: shift.new,
            salt,
            probes,
            comparison: Arc::default(),
            mirror: Mutex::default(),
            snapshot: Mutex::default(),
            crashes: Mutex::default(),
            checks: Mutex::default(),
        }
    }

    /// Performs an action.
    pub(super) async fn perform(&self, action: Action) -> Result<Yield, Refusal> {
        let done = match action {
            Action::Record(record) => self.record(*record).await,
            Action::Load(generation) => {
                let identity = self.identity_of(generation);
                self.step(Step::Open { generation, identity }).await
            }
            Action::Init(generation) => self.step(Step::Init(generation)).await,
            Action::Check(generation) => self.step(Step::Check(generation)).await,
            Action::Start(generation) => self.step(Step::Start(generation)).await,
            Action::Replay => return self.replay().await,
            Action::Probe => return self.probe().await,
            Action::Mirror(on) => self.copy(on),
            Action::SetShare(share) => self.set_share(share).await,
            Action::Cutover { from, to, open } => self.cut_over(from, to, open).await,
            Action::Drain(generation, limit) => self.drain(generation, limit).await,
            Action::Revoke(generation) => {
                let calls = self.executor.station().revoke(generation);
                return Ok(Yield::Revoked { calls });
            }
            Action::HandOver { from, to } => self.hand_over(from, to).await,
            Action::Open(generation) => {
                self.executor.station().set_flow(generation, Flowing::Yes);
                Ok(())
            }
            Action::Warm(generation) => self.warm(generation).await,
            Action::Dismiss(generation) => {
                self.dismiss(generation).await;
                Ok(())
            }
        };
        done.map(|()| Yield::Done)
    }

    fn identity_of(&self, generation: Generation) -> Identity {
        if generation == self.old.0 { self.old.1 } else { self.new.1 }
    }

    /// Performs a step and reports it, if it was done: what failed is reported with the end of the
    /// whole.
    async fn step(&self, step: Step) -> Result<(), Refusal> {
        let outcome = self.executor.perform(step).await;
        if outcome.is_ok() || !step.may_fail() {
            self.executor.report(step, outcome.clone());
        }
        outcome
    }

    async fn record(&self, record: Record) -> Result<(), Refusal> {
        let context = Arc::clone(self.executor.context());
        let name = self.executor.station().name().clone();
        let put = tokio::task::spawn_blocking(move || kept::put(&context, &name, &record)).await;
        let failed = |why: String| {
            let reason = format!("the record of the transition cannot be kept: {why}");
            refused(FailureKind::Transition, Lasting::Passing, reason)
        };
        match put {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(panic) => Err(failed(panic.to_string())),
        }
    }

    // --- trial ---

    async fn set_share(&self, share: u8) -> Result<(), Refusal> {
        self.end_copies().await?;
        let candidate = self.incarnation(self.new.0)?;
        let trial = Trial { generation: self.new.0, salt: self.salt, share };
        self.executor.station().try_out(&candidate, trial);
        candidate.open();
        Ok(())
    }

    fn mirror(&self) -> Result<Arc<Mirror>, Refusal> {
        let mut mirror = self.mirror.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mirror) = &*mirror {
            return Ok(Arc::clone(mirror));
        }
        let candidate = self.incarnation(self.new.0)?;
        candidate.observer.compare(Arc::clone(&self.comparison), Side::Candidate);
        let (context, station) = (self.executor.context(), self.executor.station());
        let opened = Mirror::open(context, station, &candidate)
            .map_err(|error| refused(FailureKind::Start, Lasting::Permanent, chain(&error)))?;
        Ok(Arc::clone(mirror.insert(Arc::new(opened))))
    }

    fn copy(&self, on: bool) -> Result<(), Refusal> {
        let serving = self.incarnation(self.old.0)?;
        let mirror = self.mirror()?;
        if on {
            serving.observer.compare(Arc::clone(&self.comparison), Side::Serving);
        } else {
            serving.observer.release();
        }
        mirror.copy(&self.executor.context().broker, on);
        Ok(())
    }

    /// The candidate gets no copies any more, and what it answers counts from now on.
    async fn end_copies(&self) -> Result<(), Refusal> {
        let mirror = self.mirror.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mirror) = mirror else { return Ok(()) };
        let candidate = self.incarnation(self.new.0)?;
        if let Ok(serving) = self.incarnation(self.old.0) {
            serving.observer.release();
        }
        mirror.copy(&self.executor.context().broker, false);
        let drained = candidate.drain(COPIES_END).await.is_some_and(|report| report.drained);
        mirror.close(&candidate);
        if !drained {
            let reason = format!("its calls on copies were not done after {COPIES_END:?}");
            return Err(refused(FailureKind::Transition, Lasting::Permanent, reason));
        }
        candidate.observer.release();
        Ok(())
    }

    async fn replay(&self) -> Result<Yield, Refusal> {
        let mirror = self.mirror()?;
        let context = self.executor.context();
        let name = self.executor.station().name();
        let letters = context.broker.dead_letters().after(0, usize::MAX);
        let own = letters.iter().rev().filter(|letter| *letter.owner == *name.as_str());
        let own: Vec<_> = own.take(LETTERS_MAX).cloned().collect();
        let (mut tried, mut passed, mut differences) = (0, 0, Vec::new());
        // In pieces that fit into the queues of the copies.
        for piece in own.chunks(256) {
            for letter in piece {
                self.comparison.ask(letter.message.id());
                mirror.give(&letter.message);
            }
            let ids = piece.iter().map(|letter| letter.message.id());
            for (id, answer) in self.answers(ids.collect(), ANSWERS).await {
                tried += 1;
                match answer {
                    Some(answer) if answer.is_good() => passed += 1,
                    answer => differences.push(Difference {
                        subject: format!("dead letter {id:032x}"),
                        expected: "acknowledged or forward".to_owned(),
                        found: answer.map_or_else(|| "no answer".to_owned(), |it| it.shown()),
                    }),
                }
            }
        }
        differences.truncate(patchbay_lifecycle::transition::sample::DIFFERENCES_MAX);
        Ok(Yield::Tried { tried, passed, differences })
    }

    async fn probe(&self) -> Result<Yield, Refusal> {
        let mirror = self.mirror()?;
        let candidate = self.incarnation(self.new.0)?;
        let mut probes = probes::of(&candidate.prepared.manifest);
        // An answer after the time of a call is none: of a real message, it would be refused.
        let limit = longest_call(&candidate.prepared.manifest).min(ANSWERS);
        probes.extend(self.probes.iter().cloned());
        let (mut passed, mut differences) = (0, Vec::new());
        for probe in &probes {
            let id = uuid::Uuid::now_v7().as_u128();
            // Before it is published: the answer may come at once.
            self.comparison.ask(id);
            let answer = if mirror.ask(id, &probe.topic, &probe.headers(), &probe.payload()) {
                self.answers(vec![id], limit).await.pop().and_then(|(_, answer)| answer)
            } else {
                None
            };
            let found = answer.as_ref().map_or_else(|| "no answer".to_owned(), |it| it.shown());
            if answer.is_some_and(|answer| probe.expect.is(&answer)) {
                passed += 1;
            } else {
                let (subject, expected) = (probe.topic.clone(), probe.expect.shown());
                differences.push(Difference { subject, expected, found });
            }
        }
        differences.truncate(patchbay_lifecycle::transition::sample::DIFFERENCES_MAX);
        Ok(Yield::Tried { tried: probes.len() as u64, passed, differences })
    }

    /// Waits for the candidate's answers to these messages.
    async fn answers(
        &self,
        ids: Vec<u128>,
        limit: Duration,
    ) -> Vec<(u128, Option<outputs::Answer>)> {
        let until = Instant::now() + limit;
        let mut answers: Vec<_> = ids.into_iter().map(|id| (id, None)).collect();
        loop {
            for (id, answer) in answers.iter_mut().filter(|(_, answer)| answer.is_none()) {
                *answer = self.comparison.answer(*id);
            }
            let is_done = answers.iter().all(|(_, answer)| answer.is_some());
            if is_done || Instant::now() >= until {
                return answers;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    // --- cutover ---

    async fn cut_over(&self, from: Generation, to: Generation, open: bool) -> Result<(), Refusal> {
        if to == self.new.0 {
            self.end_copies().await?;
        }
        let incarnation = self.incarnation(to)?;
        let flowing = if open { Flowing::Yes } else { Flowing::Held };
        // A candidate that is sent back costs no message with what it still runs.
        let tried = (from == self.new.0).then_some(from);
        let station = self.executor.station();
        station
            .attach(&self.executor.context().broker, &incarnation, flowing, tried)
            .map_err(|error| refused(FailureKind::Start, Lasting::Permanent, chain(&error)))?;
        incarnation.open();
        let step = Step::Attach { generation: to, replaces: Some(from), flow: Flow::Open };
        self.executor.report(step, Ok(()));
        Ok(())
    }

    /// Waits until the generation holds nothing, and queues that only it wishes are empty.
    async fn drain(&self, generation: Generation, limit: Duration) -> Result<(), Refusal> {
        let until = Instant::now() + self.executor.context().drain_limit(limit);
        let station = self.executor.station();
        while station.held_by(generation) > 0 || station.unfinished() > 0 {
            if Instant::now() >= until {
                let calls = station.held_by(generation);
                let reason = format!("{calls} calls were not done after {limit:?}");
                return Err(refused(FailureKind::Transition, Lasting::Passing, reason));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Gives the state of one generation to another; a generation that gave its own away before
    /// gets that one back.
    async fn hand_over(&self, from: Generation, to: Generation) -> Result<(), Refusal> {
        let kept = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let limit = self.executor.context().settings.limits.call_timeout;
        let failed = |why: String| {
            let reason = format!("the state cannot be handed over: {why}");
            refused(FailureKind::Transition, Lasting::Permanent, reason)
        };
        let state = match kept {
            Some((generation, state)) if generation == to => state,
            _ => {
                let old = self.incarnation(from)?;
                let exported = old.ask(Op::ExportState, limit).await;
                let state = exported.map_err(|error| failed(error.to_string()))?;
                let state = state.bytes.unwrap_or_default();
                let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
                *snapshot = Some((from, state.clone()));
                state
            }
        };
        let incarnation = self.incarnation(to)?;
        let imported = incarnation.ask_with(Op::ImportState, state, limit).await;
        imported.map(drop).map_err(|error| failed(error.to_string()))
    }

    async fn warm(&self, generation: Generation) -> Result<(), Refusal> {
        let identity = self.identity_of(generation);
        for step in [
            Step::Open { generation, identity },
            Step::Init(generation),
            Step::Check(generation),
            Step::Start(generation),
        ] {
            self.step(step).await?;
        }
        self.executor.keeps(&*self.incarnation(generation)?);
        Ok(())
    }

    async fn dismiss(&self, generation: Generation) {
        if generation == self.new.0
            && let Err(refusal) = self.end_copies().await
        {
            self.executor.warn(Some(generation), &refusal.reason);
        }
        let Some(incarnation) = self.executor.station().incarnation(generation) else { return };
        incarnation.observer.time(false);
        self.executor.report(Step::Detach(generation), Ok(()));
        self.executor.settle(generation, DISMISS_DRAIN).await;
        self.executor.report(Step::Drain(generation), Ok(()));
        for step in [Step::Stop(generation), Step::Retire(generation)] {
            let outcome = self.executor.perform(step).await;
            self.executor.report(step, outcome);
        }
    }

    // --- data ---

    /// Begins to time calls of both generations, as soon as they are there.
    pub(super) fn observe(&self) {
        for generation in [self.old.0, self.new.0] {
            if let Some(incarnation) = self.executor.station().incarnation(generation) {
                incarnation.observer.time(true);
            }
        }
    }

    /// Times nothing any more.
    pub(super) fn unobserve(&self) {
        for generation in [self.old.0, self.new.0] {
            if let Some(incarnation) = self.executor.station().incarnation(generation) {
                incarnation.observer.time(false);
            }
        }
    }

    /// A generation failed by itself.
    pub(super) fn crashed(&self, generation: Generation) {
        self.crashes.lock().unwrap_or_else(PoisonError::into_inner).push(generation);
    }

    /// Counts of one generation.
    pub(super) async fn sample(&self, generation: Generation) -> Sample {
        let crashes = {
            let crashes = self.crashes.lock().unwrap_or_else(PoisonError::into_inner);
            crashes.iter().filter(|it| **it == generation).count() as u64
        };
        let Some(incarnation) = self.executor.station().incarnation(generation) else {
            return Sample { generation, crashes, ..Sample::default() };
        };
        let healthy = Some(self.is_healthy(&incarnation).await);
        let stats = incarnation.stats();
        // On copies, everything is acknowledged; what the candidate really said was captured.
        let copies = self.comparison.findings().candidate;
        let copies = if generation == self.new.0 { copies } else { outputs::Tally::default() };
        Sample {
            generation,
            attempts: stats.calls.saturating_sub(u64::from(stats.in_flight)),
            errors: stats.faults + stats.failed + copies.bad,
            retries: stats.retried + copies.retried,
            crashes,
            healthy,
            latencies: Some(incarnation.observer.latencies()),
        }
    }

    /// Whether a generation is well, by the rule of its manifest: as many failed checks in a row make
    /// it ill as that says.
    async fn is_healthy(&self, incarnation: &Incarnation) -> bool {
        let (generation, rule) = (incarnation.generation(), incarnation.prepared.facts.health);
        let known = |checks: &Mutex<HashMap<Generation, Checked>>| {
            let checks = checks.lock().unwrap_or_else(PoisonError::into_inner);
            checks.get(&generation).copied()
        };
        let before = known(&self.checks);
        let failed = match before {
            Some(checked) if checked.at.elapsed() < CHECKED_EVERY => checked.failed,
            // Without a thread there is nothing that could be ill.
            _ if !incarnation.has_threads() => 0,
            _ => match incarnation.check(rule.timeout).await {
                Check::Passed(_) => 0,
                // It waited behind a call: that says nothing.
                Check::Busy(_) => before.map_or(0, |checked| checked.failed),
                Check::Failed(_) => before.map_or(0, |checked| checked.failed) + 1,
            },
        };
        let recent = before.map(|it| it.at).filter(|at| at.elapsed() < CHECKED_EVERY);
        let at = recent.unwrap_or_else(Instant::now);
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.insert(generation, Checked { at, failed });
        failed < rule.failures.max(1)
    }

    pub(super) fn compared(&self) -> Comparison {
        let findings = self.comparison.findings();
        let difference = |it: outputs::Difference| Difference {
            subject: format!("message {:032x}", it.message),
            expected: it.serving,
            found: it.candidate,
        };
        let differences = findings.differences.into_iter().map(difference).collect();
        Comparison { compared: findings.compared, matched: findings.matched, differences }
    }

    pub(super) fn incarnation(&self, generation: Generation) -> Result<Arc<Incarnation>, Refusal> {
        self.executor.station().incarnation(generation).ok_or_else(|| {
            refused(FailureKind::Died, Lasting::Passing, format!("generation {generation} is gone"))
        })
    }

    /// Keeps the bytes and the settings of what serves, for a host that may die before the end.
    pub(super) async fn keep_old(&self) -> Result<(), Refusal> {
        let old = self.incarnation(self.old.0)?;
        let context = Arc::clone(self.executor.context());
        let keeping = move || library::keep(&context, &old.prepared);
        let kept = tokio::task::spawn_blocking(keeping).await;
        let why = match kept {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        let reason = format!("the serving version cannot be kept for the way back: {why}");
        Err(refused(FailureKind::Transition, Lasting::Passing, reason))
    }

    pub(super) fn log(&self, level: &'static str, text: &str) {
        let from = LineFrom { level, generation: None, target: "transition" };
        self.executor.context().log(self.executor.station(), from, text);
    }
}
