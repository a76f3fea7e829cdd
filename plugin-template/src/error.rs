//! What went wrong, and whether trying again may help.

use std::{borrow::Cow, error::Error, fmt};

/// What the host may conclude from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// May pass if tried again: the message comes back after a backoff.
    Transient,
    /// Will not pass, whatever the message: counted as a failure of the plugin.
    Permanent,
    /// The message itself is at fault; another message may pass.
    InvalidData,
}

/// The error of a plugin: a class and a text.
///
/// `?` makes one of [`std::io::Error`] and [`PublishError`](crate::PublishError) (transient where a
/// later try may help), of the errors of [`Config`](crate::Config) (permanent), and of what a
/// payload does not parse as (invalid data). Your own error type needs one `impl From`, which
/// decides the class.
///
/// ```
/// use patchbay_plugin::{ErrorClass, PluginError};
///
/// let error = PluginError::transient("the store does not answer");
/// assert_eq!(error.class(), ErrorClass::Transient);
/// assert_eq!(error.to_string(), "the store does not answer");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PluginError {
    /// See [`ErrorClass::Transient`].
    Transient(String),
    /// See [`ErrorClass::Permanent`]. The customary name of an error in processing.
    ProcessingError(String),
    /// See [`ErrorClass::InvalidData`].
    InvalidData(String),
}

// === impl PluginError ===

impl PluginError {
    /// An error that may pass if tried again.
    #[must_use]
    pub fn transient(text: impl Into<String>) -> Self {
        PluginError::Transient(text.into())
    }

    /// An error that will not pass.
    #[must_use]
    pub fn permanent(text: impl Into<String>) -> Self {
        PluginError::ProcessingError(text.into())
    }

    /// An error of the message itself.
    #[must_use]
    pub fn invalid_data(text: impl Into<String>) -> Self {
        PluginError::InvalidData(text.into())
    }

    /// Describes an error and its chain of sources: `cannot store: disk: full`.
    #[must_use]
    pub fn from_error(class: ErrorClass, error: &dyn Error) -> Self {
        PluginError::new(class, chain(error))
    }

    /// An error of that class.
    #[must_use]
    pub fn new(class: ErrorClass, text: impl Into<String>) -> Self {
        match class {
            ErrorClass::Transient => PluginError::Transient(text.into()),
            ErrorClass::Permanent => PluginError::ProcessingError(text.into()),
            ErrorClass::InvalidData => PluginError::InvalidData(text.into()),
        }
    }

    /// The class.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            PluginError::Transient(_) => ErrorClass::Transient,
            PluginError::ProcessingError(_) => ErrorClass::Permanent,
            PluginError::InvalidData(_) => ErrorClass::InvalidData,
        }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            PluginError::Transient(text)
            | PluginError::ProcessingError(text)
            | PluginError::InvalidData(text) => text,
        }
    }

    /// The same class, with what was being done put in front: `context: text`.
    #[must_use]
    pub fn context(self, doing: impl Into<Cow<'static, str>>) -> Self {
        let text = format!("{}: {}", doing.into(), self.text());
        PluginError::new(self.class(), text)
    }

    /// Class number and text, as they cross the boundary.
    pub(crate) fn into_parts(self) -> (u32, String) {
        match self {
            PluginError::Transient(text) => (patchbay_abi::outcome::class::TRANSIENT, text),
            PluginError::ProcessingError(text) => (patchbay_abi::outcome::class::PERMANENT, text),
            PluginError::InvalidData(text) => (patchbay_abi::outcome::class::INVALID_DATA, text),
        }
    }
}

/// An error and its sources, separated by colons.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Error for PluginError {}

impl From<std::io::Error> for PluginError {
    fn from(error: std::io::Error) -> Self {
        PluginError::from_error(ErrorClass::Transient, &error)
    }
}

impl From<std::str::Utf8Error> for PluginError {
    fn from(error: std::str::Utf8Error) -> Self {
        PluginError::from_error(ErrorClass::InvalidData, &error)
    }
}

impl From<std::num::ParseIntError> for PluginError {
    fn from(error: std::num::ParseIntError) -> Self {
        PluginError::from_error(ErrorClass::InvalidData, &error)
    }
}

impl From<std::num::ParseFloatError> for PluginError {
    fn from(error: std::num::ParseFloatError) -> Self {
        PluginError::from_error(ErrorClass::InvalidData, &error)
    }
}

#[cfg(feature = "tokio")]
impl From<tokio::time::error::Elapsed> for PluginError {
    fn from(error: tokio::time::error::Elapsed) -> Self {
        PluginError::from_error(ErrorClass::Transient, &error)
    }
}

#[cfg(feature = "json")]
impl From<serde_json::Error> for PluginError {
    fn from(error: serde_json::Error) -> Self {
        PluginError::from_error(ErrorClass::InvalidData, &error)
    }
}
