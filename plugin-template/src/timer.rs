//! Waiting without a runtime.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::{
    error::{ErrorClass, PluginError},
    host::Link,
    scope::Scope,
};

/// Waits until a time has passed: [`PluginContext::sleep`](crate::PluginContext::sleep).
///
/// # Cancel safety
/// Dropped, it is as if it had never been.
#[derive(Debug)]
#[must_use = "nothing waits until this is awaited"]
pub struct Sleep {
    link: Arc<Link>,
    duration: Duration,
    /// Set at the first poll.
    until: Option<Instant>,
    timer: Timer,
}

/// Why nothing could wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SleepError {
    /// The host refused a timer: it has too many, or shuts down.
    Refused,
    /// Polled on a thread of the plugin's own, where neither the host nor tokio can wake it.
    NobodyToWake,
}

enum Timer {
    None,
    /// The host's, woken through the waker of one call.
    Host {
        token: u64,
        call: u64,
    },
    #[cfg(feature = "tokio")]
    Tokio(Pin<Box<tokio::time::Sleep>>),
}

// === impl Sleep ===

impl Sleep {
    pub(crate) fn new(link: Arc<Link>, duration: Duration) -> Self {
        Sleep { link, duration, until: None, timer: Timer::None }
    }

    fn forget(&mut self) {
        if let Timer::Host { token, .. } = std::mem::replace(&mut self.timer, Timer::None) {
            self.link.host.forget(token);
        }
    }
}

impl Future for Sleep {
    type Output = Result<(), SleepError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let host = this.link.host;
        #[cfg(feature = "tokio")]
        if let Timer::Tokio(sleep) = &mut this.timer {
            return sleep.as_mut().poll(cx).map(Ok);
        }
        let now = Instant::now();
        let until = *this.until.get_or_insert_with(|| now + this.duration.min(FOREVER));
        let armed = Scope::current(host, |scope| {
            let scope = scope?;
            let waker = scope.host_waker(cx.waker())?;
            if let Timer::Host { token, call } = this.timer {
                if host.timer_fired(token) {
                    return Some(Poll::Ready(Ok(())));
                }
                if call == scope.id() {
                    return Some(Poll::Pending);
                }
                // Another call polls than before, and the timer wakes the other one.
                host.forget(token);
                this.timer = Timer::None;
            }
            let left = until.saturating_duration_since(now);
            let delay = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
            // SAFETY: it is the waker of the call that is being polled.
            let token = unsafe { host.timer(delay, waker) };
            if token == 0 {
                return Some(Poll::Ready(Err(SleepError::Refused)));
            }
            this.timer = Timer::Host { token, call: scope.id() };
            Some(Poll::Pending)
        });
        if let Some(state) = armed {
            if state.is_ready() {
                this.forget();
            }
            return state;
        }
        #[cfg(feature = "tokio")]
        if tokio::runtime::Handle::try_current().is_ok() {
            this.forget();
            let mut sleep = Box::pin(tokio::time::sleep_until(until.into()));
            let state = sleep.as_mut().poll(cx).map(Ok);
            this.timer = Timer::Tokio(sleep);
            return state;
        }
        Poll::Ready(Err(SleepError::NobodyToWake))
    }
}

/// Far enough away for anybody, and near enough to be added to an instant.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 10);

impl Drop for Sleep {
    fn drop(&mut self) {
        self.forget();
    }
}

// === impl Timer ===

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Timer::None => "None",
            Timer::Host { .. } => "Host",
            #[cfg(feature = "tokio")]
            Timer::Tokio(_) => "Tokio",
        })
    }
}

// === impl SleepError ===

impl fmt::Display for SleepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SleepError::Refused => "cannot sleep: the host refused a timer",
            SleepError::NobodyToWake => "cannot sleep: nobody could wake this thread",
        })
    }
}

impl std::error::Error for SleepError {}

impl From<SleepError> for PluginError {
    fn from(error: SleepError) -> Self {
        PluginError::from_error(ErrorClass::Transient, &error)
    }
}
