//! The real functions, behind the hooks.

use std::{
    ffi::CStr,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The next definition of `name` after the executable's, looked up once and kept in `cache`.
///
/// Ends the process when there is none: a hook has no way to say so, and going on without the
/// function would be worse. `effective` finds this out at start, where it can be said.
pub(crate) fn next(cache: &AtomicUsize, name: &CStr) -> usize {
    let known = cache.load(Ordering::Acquire);
    if known != 0 {
        return known;
    }
    let found = lookup(libc::RTLD_NEXT, name);
    if found == 0 {
        // SAFETY: `abort` has no precondition.
        unsafe { libc::abort() }
    }
    cache.store(found, Ordering::Release);
    found
}

/// Address of `name` in a scope (`RTLD_DEFAULT` or `RTLD_NEXT`), 0 when there is none.
pub(crate) fn lookup(scope: *mut libc::c_void, name: &CStr) -> usize {
    // SAFETY: the name is NUL terminated and the scope one of the two pseudo handles.
    unsafe { libc::dlsym(scope, name.as_ptr()) }.addr()
}
