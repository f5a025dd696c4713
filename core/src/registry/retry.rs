//! When a request is worth repeating, and how long to wait first.
//!
//! Requests here are content addressed or recomputed from what is there, so repeating them is safe, with one exception:
//! a tag that several writers share. A write to it that may have arrived is never sent again ([`Resend::IfSure`]), since
//! the copy may land after somebody else's.

use std::time::{Duration, Instant, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::date;
use super::limits::{self, bounded};
use super::request::{Ask, in_flight};
use super::transport::Transport;
use crate::call::Call;
use crate::crypto::rng;
use crate::error::{Error, Result};

/// When a request may be sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Resend {
    /// Whenever it may go better.
    Always,
    /// Only when it certainly had no effect.
    IfSure,
    /// By the caller, as part of something larger.
    Never,
}

/// A request that failed, and what is known about it.
pub(super) struct Failure {
    pub(super) error: Error,
    /// It may go better the next time.
    pub(super) again: bool,
    /// It may have arrived, or may still arrive, and take effect.
    pub(super) doubt: bool,
    /// How long the server asks to wait.
    pub(super) wait: Option<Duration>,
    /// The other side answered TLS in plain text.
    pub(super) plain: bool,
    /// A connection that ended: there may be a better one.
    pub(super) dropped: bool,
}

impl Failure {
    /// Nobody received it, and the next attempt may reach somebody.
    pub(super) fn unsent(error: Error) -> Failure {
        Failure { again: true, ..Failure::from(error) }
    }

    /// The connection ended before the answer did.
    pub(super) fn dropped(error: Error) -> Failure {
        Failure { again: true, doubt: true, dropped: true, ..Failure::from(error) }
    }

    /// We stopped waiting for the answer.
    pub(super) fn stopped(error: Error) -> Failure {
        Failure { doubt: true, ..Failure::from(error) }
    }

    /// An answer with this status.
    pub(super) fn answered(error: Error, status: StatusCode, headers: &HeaderMap) -> Failure {
        let (again, doubt) = (passes(status), by_a_gateway(status));
        Failure { again, doubt, wait: asked_wait(headers, SystemTime::now()), ..Failure::from(error) }
    }

    pub(super) fn may_resend(&self, resend: Resend) -> bool {
        match resend {
            Resend::Always => self.again,
            Resend::IfSure => self.again && !self.doubt,
            Resend::Never => false,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, again: false, doubt: false, wait: None, plain: false, dropped: false }
    }
}

/// Whether a status speaks of the moment rather than of the request.
pub(super) fn passes(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

/// Whether the answer comes from somebody in between who gave up on the registry: it may still be at work.
pub(super) fn by_a_gateway(status: StatusCode) -> bool {
    matches!(status.as_u16(), 499 | 502 | 504 | 522)
}

/// `Retry-After`, seconds or a date, at most [`limits::RETRY_AFTER`].
fn asked_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        true => Duration::from_secs(text.parse().unwrap_or(u64::MAX)),
        false => date::parse(text)?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(limits::RETRY_AFTER))
}

/// The attempts of one request: how many are left, and how far apart.
pub(super) struct Backoff {
    left: usize,
    step: Duration,
    dropped: bool,
}

impl Backoff {
    fn new(base: Duration) -> Backoff {
        Backoff { left: limits::ATTEMPTS.saturating_sub(1), step: base, dropped: false }
    }

    /// How long to wait before the next attempt; `None` when there is none.
    fn next(&mut self, failure: &Failure) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        // A connection that ended while it lay idle shows that only when it is used: the first drop needs no wait.
        if failure.dropped && !std::mem::replace(&mut self.dropped, true) {
            return Some(Duration::ZERO);
        }
        let jittered = self.step.mul_f64(fraction());
        self.step = self.step.saturating_mul(limits::RETRY_FACTOR);
        Some(failure.wait.unwrap_or_default().max(jittered))
    }
}

/// A random number from 0 to 1; 1 when the system gives none.
fn fraction() -> f64 {
    let mut bytes = [0; 4];
    match rng::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

impl Transport {
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.options.retry_base.unwrap_or(limits::RETRY_BASE))
    }

    /// Waits for the next attempt; the failure's error when there is none, or when waiting would outlast the call.
    pub(super) async fn pause(
        &self,
        ask: &Ask<'_>,
        backoff: &mut Backoff,
        failure: Failure,
        call: &Call,
    ) -> std::result::Result<(), Failure> {
        let Some(wait) = backoff.next(&failure) else { return Err(failure) };
        let ends = Instant::now().checked_add(wait);
        if call.deadline().is_some_and(|deadline| ends.is_none_or(|ends| ends >= deadline)) {
            return Err(failure);
        }
        let late = || ask.late("no next attempt", wait);
        let slept: Result<()> =
            bounded(call, wait.saturating_add(limits::CONNECT), late, tokio::time::sleep(wait)).await;
        slept.map_err(|error| Failure { doubt: failure.doubt, ..Failure::from(in_flight(ask, error)) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::error::Code;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_capped() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            asked_wait(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("17"), Some(17));
        assert_eq!(wait("1000000000"), Some(60));
        assert_eq!(wait("99999999999999999999999999"), Some(60));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        assert_eq!(wait("Sun, 06 Nov 2094 08:49:07 GMT"), Some(60));
        for nonsense in ["-1", "", "soon", "1.5"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn three_attempts_further_and_further_apart() {
        let network = || Error::new(Code::Network, "x");
        for _ in 0..50 {
            let mut backoff = Backoff::new(Duration::from_millis(200));
            assert!(backoff.next(&Failure::unsent(network())).unwrap() <= Duration::from_millis(200));
            assert!(backoff.next(&Failure::unsent(network())).unwrap() <= Duration::from_millis(600));
            assert!(backoff.next(&Failure::unsent(network())).is_none());
            let mut backoff = Backoff::new(Duration::from_millis(200));
            assert_eq!(backoff.next(&Failure::dropped(network())), Some(Duration::ZERO));
            let wait = Some(Duration::from_secs(7));
            assert_eq!(backoff.next(&Failure { wait, ..Failure::unsent(network()) }), wait);
        }
    }
}
