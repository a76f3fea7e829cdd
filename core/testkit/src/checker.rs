//! The independent checker: what publishers and plugins wrote down outside the product, judged
//! against the promises P-1, P-12, P-13, P-14, P-16 and P-24.
//!
//! A test lets its publishers and plugins write [`Record`]s (values, or one JSON line each: see
//! [`Records::read_lines`]), adds what it did itself (crashes, cutovers, redrives, as [`Cause`]s)
//! and the ledger that the host showed, and says in [`Expectations`] which subscriptions there were.
//! [`check`] decides: lost, phantom, duplicate without a cause, order broken, counter reset, ledger
//! wrong, hand-off to a version after its cutover.
//!
//! A message is known by its [`Tag`], which its publisher chose and put into the payload, never by
//! what the host said of it: the host's own names for things are what is under test.
//!
//! | question | file |
//! |---|---|
//! | what can be written down | `record` |
//! | what is right here | `expectation` |
//! | everything by message and delivery | `casebook` |
//! | calls that were written down after they were taken away | `late` |
//! | lost, phantom, doubled | `presence` |
//! | duplicates without a cause, falling counters | `repetition` |
//! | order of a key | `order` |
//! | sums and terms | `balance` |
//! | versions after their cutover | `cutover` |
//!
//! **Absent on purpose.** Anything of the product, its topic matcher included; clocks; guesses. What
//! the records leave open is decided in favour of the product, and counted in [`Summary`].

mod balance;
mod casebook;
mod cutover;
mod expectation;
mod finding;
mod late;
mod order;
mod presence;
mod read;
mod record;
mod repetition;
mod topic;

pub use casebook::Casebook;
pub use expectation::{Expectations, Listener, Ordering};
pub use finding::{Finding, Kind, Summary, Verdict};
pub use read::ReadError;
pub use record::{
    Answer, Began, Cause, Dead, Ended, Event, LedgerTerms, Level, Published, Record, Records,
    Status, Tag, now,
};

/// Judges what was written down. Pure: the same records give the same verdict.
#[must_use]
pub fn check(records: &Records, expectations: &Expectations) -> Verdict {
    let mut casebook = Casebook::new(expectations.clone());
    for record in &records.0 {
        casebook.add(record);
    }
    casebook.close()
}
