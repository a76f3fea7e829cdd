//! How safe the messages of which topics are (P-3).

use patchbay_bus::{DurabilityRule, Level};
use patchbay_wire::TopicPattern;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeSeq};
use serde_json::{Value, json};

/// Rules, of which the first one that names a topic counts. A topic that no rule names is
/// [`Level::Memory`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Value>")]
pub struct Durability(Vec<DurabilityRule>);

/// One rule as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    topics: String,
    level: String,
}

/// What is wrong with the rules, and in which.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {number}: {problem}")]
pub struct DurabilityError {
    /// Which rule, counted from 1.
    pub number: usize,
    /// What is wrong with it.
    pub problem: String,
}

// === impl Durability ===

impl Durability {
    /// The rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[DurabilityRule] {
        &self.0
    }

    /// The level of topics that no other rule names.
    #[must_use]
    pub fn default_level(&self) -> Level {
        let all = self.0.iter().find(|rule| rule.pattern.as_str() == ">");
        all.map_or(Level::Memory, |rule| rule.level)
    }

    /// Adds a rule behind the others.
    ///
    /// # Errors
    /// [`DurabilityError`], with the number that the rule would have.
    pub fn push(&mut self, topics: &str, level: Level) -> Result<(), DurabilityError> {
        let wrong = |problem: String| DurabilityError { number: self.0.len() + 1, problem };
        let pattern = TopicPattern::parse(topics)
            .map_err(|error| wrong(format!("`topics` is no pattern: {error}")))?;
        if topics.starts_with('$') {
            let problem = format!("`topics` is `{topics}`: what begins with `$` is the host's");
            return Err(wrong(problem));
        }
        if self.0.iter().any(|rule| rule.pattern == pattern) {
            let problem = format!("an earlier rule names `{topics}` already");
            return Err(wrong(problem));
        }
        self.0.push(DurabilityRule { pattern, level });
        Ok(())
    }
}

impl TryFrom<Vec<Value>> for Durability {
    type Error = DurabilityError;

    fn try_from(written: Vec<Value>) -> Result<Durability, DurabilityError> {
        let mut rules = Durability::default();
        for (at, value) in written.into_iter().enumerate() {
            let wrong = |problem: String| DurabilityError { number: at + 1, problem };
            let rule: Written =
                serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
            let level = rule.level.parse().map_err(|error| wrong(format!("`level`: {error}")))?;
            rules.push(&rule.topics, level)?;
        }
        Ok(rules)
    }
}

impl Serialize for Durability {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(self.0.len()))?;
        for rule in &self.0 {
            let written = json!({"topics": rule.pattern.as_str(), "level": rule.level.label()});
            list.serialize_element(&written)?;
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Durability, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn rules_are_read_in_order_and_written_as_they_were() {
        let written = json!([
            {"topics": "orders.>", "level": "disk"},
            {"topics": ">", "level": "process"},
        ]);
        let rules = read(written.clone()).expect("rules");
        assert_eq!(rules.default_level(), Level::Process);
        assert_eq!(serde_json::to_value(&rules).expect("JSON"), written);
        assert_eq!(Durability::default().default_level(), Level::Memory);
    }

    #[test]
    fn a_wrong_rule_is_told_with_its_number() {
        for (rule, word) in [
            (json!({"topics": "a..b", "level": "disk"}), "`topics`"),
            (json!({"topics": "a", "level": "tape"}), "memory, process or disk"),
            (json!({"topics": "a", "levl": "disk"}), "levl"),
            (json!({"topics": "a"}), "level"),
            (json!({"topics": "$PB.>", "level": "disk"}), "the host's"),
            (json!({"topics": "first", "level": "disk"}), "already"),
            (json!("a"), "expected"),
        ] {
            let first = json!({"topics": "first", "level": "memory"});
            let error = read(json!([first, rule])).expect_err("refused");
            assert!(error.contains("rule 2") && error.contains(word), "{error}");
        }
    }
}
