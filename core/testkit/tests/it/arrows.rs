//! Who may depend on whom (the table of `core/ARCHITECTURE.md`).

use crate::metadata::{packages, reaches};

/// `from` must not reach any of `to`, not even through another crate.
const NEVER_REACHES: &[(&str, &[&str])] = &[
    ("patchbay-abi", &["*"]),
    ("patchbay-slab", &["*", "!patchbay-abi"]),
    ("patchbay-fence", CONTROL),
    ("patchbay-fence", &["tokio", "patchbay-bus", "patchbay-slab"]),
    ("patchbay-wire", CONTROL),
    ("patchbay-manifest", CONTROL),
    ("patchbay-manifest", &["tokio", "patchbay-bus"]),
    ("patchbay-journal", CONTROL),
    ("patchbay-journal", &["tokio", "patchbay-bus", "patchbay-slab", "patchbay-wire"]),
    ("patchbay-bus", CONTROL),
    ("patchbay-pool", &["ractor", "patchbay-host", "patchbay-loader"]),
    ("patchbay-lifecycle", &["tokio", "ractor", "patchbay-bus", "patchbay-loader", "notify"]),
    ("patchbay-loader", &["tokio", "ractor", "patchbay-bus", "patchbay-pool"]),
    ("patchbay-interpose", &["*", "!libc"]),
    ("patchbay-host", &["patchbay-gateway", "axum"]),
];

/// The control plane: nothing that stands below it may know it.
const CONTROL: &[&str] = &[
    "ractor",
    "patchbay-lifecycle",
    "patchbay-interpose",
    "patchbay-loader",
    "patchbay-pool",
    "patchbay-host",
    "patchbay-gateway",
    "patchbay",
];

/// What a shipped plugin may use of the workspace: what third parties get, and no more.
const PLUGINS_USE: &[&str] = &["patchbay-plugin"];

#[test]
fn the_crate_graph_has_no_never_arrow() {
    for (from, to) in NEVER_REACHES {
        assert!(packages().contains_key(*from), "the rule names {from}, which does not exist");
        let reached = reaches(from);
        if to.contains(&"*") {
            let allowed: Vec<&str> = to.iter().filter_map(|name| name.strip_prefix('!')).collect();
            let more: Vec<_> =
                reached.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
            assert!(more.is_empty(), "{from} may reach only {allowed:?}, and reaches {more:?}");
        } else {
            for forbidden in *to {
                assert!(!reached.contains(*forbidden), "{from} must never reach {forbidden}");
            }
        }
    }
}

#[test]
fn a_shipped_plugin_uses_of_the_workspace_only_what_a_third_party_gets() {
    let ours: Vec<_> = packages().iter().filter(|(_, package)| package.workspace).collect();
    for (name, package) in &ours {
        if !name.starts_with("transcript_") {
            continue;
        }
        for (need, _) in &ours {
            let allowed = PLUGINS_USE.contains(&need.as_str());
            assert!(allowed || !package.needs.contains(*need), "{name} must not use {need}");
        }
    }
}

#[test]
fn nothing_but_tests_uses_the_test_kit_and_the_model() {
    for (name, package) in packages() {
        for only_tests in ["patchbay-testkit", "patchbay-model"] {
            let uses = package.needs.contains(only_tests);
            assert!(!uses, "{name} uses {only_tests} outside its tests");
        }
    }
}
