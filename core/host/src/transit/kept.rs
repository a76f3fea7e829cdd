//! The records of transitions, and what they mean when a host starts (P-29).

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use patchbay_lifecycle::{
    Digest, Now, PluginName,
    transition::{
        FORMAT, HostEnd, Outcome, OutcomeKind, Record, Served, Standing, TransitionSpec, recover,
    },
};

use super::{answers::Answers, history::Histories, lead::Lead, library};
use crate::{
    context::Context,
    crash::Culprit,
    incarnation::Incarnation,
    records::{self, FileRecords, Records},
};

/// Name of the file that is there while a host runs.
const ALIVE: &str = "alive";

/// What the records promise.
#[derive(Debug)]
pub(crate) struct Promises {
    records: Box<dyn Records>,
    pub(crate) history: Histories,
    pub(crate) answers: Answers,
    alive: std::path::PathBuf,
    /// Whether the host before died, and whose code was at fault.
    died: bool,
    culprit: Option<Culprit>,
    /// Rises when links are to be judged anew.
    lifts: AtomicU64,
    /// Held while links and settings are changed, or read: nobody sees one without the other.
    pointing: Mutex<()>,
    /// What is promised of whom was looked for: what is written later is of this life.
    state: Mutex<BTreeMap<PluginName, Option<Promise>>>,
}

/// A record is there and does not say who is to serve.
#[derive(Debug, thiserror::Error)]
#[error(
    "which version serves stands in `{place}`, and that cannot be read: {problem}; put the file \
     back from a copy, or remove it: then what the link leads to is served"
)]
pub(crate) struct Unreadable {
    place: String,
    problem: String,
}

/// What is promised of one plugin.
#[derive(Clone, Debug)]
struct Promise {
    record: Record,
    /// The version that must not be served again by itself: bytes and configuration.
    barred: Option<(Digest, Digest)>,
    /// Bytes of which the same is true.
    aside: Option<Digest>,
    /// Its bake goes on once it serves.
    bakes: bool,
}

// === impl Promises ===

impl Promises {
    /// Opens the records in a folder, and notes that a host runs. Blocks.
    pub(crate) fn open(folder: &Path, culprit: Option<Culprit>) -> io::Result<Promises> {
        let records = FileRecords::open(folder)?;
        let alive = folder.join(ALIVE);
        let died = alive.exists();
        records::replace_file(&alive, b"")?;
        let (records, history) = (Box::new(records), Histories::open(folder));
        let answers = Answers::open(folder);
        let (lifts, pointing, state) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
        Ok(Promises { records, history, answers, alive, died, culprit, lifts, pointing, state })
    }

    /// The host ends in order.
    pub(crate) fn close(&self) {
        // What cannot be noted counts as a death, which costs a bake at most.
        let _ = std::fs::remove_file(&self.alive);
    }

    /// Whether these bytes with this configuration must not be served by themselves after the start
    /// of the host: they were given up, or the host died before their cutover.
    pub(crate) fn is_barred(&self, name: &PluginName, it: (Digest, Digest), now: Now) -> bool {
        self.known(name, now)
            .is_some_and(|promise| promise.barred == Some(it) || promise.aside == Some(it.0))
    }

    /// The record of a bake that is to go on, once.
    pub(crate) fn take_bake(&self, name: &PluginName, now: Now) -> Option<Record> {
        self.known(name, now)?;
        let mut state = self.lock();
        let promise = state.get_mut(name)?.as_mut().filter(|promise| promise.bakes)?;
        promise.bakes = false;
        Some(promise.record.clone())
    }

    /// The latest record of a plugin.
    pub(crate) fn latest(&self, name: &PluginName, now: Now) -> Option<Record> {
        self.known(name, now).map(|promise| promise.record)
    }

    /// This version may be served, also if it was given up: somebody asks for it.
    pub(crate) fn lift(&self, name: &PluginName, asked: (Digest, Digest)) {
        if let Some(Some(promise)) = self.lock().get_mut(name) {
            promise.barred = promise.barred.filter(|barred| *barred != asked);
            promise.aside = promise.aside.filter(|aside| *aside != asked.0);
        }
        self.lifts.fetch_add(1, SeqCst);
    }

    /// What was given up is not served by itself any more, for as long as the link leads to it.
    fn bar(&self, name: &PluginName, given_up: (Digest, Digest)) {
        if let Some(Some(promise)) = self.lock().get_mut(name) {
            promise.barred = Some(given_up);
        }
        self.lifts.fetch_add(1, SeqCst);
    }

    /// The link leads to something that may be served: whatever it led to before may be tried again
    /// when it leads there again.
    pub(crate) fn led_elsewhere(&self, name: &PluginName) {
        if let Some(Some(promise)) = self.lock().get_mut(name) {
            (promise.barred, promise.aside) = (None, None);
        }
    }

