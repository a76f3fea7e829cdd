//! Single messages and dead letters, from outside.

use patchbay_bus::UnreadableLetter;

use super::HostHandle;
use crate::{
    error::LetterError,
    explain,
    letters::LetterFilter,
    operations::{self, LetterJob},
    show,
    view::{DeadLetterView, MessageLife, OperationPlan, OperationView, UnreadableView},
};

/// Most dead letters shown at once.
const SHOWN_MAX: usize = 10_000;

// === impl HostHandle ===

impl HostHandle {
    /// Dead letters that a filter selects, oldest first, at most 10,000. An empty one selects all.
    ///
    /// # Errors
    /// [`LetterError::Invalid`].
    pub fn dead_letters_where(
        &self,
        filter: &LetterFilter,
    ) -> Result<Vec<DeadLetterView>, LetterError> {
        let selector = filter.selector()?;
        let letters = operations::matching(self.context(), &selector).into_iter().take(SHOWN_MAX);
        Ok(letters.map(|letter| show::dead_letter(self.context(), &letter)).collect())
    }

    /// Why the dead letter of that number cannot be shown or sent back, if an earlier host had it and
    /// damage has taken its message.
    #[must_use]
    pub fn unreadable_letter(&self, number: u64) -> Option<String> {
        let letter = self.context().broker.dead_letters().unreadable_one(number)?;
        let UnreadableLetter { owner, why, .. } = letter;
        Some(format!("the message of dead letter {number} of `{owner}` cannot be read: {why}"))
    }

    /// Dead letters of earlier hosts whose message is lost to damage, oldest first: they can be purged,
    /// and nothing else.
    #[must_use]
    pub fn unreadable_letters(&self) -> Vec<UnreadableView> {
        let letters = self.context().broker.dead_letters().unreadable().into_iter();
        letters
            .map(|it| UnreadableView {
                number: it.number,
                plugin: it.owner.to_string(),
                why: it.why,
            })
            .collect()
    }

    /// What became of a message, as far as the host knows; `None` when it knows nothing of it.
    #[must_use]
    pub fn explain(&self, mid: u128) -> Option<MessageLife> {
        explain::explain(self.context(), mid)
    }

    /// Begins to redrive or purge dead letters, at once or at a rate; the answer shows how far it
    /// came, and is asked for again by [`operation`](HostHandle::operation).
    ///
    /// # Errors
    /// [`LetterError`]; nothing was done.
    pub fn begin_letters(&self, job: LetterJob) -> Result<OperationView, LetterError> {
        self.shared.operations.begin(&self.shared.context, job)
    }

    /// What [`begin_letters`](HostHandle::begin_letters) would do now.
    ///
    /// # Errors
    /// [`LetterError::Invalid`].
    pub fn plan_letters(&self, job: &LetterJob) -> Result<OperationPlan, LetterError> {
        operations::plan(self.context(), job)
    }

    /// Operations that run, and those that ended lately; newest first.
    #[must_use]
    pub fn operations(&self) -> Vec<OperationView> {
        self.shared.operations.all()
    }

    /// How far an operation came.
    ///
    /// # Errors
    /// [`LetterError::UnknownOperation`].
    pub fn operation(&self, id: &str) -> Result<OperationView, LetterError> {
        self.shared.operations.find(id)
    }

    /// Ends an operation before its next letters. What was done stays done; one that is over stays
    /// as it is.
    ///
    /// # Errors
    /// [`LetterError::UnknownOperation`].
    pub fn cancel_operation(&self, id: &str) -> Result<OperationView, LetterError> {
        self.shared.operations.cancel(id)
    }
}
