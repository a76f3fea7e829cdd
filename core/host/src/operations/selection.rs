//! Which letters an operation means, at the moment when it is asked for.

use std::sync::Arc;

use patchbay_bus::DeadLetter;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{LetterJob, LetterWork, rate};
use crate::{
    context::Context,
    error::LetterError,
    letters::Selector,
    view::{OperationPlan, PlannedLetter},
};

/// A letter as it was chosen. The number of one that was only in memory is given again by the next
/// host: with the time of its death it names the letter.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) number: u64,
    /// 0 = it was asked for by number, and was not there.
    pub(super) died_unix_ns: u64,
    pub(super) is_durable: bool,
}

/// What an operation would do.
pub(crate) fn plan(context: &Context, job: &LetterJob) -> Result<OperationPlan, LetterError> {
    let selector = job.filter.selector_of_some()?;
    rate(job.rate)?;
    let letters = matching(context, &selector);
    let there = |number: &u64| letters.iter().any(|letter| letter.number == *number);
    let absent = selector.numbers().iter().filter(|number| !there(number)).copied().collect();
    let mut subscriptions = context.broker.subscriptions();
    // One whose plugin is gone takes it as well, and keeps it for whoever comes.
    subscriptions.extend(context.broker.orphans());
    let planned: Vec<PlannedLetter> = letters
        .iter()
        .map(|letter| {
            let own = subscriptions.iter().find(|it| it.id() == letter.subscription);
            let would = match (job.work, own) {
                (LetterWork::Redrive, None) => "refuse",
                (work, _) => work.verb(),
            };
            PlannedLetter {
                number: letter.number,
                mid: Uuid::from_u128(letter.message.id()).to_string(),
                topic: letter.message.topic().to_owned(),
                plugin: letter.owner.to_string(),
                subscription: own.map(|it| it.spec().pattern.to_string()),
                class: letter.cause.label().to_owned(),
                would: would.to_owned(),
            }
        })
        .collect();
    Ok(OperationPlan {
        kind: job.work.verb().to_owned(),
        selected: planned.len() as u64,
        refused: planned.iter().filter(|it| it.would == "refuse").count() as u64,
        absent,
        letters: planned,
    })
}

/// The letters that a selector means, oldest first.
pub(crate) fn matching(context: &Context, selector: &Selector) -> Vec<Arc<DeadLetter>> {
    let all = context.broker.dead_letters().after(0, usize::MAX).into_iter();
    all.filter(|letter| selector.accepts(letter)).take(selector.limit()).collect()
}

/// What an operation goes through. Numbers that were named are among them though there is no such
/// letter: that is told at the end.
pub(super) fn selected(context: &Context, selector: &Selector) -> Vec<Named> {
    let mut letters: Vec<Named> = matching(context, selector)
        .iter()
        .map(|letter| Named {
            number: letter.number,
            died_unix_ns: letter.at_unix_ns,
            is_durable: letter.is_durable,
        })
        .collect();
    let known = context.broker.dead_letters();
    let absent = selector.numbers().iter().filter(|number| known.get(**number).is_none());
    let absent = absent.map(|number| Named { number: *number, died_unix_ns: 0, is_durable: false });
    letters.extend(absent);
    letters.sort_unstable_by_key(|named| named.number);
    letters.dedup_by_key(|named| named.number);
    letters
}
