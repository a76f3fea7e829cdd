//! Patterns with wildcards, by their tokens.
//!
//! A cold match is as fast as the memory it touches is near. So nodes lie in one array and know each
//! other by numbers, and all children that have a name are found in one table, by their parent and
//! their token; what is shown lies apart, because most nodes have nothing to show.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use patchbay_wire::{Topic, TopicPattern};

use super::{
    Name,
    arena::{Arena, NONE},
};

/// A trie over tokens, with at most one value a pattern. What leads nowhere any more is gone with
/// its last value.
#[derive(Debug)]
pub(super) struct Trie<V, S = FixedState> {
    nodes: Arena<Node>,
    root: u32,
    /// Numbers of nodes, by parent and token.
    children: HashTable<u32>,
    values: Arena<V>,
    hasher: S,
}

#[derive(Debug)]
struct Node {
    parent: u32,
    /// Empty in the root, and in a child for `*`.
    token: Name,
    /// How many children it has that have a name.
    named: u32,
    /// The child for `*`.
    one: u32,
    /// The value of the pattern that ends here.
    end: u32,
    /// The value of the pattern that ends here with `>`.
    tail: u32,
}

const ONE: &str = "*";
const TAIL: &str = ">";

// === impl Trie ===

impl<V, S: BuildHasher + Default> Trie<V, S> {
    /// Puts another value, or none, in the place of a pattern's value.
    pub(super) fn change(
        &mut self,
        pattern: &TopicPattern,
        change: impl FnOnce(Option<V>) -> Option<V>,
    ) {
        let mut at = self.root;
        let mut is_tail = false;
        for token in pattern.tokens() {
            match token {
                // Always the last one.
                TAIL => is_tail = true,
                token => at = self.child_or_new(at, token),
            }
        }
        let value = self.nodes.get_mut(at).map(|node| *node.place(is_tail));
        let before = value.and_then(|value| self.values.remove(value));
        let now = change(before).map_or(NONE, |value| self.values.insert(value));
        if let Some(node) = self.nodes.get_mut(at) {
            *node.place(is_tail) = now;
        }
        self.prune(at);
        if self.values.len() == 0 {
            // Nothing is left but memory.
            *self = Trie::default();
        }
    }

    /// Shows the values of all patterns that match, in no order.
    pub(super) fn matches<'a>(&'a self, topic: &Topic, found: &mut impl FnMut(&'a V)) {
        if self.values.len() > 0 {
            // A wildcard in the first place does not match the topics of the system.
            self.visit(self.root, topic.as_str(), !topic.is_system(), found);
        }
    }

    /// `left` is what follows in the topic, and is not empty. Recursion is bounded by the number of
    /// tokens of a pattern, which is at most 16.
    fn visit<'a>(&'a self, at: u32, left: &str, wildcards: bool, found: &mut impl FnMut(&'a V)) {
        let Some(node) = self.nodes.get(at) else { return };
        let (first, rest) = match left.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (left, None),
        };
        let named = if node.named > 0 { self.child(at, first) } else { NONE };
        let one = if wildcards { node.one } else { NONE };
        for next in [named, one].into_iter().filter(|next| *next != NONE) {
            match rest {
                Some(rest) => self.visit(next, rest, true, found),
                None => self.show(self.nodes.get(next).map_or(NONE, |node| node.end), found),
            }
        }
        if wildcards {
            self.show(node.tail, found);
        }
    }

    fn show<'a>(&'a self, value: u32, found: &mut impl FnMut(&'a V)) {
        if value != NONE
            && let Some(value) = self.values.get(value)
        {
            found(value);
        }
    }

    fn hash(&self, parent: u32, token: &[u8]) -> u64 {
        self.hasher.hash_one((parent, token))
    }

    fn is(&self, number: u32, parent: u32, token: &[u8]) -> bool {
        self.nodes.get(number).is_some_and(|it| it.parent == parent && *it.token == *token)
    }

    /// The child of that name.
    fn child(&self, parent: u32, token: &str) -> u32 {
        let token = token.as_bytes();
        let found = self.children.find(self.hash(parent, token), |it| self.is(*it, parent, token));
        found.copied().unwrap_or(NONE)
    }

    fn child_or_new(&mut self, parent: u32, token: &str) -> u32 {
        let known = match token {
            ONE => self.nodes.get(parent).map_or(NONE, |node| node.one),
            token => self.child(parent, token),
        };
        if known != NONE {
            return known;
        }
        let name = if token == ONE { &[] } else { token.as_bytes() };
        let child = self.nodes.insert(Node::new(parent, name));
        if let Some(node) = self.nodes.get_mut(parent) {
            if token == ONE {
                node.one = child;
                return child;
            }
            node.named += 1;
        }
        let hash = self.hash(parent, name);
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.children.insert_unique(hash, child, |number| {
            nodes.get(*number).map_or(0, |it| hasher.hash_one((it.parent, &*it.token)))
        });
        child
    }

    /// Takes a node out that leads nowhere and shows nothing, and those above it that do no more.
    fn prune(&mut self, mut at: u32) {
        while at != self.root && self.nodes.get(at).is_some_and(Node::is_bare) {
            let Some(gone) = self.nodes.remove(at) else { return };
            if let Some(parent) = self.nodes.get_mut(gone.parent) {
                if parent.one == at {
                    parent.one = NONE;
                } else {
                    parent.named -= 1;
                    let hash = self.hash(gone.parent, &gone.token);
                    if let Ok(entry) = self.children.find_entry(hash, |number| *number == at) {
                        entry.remove();
                    }
                }
            }
            at = gone.parent;
        }
    }
}

