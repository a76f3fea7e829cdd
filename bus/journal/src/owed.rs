//! What has happened already and found no room: kept in memory, in order, and appended as soon as
//! there is some.
//!
//! While anything is owed nothing else is appended, so the order of the records stays the order of
//! what they tell, and nothing new begins: what may be owed is bounded by what is under way. A crash
//! forgets what is owed, as it forgets everything that was not written: what has ended is handed out
//! once more (P-4). Beyond [`owed_bytes`](crate::JournalConfig::owed_bytes) a record is refused:
//! what it tells is lost for this life of the host, and whoever tells it stops.

use std::{collections::VecDeque, sync::atomic::Ordering::Release};

use crate::{
    commit::lock,
    error::AppendError,
    head::Head,
    journal::{Journal, Shared},
    record::{Kind, Record},
};

/// Records without a place.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    records: VecDeque<(Kind, Vec<u8>)>,
    bytes: usize,
}

/// What a record takes beside its body.
const ENTRY: usize = 64;

// === impl Owed ===

impl Owed {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, record: &Record<'_>, most: usize) -> Result<(), AppendError> {
        let mut body = Vec::new();
        record.encode(0, &mut body);
        let bytes = self.bytes.saturating_add(ENTRY + body.len());
        if bytes > most {
            return Err(AppendError::OwesTooMuch { bytes, most });
        }
        self.bytes = bytes;
        self.records.push_back((record.kind(), body));
        Ok(())
    }
}

// === impl Journal ===

impl Journal {
    /// Begins this life in the journal without waiting for its first record: what an earlier one left
    /// begun is told from what this one begins. Without room, the first record does it.
    pub fn begin_life(&self) {
        let shared = &self.shared;
        let mut head = lock(&shared.head);
        if head.started || head.closed || shared.failed.get().is_some() {
            return;
        }
        if let Ok(position) = shared.begin(&mut head) {
            shared.follow(head, position);
        }
    }

    /// Appends a record of something that has happened already. Without room for it, it is owed: kept
    /// in memory and appended, before anything else, as soon as there is room. It never waits.
    ///
    /// # Errors
    /// Never [`AppendError::StorageFull`]. Then nothing of it will ever be there.
    pub fn record(&self, record: &Record<'_>) -> Result<(), AppendError> {
        let shared = &self.shared;
        let mut head = lock(&shared.head);
        match shared.append_in_turn(&mut head, record) {
            Ok(position) => {
                shared.follow(head, position);
                Ok(())
            }
            Err(AppendError::StorageFull { .. }) => {
                head.hungry = true;
                let kept = head.owed.push(record, shared.config.owed_bytes);
                drop(head);
                shared.keeper.ring_folder();
                kept
            }
            Err(error) => Err(error),
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Appends what is owed, as far as there is room. Whether nothing is owed any more.
    #[cold]
    pub(crate) fn pay(&self, head: &mut Head) -> bool {
        while let Some((kind, body)) = head.owed.records.pop_front() {
            let appended = match Record::decode(kind, &body) {
                Ok(record) => self.try_append(head, &record),
                // It was encoded here: there is no such record.
                Err(_) => continue,
            };
            match appended {
                Ok(position) => {
                    head.owed.bytes -= ENTRY + body.len();
                    self.appended.store(position.number, Release);
                }
                Err(_) => {
                    head.owed.records.push_front((kind, body));
                    return false;
                }
            }
        }
        true
    }

    /// The same for whoever holds no lock. Whether nothing is owed any more.
    pub(crate) fn pay_now(&self) -> bool {
        let mut head = lock(&self.head);
        if head.owed.is_empty() {
            return true;
        }
        let paid = self.pay(&mut head);
        let idle = std::mem::take(&mut head.idle);
        drop(head);
        if idle {
            self.keeper.ring();
        }
        paid
    }
}