    /// Changes when links are to be judged anew.
    pub(crate) fn lifts(&self) -> u64 {
        self.lifts.load(SeqCst)
    }

    /// Whether it is known who is to serve.
    ///
    /// # Errors
    /// There is a record that cannot be read: nothing must be served on a guess.
    pub(crate) fn check(&self, name: &PluginName, now: Now) -> Result<(), Unreadable> {
        self.promise(name, now).map(drop)
    }

    fn known(&self, name: &PluginName, now: Now) -> Option<Promise> {
        self.promise(name, now).ok().flatten()
    }

    fn promise(&self, name: &PluginName, now: Now) -> Result<Option<Promise>, Unreadable> {
        if let Some(promise) = self.lock().get(name) {
            return Ok(promise.clone());
        }
        // The first look in this life: the former one may have ended in the middle.
        let Some(record) = self.read(name)? else {
            self.lock().entry(name.clone()).or_insert(None);
            return Ok(None);
        };
        let recovery = recover(&record, self.end(name, &record), now);
        if recovery.record != record
            && let Err(error) = self.write(name, &recovery.record)
        {
            tracing::error!(plugin = %name, %error, "the record of a transition is not kept");
        }
        if let Err(error) = self.history.found(name, &recovery.record) {
            tracing::error!(plugin = %name, %error, "the end of a transition is not kept");
        }
        if recovery.record.standing != Standing::CutOver {
            let back = recovery.serve == Served::Old;
            self.end_lead(name, &recovery.record.spec, back);
        }
        let promise = Promise::of(recovery.record, recovery.serve);
        tracing::info!(plugin = %name, serve = ?recovery.serve, "a transition was not finished");
        self.lock().entry(name.clone()).or_insert(Some(promise.clone()));
        Ok(Some(promise))
    }

    fn read(&self, name: &PluginName) -> Result<Option<Record>, Unreadable> {
        read(&*self.records, name)
    }

    fn write(&self, name: &PluginName, record: &Record) -> io::Result<()> {
        self.records.put(&key_of(name), &serde_json::to_vec(record)?)
    }

    /// Holds link and settings still, as long as the guard lives.
    pub(crate) fn still(&self) -> MutexGuard<'_, ()> {
        self.pointing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Points link and settings to what was announced. Blocks.
    ///
    /// # Errors
    /// What the system said; they are as they were.
    pub(crate) fn point(&self, lead: &Lead) -> io::Result<()> {
        let _still = self.still();
        lead.point()
    }

    /// A transition has ended: its link and settings stay, or lead `back` to what serves, or are not
    /// followed where somebody else had changed them. Blocks.
    pub(super) fn ended(&self, name: &PluginName, spec: &TransitionSpec, back: bool) {
        let _still = self.still();
        self.end_lead(name, spec, back);
        if back {
            self.bar(name, (spec.to.library, spec.to.config));
        }
    }

