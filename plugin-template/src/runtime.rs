//! Who drives the futures of a plugin.

/// Who drives the futures of a plugin. An associated constant of [`Plugin`](crate::Plugin), because
/// the host reads it from the library's note before any code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Runtime {
    /// The host polls them, in memory it provides: the fastest way for handlers that wait for
    /// nothing but [`publish`](crate::Transport::publish) and [`sleep`](crate::PluginContext::sleep).
    /// Tokio's sockets and timers panic there ("there is no reactor running").
    None,
    /// Each lane drives its own tokio runtime. A socket lives on the lane where it was made, and a
    /// handler that blocks stalls the sockets of its lane. Lane 0 is first in and last out, and its
    /// runtime is kept while no lane runs.
    #[cfg(feature = "tokio")]
    Lane,
    /// All lanes share one tokio runtime with one more thread that drives sockets and timers. For
    /// plugins with more than one lane and shared clients.
    #[cfg(feature = "tokio")]
    Shared,
}

// === impl Runtime ===

impl Runtime {
    /// [`Runtime::Lane`] with the feature `tokio`, else [`Runtime::None`].
    #[cfg(feature = "tokio")]
    pub const DEFAULT: Runtime = Runtime::Lane;
    /// `Runtime::Lane` with the feature `tokio`, else [`Runtime::None`].
    #[cfg(not(feature = "tokio"))]
    pub const DEFAULT: Runtime = Runtime::None;

    /// The bits of the note.
    #[doc(hidden)]
    #[must_use]
    pub const fn flags(self) -> u32 {
        match self {
            Runtime::None => 0,
            #[cfg(feature = "tokio")]
            Runtime::Lane => patchbay_abi::note::flags::OWN_LOOP,
            #[cfg(feature = "tokio")]
            Runtime::Shared => {
                use patchbay_abi::note::flags;
                flags::OWN_LOOP | flags::SHARED_LOOP | flags::SPAWNS_THREADS
            }
        }
    }
}
