//! A host in a home folder of its own, and the plugins to put there.

use std::{
    fmt,
    future::ready,
    path::{Path, PathBuf},
    time::Duration,
};

use patchbay_host::{
    Host, HostHandle, NewMessage, Room, Settings,
    view::{LedgerView, PluginView, Published},
};
use patchbay_testkit::{Home, eventually_async, fixture};
use serde_json::{Value, json};

/// Longest wait for anything; far beyond what anything takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A home and its host.
pub(crate) struct Rig {
    pub(crate) home: Home,
    pub(crate) host: HostHandle,
}

/// What is set before the host starts.
pub(crate) struct Plan {
    pub(crate) home: Home,
    pub(crate) settings: Settings,
}

// === impl Plan ===

impl Plan {
    pub(crate) fn new() -> Plan {
        let home = Home::new();
        Plan { settings: Plan::in_home(&home), home }
    }

    /// Settings of a host in that home.
    pub(crate) fn in_home(home: &Home) -> Settings {
        let mut settings = Settings::of_home(home.path());
        settings.limits.settle = Duration::from_millis(20);
        settings.limits.poll = Duration::from_millis(500);
        settings.limits.quarantine_recheck = Duration::from_millis(100);
        settings
    }

    /// Configuration of a plugin.
    pub(crate) fn config(mut self, name: &str, config: Value) -> Plan {
        let Value::Object(config) = config else { panic!("a configuration is an object") };
        self.settings.plugins.entry(name.to_owned()).or_default().config = config;
        self
    }

    /// A file of the home that a plugin may be told of.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn enable(&self, plugin: &Plugin) {
        let place = self.home.install(&plugin.build(), &plugin.file_name());
        self.home.link(plugin.name, &place);
    }

    pub(crate) async fn start(self) -> Rig {
        let host = Host::start(self.settings).await.expect("the host starts");
        host.ready(LONG).await.expect("the host is ready");
        Rig { home: self.home, host }
    }
}

// === impl Rig ===

impl Rig {
    pub(crate) fn enable(&self, plugin: &Plugin) {
        let place = self.home.install(&plugin.build(), &plugin.file_name());
        self.home.link(plugin.name, &place);
    }

    pub(crate) fn view(&self, name: &str) -> PluginView {
        self.host.plugin(name).expect("a known plugin")
    }

    /// Waits until the plugin is in that state.
    pub(crate) async fn state(&self, name: &str, state: &str) -> PluginView {
        self.until(name, |view| view.state == state).await
    }

    /// Waits until the plugin is as wanted.
    pub(crate) async fn until(
        &self,
        name: &str,
        mut accept: impl FnMut(&PluginView) -> bool + Send,
    ) -> PluginView {
        let found = self.host.wait_for(name, LONG, |view| view.is_some_and(&mut accept)).await;
        match found {
            Ok(view) => view.expect("it was accepted"),
            Err(error) => panic!("{error}: {name} is {:#?}", self.host.plugin(name)),
        }
    }

    pub(crate) async fn publish(&self, topic: &str, payload: &str) -> Published {
        let message = message(topic, payload);
        self.host.publish(message, Room::Within(LONG)).await.expect("it is accepted")
    }

    /// The ledger of one subscription.
    pub(crate) fn ledger(&self, plugin: &str) -> LedgerView {
        let all = self.host.ledger();
        let one = all.iter().find(|view| view.plugin == plugin);
        one.cloned().unwrap_or_else(|| panic!("no ledger of {plugin} in {all:#?}"))
    }

    /// Waits until the ledger of a plugin is as wanted. The sum holds at every look.
    pub(crate) async fn ledger_until(
        &self,
        plugin: &str,
        mut accept: impl FnMut(&LedgerView) -> bool,
    ) -> LedgerView {
        let what = fmt::from_fn(|f| write!(f, "a ledger unlike {:#?}", self.ledger(plugin)));
        let look = || {
            let ledger = self.ledger(plugin);
            assert_balanced(&ledger);
            ready(accept(&ledger).then_some(ledger))
        };
        eventually_async(what, LONG, look).await
    }

    /// Ends the host; everything must end well.
    pub(crate) async fn end(self) {
        let report = self.host.shutdown(LONG).await;
        assert!(report.clean, "{report:#?}");
    }
}

/// P-1.
pub(crate) fn assert_balanced(view: &LedgerView) {
    let settled = view.done + view.forwarded + view.dead + view.dropped.values().sum::<u64>();
    let unsettled = view.queued + view.delayed + view.in_flight + view.dead_pending;
    assert_eq!(view.accepted, settled + unsettled, "{view:#?}");
}

pub(crate) fn message(topic: &str, payload: &str) -> NewMessage {
    NewMessage {
        topic: topic.to_owned(),
        payload: payload.as_bytes().to_vec(),
        ..NewMessage::default()
    }
}

/// A plugin made of a file in `fixtures`: `obedient.c`, unless it says another.
pub(crate) struct Plugin {
    pub(crate) name: &'static str,
    version: &'static str,
    manifest: Value,
    source: &'static str,
    bad: &'static str,
    blocks: &'static str,
}

// === impl Plugin ===

impl Plugin {
    /// One that listens to `in.NAME`.
    pub(crate) fn new(name: &'static str, version: &'static str) -> Plugin {
        let manifest = json!({
            "subscriptions": [{"topic": format!("in.{name}"), "queue": {"count": 100_000}}],
        });
        Plugin { name, version, manifest, source: "obedient.c", bad: "", blocks: "" }
    }

    /// More of the manifest.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Plugin {
        self.manifest[key] = value;
        self
    }

    /// Made of that file.
    pub(crate) fn source(mut self, file: &'static str) -> Plugin {
        self.source = file;
        self
    }

    /// It does badly whatever it is given: see the fixture.
    pub(crate) fn bad(mut self, how: &'static str) -> Plugin {
        self.bad = how;
        self
    }

    /// That control call waits for the door: see the fixture.
    pub(crate) fn blocks(mut self, call: &'static str) -> Plugin {
        self.blocks = call;
        self
    }

    /// The file name of its library, one per version.
    pub(crate) fn file_name(&self) -> String {
        format!("lib{}-{}.so", self.name, self.version)
    }

    pub(crate) fn build(&self) -> PathBuf {
        let rest = self.manifest.to_string();
        let rest = format!(",{}", &rest[1..rest.len() - 1]);
        let quoted = |text: &str| format!("{text:?}");
        let token = self.version.replace('.', "_");
        fixture::build_c(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(self.source),
            &[
                ("NAME", &quoted(self.name)),
                ("VERSION", &quoted(self.version)),
                ("VERSION_TOKEN", &quoted(&token)),
                ("REST", &quoted(&rest)),
                ("BAD", &quoted(self.bad)),
                ("BLOCKS", &quoted(self.blocks)),
            ],
            Path::new(env!("CARGO_TARGET_TMPDIR")),
        )
    }
}
