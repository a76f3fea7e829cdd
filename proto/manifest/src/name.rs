//! Names of plugins.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Most bytes a name may have.
pub const NAME_BYTES_MAX: usize = 64;

/// The name of a plugin: survives its versions, is a token of topics and the name of a link in
/// `enabled/`. 1 to 64 of `A-Z a-z 0-9 _ -`, beginning with a letter or digit. Only
/// [`PluginName::parse`] makes one. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginName(Arc<str>);

/// Why a text is not the name of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {problem}", crate::problem::shown(.input))]
pub struct NameError {
    input: String,
    problem: &'static str,
}

/// What to do about every [`NameError`].
pub(crate) const NAME_REMEDY: &str =
    "write 1 to 64 of A-Z a-z 0-9 `_` and `-`, beginning with a letter or a digit";

// === impl PluginName ===

impl PluginName {
    /// Makes a name of a text.
    ///
    /// # Errors
    /// [`NameError`] when it is empty, too long, or could be mistaken for a path.
    pub fn parse(text: &str) -> Result<PluginName, NameError> {
        let fail = |problem| {
            // Only the beginning of a long text says anything.
            Err(NameError { input: text.chars().take(NAME_BYTES_MAX).collect(), problem })
        };
        if text.is_empty() {
            return fail("is empty");
        }
        if text.contains("..") || text.contains(['/', '\\']) {
            return fail("looks like a path, which a name must not");
        }
        if text.len() > NAME_BYTES_MAX {
            return fail("is too long for a name");
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return fail("does not begin with a letter or a digit");
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
            return fail("contains a character that a name must not");
        }
        Ok(PluginName(text.into()))
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PluginName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<PluginName, NameError> {
        PluginName::parse(text)
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for PluginName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for PluginName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for PluginName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PluginName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PluginName, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        PluginName::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_token_and_a_file_name_and_never_a_path() {
        for text in ["a", "my_plugin", "redis-diagnostics", "9lives", &"n".repeat(64)] {
            assert_eq!(PluginName::parse(text).expect(text).as_str(), text);
        }
        let table = [
            ("", "is empty"),
            ("..", "looks like a path"),
            ("../../etc/passwd", "looks like a path"),
            ("a/b", "looks like a path"),
            ("a\\b", "looks like a path"),
            ("-rf", "does not begin"),
            (".hidden", "does not begin"),
            ("a.b", "contains a character"),
            ("a\0", "contains a character"),
            ("größe", "contains a character"),
        ];
        for (text, expected) in table {
            let error = PluginName::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(PluginName::parse(&"n".repeat(65)).is_err());
    }
}
