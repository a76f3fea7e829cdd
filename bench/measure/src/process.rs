//! This process as the kernel sees it.

use std::{fs, path::Path};

/// Anonymous memory of this process, in bytes (`RssAnon` of `/proc/self/status`).
#[must_use]
pub fn anonymous_bytes() -> u64 {
    status("RssAnon:") * 1024
}

/// Threads of this process.
#[must_use]
pub fn threads() -> u64 {
    status("Threads:")
}

/// Mappings of files below `folder`.
#[must_use]
pub fn mappings_below(folder: &Path) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let folder = folder.to_string_lossy();
    maps.lines().filter(|line| line.contains(folder.as_ref())).count()
}

fn status(field: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}
