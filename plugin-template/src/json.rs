//! Typed payloads.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::{
    error::{ErrorClass, PluginError},
    message::Message,
};

/// A JSON value that does not fit what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Where, as in `orders[2].price`; `.` for the whole.
    pub path: String,
    /// What is wrong there.
    pub reason: String,
}

// === impl Message ===

impl Message {
    /// The payload as a JSON value of type `T`, which may borrow from the payload.
    ///
    /// # Errors
    /// [`JsonError`], which names the field that does not fit. `?` makes a
    /// [`PluginError::InvalidData`] of it.
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, JsonError> {
        read(self.payload())
    }
}

pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, JsonError> {
    read(json)
}

fn read<'a, T: serde::Deserialize<'a>>(json: &'a [u8]) -> Result<T, JsonError> {
    let mut source = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut source).map_err(|error| JsonError {
        path: error.path().to_string(),
        reason: error.into_inner().to_string(),
    })?;
    source.end().map_err(|error| JsonError { path: ".".to_owned(), reason: error.to_string() })?;
    Ok(value)
}

// === impl JsonError ===

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "." => write!(f, "not the JSON that was expected: {}", self.reason),
            path => write!(f, "not the JSON that was expected, at `{path}`: {}", self.reason),
        }
    }
}

impl std::error::Error for JsonError {}

impl From<JsonError> for PluginError {
    fn from(error: JsonError) -> Self {
        PluginError::from_error(ErrorClass::InvalidData, &error)
    }
}
