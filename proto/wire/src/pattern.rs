//! Topic patterns: what a subscription is interested in.
//!
//! `*` stands for exactly one token, `>` for one or more tokens at the end. In the first place
//! neither matches a system topic (`$…`): a plugin that listens to everything does not hear the
//! host talk about that plugin, unless it says `$PB.>`.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::topic::{Topic, TopicError, Wildcards, check};

/// A topic that may contain `*` and end in `>`. Only [`TopicPattern::parse`] makes one. Cheap to
/// clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPattern(Arc<str>);

// === impl TopicPattern ===

impl TopicPattern {
    /// Makes a pattern of a text; every topic is a pattern too.
    ///
    /// # Errors
    /// [`TopicError`] with a hint for the wildcards of other systems (`#`, `+`, `**`).
    pub fn parse(text: &str) -> Result<TopicPattern, TopicError> {
        check(text, Wildcards::Allowed)?;
        Ok(TopicPattern(text.into()))
    }

    /// The text of the pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tokens, in order; wildcards are tokens.
    pub fn tokens(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether there is no wildcard, so that exactly one topic matches.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.0.contains(['*', '>'])
    }

    /// Whether the last token is `>`.
    #[must_use]
    pub fn has_tail(&self) -> bool {
        self.0.ends_with('>')
    }

    /// Whether a topic matches. Takes a [`Topic`], so that nobody matches an unchecked text.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        if topic.is_system() && self.0.starts_with(['*', '>']) {
            return false;
        }
        let mut tokens = topic.tokens();
        for wanted in self.tokens() {
            match (wanted, tokens.next()) {
                (">", found) => return found.is_some(),
                ("*", Some(_)) => {}
                (literal, Some(token)) if literal == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    /// Whether every topic that `other` matches is matched by `self` too. Used for permissions.
    #[must_use]
    pub fn covers(&self, other: &TopicPattern) -> bool {
        if other.0.starts_with('$') && self.0.starts_with(['*', '>']) {
            return false;
        }
        let mut theirs = other.tokens();
        for ours in self.tokens() {
            match (ours, theirs.next()) {
                (">", found) => return found.is_some(),
                ("*", Some(">")) | (_, None) => return false,
                ("*", Some(_)) => {}
                (literal, Some(token)) if literal == token => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }
}

impl FromStr for TopicPattern {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<TopicPattern, TopicError> {
        TopicPattern::parse(text)
    }
}

impl From<Topic> for TopicPattern {
    fn from(topic: Topic) -> TopicPattern {
        TopicPattern(topic.into())
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for TopicPattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for TopicPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TopicPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TopicPattern, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        TopicPattern::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        let pattern = TopicPattern::parse(pattern).expect(pattern);
        pattern.matches(&Topic::parse(topic).expect(topic))
    }

    #[test]
    fn a_star_is_one_token_and_a_tail_is_one_or_more() {
        let table = [
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
            ("a.b", "a", false),
            ("a", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a", false),
            ("a.>", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.*.>", "a.b", false),
            ("a.*.>", "a.b.c", true),
            (">", "a", true),
            ("*", "a", true),
            ("a.b", "A.b", false),
        ];
        for (pattern, topic, expected) in table {
            assert_eq!(matches(pattern, topic), expected, "{pattern} on {topic}");
        }
    }

    #[test]
    fn a_wildcard_in_the_first_place_does_not_hear_the_system() {
        assert!(!matches(">", "$PB.plugin.echo.started"));
        assert!(!matches("*.plugin.>", "$PB.plugin.echo.started"));
        assert!(matches("$PB.>", "$PB.plugin.echo.started"));
        assert!(matches("$PB.plugin.*.started", "$PB.plugin.echo.started"));
    }

    #[test]
    fn wildcards_of_other_systems_get_a_hint() {
        let table = [
            ("a.#", "use `>` as the last token"),
            ("a.+.b", "use `*` to match one token"),
            ("a.**", "use `>` as the last token"),
            ("a.b*", "a wildcard must be a whole token"),
            ("a.>b", "a wildcard must be a whole token"),
            (">.a", "`>` is token 1 but must be the last"),
            ("a..>", "token 2 is empty"),
        ];
        for (text, expected) in table {
            let error = TopicPattern::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn covering_is_about_sets_of_topics() {
        let table = [
            (">", "a.>", true),
            (">", "$PB.>", false),
            ("a.>", "a.*", true),
            ("a.>", "a", false),
            ("a.*", "a.>", false),
            ("a.*", "a.*", true),
            ("a.*", "a.b", true),
            ("a.b", "a.*", false),
            ("a.*.c", "a.b.c", true),
            ("a.>", "a.>", true),
            ("*.>", ">", false),
            ("a.*.>", "a.>", false),
        ];
        for (ours, theirs, expected) in table {
            let (a, b) = (TopicPattern::parse(ours).unwrap(), TopicPattern::parse(theirs).unwrap());
            assert_eq!(a.covers(&b), expected, "{ours} covers {theirs}");
        }
    }
}
