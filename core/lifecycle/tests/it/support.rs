//! Short ways to say things.

use patchbay_lifecycle::{
    Digest, Facts, HealthRule, Identity, Intent, Lasting, Now, PluginName, Refusal, Requirement,
    RestartPolicy, failure::FailureKind,
};
use std::time::Duration;

pub(crate) fn name(text: &str) -> PluginName {
    PluginName::parse(text).expect("a valid name")
}

pub(crate) fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

pub(crate) fn identity(library: u8) -> Identity {
    Identity { library: digest(library), config: digest(0), incarnation: 0 }
}

pub(crate) fn facts(library: u8) -> Facts {
    Facts {
        library: digest(library),
        config: digest(0),
        version: semver::Version::new(u64::from(library), 0, 0),
        priority: 40,
        requires: Vec::new(),
        restart: RestartPolicy::OnFailure,
        health: HealthRule {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            failures: 2,
        },
    }
}

pub(crate) fn requires(facts: Facts, other: &str, versions: &str) -> Facts {
    let versions = versions.parse().expect("a version requirement");
    Facts { requires: vec![Requirement { name: name(other), versions }], ..facts }
}

pub(crate) fn wanted(facts: Facts) -> Intent {
    Intent::Wanted(facts)
}

pub(crate) fn refusal(kind: FailureKind, lasting: Lasting) -> Refusal {
    Refusal { kind, reason: "as the test wants it".to_owned(), lasting }
}

pub(crate) fn at(seconds: u64) -> Now {
    Now { mono_ns: seconds * 1_000_000_000, unix_ns: (1_000_000 + seconds) * 1_000_000_000 }
}
