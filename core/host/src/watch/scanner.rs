//! The folder of links as a whole, read again and again.
//!
//! A file is judged when it has *settled*: its size and time of change have stood still for a
//! while, so that a copy that is still being written is not taken for a broken library. Until then
//! its name keeps the intent that it had.

use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc, time::Duration};

use patchbay_lifecycle::{FailureKind, Intent, Lasting, Now, PluginName, Refusal};

use super::{
    given,
    link::{self, Mark, Stamp},
    prepared::{Prepared, chain},
};
use crate::{
    settings::Settings,
    transit::{kept::Promises, library},
};

/// Reads the folder of links; remembers what it saw, so that only changes cost anything.
#[derive(Debug)]
pub(crate) struct Scanner {
    settings: Arc<Settings>,
    promises: Arc<Promises>,
    lifts: u64,
    seen: BTreeMap<PluginName, Seen>,
    /// Names of links that can be no plugin, so that each is told once.
    strange: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Seen {
    stamp: Option<Stamp>,
    /// When this stamp was seen first, monotonic.
    since_ns: u64,
    /// Whether what the stamp names was judged; until then the intent is that of what was before.
    judged: bool,
    intent: Option<Intent>,
    prepared: Option<Arc<Prepared>>,
    /// Why the link is not followed.
    aside: Option<Refusal>,
}

/// One reading of the folder.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// What each name says. A name that has not settled says what it said before.
    pub(crate) seen: Vec<(PluginName, Intent)>,
    /// The libraries behind the intents.
    pub(crate) prepared: Vec<(PluginName, Arc<Prepared>)>,
    /// How many names have not settled.
    pub(crate) unsettled: usize,
    /// When to read again, because something has not settled yet.
    pub(crate) again: Option<Duration>,
    /// Entries that can be no plugin, with the reason; each is told once.
    pub(crate) strange: Vec<String>,
    /// Links that are not followed, and why.
    pub(crate) aside: Vec<(PluginName, Refusal)>,
}

// === impl Scanner ===

impl Scanner {
    pub(crate) fn new(settings: Arc<Settings>, promises: Arc<Promises>) -> Scanner {
        let lifts = promises.lifts();
        Scanner { settings, promises, lifts, seen: BTreeMap::new(), strange: BTreeMap::new() }
    }

    /// Reads the folder. Blocks.
    ///
    /// # Errors
    /// The folder itself cannot be read; nothing has changed then.
    pub(crate) fn scan(&mut self, now: Now) -> io::Result<Scan> {
        let settings = Arc::clone(&self.settings);
        let libraries = fs::canonicalize(&settings.paths.libraries)?;
        let mut scan = Scan::default();
        let lifts = self.promises.lifts();
        if std::mem::replace(&mut self.lifts, lifts) != lifts {
            self.seen.values_mut().for_each(|seen| seen.judged = false);
        }
        let mut strange = BTreeMap::new();
        let mut seen = BTreeMap::new();
        for entry in fs::read_dir(&settings.paths.enabled)? {
            let file_name = entry?.file_name();
            let text = file_name.to_string_lossy();
            // Names with a dot in front are on their way to be renamed, or are none of ours.
            if text.starts_with('.') {
                continue;
            }
            match PluginName::parse(&text) {
                Ok(name) if seen.len() < settings.limits.plugins => {
                    let before = self.seen.remove(&name);
                    if let Some(it) = self.look(&name, before, &libraries, now, &mut scan) {
                        seen.insert(name, it);
                    }
                }
                Ok(name) => {
                    let limit = settings.limits.plugins;
                    let why = format!("the link `{name}` is one more than the {limit} allowed");
                    strange.insert(text.into_owned(), why);
                }
                Err(error) => {
                    let why = format!("the link `{text}` cannot name a plugin: {error}");
                    strange.insert(text.into_owned(), why);
                }
            }
        }
        for (name, it) in &seen {
            if let Some(intent) = &it.intent {
                scan.seen.push((name.clone(), intent.clone()));
            }
            if let Some(prepared) = &it.prepared {
                scan.prepared.push((name.clone(), Arc::clone(prepared)));
            }
            if let Some(why) = &it.aside {
                scan.aside.push((name.clone(), why.clone()));
            }
        }
        scan.strange = strange
            .iter()
            .filter(|(text, why)| self.strange.get(*text) != Some(*why))
            .map(|(_, why)| why.clone())
            .collect();
        self.seen = seen;
        self.strange = strange;
        Ok(scan)
    }

