//! Every bound of the registry room in one table: sizes, counts and times.
//!
//! The numbers are those of the hardening notes in `docs/design.md`; a server that needs more is refused, not waited for.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use crate::call::Call;
use crate::error::{Error, Result};

/// Bytes of a manifest, an index or one page of referrers.
pub const MANIFEST: u64 = 4 << 20;
/// Bytes of a simple-signing payload.
pub const PAYLOAD: u64 = 1 << 20;
/// Bytes of a token server's answer.
pub const TOKEN: u64 = 64 << 10;
/// Bytes read of an error body; the rest is never read.
pub const ERROR_BODY: u64 = 8 << 10;
/// Bytes of all header names and values of one answer.
pub const HEADERS: usize = 64 << 10;
/// Headers of one answer.
pub const HEADER_COUNT: usize = 128;
/// Bytes of a `Location` or `WWW-Authenticate` value.
pub const HEADER_VALUE: usize = 8 << 10;
/// Hops of one request.
pub const REDIRECTS: usize = 5;
/// How often one request is sent at most.
pub const ATTEMPTS: usize = 3;
/// Bytes of a blob that are sent along with the request that opens its upload, as long as nobody knows whether the
/// registry takes them there.
pub const SINGLE_POST: usize = 1 << 20;
/// Pages of one list.
pub const PAGES: usize = 32;
/// Bytes of all pages of referrers.
pub const REFERRERS_BYTES: usize = 8 << 20;
/// Entries of all pages of referrers.
pub const REFERRERS: usize = 1000;
/// Bytes of all pages of a list of tags.
pub const TAG_LIST: u64 = 16 << 20;
/// Bytes of one tag (distribution-spec: 128 characters).
pub const TAG: usize = 128;
/// Tags kept of one list: those with the prefix that was asked for.
pub const TAGS: usize = 10_000;
/// Tags asked for in one page.
pub const TAGS_PAGE: usize = 100;
/// Bytes of a docker `config.json`.
pub const DOCKER_CONFIG: usize = 1 << 20;
/// Bytes of one file of certificate authorities.
pub const ROOTS_FILE: u64 = 16 << 20;
/// Bytes of a client certificate or its key.
pub const CLIENT_FILE: u64 = 1 << 20;
/// Files read of one folder of certificates.
pub const CERTIFICATE_FILES: usize = 1000;
/// Bytes that a credential helper may answer.
pub const HELPER: u64 = 1 << 20;

/// TCP and TLS, from the first packet to the finished handshake.
pub const CONNECT: Duration = Duration::from_secs(10);
/// From the request to the headers of the answer.
pub const FIRST_BYTE: Duration = Duration::from_secs(30);
/// How long other requests to a host wait for the answer to the first one, which they could learn from.
pub const FIRST_CONTACT: Duration = Duration::from_secs(1);
/// Between two pieces of a body.
pub const NO_PROGRESS: Duration = Duration::from_secs(30);
/// Before the second attempt; each further wait is [`RETRY_FACTOR`] times as long, and a random part of it is waited.
pub const RETRY_BASE: Duration = Duration::from_millis(200);
/// How much longer each wait is than the one before.
pub const RETRY_FACTOR: u32 = 3;
/// The longest wait that a server may ask for.
pub const RETRY_AFTER: Duration = Duration::from_secs(60);
/// What a credential helper may take.
pub const HELPER_TIME: Duration = Duration::from_secs(30);
/// How long it is believed that a registry lacks something.
pub const CAPABILITY_LIFE: Duration = Duration::from_secs(3600);
/// One read through somebody else's client, whose steps are not seen: token, answer and body.
#[cfg(feature = "oci-client")]
pub const OCI_CLIENT_STEP: Duration = Duration::from_secs(30);
/// One upload through somebody else's client: up to three requests.
#[cfg(feature = "oci-client")]
pub const OCI_CLIENT_UPLOAD: Duration = Duration::from_secs(90);
/// How long an error waits for the DELETE of an upload that came to nothing: to send it, not to hear of it.
pub const ABANDON: Duration = Duration::from_millis(30);
/// A call that brings no deadline of its own.
pub const WHOLE_CALL: Duration = Duration::from_secs(180);
/// How long a cancel may stay unseen while waiting.
pub const TICK: Duration = Duration::from_millis(20);
/// Lifetime of a token whose server names none (distribution's token specification).
pub const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// No token is believed to live longer.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(3600);
/// A token this close to its end is not used any more.
pub const TOKEN_MARGIN: Duration = Duration::from_secs(5);

/// `call`, with the default deadline when it has none.
pub fn with_deadline(call: &Call) -> Call {
    match call.deadline() {
        Some(_) => call.clone(),
        None => call.clone().with_timeout(WHOLE_CALL),
    }
}

/// Waits for `future`, but at most `limit`, and never longer than the call may last: cancel and deadline are looked at
/// every [`TICK`]. `late` makes the error for a `limit` that passed.
pub async fn bounded<F: Future>(
    call: &Call,
    limit: Duration,
    late: impl FnOnce() -> Error + Send,
    future: F,
) -> Result<F::Output> {
    let started = Instant::now();
    let mut future = pin!(future);
    loop {
        call.check()?;
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(late());
        }
        if let Ok(output) = tokio::time::timeout(TICK.min(left), future.as_mut()).await {
            return Ok(output);
        }
    }
}
