//! Stopping a request on purpose: the test decides when it goes on.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

/// How long a test waits for a request that never comes before it fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Holds every request that its rule chose, until the test lets them go. Dropping it lets all of them go.
#[derive(Debug)]
pub struct Hold(pub(super) Arc<Gate>);

/// What the held requests wait at.
#[derive(Debug)]
pub struct Gate {
    arrived: Mutex<usize>,
    changed: Condvar,
    permits: Semaphore,
}

impl Gate {
    pub(super) fn new() -> Arc<Gate> {
        Arc::new(Gate { arrived: Mutex::new(0), changed: Condvar::new(), permits: Semaphore::new(0) })
    }

    /// The server's side: says that a request is here, and waits.
    pub(super) async fn pass(&self) {
        *self.arrived.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
        // A closed semaphore is an open gate.
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
    }
}

impl Hold {
    /// Waits until `count` requests in all have come to the gate.
    ///
    /// # Panics
    /// When they do not come within a minute.
    pub fn wait_for(&self, count: usize) {
        let arrived = self.0.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.0.changed.wait_timeout_while(arrived, PATIENCE, |arrived| *arrived < count);
        let (arrived, _) = outcome.unwrap_or_else(PoisonError::into_inner);
        assert!(*arrived >= count, "{} of {count} requests came to be held", *arrived);
    }

    /// How many requests have come to the gate.
    pub fn arrived(&self) -> usize {
        *self.0.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the one that has waited longest go, or the next that comes.
    pub fn release_one(&self) {
        self.0.permits.add_permits(1);
    }

    /// Lets all go, those still to come too.
    pub fn release(&self) {
        self.0.permits.close();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}
