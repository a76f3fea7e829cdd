//! Whether the hooks are in force.

use std::fmt;

#[cfg(hooked)]
use std::ffi::CString;

#[cfg(hooked)]
use crate::{glibc, hooks};

/// Why the hooks do not see what libraries do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotEffective {
    /// A library that asks for the function gets another one: the executable does not export ours.
    NotExported {
        /// Name of the function.
        function: &'static str,
    },
    /// There is no other definition behind ours: libc is linked into the executable.
    NothingBehind {
        /// Name of the function.
        function: &'static str,
    },
    /// There are no hooks for this C library or processor, or they were left out of the build.
    Absent,
}

/// Checks that a lookup in the global scope, which is what a library gets, ends in every hook, and
/// that each hook finds the real function behind it.
///
/// # Errors
/// The first hook that is not in force, and why. Nothing can be unmapped safely in that process.
#[cfg(hooked)]
pub fn effective() -> Result<(), NotEffective> {
    for (function, ours) in hooks::addresses() {
        // The names are short and contain no NUL.
        let name = CString::new(function).unwrap_or_default();
        if glibc::lookup(libc::RTLD_DEFAULT, &name) != ours {
            return Err(NotEffective::NotExported { function });
        }
        let behind = glibc::lookup(libc::RTLD_NEXT, &name);
        if behind == 0 || behind == ours {
            return Err(NotEffective::NothingBehind { function });
        }
    }
    Ok(())
}

/// There are no hooks in this build.
///
/// # Errors
/// Always.
#[cfg(not(hooked))]
pub fn effective() -> Result<(), NotEffective> {
    Err(NotEffective::Absent)
}

// === impl NotEffective ===

impl fmt::Display for NotEffective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotEffective::NotExported { function } => {
                write!(f, "the executable does not export its own `{function}`")
            }
            NotEffective::NothingBehind { function } => {
                write!(f, "no `{function}` behind the executable's own (static libc?)")
            }
            NotEffective::Absent => f.write_str(
                "this build has no hooks (they need glibc on x86-64 or aarch64, and \
                 PATCHBAY_INTERPOSE not to be `off`)",
            ),
        }
    }
}

impl std::error::Error for NotEffective {}

#[cfg(all(test, hooked))]
mod tests {
    use super::*;

    #[test]
    fn the_hooks_are_in_force_in_a_test_executable() {
        assert_eq!(effective(), Ok(()));
    }
}
