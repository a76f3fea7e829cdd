//! What cargo says about the workspace, read once.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::OnceLock,
};

use patchbay_testkit::repository;
use serde_json::Value;

/// One package of the dependency graph, without what only tests use.
pub(crate) struct Package {
    pub(crate) licence: Option<String>,
    pub(crate) workspace: bool,
    pub(crate) needs: BTreeSet<String>,
}

/// Packages by name; of two versions of one name the needs are united.
pub(crate) fn packages() -> &'static BTreeMap<String, Package> {
    static PACKAGES: OnceLock<BTreeMap<String, Package>> = OnceLock::new();
    PACKAGES.get_or_init(read)
}

/// Everything that `from` reaches, itself excluded.
pub(crate) fn reaches(from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        let Some(package) = packages().get(&name) else { continue };
        for need in &package.needs {
            if seen.insert(need.clone()) {
                open.push(need.clone());
            }
        }
    }
    seen
}

fn read() -> BTreeMap<String, Package> {
    let platform = host_platform();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(["--filter-platform", &platform])
        .current_dir(repository::root())
        .output()
        .expect("run cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let members: BTreeSet<&str> =
        list(&metadata["workspace_members"]).filter_map(Value::as_str).collect();
    let name_of: BTreeMap<&str, &str> = list(&metadata["packages"])
        .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
        .collect();
    let mut packages = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        let (Some(id), Some(name)) = (package["id"].as_str(), package["name"].as_str()) else {
            continue;
        };
        packages.entry(name.to_owned()).or_insert(Package {
            licence: package["license"].as_str().map(str::to_owned),
            workspace: members.contains(id),
            needs: BTreeSet::new(),
        });
    }
    for node in list(&metadata["resolve"]["nodes"]) {
        let Some(name) = node["id"].as_str().and_then(|id| name_of.get(id)) else { continue };
        let needs = list(&node["deps"])
            .filter(|dep| list(&dep["dep_kinds"]).any(|kind| kind["kind"].is_null()))
            .filter_map(|dep| name_of.get(dep["pkg"].as_str()?).map(|name| (*name).to_owned()));
        if let Some(package) = packages.get_mut(*name) {
            package.needs.extend(needs);
        }
    }
    packages
}

/// Crates of other platforms are not downloaded, and so not in the offline graph.
fn host_platform() -> String {
    let rustc = Command::new("rustc").arg("-vV").output().expect("run rustc");
    let text = String::from_utf8_lossy(&rustc.stdout).into_owned();
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("rustc names its host")
        .to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
