//! The end of a journal in good order.

use crate::{
    commit::lock,
    error::CommitError,
    journal::{Journal, Shared},
    level::Level,
    place::Moment,
    record::Record,
};

// === impl Journal ===

impl Journal {
    /// Ends the journal in good order: all records are on the device, and the last one says so.
    /// Then the folder may be opened by the next owner, whoever still holds this value.
    ///
    /// # Errors
    /// When the journal failed, before or now.
    pub fn close(&self, now: Moment) -> Result<(), CommitError> {
        let closed = self.shared.close(now.unix_ns, self.observed(now.mono_ns));
        self.stop_threads();
        drop(lock(&self.shared.owned).take());
        closed
    }
}

// === impl Shared ===

impl Shared {
    /// Refuses everything from now on, and leaves word that all was in order.
    fn close(&self, at_unix_ns: u64, observed_ns: u64) -> Result<(), CommitError> {
        if !lock(&self.head).owed.is_empty() {
            // It may have waited for the next segment only, and that is made now.
            self.tend_folder();
        }
        let last = {
            let mut head = lock(&self.head);
            if !head.closed && !head.owed.is_empty() {
                // What finds no room now is not remembered: it is handed out once more.
                let _paid = self.pay(&mut head);
            }
            if std::mem::replace(&mut head.closed, true) || !head.started {
                return Ok(());
            }
            head.link.number - 1
        };
        self.wait(last, Level::Disk)?;
        let stop = Record::Stop { at_unix_ns, observed_ns };
        // Flushed before, so that it vouches for all that is before it.
        let position = lock(&self.head).append(&stop, last);
        match position {
            Ok(position) => {
                self.wait(position.number, Level::Disk)?;
                self.mark();
                Ok(())
            }
            // Without room for it the next start takes this for a crash, and finds nothing missing.
            Err(_) => Ok(()),
        }
    }
}
