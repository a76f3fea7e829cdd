//! The start order.

use std::collections::BTreeMap;

use patchbay_lifecycle::{Node, Order, PluginName};
use proptest::prelude::*;

use crate::support::name;

fn nodes(list: &[(&str, u8, &[&str])]) -> BTreeMap<PluginName, Node> {
    let node = |(text, priority, requires): &(&str, u8, &[&str])| {
        let requires = requires.iter().map(|it| name(it)).collect();
        (name(text), Node { priority: *priority, requires })
    };
    list.iter().map(node).collect()
}

fn before(order: &Order, text: &str) -> Vec<String> {
    order.before(&name(text)).map(ToString::to_string).collect()
}

#[test]
fn lower_priorities_and_requirements_come_first() {
    let order = Order::of(&nodes(&[
        ("business", 40, &[]),
        ("security", 20, &[]),
        ("infra", 10, &[]),
        ("needs", 40, &["business"]),
    ]));
    assert_eq!(before(&order, "infra"), Vec::<String>::new());
    assert_eq!(before(&order, "business"), ["infra", "security"]);
    assert_eq!(before(&order, "needs"), ["business", "infra", "security"]);
}

#[test]
fn a_requirement_outranks_a_priority() {
    let order = Order::of(&nodes(&[("early", 10, &["late"]), ("late", 40, &[])]));
    assert_eq!(before(&order, "early"), ["late"]);
    assert_eq!(before(&order, "late"), Vec::<String>::new());
}

#[test]
fn a_ring_is_named_and_what_only_leads_to_it_is_not_part_of_it() {
    let order = Order::of(&nodes(&[
        ("a", 40, &["b"]),
        ("b", 40, &["c"]),
        ("c", 40, &["a"]),
        ("outside", 40, &["a"]),
    ]));
    let ring = order.ring(&name("b")).expect("b is part of a ring");
    assert_eq!(ring.iter().map(PluginName::as_str).collect::<Vec<_>>(), ["b", "c", "a", "b"]);
    assert!(order.ring(&name("outside")).is_none());
}

#[test]
fn a_plugin_that_requires_itself_is_a_ring() {
    let order = Order::of(&nodes(&[("a", 40, &["a"])]));
    assert_eq!(order.ring(&name("a")).map(<[_]>::len), Some(2));
}

proptest! {
    #[test]
    fn nobody_outside_a_ring_waits_for_somebody_who_waits_for_it(
        list in proptest::collection::vec(
            (0_u8..3, proptest::collection::vec(0_usize..6, 0..3)), 1..6
        )
    ) {
        let nodes: BTreeMap<PluginName, Node> = list.iter().enumerate().map(|(i, (rank, needs))| {
            let requires = needs.iter().map(|n| name(&format!("p{n}"))).collect();
            (name(&format!("p{i}")), Node { priority: rank * 10, requires })
        }).collect();
        let order = Order::of(&nodes);
        for one in nodes.keys().filter(|it| order.ring(it).is_none()) {
            for other in nodes.keys().filter(|it| order.ring(it).is_none()) {
                prop_assert!(!(order.waits(one, other) && order.waits(other, one)),
                    "{one} and {other} wait for each other");
            }
        }
    }
}
