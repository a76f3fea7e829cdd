//! Which dead letters are meant: by number, or by what they have in common.
//!
//! A selection of nothing in particular is refused unless it says `all`: nobody purges everything by
//! leaving a word out.

use std::time::UNIX_EPOCH;

use patchbay_bus::{DeadLetter, UnreadableLetter};
use patchbay_wire::{Topic, TopicPattern};
use serde::{Deserialize, Serialize};

use crate::{error::LetterError, operations::UNREADABLE};

/// Dead letters as a caller selects them. What is absent excludes nothing; what is given must all
/// be true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LetterFilter {
    /// These numbers, whatever else is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<u64>,
    /// Of this plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Published to a topic of this pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Of this class, such as `max_failures`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Died at this time or later, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Died before this time, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// With this text in their reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// At most so many, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// All of them: needed where nothing else is said.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// A filter that was understood.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    filter: LetterFilter,
    topic: Option<TopicPattern>,
    since_ns: u64,
    until_ns: u64,
}

// === impl LetterFilter ===

impl LetterFilter {
    /// Whether it names anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let LetterFilter { limit: _, ref numbers, .. } = *self;
        let given =
            [&self.plugin, &self.topic, &self.class, &self.since, &self.until, &self.reason];
        numbers.is_empty() && given.iter().all(|it| it.is_none()) && !self.all
    }

    /// Understands it for something that changes what it selects.
    pub(crate) fn selector_of_some(&self) -> Result<Selector, LetterError> {
        if self.is_empty() {
            let problem =
                "it selects nothing in particular; name letters, filter them, or say `all`";
            return Err(LetterError::Invalid { problem: problem.to_owned() });
        }
        self.selector()
    }

    /// Understands it.
    pub(crate) fn selector(&self) -> Result<Selector, LetterError> {
        let topic = match &self.topic {
            Some(text) => Some(TopicPattern::parse(text).map_err(|error| {
                LetterError::Invalid { problem: format!("`topic` is no pattern: {error}") }
            })?),
            None => None,
        };
        Ok(Selector {
            topic,
            since_ns: instant("since", self.since.as_deref())?.unwrap_or(0),
            until_ns: instant("until", self.until.as_deref())?.unwrap_or(u64::MAX),
            filter: self.clone(),
        })
    }
}

// === impl Selector ===

impl Selector {
    /// The numbers that were asked for by name.
    pub(crate) fn numbers(&self) -> &[u64] {
        &self.filter.numbers
    }

    /// How many at most.
    pub(crate) fn limit(&self) -> usize {
        self.filter.limit.unwrap_or(usize::MAX)
    }

    /// Whether a letter is meant.
    pub(crate) fn accepts(&self, letter: &DeadLetter) -> bool {
        let LetterFilter { numbers, plugin, class, reason, .. } = &self.filter;
        (numbers.is_empty() || numbers.contains(&letter.number))
            && plugin.as_deref().is_none_or(|name| name == &*letter.owner)
            && class.as_deref().is_none_or(|class| class == letter.cause.label())
            && reason.as_deref().is_none_or(|text| letter.reason.contains(text))
            && self.topic.as_ref().is_none_or(|pattern| fits(pattern, letter.message.topic()))
            && (self.since_ns..self.until_ns).contains(&letter.at_unix_ns)
    }
}

impl Selector {
    /// Whether a letter is meant of which no more is known than its number and its plugin.
    pub(crate) fn accepts_unreadable(&self, letter: &UnreadableLetter) -> bool {
        let LetterFilter { numbers, plugin, class, reason, .. } = &self.filter;
        (numbers.is_empty() || numbers.contains(&letter.number))
            && plugin.as_deref().is_none_or(|name| name == &*letter.owner)
            && class.as_deref().is_none_or(|class| class == UNREADABLE)
            && (reason.is_none() && self.topic.is_none())
            && (self.since_ns, self.until_ns) == (0, u64::MAX)
    }
}

fn fits(pattern: &TopicPattern, topic: &str) -> bool {
    Topic::parse(topic).is_ok_and(|topic| pattern.matches(&topic))
}

fn instant(field: &str, text: Option<&str>) -> Result<Option<u64>, LetterError> {
    let Some(text) = text else { return Ok(None) };
    let wrong = |why: String| LetterError::Invalid {
        problem: format!("`{field}` must be a time such as `2026-01-31T12:00:00Z`: {why}"),
    };
    let at = humantime::parse_rfc3339_weak(text).map_err(|error| wrong(error.to_string()))?;
    let since = at.duration_since(UNIX_EPOCH).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_of_nothing_in_particular_is_refused_unless_it_says_all() {
        let none = LetterFilter { limit: Some(3), ..LetterFilter::default() };
        assert!(none.selector_of_some().is_err_and(|error| error.to_string().contains("`all`")));
        let all = LetterFilter { all: true, ..LetterFilter::default() };
        assert!(all.selector_of_some().is_ok());
    }

    #[test]
    fn a_wrong_pattern_or_time_is_refused_by_name() {
        for (filter, word) in [
            (LetterFilter { topic: Some("a..b".into()), ..LetterFilter::default() }, "`topic`"),
            (LetterFilter { since: Some("soon".into()), ..LetterFilter::default() }, "`since`"),
            (LetterFilter { until: Some("12".into()), ..LetterFilter::default() }, "`until`"),
        ] {
            let error = filter.selector().expect_err("refused").to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn an_unknown_word_is_refused() {
        let refused = serde_json::from_str::<LetterFilter>(r#"{"plugins": "echo"}"#);
        assert!(refused.expect_err("refused").to_string().contains("plugins"));
    }
}
