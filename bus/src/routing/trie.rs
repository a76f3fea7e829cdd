//! Patterns with wildcards, by their tokens.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use patchbay_wire::{Topic, TopicPattern};

/// A trie over interned tokens. A topic's token that no pattern knows can only meet a wildcard.
#[derive(Debug)]
pub(crate) struct Trie {
    tokens: HashMap<Box<str>, u32, FixedState>,
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<u32, u32, FixedState>,
    /// The child for `*`.
    one: Option<u32>,
    /// Patterns that end here with `>`.
    tail: Vec<u32>,
    /// Patterns that end here.
    end: Vec<u32>,
}

const ROOT: u32 = 0;
const ONE: &str = "*";
const TAIL: &str = ">";

// === impl Trie ===

impl Trie {
    /// Adds a pattern under a number.
    pub(crate) fn insert(&mut self, pattern: &TopicPattern, number: u32) {
        let mut at = ROOT;
        for token in pattern.tokens() {
            match token {
                TAIL => return self.nodes[at as usize].tail.push(number),
                ONE => {
                    at = match self.nodes[at as usize].one {
                        Some(child) => child,
                        None => {
                            let child = self.node();
                            self.nodes[at as usize].one = Some(child);
                            child
                        }
                    };
                }
                token => {
                    let token = self.intern(token);
                    at = match self.nodes[at as usize].children.get(&token) {
                        Some(child) => *child,
                        None => {
                            let child = self.node();
                            self.nodes[at as usize].children.insert(token, child);
                            child
                        }
                    };
                }
            }
        }
        self.nodes[at as usize].end.push(number);
    }

    fn node(&mut self) -> u32 {
        self.nodes.push(Node::default());
        self.nodes.len() as u32 - 1
    }

    fn intern(&mut self, token: &str) -> u32 {
        if let Some(known) = self.tokens.get(token) {
            return *known;
        }
        let number = self.tokens.len() as u32;
        self.tokens.insert(token.into(), number);
        number
    }

    /// The numbers of all patterns that match, in no order.
    pub(crate) fn matches(&self, topic: &Topic, found: &mut Vec<u32>) {
        let tokens: Vec<Option<u32>> =
            topic.tokens().map(|token| self.tokens.get(token).copied()).collect();
        // A wildcard in the first place does not match the topics of the system.
        self.walk(ROOT, &tokens, !topic.is_system(), found);
    }

    /// Recursion is bounded by the number of tokens of a topic, which is at most 16.
    fn walk(&self, at: u32, tokens: &[Option<u32>], wildcards: bool, found: &mut Vec<u32>) {
        let node = &self.nodes[at as usize];
        let Some((first, rest)) = tokens.split_first() else {
            found.extend(&node.end);
            return;
        };
        if let Some(child) = first.and_then(|token| node.children.get(&token)) {
            self.walk(*child, rest, true, found);
        }
        if wildcards {
            found.extend(&node.tail);
            if let Some(child) = node.one {
                self.walk(child, rest, true, found);
            }
        }
    }
}

impl Default for Trie {
    fn default() -> Self {
        Trie { tokens: HashMap::default(), nodes: vec![Node::default()] }
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

    proptest! {
        #[test]
        fn the_trie_and_the_naive_matcher_agree(
            patterns in prop::collection::vec(pattern(), 0..40),
            topics in prop::collection::vec(topic(), 1..40),
        ) {
            let mut trie = Trie::default();
            for (number, pattern) in patterns.iter().enumerate() {
                trie.insert(pattern, number as u32);
            }
            for topic in &topics {
                let mut found = Vec::new();
                trie.matches(topic, &mut found);
                found.sort_unstable();
                let naive: Vec<u32> = (0..patterns.len() as u32)
                    .filter(|number| patterns[*number as usize].matches(topic))
                    .collect();
                prop_assert_eq!(&found, &naive, "{}", topic);
            }
        }
    }
}
