//! Processes as the kernel sees them.

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

/// Processor time of the threads of another process so far, nanoseconds (`schedstat` of each).
#[must_use]
pub fn cpu_ns_of(process: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let ran = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    ran.sum()
}

fn status(field: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}
