//! A plugin's settings.
//!
//! Paths are dotted, places in lists are numbers: `retry.limit`, `hosts.0.port`. Values are JSON; without the feature `json` the simple ones are
//! read by hand. What is absent: writing. Settings belong to whoever runs the host.

use std::{fmt, sync::Arc};

use crate::{
    error::{ErrorClass, PluginError},
    host::Link,
};

/// A plugin's settings: the manifest's defaults with the operator's changes on top.
#[derive(Clone, Debug)]
pub struct Config {
    link: Arc<Link>,
    initial: Arc<str>,
}

/// Why a setting cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such setting.
    Missing {
        /// Its path.
        path: String,
    },
    /// It is not of the kind asked for.
    Invalid {
        /// Its path, down to the part that is wrong.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

// === impl Config ===

impl Config {
    pub(crate) fn new(link: Arc<Link>, initial: &str) -> Self {
        Config { link, initial: Arc::from(initial) }
    }

    /// The value at a path as JSON text, now; `None` when there is none.
    #[must_use]
    pub fn raw(&self, path: &str) -> Option<String> {
        String::from_utf8(self.link.host.config(path)?).ok()
    }

    /// All settings as one JSON object, as they were when the plugin was made.
    #[must_use]
    pub fn all(&self) -> &str {
        &self.initial
    }

    /// A text.
    ///
    /// # Errors
    /// [`ConfigError`] when it is missing or no text.
    pub fn text(&self, path: &str) -> Result<String, ConfigError> {
        let raw = self.required(path)?;
        unquote(&raw).ok_or_else(|| invalid(path, &raw, "a text"))
    }

    /// A whole number.
    ///
    /// # Errors
    /// [`ConfigError`] when it is missing or no whole number.
    pub fn integer(&self, path: &str) -> Result<i64, ConfigError> {
        let raw = self.required(path)?;
        raw.parse().map_err(|_| invalid(path, &raw, "a whole number"))
    }

    /// A number.
    ///
    /// # Errors
    /// [`ConfigError`] when it is missing or no number.
    pub fn number(&self, path: &str) -> Result<f64, ConfigError> {
        let raw = self.required(path)?;
        raw.parse().map_err(|_| invalid(path, &raw, "a number"))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`ConfigError`] when it is missing or neither.
    pub fn flag(&self, path: &str) -> Result<bool, ConfigError> {
        let raw = self.required(path)?;
        raw.parse().map_err(|_| invalid(path, &raw, "true or false"))
    }

    /// The value at a path. An `Option` accepts that there is none.
    ///
    /// # Errors
    /// [`ConfigError`] when it is missing or does not fit; names the part that does not.
    #[cfg(feature = "json")]
    pub fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ConfigError> {
        match self.raw(path) {
            Some(raw) => crate::json::parse(raw.as_bytes()).map_err(|error| ConfigError::Invalid {
                path: join(path, &error.path),
                reason: error.reason,
            }),
            None => serde_json::from_str("null")
                .map_err(|_| ConfigError::Missing { path: path.to_owned() }),
        }
    }

    /// All settings together, as they were when the plugin was made.
    ///
    /// # Errors
    /// [`ConfigError`] when they do not fit; names the part that does not.
    #[cfg(feature = "json")]
    pub fn load<T: serde::de::DeserializeOwned>(&self) -> Result<T, ConfigError> {
        crate::json::parse(self.initial.as_bytes())
            .map_err(|error| ConfigError::Invalid { path: error.path, reason: error.reason })
    }

    fn required(&self, path: &str) -> Result<String, ConfigError> {
        self.raw(path).ok_or_else(|| ConfigError::Missing { path: path.to_owned() })
    }
}

#[cfg(feature = "json")]
fn join(path: &str, inner: &str) -> String {
    match inner {
        "" | "." => path.to_owned(),
        inner if inner.starts_with('[') => format!("{path}{inner}"),
        inner => format!("{path}.{inner}"),
    }
}

fn invalid(path: &str, raw: &str, wanted: &str) -> ConfigError {
    ConfigError::Invalid { path: path.to_owned(), reason: format!("{raw} is not {wanted}") }
}

/// The text of a JSON string.
fn unquote(json: &str) -> Option<String> {
    let mut rest = json.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut text = String::new();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        text.push(match rest.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => escaped(&mut rest)?,
            other => other,
        });
    }
    Some(text)
}

/// A `\u` escape, of which the characters outside the basic plane need two.
fn escaped(rest: &mut std::str::Chars<'_>) -> Option<char> {
    let high = unit(rest)?;
    let mut units = vec![high];
    if (0xd800..0xdc00).contains(&high) {
        rest.as_str().strip_prefix("\\u")?;
        rest.nth(1);
        units.push(unit(rest)?);
    }
    char::decode_utf16(units).next()?.ok()
}

fn unit(rest: &mut std::str::Chars<'_>) -> Option<u16> {
    let digits = rest.as_str().get(..4)?;
    let unit = u16::from_str_radix(digits, 16).ok()?;
    rest.nth(3);
    Some(unit)
}

// === impl ConfigError ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Missing { path } => write!(f, "setting `{path}` is missing"),
            ConfigError::Invalid { path, reason } => {
                write!(f, "setting `{path}` does not fit: {reason}")
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for PluginError {
    fn from(error: ConfigError) -> Self {
        PluginError::from_error(ErrorClass::Permanent, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::unquote;

    #[test]
    fn a_json_string_is_read_with_its_escapes() {
        assert_eq!(unquote(r#""a\n\"b\u00e9\ud83d\ude00/""#).as_deref(), Some("a\n\"bé😀/"));
        assert_eq!(unquote("12"), None);
        assert_eq!(unquote(r#""\ud83d""#), None);
    }
}
