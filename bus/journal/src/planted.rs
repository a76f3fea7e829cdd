//! Faults that are planted on purpose, to show that the tests find them.
//!
//! Only with the feature `planted-faults`, which no product is built with, and only when
//! `PATCHBAY_PLANTED_FAULT` names one. Without the feature the question is answered when the code is
//! compiled, and nothing is left of it.

/// Whether that fault is planted.
#[cfg(feature = "planted-faults")]
#[must_use]
pub fn fault(name: &str) -> bool {
    static PLANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let planted = PLANTED.get_or_init(|| std::env::var("PATCHBAY_PLANTED_FAULT").ok());
    planted.as_deref() == Some(name)
}

/// Whether that fault is planted: never.
#[cfg(not(feature = "planted-faults"))]
#[must_use]
#[inline(always)]
pub const fn fault(_: &str) -> bool {
    false
}