    /// Looks at one link. `None`: the settings say that it does not count.
    fn look(
        &self,
        name: &PluginName,
        before: Option<Seen>,
        libraries: &Path,
        now: Now,
        scan: &mut Scan,
    ) -> Option<Seen> {
        let plugins = &self.settings.plugins;
        if plugins.get(name.as_str()).is_some_and(|own| own.enabled == Some(false)) {
            return None;
        }
        // Link and settings belong together, and are changed together.
        let _still = self.promises.still();
        if let Err(error) = self.promises.check(name, now) {
            return Some(Seen::refused(FailureKind::Transition, &error, now));
        }
        let link = self.settings.paths.enabled.join(name.as_str());
        let stamp = match link::follow(&link, libraries) {
            Ok(stamp) => stamp.with(Mark::of(&given::file_of(&self.settings, name))),
            Err(error) => return Some(Seen::refused(FailureKind::Link, &error, now)),
        };
        let mut seen = match before {
            Some(seen) if seen.stamp.as_ref() == Some(&stamp) => seen,
            before => {
                let before = before.map(|it| (it.intent, it.prepared, it.aside));
                let (intent, prepared, aside) = before.unwrap_or_default();
                let (stamp, since_ns) = (Some(stamp.clone()), now.mono_ns);
                Seen { stamp, since_ns, judged: false, intent, prepared, aside }
            }
        };
        if !seen.judged {
            let settle = self.settings.limits.settle;
            match seen.unsettled_for(&stamp, settle, now) {
                None => {
                    seen.judge(name, &stamp, &self.settings);
                    self.keep_promise(name, &mut seen, now);
                }
                Some(wait) => scan.read_again_in(wait),
            }
            if !seen.judged {
                scan.unsettled += 1;
                scan.read_again_in(settle);
            }
        }
        Some(seen)
    }

    /// A version that was given up is not served by itself, in this life of the host or in another:
    /// what served before it is, from the copy that was kept, and has a supervisor.
    fn keep_promise(&self, name: &PluginName, seen: &mut Seen, now: Now) {
        seen.aside = None;
        let Some(prepared) = &seen.prepared else { return };
        let made_from = (prepared.facts.library, prepared.facts.config);
        if !self.promises.is_barred(name, made_from, now) {
            self.promises.led_elsewhere(name);
            return;
        }
        if let Some(kept) = library::kept(&self.settings, name) {
            let (version, instead) = (&prepared.facts.version, &kept.facts.version);
            tracing::warn!(plugin = %name, %version, %instead, "the link is not followed");
            let reason = format!(
                "the link leads to version {version}, which was given up, and is not followed: \
                 {instead} serves; let it lead elsewhere, or start a transition to {version} to \
                 try that again"
            );
            let (kind, lasting) = (FailureKind::Transition, Lasting::Permanent);
            seen.aside = Some(Refusal { kind, reason, lasting });
            seen.intent = Some(Intent::Wanted(kept.facts.clone()));
            seen.prepared = Some(kept);
        }
    }
}

// === impl Scan ===

impl Scan {
    fn read_again_in(&mut self, wait: Duration) {
        self.again = Some(self.again.map_or(wait, |other| other.min(wait)));
    }
}

// === impl Seen ===

impl Seen {
    fn refused(kind: FailureKind, error: &dyn std::error::Error, now: Now) -> Seen {
        let reason = chain(error);
        let refusal = Refusal { kind, reason, lasting: Lasting::Permanent };
        let intent = Some(Intent::Refused(refusal));
        let (stamp, since_ns) = (None, now.mono_ns);
        Seen { stamp, since_ns, judged: true, intent, prepared: None, aside: None }
    }

    /// How much longer the file must stand still; `None` when it has settled. One that was changed
    /// long ago has settled whenever it is seen first.
    fn unsettled_for(&self, stamp: &Stamp, settle: Duration, now: Now) -> Option<Duration> {
        let seen = Duration::from_nanos(now.mono_ns.saturating_sub(self.since_ns));
        let age = stamp.age_ns(now.unix_ns).map_or(Duration::ZERO, Duration::from_nanos);
        let still = seen.max(age);
        (still < settle).then(|| settle - still)
    }

    fn judge(&mut self, name: &PluginName, stamp: &Stamp, settings: &Settings) {
        let own = given::settings_of(settings, name);
        match own.and_then(|own| Prepared::inspect(name, &stamp.library, &own)) {
            Ok(prepared) => {
                self.intent = Some(Intent::Wanted(prepared.facts.clone()));
                self.prepared = Some(prepared);
                self.judged = true;
            }
            // It was written to while it was read: what was before stands for another while.
            Err(refusal) if refusal.lasting == Lasting::Passing => {}
            Err(refusal) => {
                self.intent = Some(Intent::Refused(refusal));
                self.prepared = None;
                self.judged = true;
            }
        }
    }
}
