//! Locks that survive a panic of their holder: what they guard is changed in steps that leave it
//! usable, and a bus that refuses to work after one panic would take every plugin with it.

use std::sync::{Mutex, MutexGuard, PoisonError};

#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
