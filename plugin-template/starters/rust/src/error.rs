//! What can go wrong, and whether trying again may help.

use patchbay_plugin::{ErrorClass, PluginError};

#[derive(Debug, thiserror::Error)]
pub enum MyPluginError {
    #[error("the text has no words")]
    Empty,
    #[error("the text has {words} words, {limit} are allowed")]
    TooLong { words: usize, limit: usize },
}

impl From<MyPluginError> for PluginError {
    fn from(error: MyPluginError) -> Self {
        // The host tries transient errors again after a while. These two would not get better.
        PluginError::from_error(ErrorClass::InvalidData, &error)
    }
}
