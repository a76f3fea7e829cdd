//! What comes in, what goes out, and the step between the two.

use serde::{Deserialize, Serialize};

use crate::error::MyPluginError;

/// A text as it arrives. It borrows from the message: nothing is copied.
#[derive(Debug, Deserialize)]
pub struct Text<'a> {
    pub text: std::borrow::Cow<'a, str>,
}

/// A text that was counted.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    pub words: usize,
}

impl Text<'_> {
    pub fn count(self, limit: usize) -> Result<Counted, MyPluginError> {
        match self.text.split_whitespace().count() {
            0 => Err(MyPluginError::Empty),
            words if words > limit => Err(MyPluginError::TooLong { words, limit }),
            words => Ok(Counted { words }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_up_to_the_limit() {
        let count = |text: &str| Text { text: text.into() }.count(2);
        assert_eq!(count(" two  words ").ok(), Some(Counted { words: 2 }));
        assert!(matches!(count("now three words"), Err(MyPluginError::TooLong { words: 3, .. })));
        assert!(matches!(count(" "), Err(MyPluginError::Empty)));
    }
}
