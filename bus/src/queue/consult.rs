//! A lane between two visits of the desk: it reads what memory has no room for, and writes down what
//! is about to begin.

use std::mem;

use patchbay_journal::{AppendError, Attempt, Journal, Record, Span, planted::fault};

use super::{
    desk::After,
    refill::Reading,
    seat::{Park, Taken},
    service::{Due, OFFER_AGAIN_NS, Queue, Time},
    window::Hand,
};

/// Whether attempts may begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// They are written down.
    Written,
    /// There is no room for it now.
    NoRoom,
    /// It cannot be written down any more.
    Failed,
}

impl Queue {
    /// Fetches more for everybody, if this lane was sent, and tells the journal what is about to
    /// begin. No lock is held while files are read or written.
    #[cold]
    pub(super) fn consult_journal(
        &self,
        hand: &mut Hand,
        ask: Option<(usize, Park)>,
        time: Time,
        (mut taken, mut due): (Taken, Due),
        mut after: After,
    ) -> (Taken, Due) {
        let Some(journal) = &self.journal else { return (taken, due) };
        while let Some(errand) = after.errand.take() {
            let reading = Reading { journal, spec: &self.spec, sub: self.id as u32, time };
            let fetched = errand.run(&reading);
            let (_, later) = self.visit_desk(&mut after, |desk, inbox, after| {
                desk.receive(inbox, fetched, time.now_ns, after);
            });
            due = due.min(later);
            if matches!(taken, Taken::Empty { .. }) {
                let (again, later) = self.section(hand, ask, time.now_ns, &mut after);
                (taken, due) = (again, due.min(later));
            }
        }
        if hand.is_durable && !self.begin_or_give_back(journal, hand, time) {
            let again = time.now_ns.saturating_add(OFFER_AGAIN_NS);
            return (Taken::Empty { next_due_ns: None }, due.min(again));
        }
        (taken, due)
    }

    /// Nothing begins that is not written down: what cannot be goes back as it was, and no more is
    /// handed out.
    pub(super) fn begin_or_give_back(
        &self,
        journal: &Journal,
        hand: &mut Hand,
        time: Time,
    ) -> bool {
        let written = self.begin_window(journal, hand, time);
        if written == Begin::Written {
            return true;
        }
        self.at_desk(|desk, inbox, after| {
            if let Some(durable) = &mut desk.durable {
                match written {
                    Begin::NoRoom => durable.is_blocked = true,
                    Begin::Written | Begin::Failed => durable.is_halted = true,
                }
            }
            // The journal was not told of it, so there is nothing to take back.
            hand.is_durable = false;
            desk.settle(hand, time.now_ns, after);
            mem::swap(&mut hand.current, &mut hand.previous);
            inbox.report(desk.load(), &mut after.wakes);
        });
        hand.free_previous();
        false
    }

    /// Records the attempts of a window before the first of them begins (P-14).
    fn begin_window(&self, journal: &Journal, hand: &Hand, time: Time) -> Begin {
        let mut attempts: Vec<Attempt> = Vec::new();
        for delivery in hand.current.iter().filter(|delivery| delivery.is_durable()) {
            let (id, attempt) = (delivery.id(), delivery.attempt());
            match attempts.last_mut() {
                Some(last)
                    if last.attempt == attempt && last.span.first + last.span.count == id =>
                {
                    last.span.count += 1;
                }
                _ => attempts.push(Attempt { span: Span { first: id, count: 1 }, attempt }),
            }
        }
        let begun = patchbay_journal::Begun {
            sub: self.id as u32,
            generation: hand.generation,
            seat: hand.serial as u32,
            version: hand.generation,
            at_unix_ns: time.unix_ns,
            attempts: attempts[..].into(),
        };
        if fault("forget-begun") {
            return Begin::Written;
        }
        match journal.append(&Record::Begun(begun)) {
            Ok(at) if journal.write_through(at.number).is_ok() => Begin::Written,
            Err(AppendError::StorageFull { .. }) => Begin::NoRoom,
            Ok(_) | Err(_) => Begin::Failed,
        }
    }
}
