//! How safe an accepted message is, and who says so (promise P-3).

pub use patchbay_journal::{Level, UnknownLevel};
use patchbay_wire::{Topic, TopicPattern};

/// The level of the topics that a pattern matches. The first rule that matches a topic counts; a
/// topic that no rule names is [`Level::Memory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurabilityRule {
    /// Which topics.
    pub pattern: TopicPattern,
    /// Their level.
    pub level: Level,
}

// === impl DurabilityRule ===

impl DurabilityRule {
    /// The level of a topic.
    pub(crate) fn level_of(rules: &[DurabilityRule], topic: &Topic) -> Level {
        let rule = rules.iter().find(|rule| rule.pattern.matches(topic));
        rule.map_or(Level::Memory, |rule| rule.level)
    }
}
