//! Concrete topics.
//!
//! A topic is 1 to 16 tokens of `A-Z a-z 0-9 _ -` with dots between them, at most 255 bytes, and
//! case-sensitive. The first token may start with `$`: such topics belong to the system, and a
//! wildcard in the first place of a pattern does not match them. Only [`Topic::parse`] makes one,
//! so whoever holds a `Topic` need not check it again.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Most bytes a topic or a pattern may have.
pub const TOPIC_BYTES_MAX: usize = 255;
/// Most tokens a topic or a pattern may have.
pub const TOPIC_TOKENS_MAX: usize = 16;
/// First token of every topic that the host itself publishes to.
pub const RESERVED_TOKEN: &str = "$PB";

/// A concrete topic, without wildcards. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

/// Why a text is not a topic, or not a topic pattern. The text of the error names the offending
/// input, the place in it, and what to write instead. Tokens and bytes are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// There is nothing.
    #[error("a topic must not be empty; write tokens with dots between them, such as `orders.new`")]
    Empty,
    /// More than [`TOPIC_BYTES_MAX`] bytes.
    #[error(
        "topic `{input}` is {bytes} bytes long; {TOPIC_BYTES_MAX} are allowed, so shorten its \
         tokens"
    )]
    TooLong {
        /// The offending text, shortened.
        input: String,
        /// How long it is.
        bytes: usize,
    },
    /// More than [`TOPIC_TOKENS_MAX`] tokens.
    #[error(
        "topic `{input}` has {tokens} tokens; {TOPIC_TOKENS_MAX} are allowed, so move detail into \
         headers"
    )]
    TooManyTokens {
        /// The offending text, shortened.
        input: String,
        /// How many tokens it has.
        tokens: usize,
    },
    /// Two dots in a row, or a dot at an end.
    #[error("topic `{input}`: token {token} is empty; remove the extra dot")]
    EmptyToken {
        /// The offending text, shortened.
        input: String,
        /// Which token.
        token: usize,
    },
    /// A character that no token may contain.
    #[error(
        "topic `{input}`: token {token} contains `{}` at byte {at}; {hint}", found.escape_debug()
    )]
    InvalidCharacter {
        /// The offending text, shortened.
        input: String,
        /// Which token.
        token: usize,
        /// Which byte of the whole text.
        at: usize,
        /// The character.
        found: char,
        /// What to write instead.
        hint: &'static str,
    },
    /// `>` with tokens after it.
    #[error(
        "topic pattern `{input}`: `>` is token {token} but must be the last; use `*` for one token \
         in the middle"
    )]
    TailNotLast {
        /// The offending text, shortened.
        input: String,
        /// Which token.
        token: usize,
    },
}

/// What a text may contain besides plain tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wildcards {
    Refused,
    Allowed,
}

// === impl Topic ===

impl Topic {
    /// Makes a topic of a text.
    ///
    /// # Errors
    /// [`TopicError`] when the text is not a topic; patterns are not topics either.
    pub fn parse(text: &str) -> Result<Topic, TopicError> {
        check(text, Wildcards::Refused)?;
        Ok(Topic(text.into()))
    }

    /// Says whether a text is a topic, without keeping it.
    ///
    /// # Errors
    /// [`TopicError`] as for [`Topic::parse`].
    pub fn check(text: &str) -> Result<(), TopicError> {
        check(text, Wildcards::Refused)
    }

    /// The text of the topic.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tokens, in order.
    pub fn tokens(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether only the host may publish here: the first token starts with [`RESERVED_TOKEN`].
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(RESERVED_TOKEN)
    }

    /// Whether the first token starts with `$`: not matched by a wildcard in the first place.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Topic, TopicError> {
        Topic::parse(text)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<Topic> for Arc<str> {
    fn from(topic: Topic) -> Arc<str> {
        topic.0
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Topic, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Topic::parse(&text).map_err(de::Error::custom)
    }
}

/// Checks a topic or a pattern in one pass; only a failure allocates.
pub(crate) fn check(text: &str, wildcards: Wildcards) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong { input: shown(text), bytes: text.len() });
    }
    let tokens = text.bytes().filter(|&byte| byte == b'.').count() + 1;
    if tokens > TOPIC_TOKENS_MAX {
        return Err(TopicError::TooManyTokens { input: shown(text), tokens });
    }
    let mut start = 0;
    for (index, token) in text.split('.').enumerate() {
        check_token(text, wildcards, Place { index, start, last: index + 1 == tokens }, token)?;
        start += token.len() + 1;
    }
    Ok(())
}

/// Where a token stands in its topic.
#[derive(Clone, Copy)]
struct Place {
    index: usize,
    start: usize,
    last: bool,
}

