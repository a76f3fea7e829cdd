//! Specifications and measurements, said shortly.

use std::time::Duration;

use patchbay_lifecycle::{
    Generation,
    transition::{
        BlueGreen, Gradual, Latencies, Request, Sample, Strategy, Terms, TransitionSpec,
        VersionFacts,
    },
};
use semver::Version;

use crate::support::{digest, name};

pub(super) const OLD: Generation = Generation(1);
pub(super) const NEW: Generation = Generation(2);

pub(super) fn facts(library: u8) -> VersionFacts {
    VersionFacts {
        version: Version::new(u64::from(library), 0, 0),
        library: digest(library),
        config: digest(0),
        permissions: patchbay_manifest::Permissions::default(),
        subscriptions: vec![("orders.>".to_owned(), 0)],
        mirror_safe: true,
        probes: 0,
        state_schema: None,
        forward_only: false,
    }
}

pub(super) fn request(strategy: Strategy) -> Request {
    let terms = Terms::of(&strategy);
    Request {
        id: "t-1".to_owned(),
        plugin: name("echo"),
        strategy,
        terms,
        force: false,
        idempotency_key: None,
        who: "test".to_owned(),
        why: "as the test wants it".to_owned(),
        at_unix_ns: 0,
    }
}

pub(super) fn spec(strategy: Strategy) -> TransitionSpec {
    request(strategy).admit(&facts(1), &facts(2)).expect("nothing is wrong with it")
}

pub(super) fn gradual(steps: &[u8]) -> Strategy {
    Strategy::Gradual(Gradual { steps: steps.to_vec(), hold: None })
}

pub(super) fn mirror() -> Strategy {
    Strategy::BlueGreen(BlueGreen { probes: 2, mirror: true })
}

/// So many attempts of a millisecond each, so many of them bad.
pub(super) fn sample(generation: Generation, attempts: u64, errors: u64) -> Sample {
    let mut latencies = Latencies::default();
    (0..attempts).for_each(|_| latencies.record(1_000_000));
    Sample {
        generation,
        attempts,
        errors,
        retries: 0,
        crashes: 0,
        healthy: Some(true),
        latencies: Some(latencies),
    }
}

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
