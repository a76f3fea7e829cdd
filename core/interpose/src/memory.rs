//! Memory that the allocator keeps though nobody has it.

/// Asks the allocator to give the system back what is free, in whole pages, in all its arenas.
/// Returns whether there was any. Threads that allocate wait for their arena meanwhile, and pay for
/// new pages after: nothing to call while much is going on.
pub fn give_back() -> bool {
    #[cfg(target_env = "gnu")]
    // SAFETY: it has no precondition, and takes the locks of the arenas as every allocation does.
    return unsafe { libc::malloc_trim(0) } == 1;
    #[cfg(not(target_env = "gnu"))]
    return false;
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_lies_between_what_stays_is_given_back() {
        const PIECES: usize = 4_096;
        const PIECE: usize = 16 << 10;
        // Memory of this process that is no file's, in KiB.
        let anonymous = || -> usize {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        // Every other small one stays, so that no end of the heap is free.
        let mut all: Vec<_> =
            (0..PIECES).map(|_| (vec![1_u8; PIECE], vec![1_u8; 16].into_boxed_slice())).collect();
        for (piece, _) in &mut all {
            drop(std::mem::take(piece));
        }
        let before = anonymous();
        assert!(give_back(), "64 MiB are free");
        let less = before.saturating_sub(anonymous());
        assert!(less > PIECES * PIECE / 1_024 / 2, "{less} KiB of {before}");
        drop(all);
    }
}
