//! Patterns with wildcards, by their tokens.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use patchbay_wire::{Topic, TopicPattern};

use super::Name;

/// A trie over tokens. What a node no longer leads to is gone with its last value.
#[derive(Debug)]
pub(crate) struct Trie<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    children: HashMap<Name, Node<T>, FixedState>,
    /// The child for `*`.
    one: Option<Box<Node<T>>>,
    /// Values of patterns that end here with `>`.
    tail: Vec<T>,
    /// Values of patterns that end here.
    end: Vec<T>,
}

const ONE: &str = "*";
const TAIL: &str = ">";

// === impl Trie ===

impl<T> Trie<T> {
    /// Adds a value under a pattern.
    pub(crate) fn insert(&mut self, pattern: &TopicPattern, value: T) {
        let mut node = &mut self.root;
        for token in pattern.tokens() {
            node = match token {
                TAIL => return node.tail.push(value),
                ONE => node.one.get_or_insert_default(),
                // Two look-ups only when it is new: its name is copied then.
                token if node.children.contains_key(token.as_bytes()) => {
                    match node.children.get_mut(token.as_bytes()) {
                        Some(child) => child,
                        None => return,
                    }
                }
                token => node.children.entry(Name::from_slice(token.as_bytes())).or_default(),
            };
        }
        node.end.push(value);
    }

    /// Takes out the values of a pattern that are gone, and every node that leads nowhere then.
    pub(crate) fn remove(&mut self, pattern: &TopicPattern, is_gone: impl Fn(&T) -> bool) {
        let tokens: Vec<&str> = pattern.tokens().collect();
        self.root.remove(&tokens, &is_gone);
    }

    /// Shows the values of all patterns that match, in no order.
    pub(crate) fn matches(&self, topic: &Topic, found: &mut impl FnMut(&T)) {
        // A wildcard in the first place does not match the topics of the system.
        self.root.matches(topic.as_str(), !topic.is_system(), found);
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Trie { root: Node::default() }
    }
}

// === impl Node ===

impl<T> Node<T> {
    /// Recursion is bounded by the number of tokens of a pattern, which is at most 16.
    fn remove(&mut self, tokens: &[&str], is_gone: &impl Fn(&T) -> bool) {
        match tokens.split_first() {
            None => self.end.retain(|value| !is_gone(value)),
            Some((&TAIL, _)) => self.tail.retain(|value| !is_gone(value)),
            Some((&ONE, rest)) => {
                if let Some(child) = &mut self.one {
                    child.remove(rest, is_gone);
                    if child.is_empty() {
                        self.one = None;
                    }
                }
            }
            Some((token, rest)) => {
                if let Some(child) = self.children.get_mut(token.as_bytes()) {
                    child.remove(rest, is_gone);
                    if child.is_empty() {
                        self.children.remove(token.as_bytes());
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.one.is_none()
            && self.tail.is_empty()
            && self.end.is_empty()
    }

    /// `left` is what follows in the topic, and is not empty. Recursion as above.
    fn matches(&self, left: &str, wildcards: bool, found: &mut impl FnMut(&T)) {
        let (first, rest) = match left.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (left, None),
        };
        let child =
            if self.children.is_empty() { None } else { self.children.get(first.as_bytes()) };
        let one = self.one.as_deref().filter(|_| wildcards);
        for node in child.into_iter().chain(one) {
            match rest {
                Some(rest) => node.matches(rest, true, found),
                None => node.end.iter().for_each(&mut *found),
            }
        }
        if wildcards {
            self.tail.iter().for_each(found);
        }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Node { children: HashMap::default(), one: None, tail: Vec::new(), end: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> impl Strategy<Value = String> {
        prop_oneof![Just("a"), Just("b"), Just("cc"), Just("$PB")].prop_map(String::from)
    }

    fn topic() -> impl Strategy<Value = Topic> {
        prop::collection::vec(token(), 1..6)
            .prop_filter_map("a valid topic", |tokens| Topic::parse(&tokens.join(".")).ok())
    }

    fn pattern() -> impl Strategy<Value = TopicPattern> {
        let token = prop_oneof![3 => token(), 1 => Just("*".to_owned()), 1 => Just(">".to_owned())];
        prop::collection::vec(token, 1..6).prop_filter_map("a valid pattern", |tokens| {
            TopicPattern::parse(&tokens.join(".")).ok()
        })
    }

    fn found(trie: &Trie<usize>, topic: &Topic) -> Vec<usize> {
        let mut found = Vec::new();
        trie.matches(topic, &mut |value| found.push(*value));
        found.sort_unstable();
        found
    }

    proptest! {
        #[test]
        fn the_trie_and_the_naive_matcher_agree(
            patterns in prop::collection::vec((pattern(), any::<bool>()), 0..40),
            topics in prop::collection::vec(topic(), 1..40),
        ) {
            let mut trie = Trie::default();
            for (number, (pattern, _)) in patterns.iter().enumerate() {
                trie.insert(pattern, number);
            }
            let naive = |topic: &Topic, all: bool| -> Vec<usize> {
                let matching = |(_, (pattern, stays)): &(usize, &(TopicPattern, bool))| {
                    (all || *stays) && pattern.matches(topic)
                };
                patterns.iter().enumerate().filter(matching).map(|(number, _)| number).collect()
            };
            for topic in &topics {
                prop_assert_eq!(found(&trie, topic), naive(topic, true), "{}", topic);
            }
            for (number, (pattern, stays)) in patterns.iter().enumerate() {
                if !stays {
                    trie.remove(pattern, |value| *value == number);
                }
            }
            for topic in &topics {
                prop_assert_eq!(found(&trie, topic), naive(topic, false), "{}", topic);
            }
            for (number, (pattern, _)) in patterns.iter().enumerate() {
                trie.remove(pattern, |value| *value == number);
            }
            prop_assert!(trie.root.is_empty(), "nothing is left of what was removed");
        }
    }
}
