//! The journal in the host: opened at the start, looked at while it runs, closed at the end.
//!
//! What is recorded, and when, is the bus's matter. Here it is decided where the journal lives, what
//! is told about it, and what keeps a host from starting.

mod deed;

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use patchbay_bus::{Broker, Clock, Death, DedupBound, DurabilityRule, Level};
use patchbay_interpose::crash::record::CrashRecord;
use patchbay_journal::{
    Damage, DiskStorage, Journal, JournalConfig, JournalState, Moment, OnCorruption, Recovered,
};
use patchbay_lifecycle::Now;
use uuid::Uuid;

use self::deed::Deed;
use crate::{
    crash::{self, Culprit, Inquest},
    error::StartError,
    settings::{self, JournalSettings, Settings},
    transit::{self, kept},
    view::{DamageView, DedupView, JournalView, LevelRule, RecoveryView},
};

/// The journal of a running host.
#[derive(Debug)]
pub(crate) struct Record {
    journal: Arc<Journal>,
    folder: String,
    recovery: RecoveryView,
    closed: OnceLock<()>,
}

/// An opened journal, before the bus takes over what was found in it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) record: Record,
    pub(crate) journal: Arc<Journal>,
    pub(crate) recovered: Recovered,
    /// How the host before died.
    pub(crate) death: Death,
    pub(crate) culprit: Option<Culprit>,
    pub(crate) crash: Option<Arc<CrashRecord>>,
}

/// How well the host keeps what it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Ready,
    /// Durable publishes are refused until there is room.
    Full,
    /// Durable publishes are refused until a restart.
    Failed,
    /// Damage was found at the start.
    Degraded,
}

/// Opens the journal of a host, and tells what was found.
///
/// # Errors
/// [`StartError`]: it cannot be used, or it is not the one that belongs here.
pub(crate) fn open(settings: &Settings, clock: &dyn Clock) -> Result<Opened, StartError> {
    let began = Instant::now();
    let folder = &settings.paths.journal;
    let now = Moment { unix_ns: clock.unix_ns(), mono_ns: clock.now_ns() };
    let deed = Deed::read(settings)?;
    let storage = Arc::new(DiskStorage::at(folder));
    let mut config = config(&settings.journal);
    config.fill = settings.durability.rules().iter().any(|rule| rule.level == Level::Disk);
    let (journal, recovered) = Journal::open(storage, config, now)
        .map_err(|source| StartError::Journal { path: folder.clone(), source: Box::new(source) })?;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let report = &recovered.report;
    deed.compare(folder, journal.id(), !report.damage.is_empty())?;
    let path = settings.paths.store.with_file_name("crash");
    let Inquest { death, culprit, view } = crash::inquire(&path, &journal, |culprit, end| {
        let now = Now { mono_ns: now.mono_ns, unix_ns: now.unix_ns };
        kept::is_given_up(&transit::folder(settings), culprit, end, now)
    });
    let crash = crash::begin(&path, &journal);
    let tried = recovered.subs.iter().flat_map(|sub| &sub.tried);
    let recovery = RecoveryView {
        orderly: report.orderly,
        took_ms,
        segments: report.segments,
        records: report.records,
        bytes: report.bytes,
        subscriptions: recovered.subs.len() as u64,
        unsettled: report.live,
        begun: tried.filter(|delivery| delivery.begun).count() as u64,
        dead_letters: recovered.dead.len() as u64,
        torn_bytes: report.torn_bytes,
        damage: report.damage.len() as u64,
        death: view,
    };
    tell(&recovery, &report.damage);
    let folder = folder.display().to_string();
    let record =
        Record { journal: Arc::clone(&journal), folder, recovery, closed: OnceLock::new() };
    Ok(Opened { record, journal, recovered, death, culprit, crash })
}

/// The recovery report, in the log.
fn tell(recovery: &RecoveryView, damage: &[Damage]) {
    let RecoveryView { records, unsettled, begun, dead_letters, torn_bytes, took_ms, .. } =
        recovery;
    if *records > 0 {
        let orderly = recovery.orderly;
        tracing::info!(orderly, records, unsettled, begun, dead_letters, took_ms, "journal read");
    }
    if *torn_bytes > 0 {
        tracing::warn!(torn_bytes, "the end of the journal was an unfinished write: cut off");
    }
    for damage in damage {
        tracing::error!(%damage, "the journal is damaged");
    }
}

