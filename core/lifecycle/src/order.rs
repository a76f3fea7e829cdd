//! Who starts before whom.
//!
//! A plugin starts after everything it requires, and after every plugin of a lower priority number
//! that does not itself wait for it. Stopping goes the other way round.

use std::collections::{BTreeMap, BTreeSet};

use crate::PluginName;

/// What the order depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Lower starts earlier.
    pub priority: u8,
    /// Names that must serve before this one starts.
    pub requires: Vec<PluginName>,
}

/// The order of a set of plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Everybody that a plugin waits for, not only its neighbours.
    before: BTreeMap<PluginName, BTreeSet<PluginName>>,
    /// The ring that a plugin is part of, or waits for.
    rings: BTreeMap<PluginName, Vec<PluginName>>,
}

// === impl Order ===

impl Order {
    /// Works out the order. Names that are required but are not in `nodes` play no part.
    #[must_use]
    pub fn of(nodes: &BTreeMap<PluginName, Node>) -> Order {
        let reach: BTreeMap<PluginName, BTreeSet<PluginName>> =
            nodes.keys().map(|name| (name.clone(), required_by(name, nodes))).collect();
        let mut order = Order::default();
        for (name, node) in nodes {
            if reach[name].contains(name) {
                order.rings.insert(name.clone(), ring(name, nodes, &reach));
            }
            let mut before = reach[name].clone();
            for (other, it) in nodes {
                // A dependency outranks a priority.
                if it.priority < node.priority && !reach[other].contains(name) {
                    before.insert(other.clone());
                }
            }
            before.remove(name);
            order.before.insert(name.clone(), before);
        }
        order
    }

    /// Who must have started, or failed, before this plugin starts. In reverse: who must have
    /// stopped after it.
    pub fn before(&self, name: &PluginName) -> impl Iterator<Item = &PluginName> {
        self.before.get(name).into_iter().flatten()
    }

    /// Whether `later` waits for `earlier`.
    #[must_use]
    pub fn waits(&self, later: &PluginName, earlier: &PluginName) -> bool {
        self.before.get(later).is_some_and(|names| names.contains(earlier))
    }

    /// The ring of requirements that the plugin is part of, starting and ending with it.
    #[must_use]
    pub fn ring(&self, name: &PluginName) -> Option<&[PluginName]> {
        self.rings.get(name).map(Vec::as_slice)
    }
}

/// Everything that `name` requires, directly or not.
fn required_by(name: &PluginName, nodes: &BTreeMap<PluginName, Node>) -> BTreeSet<PluginName> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&PluginName> = nodes[name].requires.iter().collect();
    while let Some(next) = open.pop() {
        if let Some(node) = nodes.get(next)
            && found.insert(next.clone())
        {
            open.extend(&node.requires);
        }
    }
    found
}

/// A shortest way from `name` back to itself.
fn ring(
    name: &PluginName,
    nodes: &BTreeMap<PluginName, Node>,
    reach: &BTreeMap<PluginName, BTreeSet<PluginName>>,
) -> Vec<PluginName> {
    let mut ways = vec![vec![name.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let last = way.last().unwrap_or(name);
            for next in &nodes[last].requires {
                let mut way = way.clone();
                way.push(next.clone());
                if next == name {
                    return way;
                }
                let leads_back = reach.get(next).is_some_and(|names| names.contains(name));
                if leads_back && seen.insert(next.clone()) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    vec![name.clone(), name.clone()]
}
