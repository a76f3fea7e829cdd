//! The end of the process.

/// Ends the process at once: no exit handlers, no destructors of libraries.
///
/// For an orderly stop with a library in quarantine: `exit` would run the destructors of its
/// statics under its living threads. The caller has flushed what it wants to keep.
pub fn end_process(code: i32) -> ! {
    // SAFETY: `_exit` has no precondition.
    unsafe { libc::_exit(code) }
}