fn check_token(
    text: &str,
    wildcards: Wildcards,
    place: Place,
    token: &str,
) -> Result<(), TopicError> {
    if wildcards == Wildcards::Allowed {
        match token {
            "*" => return Ok(()),
            ">" if place.last => return Ok(()),
            ">" => {
                return Err(TopicError::TailNotLast { input: shown(text), token: place.index + 1 });
            }
            _ => {}
        }
    }
    if token.is_empty() {
        return Err(TopicError::EmptyToken { input: shown(text), token: place.index + 1 });
    }
    let skip = usize::from(place.index == 0 && token.len() > 1 && token.starts_with('$'));
    let wrong = token.char_indices().skip(skip).find(|(_, c)| !is_token_character(*c));
    match wrong {
        None => Ok(()),
        Some((at, found)) => Err(TopicError::InvalidCharacter {
            input: shown(text),
            token: place.index + 1,
            at: place.start + at + 1,
            found,
            hint: hint(found, token, wildcards),
        }),
    }
}

fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// What to write instead of a character that other systems give a meaning.
fn hint(found: char, token: &str, wildcards: Wildcards) -> &'static str {
    match (wildcards, found) {
        (Wildcards::Refused, '*' | '>' | '#' | '+') => {
            "wildcards belong into subscriptions, a message is published to one concrete topic"
        }
        (_, '#') => "use `>` as the last token to match everything below",
        (_, '+') => "use `*` to match one token",
        (_, '*') if token == "**" => "use `>` as the last token to match everything below",
        (_, '*' | '>') => {
            "a wildcard must be a whole token, such as `logs.*` for one token or `logs.>` for all"
        }
        (_, '/' | ':') => "separate tokens with `.`",
        (_, '$') => "`$` may only start the first token of a system topic such as `$PB.plugin`",
        (_, ' ' | '\t' | '\n' | '\r') => "remove the white space, or use `_` or `-`",
        _ => "tokens are made of A-Z a-z 0-9 `_` and `-`",
    }
}

/// The input as errors show it: escaped, and short.
fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    let mut chars = text.chars();
    let mut out: String =
        chars.by_ref().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Topic::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn ordinary_and_system_topics_are_accepted() {
        for text in ["a", "orders.eu-west.new_1", "$PB.plugin.echo.started", "1.2.3", "_", "-.-"] {
            assert_eq!(Topic::parse(text).expect(text).as_str(), text);
        }
        assert!(Topic::parse("$PB.x").expect("reserved").is_reserved());
        assert!(!Topic::parse("$SYS.x").expect("system").is_reserved());
        assert!(Topic::parse("$SYS.x").expect("system").is_system());
    }

    #[test]
    fn each_refusal_names_the_place_and_the_remedy() {
        let table = [
            ("a..b", "topic `a..b`: token 2 is empty; remove the extra dot"),
            (".a", "topic `.a`: token 1 is empty; remove the extra dot"),
            ("a.", "topic `a.`: token 2 is empty; remove the extra dot"),
            ("a.b/c", "topic `a.b/c`: token 2 contains `/` at byte 4; separate tokens with `.`"),
            (
                "a.\0",
                "topic `a.\\0`: token 2 contains `\\0` at byte 3; tokens are made of A-Z a-z 0-9 \
                 `_` and `-`",
            ),
            (
                "a.#",
                "topic `a.#`: token 2 contains `#` at byte 3; wildcards belong into subscriptions, \
                 a message is published to one concrete topic",
            ),
            (
                "a.$b",
                "topic `a.$b`: token 2 contains `$` at byte 3; `$` may only start the first token \
                 of a system topic such as `$PB.plugin`",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(refusal(text), expected);
        }
        assert_eq!(Topic::parse(""), Err(TopicError::Empty));
        assert!(refusal("$").contains("may only start the first token"));
        assert!(refusal("grün").contains("token 1 contains `ü` at byte 3"));
    }

    #[test]
    fn limits_are_on_bytes_and_on_tokens() {
        let sixteen = ["a"; 16].join(".");
        assert!(Topic::parse(&sixteen).is_ok());
        assert!(refusal(&format!("{sixteen}.a")).contains("has 17 tokens; 16 are allowed"));
        let three_hundred = "a.".repeat(299) + "a";
        assert!(refusal(&three_hundred).contains("is 599 bytes long; 255 are allowed"));
        assert!(Topic::parse(&"a".repeat(255)).is_ok());
        let error = refusal(&"a".repeat(256));
        assert!(error.contains("is 256 bytes long"), "{error}");
        assert!(error.len() < 300, "an error must stay short: {error}");
    }

    #[test]
    fn three_hundred_tokens_within_the_byte_limit_cannot_exist_but_many_are_refused() {
        let many = "a.".repeat(127) + "a";
        assert_eq!(many.len(), 255);
        assert!(refusal(&many).contains("has 128 tokens"));
    }

    #[test]
    fn serde_reads_and_writes_a_string_and_checks_it() {
        let topic: Topic = serde_json::from_str("\"a.b\"").expect("topic");
        assert_eq!(serde_json::to_string(&topic).expect("text"), "\"a.b\"");
        let error = serde_json::from_str::<Topic>("\"a..b\"").expect_err("empty token");
        assert!(error.to_string().contains("token 2 is empty"));
    }
}