impl<V, S: Default> Default for Trie<V, S> {
    fn default() -> Self {
        let mut nodes = Arena::default();
        let root = nodes.insert(Node::new(NONE, &[]));
        let (children, values) = (HashTable::new(), Arena::default());
        Trie { nodes, root, children, values, hasher: S::default() }
    }
}

// === impl Node ===

impl Node {
    fn new(parent: u32, token: &[u8]) -> Node {
        let token = Name::from_slice(token);
        Node { parent, token, named: 0, one: NONE, end: NONE, tail: NONE }
    }

    fn place(&mut self, is_tail: bool) -> &mut u32 {
        if is_tail { &mut self.tail } else { &mut self.end }
    }

    fn is_bare(&self) -> bool {
        self.named == 0 && [self.one, self.end, self.tail] == [NONE; 3]
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, Hasher};

    use proptest::prelude::*;

    use super::*;

    /// Everything has the same hash.
    #[derive(Default)]
    struct Colliding;

    impl Hasher for Colliding {
        fn write(&mut self, _: &[u8]) {}

        fn finish(&self) -> u64 {
            7
        }
    }

    fn token() -> impl Strategy<Value = String> {
        // The last one does not fit into a node.
        let long = Just("a-token-that-is-longer-than-most");
        prop_oneof![Just("a"), Just("b"), Just("cc"), Just("$PB"), long].prop_map(String::from)
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

    fn add<S: BuildHasher + Default>(
        trie: &mut Trie<Vec<usize>, S>,
        pattern: &TopicPattern,
        number: usize,
    ) {
        trie.change(pattern, |before| {
            let mut all = before.unwrap_or_default();
            all.push(number);
            Some(all)
        });
    }

    fn remove<S: BuildHasher + Default>(
        trie: &mut Trie<Vec<usize>, S>,
        pattern: &TopicPattern,
        number: usize,
    ) {
        trie.change(pattern, |before| {
            let mut all = before?;
            all.retain(|found| *found != number);
            (!all.is_empty()).then_some(all)
        });
    }

    fn found<S: BuildHasher + Default>(trie: &Trie<Vec<usize>, S>, topic: &Topic) -> Vec<usize> {
        let mut found = Vec::new();
        trie.matches(topic, &mut |values| found.extend(values));
        found.sort_unstable();
        found
    }

    /// Adds all, takes those out that do not stay, adds them again, and takes all out.
    fn agrees<S: BuildHasher + Default>(
        patterns: &[(TopicPattern, bool)],
        topics: &[Topic],
    ) -> Result<(), TestCaseError> {
        let mut trie = Trie::<Vec<usize>, S>::default();
        let naive = |topic: &Topic, all: bool| -> Vec<usize> {
            let matching = |(_, (pattern, stays)): &(usize, &(TopicPattern, bool))| {
                (all || *stays) && pattern.matches(topic)
            };
            patterns.iter().enumerate().filter(matching).map(|(number, _)| number).collect()
        };
        let leaving = || patterns.iter().enumerate().filter(|(_, (_, stays))| !stays);
        for (number, (pattern, _)) in patterns.iter().enumerate() {
            add(&mut trie, pattern, number);
        }
        for all in [true, false, true] {
            for topic in topics {
                prop_assert_eq!(found(&trie, topic), naive(topic, all), "{} {}", topic, all);
            }
            for (number, (pattern, _)) in leaving() {
                match all {
                    true => remove(&mut trie, pattern, number),
                    // In places where others were.
                    false => add(&mut trie, pattern, number),
                }
            }
        }
        for (number, (pattern, _)) in patterns.iter().enumerate() {
            remove(&mut trie, pattern, number);
        }
        let left = (trie.nodes.len(), trie.children.len(), trie.values.len());
        prop_assert_eq!(left, (1, 0, 0), "nothing is left of what was removed");
        Ok(())
    }

    proptest! {
        #[test]
        fn the_trie_and_the_naive_matcher_agree(
            patterns in prop::collection::vec((pattern(), any::<bool>()), 0..40),
            topics in prop::collection::vec(topic(), 1..40),
        ) {
            agrees::<FixedState>(&patterns, &topics)?;
        }

        #[test]
        fn they_agree_where_every_hash_is_the_same(
            patterns in prop::collection::vec((pattern(), any::<bool>()), 0..40),
            topics in prop::collection::vec(topic(), 1..40),
        ) {
            agrees::<BuildHasherDefault<Colliding>>(&patterns, &topics)?;
        }
    }

    #[test]
    fn a_pattern_that_comes_and_goes_takes_no_more_room() {
        let mut trie = Trie::<Vec<usize>>::default();
        let parse = |text: &str| TopicPattern::parse(text).unwrap();
        add(&mut trie, &parse("stays.*"), 0);
        let mut most = 0;
        for number in 1..100 {
            let pattern = parse(&format!("a.{number}.*.b"));
            add(&mut trie, &pattern, number);
            most = most.max(trie.nodes.len());
            remove(&mut trie, &pattern, number);
            // One that was never there leaves nothing either.
            remove(&mut trie, &parse("never.there.>"), number);
        }
        let root_and_two = 3;
        assert_eq!((most, trie.nodes.len()), (root_and_two + 4, root_and_two));
        assert_eq!((trie.children.len(), trie.values.len()), (1, 1));
    }
}
