//! `patchbay journal`.

use std::{fmt::Write as _, io::ErrorKind, path::Path};

use patchbay_host::view::{DamageView, JournalView};
use patchbay_journal::{DiskStorage, OpenError, Verified, is_there, verify};
use serde::Serialize;

use crate::{
    args::JournalVerb,
    context::Context,
    failure::{Failure, remedy},
    output::harmless,
};

/// The journal of a running host.
#[derive(Debug, Serialize)]
struct Status {
    #[serde(flatten)]
    journal: JournalView,
    damage: Vec<DamageView>,
}

/// What a journal is worth.
#[derive(Debug, Serialize)]
struct Judgement {
    folder: String,
    /// Whether everything that was written can be read.
    whole: bool,
    /// Whether the last host closed it in good order.
    orderly: bool,
    segments: u64,
    records: u64,
    bytes: u64,
    /// Deliveries that are not settled.
    unsettled: u64,
    dead_letters: u64,
    /// Bytes of an unfinished write at the end; no message was accepted at level `disk` with them.
    torn_bytes: u64,
    subscriptions: Vec<Waiting>,
    /// What is lost, one sentence each.
    damage: Vec<String>,
}

/// A subscription and what waits for it.
#[derive(Debug, Serialize)]
struct Waiting {
    plugin: String,
    pattern: String,
    unsettled: u64,
}

pub(super) fn run(context: &Context, verb: &JournalVerb) -> Result<(), Failure> {
    match verb {
        JournalVerb::Status => super::block_on(status(context)),
        JournalVerb::Verify { folder } => {
            let own = context.home.journal();
            judge(context, folder.as_deref().unwrap_or(&own))
        }
    }
}

async fn status(context: &Context) -> Result<(), Failure> {
    let journal: JournalView = context.client.get("/api/v1/journal").await?;
    let damage: Vec<DamageView> = context.client.get("/api/v1/journal/damage").await?;
    context.output.show(&Status { journal, damage }, told)
}

fn told(status: &Status) -> String {
    let Status { journal, damage } = status;
    let mut text = String::new();
    let why = journal.reason.as_ref().map_or(String::new(), |why| format!(" ({why})"));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "journal      {}: {}{why}", harmless(&journal.folder), journal.state);
    let _ = writeln!(text, "durability   {}", journal.durability);
    for rule in &journal.rules {
        let _ = writeln!(text, "  {:<8} {}", rule.level, harmless(&rule.topics));
    }
    let (segments, bytes, room) = (journal.segments, journal.bytes, journal.room_bytes);
    let _ = writeln!(text, "size         {bytes} bytes in {segments} files, room for {room}");
    let _ = writeln!(text, "records      {} written, {} on disk", journal.written, journal.synced);
    let _ = writeln!(text, "unsettled    {}", journal.unsettled);
    let _ = writeln!(text, "dedup keys   {} (bound: {})", journal.dedup.keys, journal.dedup.bound);
    let found = &journal.recovery;
    let end = if found.orderly { "orderly" } else { "not orderly" };
    let _ = writeln!(
        text,
        "at start     the end before was {end}; {} records read in {} ms, {} unsettled, {} begun, \
         {} dead letters, {} bytes cut off",
        found.records,
        found.took_ms,
        found.unsettled,
        found.begun,
        found.dead_letters,
        found.torn_bytes,
    );
    for damage in damage {
        let _ = writeln!(text, "damage       {}", harmless(&damage.detail));
    }
    text
}

fn judge(context: &Context, folder: &Path) -> Result<(), Failure> {
    let shown = folder.display().to_string();
    let storage = DiskStorage::at(folder);
    let cannot = |error: OpenError| {
        let failure =
            Failure::failed(format!("cannot judge the journal `{shown}`")).because(&error);
        match &error {
            OpenError::Permission { .. } => match remedy(ErrorKind::PermissionDenied, folder) {
                Some(remedy) => failure.hint(remedy),
                None => failure,
            },
            _ => failure,
        }
    };
    if !is_there(&storage).map_err(cannot)? {
        let failure = Failure::failed(format!("there is no journal at `{shown}`"));
        let known = context.home.journal_id();
        if folder == context.home.journal() && known.exists() {
            return Err(failure
                .cause(format!("`{}` says that there was one", known.display()))
                .hint("mount its volume, or bring the folder back from a backup"));
        }
        return Err(failure.hint("`patchbay up` makes one; name the folder of another one"));
    }
    let verified = verify(&storage).map_err(cannot)?;
    let judgement = judgement(shown, verified);
    context.output.show(&judgement, text)?;
    match judgement.damage.first() {
        None => Ok(()),
        Some(first) => Err(Failure::failed("the journal is damaged")
            .cause(first.clone())
            .hint("a host that starts with it uses what can be read, and lists what is lost")),
    }
}

fn judgement(folder: String, verified: Verified) -> Judgement {
    let report = verified.report;
    let waiting = verified.subscriptions.into_iter();
    Judgement {
        folder,
        whole: report.damage.is_empty(),
        orderly: report.orderly,
        segments: report.segments,
        records: report.records,
        bytes: report.bytes,
        unsettled: report.live,
        dead_letters: verified.letters,
        torn_bytes: report.torn_bytes,
        subscriptions: waiting
            .map(|(_, plugin, pattern, unsettled)| Waiting { plugin, pattern, unsettled })
            .collect(),
        damage: report.damage.iter().map(ToString::to_string).collect(),
    }
}

fn text(of: &Judgement) -> String {
    let mut text = String::new();
    let word = if of.whole { "whole" } else { "DAMAGED" };
    let end = if of.orderly { "closed in good order" } else { "not closed in good order" };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "journal      {}: {word}, {end}", harmless(&of.folder));
    let (records, segments, bytes) = (of.records, of.segments, of.bytes);
    let _ = writeln!(text, "records      {records} in {segments} files, {bytes} bytes");
    let _ = writeln!(text, "unsettled    {}, dead letters {}", of.unsettled, of.dead_letters);
    for waiting in &of.subscriptions {
        let (plugin, pattern) = (harmless(&waiting.plugin), harmless(&waiting.pattern));
        let _ = writeln!(text, "  {} of {plugin} for {pattern}", waiting.unsettled);
    }
    if of.torn_bytes > 0 {
        let _ = writeln!(text, "end          {} bytes of an unfinished write", of.torn_bytes);
    }
    for damage in &of.damage {
        let _ = writeln!(text, "damage       {}", harmless(damage));
    }
    text
}