fn config(settings: &JournalSettings) -> JournalConfig {
    JournalConfig {
        segment_bytes: settings.segment_bytes,
        reserve_bytes: settings.reserve_bytes,
        low_water_bytes: settings.low_water_bytes,
        max_bytes: settings.max_bytes,
        sync_interval: settings.sync_interval,
        flush_interval: settings.flush_interval,
        buffer_bytes: usize::try_from(settings.buffer_bytes).unwrap_or(usize::MAX),
        owed_bytes: usize::try_from(settings.owed_bytes).unwrap_or(usize::MAX),
        on_corruption: match settings.on_corruption {
            settings::OnCorruption::Quarantine => OnCorruption::Quarantine,
            settings::OnCorruption::Refuse => OnCorruption::Refuse,
        },
        dedup_window: settings.dedup_window,
        dedup_keys_max: settings.dedup_keys,
        patience: settings.patience,
        ..JournalConfig::default()
    }
}

/// The word for how durable topics are kept: `memory`, `disk` or `reduced` (P-3).
pub(crate) fn durability(rules: &[DurabilityRule]) -> &'static str {
    let has = |level: Level| rules.iter().any(|rule| rule.level == level);
    match (has(Level::Process), has(Level::Disk)) {
        (true, _) => "reduced",
        (false, true) => "disk",
        (false, false) => "memory",
    }
}

// === impl Record ===

impl Record {
    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// In which state it is, and why.
    pub(crate) fn health(&self) -> (Health, Option<String>) {
        match self.journal.health().state {
            JournalState::Ready if self.recovery.damage > 0 => {
                let damage = self.journal.damage();
                let reason = damage.first().map_or_else(String::new, ToString::to_string);
                (Health::Degraded, Some(reason))
            }
            // Closed is closed by the end of the host.
            JournalState::Ready | JournalState::Closed => (Health::Ready, None),
            JournalState::Full => {
                (Health::Full, Some("there is no room for durable messages".to_owned()))
            }
            JournalState::Failed(failed) => (Health::Failed, Some(failed.to_string())),
        }
    }

    pub(crate) fn view(&self, broker: &Broker) -> JournalView {
        let (state, reason) = self.health();
        let health = self.journal.health();
        let rules = &broker.config().durability;
        let dedup = broker.dedup();
        JournalView {
            folder: self.folder.clone(),
            state: state.label().to_owned(),
            reason,
            durability: durability(rules).to_owned(),
            rules: rules
                .iter()
                .map(|rule| LevelRule {
                    topics: rule.pattern.to_string(),
                    level: rule.level.to_string(),
                })
                .collect(),
            segments: health.segments,
            bytes: health.bytes,
            room_bytes: health.room,
            reserve_bytes: health.reserve,
            unsettled: health.live,
            written: health.written,
            synced: health.synced,
            dedup: DedupView {
                keys: dedup.keys as u64,
                bound: match dedup.bound {
                    DedupBound::None => "none",
                    DedupBound::Window => "window",
                    DedupBound::Keys => "keys",
                }
                .to_owned(),
            },
            recovery: self.recovery.clone(),
        }
    }

    pub(crate) fn damage(&self) -> Vec<DamageView> {
        self.journal.damage().iter().map(damage_view).collect()
    }

    /// Ends it in good order: everything is on the disk, and the next host knows that it is. Blocks.
    pub(crate) fn close(&self, clock: &dyn Clock) {
        if self.closed.set(()).is_err() {
            return;
        }
        let now = Moment { unix_ns: clock.unix_ns(), mono_ns: clock.now_ns() };
        if let Err(error) = self.journal.close(now) {
            tracing::error!(%error, "the journal was not closed in good order");
        }
    }
}

/// Damage as everybody shows it.
fn damage_view(damage: &Damage) -> DamageView {
    let lost = damage.lost.as_ref();
    DamageView {
        kind: damage.what.label().to_owned(),
        file: damage.file.clone(),
        offset: damage.offset,
        first_record: lost.map(|lost| lost.first),
        last_record: lost.and_then(|lost| lost.last),
        first_seq: lost.and_then(|lost| lost.seqs).map(|(first, _)| first),
        last_seq: lost.and_then(|lost| lost.seqs).map(|(_, last)| last),
        mid: lost.and_then(|lost| lost.mid).map(|mid| Uuid::from_u128(mid).to_string()),
        detail: damage.to_string(),
    }
}

// === impl Health ===

impl Health {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Health::Ready => "ready",
            Health::Full => "full",
            Health::Failed => "failed",
            Health::Degraded => "degraded",
        }
    }

    /// Whether nothing is wrong with it.
    pub(crate) fn is_well(self) -> bool {
        self == Health::Ready
    }

    /// Whether durable publishes are accepted (P-46).
    pub(crate) fn accepts(self) -> bool {
        matches!(self, Health::Ready | Health::Degraded)
    }
}
