//! Licences of everything that is linked, against the list of `deny.toml`.

use std::fs;

use patchbay_testkit::repository;

use crate::metadata::packages;

#[test]
fn every_dependency_has_a_licence_that_deny_toml_allows() {
    let text = fs::read_to_string(repository::root().join("deny.toml")).expect("read deny.toml");
    let (_, list) = text.split_once("allow = [").expect("deny.toml has an allow list");
    let (list, _) = list.split_once(']').expect("the allow list ends");
    let allowed: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    for (name, package) in packages() {
        let licence = package.licence.as_deref().unwrap_or("none");
        assert!(
            satisfied(licence, &allowed),
            "{name} has licence `{licence}`, which deny.toml does not allow"
        );
    }
}

/// Whether an SPDX expression can be met: any side of an OR, every side of an AND.
fn satisfied(expression: &str, allowed: &[&str]) -> bool {
    expression.replace(" / ", " OR ").replace('/', " OR ").split(" OR ").any(|side| {
        side.split(" AND ").all(|one| {
            let one = one.trim_matches(['(', ')', ' ']);
            allowed.contains(&one)
        })
    })
}
