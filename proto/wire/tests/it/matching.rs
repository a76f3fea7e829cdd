//! Patterns against a matcher that is too simple to be wrong.

use patchbay_wire::{Topic, TopicPattern};
use proptest::prelude::*;

/// Matches token by token, by recursion.
fn naive(pattern: &[&str], topic: &[&str]) -> bool {
    match (pattern, topic) {
        ([], []) => true,
        ([">"], [_, ..]) => true,
        (["*", pattern @ ..], [_, topic @ ..]) => naive(pattern, topic),
        ([wanted, pattern @ ..], [token, topic @ ..]) => wanted == token && naive(pattern, topic),
        _ => false,
    }
}

fn naive_texts(pattern: &str, topic: &str) -> bool {
    if topic.starts_with('$') && (pattern.starts_with('*') || pattern.starts_with('>')) {
        return false;
    }
    let split = |text: &'static str| text.split('.').collect::<Vec<_>>();
    naive(&split(Box::leak(pattern.into())), &split(Box::leak(topic.into())))
}

fn any_topic() -> impl Strategy<Value = String> {
    "\\$?[ab]{1,2}(\\.[ab]{1,2}){0,4}"
}

fn any_pattern() -> impl Strategy<Value = String> {
    "(\\$?[ab]{1,2}|\\*)(\\.([ab]{1,2}|\\*)){0,3}(\\.>)?|>"
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4096,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn matching_agrees_with_the_naive_matcher(pattern in any_pattern(), topic in any_topic()) {
        let expected = naive_texts(&pattern, &topic);
        let pattern = TopicPattern::parse(&pattern).expect("a pattern");
        let topic = Topic::parse(&topic).expect("a topic");
        prop_assert_eq!(pattern.matches(&topic), expected);
    }

    #[test]
    fn a_pattern_covers_another_only_if_it_matches_all_of_its_topics(
        wide in any_pattern(),
        narrow in any_pattern(),
        topic in any_topic(),
    ) {
        let [wide, narrow] = [wide, narrow].map(|text| TopicPattern::parse(&text).expect("pattern"));
        let topic = Topic::parse(&topic).expect("a topic");
        if wide.covers(&narrow) && narrow.matches(&topic) {
            prop_assert!(wide.matches(&topic), "{} covers {}, not {}", wide, narrow, topic);
        }
        prop_assert!(narrow.covers(&narrow));
        if narrow.is_literal() {
            let only = Topic::parse(narrow.as_str()).expect("a literal is a topic");
            prop_assert_eq!(wide.covers(&narrow), wide.matches(&only));
        }
    }

    #[test]
    fn any_text_is_a_topic_or_an_error_and_is_printed_as_it_was(text in any::<String>()) {
        for text in [text.clone(), text.replace(|c: char| !c.is_ascii_alphanumeric(), ".")] {
            if let Ok(topic) = Topic::parse(&text) {
                prop_assert_eq!(topic.to_string(), text.clone());
                prop_assert!(TopicPattern::parse(&text).is_ok_and(|it| it.matches(&topic)));
            }
            if let Err(error) = TopicPattern::parse(&text) {
                let shown = error.to_string();
                prop_assert!(!shown.contains(char::is_control) && shown.len() < 1_000);
            }
        }
    }
}
