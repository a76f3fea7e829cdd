//! Every dead letter is told of: as a message on `$PB.dead.<plugin>`, with what is known of the death
//! in its headers, so that a plugin can take care of what died elsewhere (P-21).
//!
//! What dies while it is handled from there is `terminal`: nobody is told of it, so that nothing goes
//! round for ever. Whoever sends back what it hears of is stopped by the limit of hops: a message at
//! that limit is not told of either.

use std::sync::Arc;

use patchbay_bus::{DeadCause, Wake};
use tokio::sync::Notify;

use crate::context::Context;

/// Letters that are looked at together.
const GROUP: usize = 64;

/// Lanes ring it, so it must not wait.
#[derive(Debug, Default)]
struct Bell(Notify);

impl Wake for Bell {
    fn wake(&self) {
        self.0.notify_one();
    }
}

/// Tells of every letter that this host makes. Ends with the host.
pub(crate) async fn watch(context: Arc<Context>) {
    let bell = Arc::new(Bell::default());
    let letters = context.broker.dead_letters();
    letters.watch(bell.clone());
    let mut last = letters.inherited();
    let mut closing = context.closing();
    loop {
        loop {
            let some = letters.after(last, GROUP);
            let Some(newest) = some.last() else { break };
            last = newest.number;
            for letter in some.iter().filter(|letter| letter.cause != DeadCause::Terminal) {
                context.events.dead(letter);
            }
        }
        tokio::select! {
            () = bell.0.notified() => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
    }
}
