//! What bounds one call: a deadline and a way to cancel it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Code, Error, Result};

/// A flag that stops every call it was given to. Setting it is one atomic store: safe from any thread and from a
/// signal handler.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Cancel::default()
    }

    /// Stops the calls, now and later.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether [`Cancel::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Deadline and cancellation of one call; checked between steps and while waiting.
#[derive(Debug, Clone, Default)]
pub struct Call {
    deadline: Option<Instant>,
    cancel: Cancel,
}

impl Call {
    /// No deadline but the built-in ones, no cancellation.
    pub fn new() -> Self {
        Call::default()
    }

    /// Ends the call `timeout` from now with [`Code::Timeout`].
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.deadline = Instant::now().checked_add(timeout);
        self
    }

    /// Ends the call with [`Code::Cancelled`] when `cancel` is set.
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// The same call, ending `timeout` from now if its own deadline is not earlier.
    #[must_use]
    pub fn at_most(&self, timeout: Duration) -> Self {
        let soon = Instant::now().checked_add(timeout);
        Call { deadline: self.deadline.into_iter().chain(soon).min(), cancel: self.cancel.clone() }
    }

    /// When the call ends, if it has a deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The flag that stops this call.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// An error when the call must end now.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(Code::Cancelled, "cancelled"));
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Error::new(Code::Timeout, "the deadline passed")),
            _ => Ok(()),
        }
    }
}