    fn end_lead(&self, name: &PluginName, spec: &TransitionSpec, back: bool) {
        let key = lead_of(name);
        let lead = match self.records.get(&key) {
            Ok(Some(read)) => serde_json::from_slice::<Lead>(&read).map_err(|e| e.to_string()),
            Ok(None) => return,
            Err(error) => Err(error.to_string()),
        };
        match lead {
            Ok(lead) if back && lead.transition == spec.id => {
                if lead.led_to(spec.from.library) {
                    lead.restore();
                } else {
                    tracing::warn!(plugin = %name, "the library that serves is not there any more, \
                         where the link led: it stays as it is, and is not followed");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(plugin = %name, error, "a link may stay with what was given up");
            }
        }
        if let Err(error) = self.records.remove(&key) {
            tracing::warn!(plugin = %name, %error, "what a link led to is kept for longer");
        }
    }

    /// How the host before ended, as far as this transition is concerned.
    fn end(&self, name: &PluginName, record: &Record) -> HostEnd {
        let is_candidate = |it: &Culprit| it.is_candidate(name, &record.spec);
        match self.died {
            true => {
                HostEnd::Died { names_candidate: self.culprit.as_ref().is_some_and(is_candidate) }
            }
            false => HostEnd::Orderly,
        }
    }

    fn put(&self, name: &PluginName, record: &Record) -> io::Result<()> {
        self.write(name, record)?;
        let mut state = self.lock();
        // The link may still lead to what a former life gave up, until it is pointed elsewhere. What
        // is given up in this life is barred by the plugin's own state.
        let before = state.get(name).and_then(Option::as_ref);
        let before = before.filter(|_| record.standing == Standing::Trial);
        let (barred, aside) = before.map_or((None, None), |it| (it.barred, it.aside));
        let promise = Promise { record: record.clone(), barred, aside, bakes: false };
        state.insert(name.clone(), Some(promise));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PluginName, Option<Promise>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Promise ===

impl Promise {
    fn of(record: Record, serve: Served) -> Promise {
        let over = matches!(record.standing, Standing::Over { .. } | Standing::Restoring { .. });
        let to = (record.spec.to.library, record.spec.to.config);
        Promise {
            barred: (over && serve == Served::Old).then_some(to),
            aside: record.aside,
            bakes: record.standing == Standing::CutOver,
            record,
        }
    }
}

/// Whether a version was on trial, and what its host's `end` means is that it is not served again by
/// itself. Blocks.
pub(crate) fn is_given_up(folder: &Path, culprit: &Culprit, end: HostEnd, now: Now) -> bool {
    let found = FileRecords::open(folder).ok().zip(culprit.plugin());
    let Some((records, name)) = found else { return false };
    // What cannot be read serves nobody either, and says so later.
    let Ok(Some(record)) = read(&records, &name) else { return false };
    !matches!(record.standing, Standing::Over { .. })
        && culprit.is_candidate(&name, &record.spec)
        && recover(&record, end, now).serve == Served::Old
}

fn read(records: &dyn Records, name: &PluginName) -> Result<Option<Record>, Unreadable> {
    let key = key_of(name);
    let unreadable = |problem: String| Unreadable { place: records.place(&key), problem };
    let read = records.get(&key).map_err(|error| unreadable(error.to_string()))?;
    let Some(read) = read else { return Ok(None) };
    let record: Record =
        serde_json::from_slice(&read).map_err(|error| unreadable(error.to_string()))?;
    match record.format {
        FORMAT => Ok(Some(record)),
        other => Err(unreadable(format!("its format is {other}, this host knows {FORMAT}"))),
    }
}

fn key_of(name: &PluginName) -> String {
    format!("transition/{name}")
}

fn lead_of(name: &PluginName) -> String {
    format!("lead/{name}")
}

/// Makes it known to whatever follows that a transition is about to begin, before anything is
/// changed for it: a host that dies on the way serves what serves now (P-29). Blocks.
pub(crate) fn announce(
    context: &Context,
    name: &PluginName,
    serving: &Incarnation,
    spec: &TransitionSpec,
    lead: &Lead,
) -> io::Result<()> {
    library::keep(context, &serving.prepared)?;
    context.promises.records.put(&lead_of(name), &serde_json::to_vec(lead)?)?;
    let (old, aside, at) = (serving.generation(), lead.led_aside(), context.clock.unix_ns());
    context.promises.put(name, &Record::announced(spec.clone(), old, aside, at))
}

/// What was announced did not begin. Blocks.
pub(crate) fn withdraw(context: &Context, name: &PluginName, reason: &str) -> io::Result<()> {
    let Some(record) = context.promises.latest(name, context.now()) else { return Ok(()) };
    if record.standing != Standing::Trial {
        return Ok(());
    }
    context.promises.ended(name, &record.spec, true);
    let outcome = Outcome::new(OutcomeKind::Aborted, "candidate_failed", reason);
    context.promises.put(name, &Record { standing: Standing::Over { outcome }, ..record })
}

/// Makes a record durable. Blocks.
pub(super) fn put(context: &Context, name: &PluginName, record: &Record) -> io::Result<()> {
    context.promises.put(name, record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record() -> Record {
        let digest = |byte: u8| json!(Digest([byte; 32]));
        let end = |version, byte| json!({"version": version, "library": digest(byte), "config": digest(0)});
        let graceful = patchbay_lifecycle::transition::Strategy::Graceful;
        let spec = json!({
            "id": "t1", "plugin": "echo", "from": end("1.0.0", 1), "to": end("2.0.0", 2),
            "terms": patchbay_lifecycle::transition::Terms::of(&graceful), "strategy": graceful,
            "state": "clean", "who": "test", "why": "", "at_unix_ns": 1,
        });
        let spec = serde_json::from_value(spec).expect("a specification");
        Record::announced(spec, patchbay_lifecycle::Generation(1), None, 1)
    }

    #[test]
    fn what_this_life_writes_is_never_taken_for_what_a_former_life_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = PluginName::parse("echo").expect("a name");
        let now = Now { mono_ns: 1, unix_ns: 1 };
        let promises = Promises::open(folder.path(), None).expect("they are opened");
        promises.check(&name, now).expect("nothing was left");
        // Another thread looks between the file and the state, in the middle of `put`.
        promises.write(&name, &record()).expect("it is written");
        promises.check(&name, now).expect("nothing was left");
        assert!(promises.latest(&name, now).is_none());
        assert_eq!(promises.read(&name).expect("it is read"), Some(record()), "as it was written");
        assert!(promises.history.of(&name).is_empty(), "nothing has ended");
        // It is what the next life finds.
        drop(promises);
        let next = Promises::open(folder.path(), None).expect("they are opened");
        let found = next.latest(&name, now).expect("it was left");
        assert!(matches!(found.standing, Standing::Over { .. }), "{found:?}");
    }
}
