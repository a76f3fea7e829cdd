//! What a seat publishes on behalf of its handler: forwards.
//!
//! A target without room is given a moment before the forward becomes a retry: its lanes are at work
//! as a rule, and a retry costs a backoff and another call. Where a moment was in vain, none is
//! granted for a while, so that a target that stands still holds up nobody (P-20).

use std::time::Instant;

use patchbay_slab::Message;

use crate::{
    publisher::{Patience, PublishError, Publisher, Refused},
    subscription::Subscription,
};

/// After a wait in vain, so many times as long nobody is waited for.
const IMPATIENCE: u32 = 200;

/// A seat's publisher.
#[derive(Debug, Default)]
pub(super) struct Courier {
    /// Made at the first forward.
    publisher: Option<Box<Publisher>>,
    /// Until then nobody is waited for.
    impatient_until: Option<Instant>,
}

// === impl Courier ===

impl Courier {
    /// The publisher of a seat of `home`; none when the bus is gone.
    pub(super) fn publisher(
        &mut self,
        home: &Subscription,
    ) -> Result<&mut Publisher, PublishError> {
        let publisher = match self.publisher.take() {
            Some(publisher) => publisher,
            None => {
                let broker = home.broker().ok_or(PublishError::Closed)?;
                Box::new(broker.publisher(&home.spec().owner))
            }
        };
        Ok(self.publisher.insert(publisher))
    }

    /// Publishes `message` under another topic. Nothing of it is recorded but, perhaps, its own
    /// publish.
    pub(super) fn forward(
        &mut self,
        home: &Subscription,
        topic: &str,
        message: &Message,
        cause: &Message,
    ) -> Result<(), PublishError> {
        let publisher = self.publisher(home)?;
        let message = publisher.forwarding(topic, message, cause)?;
        match publisher.forward_made(message, cause, Patience::None) {
            Ok(_) => Ok(()),
            Err(refused) if matches!(refused.error, PublishError::Full { .. }) => {
                self.wait(refused, cause)
            }
            Err(refused) => Err(refused.error),
        }
    }

    #[cold]
    fn wait(&mut self, refused: Refused, cause: &Message) -> Result<(), PublishError> {
        let Some(publisher) = &mut self.publisher else { return Err(refused.error) };
        let patience = publisher.forward_patience();
        let now = Instant::now();
        if patience.is_zero() || self.impatient_until.is_some_and(|until| now < until) {
            return Err(refused.error);
        }
        let waited = publisher.forward_made(refused.message, cause, Patience::Brief(patience));
        let in_vain = matches!(&waited, Err(Refused { error: PublishError::Full { .. }, .. }));
        self.impatient_until = in_vain.then(|| Instant::now() + patience * IMPATIENCE);
        waited.map(drop).map_err(|refused| refused.error)
    }
}
