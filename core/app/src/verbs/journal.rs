//! `patchbay journal`.

use std::{fmt::Write as _, path::Path};

use patchbay_journal::{DiskStorage, Verified, verify};
use serde::Serialize;

use crate::{args::JournalVerb, context::Context, failure::Failure, output::harmless};

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
        JournalVerb::Verify { folder } => {
            let own = context.home.journal();
            judge(context, folder.as_deref().unwrap_or(&own))
        }
    }
}

fn judge(context: &Context, folder: &Path) -> Result<(), Failure> {
    let shown = folder.display().to_string();
    if !folder.is_dir() {
        return Err(Failure::failed(format!("there is no journal at `{shown}`"))
            .hint("`patchbay up` makes one; name the folder of another one"));
    }
    let verified = verify(&DiskStorage::at(folder)).map_err(|error| {
        Failure::failed(format!("cannot judge the journal `{shown}`")).because(&error)
    })?;
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
