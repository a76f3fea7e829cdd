//! Which letters an operation means, at the moment when it is asked for.

use std::sync::Arc;

use patchbay_bus::{DeadLetter, UnreadableLetter};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{LetterJob, LetterWork, UNREADABLE, rate};
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
    /// 0 = it was asked for by number, and was not there, or its message cannot be read.
    pub(super) died_unix_ns: u64,
    pub(super) is_durable: bool,
}

/// What an operation would do.
pub(crate) fn plan(context: &Context, job: &LetterJob) -> Result<OperationPlan, LetterError> {
    let selector = job.filter.selector_of_some()?;
    rate(job.rate)?;
    let letters = matching(context, &selector);
    let lost = unreadable(context, job.work, &selector);
    let there = |number: &u64| {
        letters.iter().any(|letter| letter.number == *number)
            || lost.iter().any(|letter| letter.number == *number)
    };
    let absent = selector.numbers().iter().filter(|number| !there(number)).copied().collect();
    let mut subscriptions = context.broker.subscriptions();
    // One whose plugin is gone takes it as well, and keeps it for whoever comes.
    subscriptions.extend(context.broker.orphans());
    let mut planned: Vec<PlannedLetter> = letters
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
    planned.extend(lost.into_iter().map(|letter| {
        PlannedLetter {
            number: letter.number,
            mid: String::new(),
            topic: String::new(),
            plugin: letter.owner.to_string(),
            subscription: None,
            class: UNREADABLE.to_owned(),
            would: match job.work {
                LetterWork::Redrive => "refuse",
                LetterWork::Purge => job.work.verb(),
            }
            .to_owned(),
        }
    }));
    planned.sort_by_key(|letter| letter.number);
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

/// The letters without a readable message that an operation means. Nobody asks for those to be sent
/// back unless by their number.
fn unreadable(context: &Context, work: LetterWork, selector: &Selector) -> Vec<UnreadableLetter> {
    let all = context.broker.dead_letters().unreadable().into_iter();
    all.filter(|letter| match work {
        LetterWork::Purge => selector.accepts_unreadable(letter),
        LetterWork::Redrive => selector.numbers().contains(&letter.number),
    })
    .collect()
}

/// What an operation goes through. Numbers that were named are among them though there is no such
/// letter: that is told at the end.
pub(super) fn selected(context: &Context, work: LetterWork, selector: &Selector) -> Vec<Named> {
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
    let lost = unreadable(context, work, selector).into_iter();
    let lost = lost.map(|it| Named { number: it.number, died_unix_ns: 0, is_durable: true });
    letters.extend(lost.take(selector.limit().saturating_sub(letters.len())));
    // Of one that was named and is lost to damage, what is known of it comes first.
    letters.sort_unstable_by_key(|named| (named.number, !named.is_durable));
    letters.dedup_by_key(|named| named.number);
    letters
}
