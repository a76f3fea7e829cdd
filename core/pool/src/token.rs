//! Names of deliveries that a lane has been handed.

use std::fmt;

/// Names one hand-out of one delivery towards the lane that was given it.
///
/// A message is not a delivery: the same message may come back to the same lane while the call of
/// its revoked attempt still runs, and the two have different tokens. Never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(u64);

/// Deliveries that were handed out together, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub(crate) first: Token,
    pub(crate) len: u16,
}

// === impl Token ===

impl Token {
    /// `place`: of the subscription on the lane. `window`: number of the batch there, never 0.
    /// `index`: place in it. In this order, so that sorting groups windows.
    pub(crate) fn new(place: u16, window: u32, index: u16) -> Token {
        debug_assert_ne!(window, 0, "windows are counted from 1");
        Token(u64::from(place) << 48 | u64::from(window) << 16 | u64::from(index))
    }

    pub(crate) fn place(self) -> usize {
        (self.0 >> 48) as usize
    }

    pub(crate) fn window(self) -> u32 {
        (self.0 >> 16) as u32
    }

    pub(crate) fn index(self) -> usize {
        (self.0 & 0xFFFF) as usize
    }

    /// What two tokens of one window share.
    pub(crate) fn group(self) -> u64 {
        self.0 >> 16
    }

    /// The number that crosses into a library.
    pub fn to_raw(self) -> u64 {
        self.0
    }

    /// What came back from a library. It may be anything: every use of a token checks it.
    pub fn from_raw(raw: u64) -> Token {
        Token(raw)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}:{}:{})", self.place(), self.window(), self.index())
    }
}

// === impl Batch ===

impl Batch {
    /// How many deliveries there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Their tokens, in the order in which they are to be begun.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = Token> + use<> {
        let first = self.first.0;
        (0..self.len).map(move |offset| Token(first + u64::from(offset)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_keeps_its_three_parts() {
        let token = Token::new(7, u32::MAX, 1023);
        assert_eq!((token.place(), token.window(), token.index()), (7, u32::MAX, 1023));
        assert_eq!(Token::from_raw(token.to_raw()), token);
        assert_eq!(format!("{token:?}"), "Token(7:4294967295:1023)");
    }

    #[test]
    fn a_batch_counts_on_from_its_first_token() {
        let batch = Batch { first: Token::new(1, 2, 60), len: 3 };
        let indices: Vec<usize> = batch.tokens().map(Token::index).collect();
        assert_eq!((batch.len(), indices), (3, vec![60, 61, 62]));
    }
}
